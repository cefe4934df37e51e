"""Every number of a run: the published recipes, shorter ones, and what makes no sense."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from allcnn.errors import InputError
from allcnn.runs.recipe import LEARNING_RATES, RECIPES, Recipe, read_settings, recipe_for
from allcnn.specs import ZOO


def test_the_paper() -> None:
    paper = RECIPES["paper"]
    assert (paper.unit, paper.length, paper.milestones, paper.multiplier) == ("epochs", 350, (200, 250, 300), 0.1)
    assert (paper.learning_rate, paper.momentum, paper.weight_decay, paper.decay_biases) == (0.05, 0.9, 0.001, True)
    assert (paper.batch_size, paper.shuffle) == (200, True)
    assert (paper.preprocessing, paper.augmentation) == ("gcn-zca", "none")
    assert LEARNING_RATES == (0.25, 0.1, 0.05, 0.01)


def test_the_review() -> None:
    review = RECIPES["review"]
    # Its penalty 0.001 ||w||^2 has the gradient 0.002 w; on kernels alone; images never shuffled.
    assert (review.weight_decay, review.decay_biases, review.shuffle) == (0.002, False, False)
    assert (review.batch_size, review.initializer, review.length) == (200, "glorot_uniform", 350)


def test_imagenet() -> None:
    imagenet = RECIPES["imagenet"]
    assert (imagenet.unit, imagenet.length, imagenet.milestones) == ("steps", 450_000, (200_000, 400_000))
    assert (imagenet.learning_rate, imagenet.multiplier, imagenet.weight_decay) == (0.01, 0.1, 0.0005)
    assert (imagenet.batch_size, imagenet.preprocessing, imagenet.augmentation) == (64, "channel-mean", "crop-mirror")


def test_large() -> None:
    large = RECIPES["large"]
    assert (large.augmentation, large.preprocessing, large.field) == ("large", "center", 126)
    assert all(recipe.field is None for recipe in RECIPES.values() if recipe is not large)
    # The schedule of CIFAR-10: section 3.2.3 gives no other.
    assert replace(large, name="paper", augmentation="none", preprocessing="gcn-zca", field=None) == RECIPES["paper"]


def test_fast() -> None:
    """As docs/training.md lists it."""
    fast = RECIPES["fast"]
    assert (fast.unit, fast.length, fast.schedule, fast.learning_rate) == ("epochs", 40, "linear", 0.02)
    assert (fast.optimizer, fast.momentum, fast.weight_decay, fast.batch_size) == ("muon", 0.95, 0.0, 200)
    assert (fast.label_smoothing, fast.dropout_scale, fast.input_dropout_scale) == (0.1, 0.2, 0.0)
    assert (fast.initializer, fast.class_bias, fast.preprocessing) == ("he_normal", 8.0, "standardize")
    assert (fast.augmentation, fast.alternate_flips) == ("flip-reflect", True)


def test_recipes_of_before_fields_are_read() -> None:
    values = RECIPES["review"].as_dict()
    del values["field"]
    assert Recipe.from_dict(values) == RECIPES["review"]
    assert "field" not in values


@pytest.mark.parametrize("network", ZOO.values(), ids=lambda network: network.name)
def test_every_network_names_a_recipe_that_fits_it(network) -> None:
    recipe = RECIPES[network.recipe]
    assert recipe.name == {"large-all": "large", "imagenet-all-b": "imagenet"}.get(network.name, "paper")
    if recipe.field is not None:
        assert network.input_shape == (recipe.field, recipe.field, 3)


@pytest.mark.parametrize(
    ("length", "milestones"),
    [
        (3, (2, 3, 3)),  # 1.71, 2.14, 2.57
        (35, (20, 25, 30)),
        (1, (1, 1, 1)),
        (350, (200, 250, 300)),
        (700, (400, 500, 600)),
        (7, (4, 5, 6)),
    ],
)
def test_milestones_move_with_the_length(length, milestones) -> None:
    recipe = RECIPES["paper"].with_overrides(length=length)
    assert (recipe.length, recipe.drops, recipe.milestones) == (length, milestones, (200, 250, 300))
    # However often the length changes: the drops are scaled from the published length, once.
    assert recipe.with_overrides(length=7).with_overrides(length=350) == RECIPES["paper"]


def test_steps_move_too() -> None:
    assert RECIPES["imagenet"].with_overrides(length=1000).drops == (445, 889)  # 444.4, 888.9


def test_milestones_of_ones_own_are_for_the_length_that_they_come_with() -> None:
    assert Recipe("mine", length=15, milestones=(8, 11)).drops == (8, 11)
    # The paper's own are for its 350 epochs, unless they are given anew.
    assert Recipe("mine", length=35).drops == (20, 25, 30)
    assert RECIPES["fast"].drops == ()
    assert RECIPES["fast"].with_overrides(length=35, schedule="drops").drops == (20, 25, 30)
    assert RECIPES["paper"].with_overrides(length=400, milestones=[200, 250, 300]).drops == (200, 250, 300)
    mine = RECIPES["paper"].with_overrides(length=30, milestones=(10, 20))
    assert mine.drops == (10, 20)
    assert mine.with_overrides(length=60).drops == (20, 40)


def test_runs_of_before_keep_their_drops() -> None:
    """Their milestones were scaled when the run was begun."""
    values = RECIPES["paper"].as_dict() | {"length": 3, "milestones": [2, 3, 3]}
    del values["milestones_of"]
    assert Recipe.from_dict(values).drops == (2, 3, 3)


def test_overrides() -> None:
    recipe = RECIPES["paper"].with_overrides(length=3, learning_rate=0.01, batch_size=None, augmentation="flip-shift")
    assert (recipe.length, recipe.drops, recipe.learning_rate) == (3, (2, 3, 3), 0.01)
    assert (recipe.batch_size, recipe.augmentation) == (200, "flip-shift")
    assert RECIPES["paper"].with_overrides() == RECIPES["paper"]


@pytest.mark.parametrize("name", RECIPES)
def test_json_and_back(name) -> None:
    recipe = RECIPES[name]
    values = json.loads(json.dumps(recipe.as_dict()))
    assert values["milestones"] == list(recipe.milestones)
    back = Recipe.from_dict(values)
    assert back == recipe and isinstance(back.milestones, tuple)


def test_what_is_no_recipe() -> None:
    values = RECIPES["paper"].as_dict()
    another = "this is not a recipe of this version of allcnn (unexpected or missing: ['{}'])."
    for changed, said in (
        ({**values, "colour": "red"}, another.format("colour")),
        ({key: value for key, value in values.items() if key != "momentum"}, another.format("momentum")),
        ([], "this is not a recipe: []."),
        (
            {**values, "milestones": None},
            "this is not a recipe: a recipe's milestones must be whole numbers joined by commas; got None.",
        ),
    ):
        with pytest.raises(InputError) as caught:
            Recipe.from_dict(changed)
        assert str(caught.value) == said


KINDS = "gcn-zca, none, scale, center, gcn, standardize, channel-mean"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unit": "hours"}, 'unknown unit "hours"; expected one of: epochs, steps.'),
        ({"preprocessing": "zca"}, f'unknown preprocessing "zca"; expected one of: {KINDS}. Did you mean gcn-zca?'),
        (
            {"augmentation": "flip"},
            'unknown augmentation "flip"; expected one of: none, flip-shift, flip-reflect, crop-mirror, large. '
            "Did you mean flip-shift or flip-reflect?",
        ),
        ({"length": 0}, "the number of epochs must be a whole number of at least 1; got 0."),
        ({"length": 2.5}, "the number of epochs must be a whole number of at least 1; got 2.5."),
        ({"length": True}, "the number of epochs must be a whole number of at least 1; got True."),
        ({"unit": "steps", "length": -1}, "the number of steps must be a whole number of at least 1; got -1."),
        ({"batch_size": 0}, "the batch size must be a whole number of at least 1; got 0."),
        ({"field": 0}, "the field's height and width in pixels must be a whole number of at least 1; got 0."),
        ({"optimizer": "adam"}, 'unknown optimizer "adam"; expected one of: sgd, muon.'),
        ({"schedule": "cosine"}, 'unknown schedule "cosine"; expected one of: drops, linear.'),
        ({"label_smoothing": -0.1}, "the label smoothing must be at least 0 and below 1, such as 0.1; got -0.1."),
        ({"dropout_scale": 1.5}, "the dropout scale must be from 0 to 1, such as 0.5; got 1.5."),
        ({"input_dropout_scale": -1.0}, "the input's dropout scale must be from 0 to 1, such as 0.5; got -1.0."),
        ({"class_bias": float("inf")}, "the class bias must be 0 or more; got inf."),
        ({"learning_rate": 0.0}, "the learning rate must be a number above 0, such as 0.05; got 0.0."),
        ({"learning_rate": float("inf")}, "the learning rate must be a number above 0, such as 0.05; got inf."),
        ({"momentum": 1.0}, "the momentum must be at least 0 and below 1, such as 0.9; got 1.0."),
        ({"momentum": -0.1}, "the momentum must be at least 0 and below 1, such as 0.9; got -0.1."),
        ({"weight_decay": -1e-3}, "the weight decay must be 0 or more; got -0.001."),
    ],
)
def test_numbers_that_make_no_sense(changes, message) -> None:
    with pytest.raises(InputError) as caught:
        Recipe("mine", **changes)
    assert str(caught.value) == message


def test_data_sets_bring_their_defaults() -> None:
    assert recipe_for("paper", "cifar10") == recipe_for("paper", "cifar100") == RECIPES["paper"]
    digits = recipe_for("paper", "digits")
    assert (digits.preprocessing, digits.momentum, digits.weight_decay) == ("standardize", 0.9, 0.001)
    assert digits.batch_size < 200 and digits.length < 350
    # The milestones stay where they are in the run: 4/7, 5/7 and 6/7 of it.
    assert digits.drops == tuple(-(-sevenths * digits.length // 7) for sevenths in (4, 5, 6))
    # Whitening of 224x224 would not fit; an explicit option comes later and wins.
    assert recipe_for("paper", "flowers", (224, 224, 3)).preprocessing == "standardize"
    assert recipe_for("paper", "flowers", (64, 64, 3)).preprocessing == "gcn-zca"


def test_an_unknown_recipe() -> None:
    with pytest.raises(InputError) as caught:
        recipe_for("adam", "cifar10")
    assert str(caught.value) == 'unknown recipe "adam"; expected one of: paper, review, imagenet, large, fast.'


def test_settings_are_read_from_text_by_the_type_of_the_number() -> None:
    texts = ["label_smoothing=0.2", "alternate_flips=true", "milestones=10,20", "milestones_of=30", "optimizer=muon"]
    settings = read_settings(texts)
    assert settings == {
        "label_smoothing": 0.2, "alternate_flips": True, "milestones": (10, 20), "milestones_of": 30,
        "optimizer": "muon",
    }  # fmt: skip
    assert RECIPES["paper"].with_overrides(**settings).drops == (117, 234)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label_smoothing", "--set label_smoothing: expected NAME=VALUE, such as label_smoothing=0.1."),
        ("smoothing=0.1", 'a recipe has no number "smoothing". Did you mean label_smoothing?'),
        ("momentum=high", "--set momentum=high: expected a number, such as 0.9."),
        ("shuffle=yes", "--set shuffle=yes: expected true or false, such as true."),
        ("milestones=1;2", "--set milestones=1;2: expected whole numbers joined by commas, such as 200,250,300."),
        ("learning_rate=0.1", "--set learning_rate=0.1: expected --lr for this."),
        ("length=3", "--set length=3: expected --epochs or --steps for this."),
    ],
)
def test_settings_that_make_no_sense(text, message) -> None:
    with pytest.raises(InputError) as caught:
        read_settings([text])
    assert str(caught.value) == message


def test_numbers_from_python_are_held_to_their_type() -> None:
    found = RECIPES["paper"].with_overrides(momentum=np.float32(0.5), milestones=[8, 11])
    assert json.loads(json.dumps(found.as_dict()))["momentum"] == 0.5 and found.milestones == (8, 11)
    for name, value, expected in (
        ("label_smoothing", "0.1", "a number"),
        ("shuffle", 1, "true or false"),
        ("milestones", [3.5, 8], "whole numbers joined by commas"),
        ("schedule", 3, "a word"),
    ):
        with pytest.raises(InputError) as caught:
            RECIPES["paper"].with_overrides(**{name: value})
        assert str(caught.value) == f"a recipe's {name} must be {expected}; got {value!r}."


def test_a_number_that_no_recipe_has() -> None:
    with pytest.raises(InputError) as caught:
        RECIPES["paper"].with_overrides(colour="red")
    assert str(caught.value).startswith('a recipe has no number "colour"; expected one of: length, optimizer, ')
