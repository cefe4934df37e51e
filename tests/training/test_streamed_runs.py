"""Runs on images that are streamed: counted in steps, cropped and mirrored, resumed in the middle of an epoch."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from photo_files import write_photographs
from small_runs import StopAt, assert_same_bits

import allcnn
from allcnn.data.order import crop_mirror_draws
from allcnn.errors import Interrupted, TrainingError
from allcnn.evaluation import evaluate, open_with_data
from allcnn.runs.folder import RunFolder, read_json
from allcnn.runs.recipe import RECIPES, Recipe

# 41 training images of 12 classes in batches of 8: an epoch is 5 steps; 13 steps are 2 epochs and 3 steps.
NUMBERS = {"recipe": "imagenet", "image_size": 16, "batch_size": 8, "steps": 13, "seed": 3, "learning_rate": 0.001}
NETWORK = "8C3/2-12C3/2-NC1:linear-GAP"


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return write_photographs(tmp_path_factory.mktemp("photos") / "photos", train=41, test=24, classes=12)


@pytest.fixture(scope="module")
def undisturbed(photos, tmp_path_factory):
    return allcnn.train(NETWORK, data_dir=photos, run_dir=tmp_path_factory.mktemp("runs") / "run", **NUMBERS)


def test_the_recipe_counts_steps_and_crops(undisturbed, photos):
    assert undisturbed.epochs == 3 and undisturbed.status == "finished"
    config = read_json(RunFolder(undisturbed.run_dir).config)
    assert config["streamed"] and config["image_shape"] == [16, 16, 3] and not config["preprocessed_once"]
    assert config["resize"] == "shorter side to 18, bilinear with antialiasing, centre crop of 16"
    recipe = Recipe.from_dict(config["recipe"])
    # 450,000 steps with drops after 200,000 and 400,000.
    assert (recipe.unit, recipe.length, recipe.drops) == ("steps", 13, (6, 12))
    assert RECIPES["imagenet"].weight_decay == 0.0005 and recipe.preprocessing == "channel-mean"
    rows = list(csv.DictReader((undisturbed.run_dir / "metrics.csv").open()))
    assert [float(row["learning_rate"]) for row in rows] == [0.001, 0.0001, 0.00001]
    # The last epoch is cut short: 3 steps of 8 images.
    assert float(rows[2]["images_per_second"]) * float(rows[2]["seconds"]) == pytest.approx(24)
    assert undisturbed.test_top5_error == float(rows[2]["test_top5_error"])
    opened, data = open_with_data(undisturbed.run_dir)
    evaluation = evaluate(opened, data)
    assert data.streamed and evaluation.images == 24
    assert evaluation.error_percent == undisturbed.test_error
    assert evaluation.top5_error_percent == undisturbed.test_top5_error < undisturbed.test_error


def test_several_tests_are_the_mean_over_random_crops(undisturbed):
    one = evaluate(undisturbed.run_dir)
    several = [evaluate(undisturbed.run_dir, tests=3) for _ in range(2)]
    assert several[0].cross_entropy == several[1].cross_entropy != one.cross_entropy
    opened, data = open_with_data(undisturbed.run_dir)
    chances = np.zeros((24, 12))
    for test in range(3):
        draws = crop_mirror_draws(1 << 32, test, 0, 24)
        cut = [data.test_images.training_image(index, draws[index])[0] for index in range(24)]
        chances += opened.model.predict(np.stack(cut).astype(np.float32), verbose=0) / 3
    own = np.log(np.maximum(chances[np.arange(24), data.test_labels], 1e-7))
    assert several[0].cross_entropy == pytest.approx(-own.mean(), abs=1e-5)


def test_a_photograph_is_seen_by_predict_as_in_the_evaluation(undisturbed, photos):
    opened, data = open_with_data(undisturbed.run_dir)
    evaluation = evaluate(opened, data)
    names = [data.test_images.encoded.path(index) for index in range(len(data.test_labels))]
    top = [found.classes[0][0] for found in allcnn.predict(undisturbed.run_dir, names)]
    wrong = sum(name != data.class_names[label] for name, label in zip(top, data.test_labels.tolist(), strict=True))
    assert wrong == evaluation.errors


@pytest.mark.backends
def test_resumed_in_the_middle_of_an_epoch_it_ends_the_same(undisturbed, photos, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(Interrupted):
        allcnn.train(NETWORK, data_dir=photos, run_dir=run, save_every=1, callbacks=[StopAt(8)], **NUMBERS)
    allcnn.train(run_dir=run, resume=True)
    assert_same_bits(undisturbed.run_dir, run)


def test_damage_is_named_and_can_be_passed_over(photos, tmp_path):
    damaged, run = shutil.copytree(photos, tmp_path / "photos"), tmp_path / "run"
    (damaged / "train/n00000003/photo_15.JPEG").write_bytes(b"none")
    (damaged / "val/n00000002/photo_2.JPEG").write_bytes(b"none")
    numbers = {**NUMBERS, "preprocessing": "none"}  # a preprocessing would meet it when it is fitted
    with pytest.raises(TrainingError, match="photo_15.JPEG: not an image") as error:
        allcnn.train(NETWORK, data_dir=damaged, run_dir=run, **numbers)
    assert str(error.value).endswith(f"allcnn train --resume --run-dir {run} --skip-damaged")
    result = allcnn.train(run_dir=run, resume=True, skip_damaged=True)
    assert result.damaged_images == 2 and read_json(RunFolder(run).summary)["damaged_images"] == 2
    assert [Path(line).name for line in (run / "damaged.txt").read_text().splitlines()] == [
        "photo_15.JPEG", "photo_2.JPEG",
    ]  # fmt: skip
    evaluation = evaluate(*open_with_data(run, skip_damaged=True))
    assert (evaluation.images, evaluation.skipped) == (23, 1)
    assert evaluation.error_percent == result.test_error
