"""Every short cut of a run (images on the accelerator, several steps a call, cheap masks) against a plain loop."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import keras
import numpy as np
import pytest
from keras import ops

import allcnn
from allcnn.data.dataset import Dataset
from allcnn.data.order import epoch_order, flip_shift_draws
from allcnn.device import random_integers
from allcnn.models.build import LayerOptions, make_layers
from allcnn.preprocessing import make_preprocessing
from allcnn.preprocessing.augment import FlipShift
from allcnn.runs.folder import read_metrics
from allcnn.specs import parse
from allcnn.training.run import train

SPEC = "D.2-8C3-8C3/2-D.5-12C3v-NC1:linear-GAP"
BATCH, STEPS_PER_EPOCH, EPOCHS, SEED = 20, 5, 2, 7
RATE, MOMENTUM, DECAY = 0.05, 0.9, 0.001


@pytest.fixture(scope="module")
def colours() -> Dataset:
    """Three colours in noise, 10x10."""
    random = np.random.default_rng(1)
    images = random.integers(0, 200, (124, 10, 10, 3)).astype(np.uint8)
    labels = (np.arange(124) % 3).astype(np.int32)
    images[np.arange(124), :, :, labels] += 50
    return Dataset(
        "colours", images[:104], labels[:104], images[104:], labels[104:], ("red", "green", "blue"),
        source="made up", layout="array", resize="none",
    )  # fmt: skip


class PlainDropout(keras.layers.Dropout):
    """The definition: dropped with probability `rate`, else divided by the probability of staying."""

    def call(self, inputs, training=False):
        dtype, values = ("uint8", 256) if self.rate == 0.5 else ("uint16", 65536)
        numbers = random_integers(ops.shape(inputs), dtype, self.seed_generator.next())
        staying = round(values * (1 - self.rate)) / values
        kept = ops.less(ops.cast(numbers, "float32") / values, staying)
        return ops.where(kept, inputs / ops.cast(staying, inputs.dtype), ops.zeros_like(inputs))


class Plain(NamedTuple):
    """A plain run: an epoch's mean loss for every epoch, and the weights before the first and after the last."""

    losses: list[float]
    start: list[np.ndarray]
    end: list[np.ndarray]


@cache
def plain_loop(data: Dataset, precision: str) -> Plain:
    """The run in so many words."""
    images = make_preprocessing("standardize").adapt(data.train_images).apply(data.train_images)
    inputs = [keras.Input(images.shape[1:]), keras.Input((3,), dtype="int32")]
    outputs = FlipShift(dtype="float32")(*inputs)
    options = LayerOptions(initializer="lecun_normal", seed=SEED, weight_decay=DECAY, dtype=precision)
    network = []
    for layer in make_layers(parse(SPEC), images.shape[1:], 3, options):
        if isinstance(layer, keras.layers.Dropout):
            layer = PlainDropout(layer.rate, seed=layer.seed, dtype=precision)
        network.append(layer)
        outputs = layer(outputs)
    model = keras.Model(inputs, outputs)
    model.compile(
        keras.optimizers.SGD(RATE, momentum=MOMENTUM), keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalCrossentropy(from_logits=True, name="cross_entropy")],
        jit_compile=keras.backend.backend() == "jax",
    )  # fmt: skip
    start = [weight for layer in network for weight in layer.get_weights()]
    losses = []
    for epoch in range(EPOCHS):
        order = epoch_order(SEED, epoch, len(images))
        of_steps = []
        for step in range(STEPS_PER_EPOCH):
            chosen = order[step * BATCH : (step + 1) * BATCH]
            draws = flip_shift_draws(SEED, epoch, step, BATCH)
            logs = model.train_on_batch([images[chosen], draws], data.train_labels[chosen], return_dict=True)
            of_steps.append(float(logs["cross_entropy"]))
        losses.append(np.mean(of_steps))
    return Plain(losses, start, [weight for layer in network for weight in layer.get_weights()])


WAYS = {
    "from the host": {},
    "images on the accelerator": {"keep_images_on_device": lambda *given: True},
    "several steps a call": {"steps_per_execution": lambda *given: STEPS_PER_EPOCH},
    "both, whitened in the step": {
        "keep_images_on_device": lambda *given: True,
        "steps_per_execution": lambda *given: STEPS_PER_EPOCH,
        "preprocess_once": lambda *given: False,
    },
    "all of it, compiled by XLA as on a GPU": {
        "jit_compile": lambda *given: True,
        "keep_images_on_device": lambda *given: True,
        "steps_per_execution": lambda *given: STEPS_PER_EPOCH,
    },
}


# Of a loss, and of how far the weights of a layer have moved: 80 and 800 times float32's last digit, 2 and 32 times
# bfloat16's. One wrong image is more than float32's, a wrong order or mask more than bfloat16's.
TOLERANCES = {"float32": (1e-5, 1e-4), "mixed_bfloat16": (2**-7, 2**-3)}


def compare(data: Dataset, precision: str, way: dict, monkeypatch, folder) -> None:
    """Ten steps, too few for the network to take a rounding error further by itself."""
    plain, (of_loss, of_weights) = plain_loop(data, precision), TOLERANCES[precision]
    for name, choice in way.items():
        module = "network" if name == "preprocess_once" else "loop"
        monkeypatch.setattr(f"allcnn.training.{module}.{name}", choice)
    result = train(
        SPEC, dataset=data, batch_size=BATCH, preprocessing="standardize", precision=precision,
        augmentation="flip-shift", seed=SEED, learning_rate=RATE, weight_decay=DECAY, initializer="lecun_normal",
        recipe=allcnn.Recipe("plain", milestones=(), length=EPOCHS), run_dir=folder / "run",
    )  # fmt: skip
    rows = read_metrics(folder / "run" / "metrics.csv")
    np.testing.assert_allclose([row["loss"] for row in rows], plain.losses, rtol=of_loss)
    end = allcnn.load_model(result.run_dir).get_weights()[-len(plain.end) :]
    for mine, expected, start in zip(end, plain.end, plain.start, strict=True):
        np.testing.assert_allclose(mine, expected, rtol=0, atol=of_weights * np.abs(expected - start).max())


@pytest.mark.parametrize("way", [*list(WAYS)[:-1], pytest.param(list(WAYS)[-1], marks=pytest.mark.backends)])
def test_float32_losses_and_weights_are_those_of_a_plain_loop(way, colours, monkeypatch, tmp_path) -> None:
    compare(colours, "float32", WAYS[way], monkeypatch, tmp_path)


def test_bfloat16_losses_and_weights_are_those_of_a_plain_loop(colours, monkeypatch, tmp_path) -> None:
    compare(colours, "mixed_bfloat16", WAYS["several steps a call"], monkeypatch, tmp_path)
