"""The recipe "large": the paper's largest network counted and built, a small one trained and resumed."""

from __future__ import annotations

import json
from dataclasses import replace

import keras
import pytest
from small_runs import StopAt, assert_same_bits

from allcnn.errors import InputError, Interrupted
from allcnn.evaluation import evaluate
from allcnn.models.build import build_model
from allcnn.models.saved import open_saved
from allcnn.runs.recipe import RECIPES
from allcnn.specs import ZOO, count_parameters, parse
from allcnn.training.plan import plan_run
from allcnn.training.run import train

SMALL = "[v :leaky_relu(0.33)] 8C2-8C2/2-D.2-12C2-12C2/2-NC1:linear-GAP"
PARAMETERS = 77_455_690
SIZES = [125, 124, 62, 61, 60, 30, 29, 28, 14, 13, 12, 6, 5, 4, 2, 1, 1, 1]


def test_the_parameters_of_the_papers_network_by_hand() -> None:
    # Every filter of 2x2 but the last two layers'.
    widths = [3, *(width for width in (320, 640, 960, 1280, 1600) for _ in range(3)), 1920, 1920, 10]
    sizes = [2] * 16 + [1, 1]
    assert len(widths) == 19
    by_hand = sum(k * k * a * b + b for k, a, b in zip(sizes, widths, widths[1:], strict=False))
    assert by_hand == count_parameters(ZOO["large-all"].spec, (126, 126, 3), 10) == PARAMETERS


@pytest.mark.slow
def test_the_papers_network_built() -> None:
    """In its field, around raw images of 32x32; without memory for its weights."""
    with keras.StatelessScope(initialize_variables=False):
        model = build_model("large-all", (32, 32, 3), field=126)
    assert model.input_shape == (None, 32, 32, 3) and model.output_shape == (None, 10)
    assert model.get_layer("field").output.shape == (None, 126, 126, 3)
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert [layer.output.shape[1] for layer in convolutions] == SIZES
    assert model.count_params() == PARAMETERS


def test_each_network_is_trained_by_its_own_recipe(stripes, tmp_path) -> None:
    plan = plan_run("large-all", dataset=stripes, run_dir=tmp_path / "run")
    assert plan.recipe == RECIPES["large"] and plan.network_shape == (126, 126, 3)
    assert plan.parameters == count_parameters(ZOO["large-all"].spec, (126, 126, 3), 3)
    assert plan_run("Large-All-CNN", dataset=stripes, run_dir=tmp_path / "run").recipe.name == "large"
    assert plan_run(ZOO["large-all"].text, dataset=stripes, field=126, run_dir=tmp_path / "run").recipe.name == "paper"
    chosen = plan_run("large-all", dataset=stripes, recipe="review", field=126, run_dir=tmp_path / "run").recipe
    assert chosen == replace(RECIPES["review"], field=126)
    with pytest.raises(InputError, match="the recipe imagenet counts steps, not epochs"):
        plan_run("imagenet-all-b", dataset=stripes, epochs=2, run_dir=tmp_path / "run")


@pytest.fixture
def large(stripes) -> dict:
    return {
        "dataset": stripes, "recipe": "large", "epochs": 3, "batch_size": 10, "field": 19, "precision": "float32",
        "seed": 5, "learning_rate": 0.02,
    }  # fmt: skip


def test_a_run_in_a_field_is_resumed_in_the_middle_of_an_epoch_to_the_same_bits(large, stripes, tmp_path) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    result = train(SMALL, run_dir=whole, **large)
    with pytest.raises(Interrupted, match="1 of 3 epochs and 2 steps of the next are saved"):
        train(SMALL, run_dir=stopped, save_every=1, callbacks=[StopAt(8)], **large)
    train(dataset=stripes, run_dir=stopped, resume=True)
    assert_same_bits(whole, stopped)

    found = open_saved(whole)
    assert found.card is not None and found.card.augmentation == "large"
    assert found.model.input_shape == (None, 8, 8, 3) and found.model.get_layer("field").output.shape[1:3] == (19, 19)
    assert found.card.parameters == result.parameters == count_parameters(parse(SMALL), (19, 19, 3), 3)
    assert json.loads((whole / "config.json").read_text())["recipe"]["field"] == 19
    assert evaluate(whole, stripes.test_images, stripes.test_labels).error_percent == result.test_error


def test_a_field_without_augmentation(large, tmp_path) -> None:
    train(SMALL, run_dir=tmp_path / "run", **{**large, "augmentation": "none", "epochs": 1})
    assert open_saved(tmp_path / "run").card.augmentation == "none"
