"""The parts of a saved model, and images through it: where preprocessing ends, means over augmented passes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from allcnn.data.order import DRAWS
from allcnn.errors import InputError
from allcnn.evaluation import BATCH_SIZE, evaluate, mean_of_tests, probabilities
from allcnn.models.build import build_model
from allcnn.models.parts import (
    augmented_model,
    check_tests,
    fitting_batch,
    preprocessing_end,
)
from allcnn.models.saved import ModelCard, SavedModel
from allcnn.preprocessing import make_preprocessing
from allcnn.runs.recipe import Recipe
from allcnn.specs import parse
from allcnn.training.network import copy_weights, make_training_model

IMAGES = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3)).astype(np.uint8)
LABELS = np.arange(30) % 4
SPEC = "6C3/2p1-D.5-8C2-NC1:linear-GAP"


def saved(augmentation: str | None, kind: str = "center", field: int | None = None, spec: str = SPEC) -> SavedModel:
    preprocessing = make_preprocessing(kind).adapt(IMAGES)
    model = build_model(spec, (8, 8, 3), 4, preprocessing=preprocessing, seed=3, field=field)
    card = ModelCard(
        "mine", spec, "noise", "", tuple("abcd"), (8, 8, 3), "none", kind, "paper", 0, augmentation=augmentation
    )
    return SavedModel(Path("model.keras"), model, card)


@pytest.mark.parametrize("field", [None, 12])
@pytest.mark.parametrize(("kind", "last"), [("gcn-zca", "zca_image"), ("gcn", "gcn_image"), ("none", None)])
def test_the_preprocessing_ends_before_field_and_network(kind, last, field) -> None:
    found = saved("none", kind, field, "D.2-6C3/2p1-8C3-NC1-GAP")
    names = [layer.name for layer in found.model.layers]
    assert preprocessing_end(found.model, found.card) == last
    assert names[1 if last is None else names.index(last) + 1] == ("field" if field else "dropout1")


def test_a_network_of_dense_layers_begins_with_flattening() -> None:
    found = saved("flip-shift", "center", spec="6FC-NFC")
    assert preprocessing_end(found.model, found.card) == "center"
    assert mean_of_tests(found, IMAGES, 2).shape == (30, 4)


def test_a_card_of_another_network_is_refused() -> None:
    other = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(name="mine")])
    with pytest.raises(InputError, match="are not those of the network that its card names"):
        preprocessing_end(other, saved("none").card)


CASES = [
    ("flip-shift", "gcn-zca", None),
    ("flip-shift", "center", 12),
    ("large", "none", None),
    ("large", "center", 15),
]


@pytest.mark.parametrize(("augmentation", "kind", "field"), CASES)
def test_a_test_sees_what_training_sees(augmentation, kind, field) -> None:
    """The augmented model against the model that is trained, by a way of its own."""
    found = saved(augmentation, kind, field)
    model = augmented_model(found.model, found.card)
    training = make_training_model(
        parse(SPEC), (8, 8, 3), 4, Recipe("mine", weight_decay=0.0, augmentation=augmentation, field=field),
        seed=0, dtype="float32", preprocessing=make_preprocessing(kind).adapt(IMAGES),
    )  # fmt: skip
    copy_weights(found.model, training)
    draws = DRAWS[augmentation].draw(0, 0, 0, len(IMAGES))
    trained = training({"images": IMAGES.astype(np.float32), "draws": draws}, training=False)
    np.testing.assert_allclose(model.predict_on_batch([IMAGES, draws]), keras.ops.softmax(trained), atol=1e-5)
    # Its weights are the saved model's own.
    assert model.get_layer("conv1") is found.model.get_layer("conv1")


@pytest.mark.backends
def test_the_mean_of_tests_is_repeatable_and_of_each_image() -> None:
    found = saved("large", "center", 15)
    three = mean_of_tests(found, IMAGES, 3)
    assert three.dtype == np.float32 and three.shape == (30, 4)
    assert np.array_equal(three, mean_of_tests(found, IMAGES, 3))
    np.testing.assert_allclose(three.sum(axis=1), 1, rtol=1e-5)
    model, draw = augmented_model(found.model, found.card), DRAWS["large"].draw
    passes = [probabilities(model, IMAGES, draws=draw(1 << 32, number, 0, 30)) for number in range(3)]
    np.testing.assert_allclose(three, np.mean(passes, axis=0), atol=1e-6)
    assert np.abs(passes[0] - passes[1]).max() > 1e-3


def test_one_test_is_the_plain_evaluation() -> None:
    found = saved("large", "center", 15)
    plain, one = evaluate(found.model, IMAGES, LABELS), evaluate(found, IMAGES, LABELS, tests=1)
    assert (plain.cross_entropy, plain.confusion.tolist()) == (one.cross_entropy, one.confusion.tolist())
    several = evaluate(found, IMAGES, LABELS, tests=2)
    assert several.cross_entropy != one.cross_entropy and several.images == 30


@pytest.mark.parametrize(
    ("tests", "augmentation", "message"),
    [
        (0, "large", "each image is tested 1, 2, ... times; got 0 (--tests)."),
        (True, "large", "each image is tested 1, 2, ... times; got True (--tests)."),
        (
            12, "none",
            "model.keras: was trained without an augmentation that a test could repeat (none), so 12 tests of an image "
            "would all give the same.\nTrain with --augment flip-shift, flip-reflect or large, or leave --tests out.",
        ),
        (
            2, None,
            "model.keras: does not say what it was augmented by in training, so each image can be tested once only; "
            "got 2 (--tests).\nTrain it anew, or leave --tests out.",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_tested(tests, augmentation, message) -> None:
    found = saved(augmentation)
    for call in (
        lambda: check_tests(tests, found.path, found.card),
        lambda: evaluate(found, IMAGES, LABELS, tests=tests),
    ):
        with pytest.raises(InputError) as caught:
            call()
        assert str(caught.value) == message


def test_a_model_without_a_card_is_tested_once() -> None:
    found = saved("large")
    assert evaluate(found.model, IMAGES, LABELS).images == 30
    with pytest.raises(InputError, match="does not say what it was augmented by"):
        evaluate(replace(found, card=None), IMAGES, LABELS, tests=2)


def test_a_batch_shrinks_only_for_large_maps() -> None:
    assert fitting_batch(build_model("all-c"), BATCH_SIZE) == BATCH_SIZE
    # 300 x 300 x 20 values of 4 bytes: 7.2 MB an image, 74 of which fit in 512 MiB.
    wide = build_model("20C1-NC1-GAP", (300, 300, 3))
    assert fitting_batch(wide, BATCH_SIZE) == (512 << 20) // (300 * 300 * 20 * 4) == 74
    assert fitting_batch(wide, 10) == 10
    anything = keras.Sequential([keras.Input((None, None, 3)), keras.layers.GlobalAveragePooling2D()])
    assert fitting_batch(anything, BATCH_SIZE) == BATCH_SIZE
