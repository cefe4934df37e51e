"""Speeds, ceilings and durations: the arithmetic by hand, and one small network through the real pipeline."""

from __future__ import annotations

import json
import signal
import tempfile

import numpy as np
import pytest

import allcnn.benchmark
from allcnn.benchmark import (
    Product,
    Speed,
    benchmark,
    best_of_each,
    fitting_recipes,
    images_per_epoch,
    measure_products,
    noise_dataset,
    noise_images,
    process_memory_peak,
    recipe_time,
)  # fmt: skip
from allcnn.errors import InputError, Interrupted
from allcnn.runs.recipe import RECIPES
from allcnn.training.run import train

# 3*3*3*8 weights at 16x16 positions, and 8*10 weights at as many.
SMALL, MULTIPLY_ADDS = "8C3/2-NC1:linear-GAP", 3 * 3 * 3 * 8 * 256 + 8 * 10 * 256


@pytest.fixture
def small_products(monkeypatch) -> None:
    """Matrix products that take no time, on any device."""
    for name in ("_CPU_SHAPES", "_GPU_SHAPES"):
        monkeypatch.setattr(allcnn.benchmark, name, ((64, 32, 16), (128, 128, 128)))


def product(rate: float, dtype: str = "float32", rows: int = 64) -> Product:
    return Product(dtype, rows, 32, 16, rate)


def test_a_speed_is_the_median_rate_against_the_fastest_product() -> None:
    speed = Speed("float32", (90.0, 100.0, 400.0), 6_000_000, (product(2.4e9), product(1e9, rows=128)))
    assert speed.images_per_second == 100
    assert speed.operations_per_second == 6e8
    assert speed.fraction == 0.25
    document = speed.as_dict()
    assert (document["ceiling_operations_per_second"], document["fraction"]) == (2.4e9, 0.25)
    assert document["products"][1]["rows"] == 128


def test_of_each_shape_the_best_rate_counts_and_the_fastest_shape_is_first() -> None:
    found = best_of_each([product(1e9), product(3e9, rows=128), product(2e9), product(5e9, "bfloat16")])
    assert [(each.dtype, each.rows, each.operations_per_second) for each in found] == [
        ("bfloat16", 64, 5e9), ("float32", 128, 3e9), ("float32", 64, 2e9),
    ]  # fmt: skip


def test_the_rate_of_a_product_is_its_operations_by_the_fastest_reading(monkeypatch, small_products) -> None:
    # A clock that goes on by a second whenever it is looked at: a reading takes one.
    ticks = iter(range(10**6))
    monkeypatch.setattr(allcnn.benchmark.time, "perf_counter", lambda: float(next(ticks)))
    first, second = measure_products("float32", "cpu", seconds=1)
    assert first.operations_per_second == 2 * 64 * 32 * 16
    assert second.operations_per_second == 2 * 128**3
    assert str(first) == "64x32 by 32x16"


@pytest.mark.parametrize(
    ("recipe", "training_images", "test_images"),
    [
        (RECIPES["paper"], 350 * 50_000, 350 * 10_000),
        # A last, smaller batch does not count. 300 does not divide 50,000: 166 batches are 49,800.
        (RECIPES["paper"].with_overrides(batch_size=300, length=10), 498_000, 100_000),
        # 450,000 steps of 64.
        (RECIPES["imagenet"], 28_800_000, 0),
    ],
)
def test_how_long_a_recipe_takes(recipe, training_images, test_images) -> None:
    time = recipe_time(recipe, training_rate=1000, prediction_rate=2000)
    assert (time.recipe, time.unit, time.length) == (recipe.name, recipe.unit, recipe.length)
    assert (time.training_images, time.test_images) == (training_images, test_images)
    assert (time.training_seconds, time.test_seconds) == (training_images / 1000, test_images / 2000)
    assert time.as_dict()["total_seconds"] == time.total_seconds == training_images / 1000 + test_images / 2000


@pytest.mark.parametrize(
    ("side", "names"), [(32, ["paper", "review", "fast"]), (126, ["large"]), (224, ["imagenet"]), (64, [])]
)
def test_recipes_are_for_images_of_a_size(side, names) -> None:
    assert [recipe.name for recipe in fitting_recipes((side, side, 3))] == names


@pytest.mark.parametrize(
    ("operations", "image_side", "kind", "seconds", "expected"),
    [
        # A quarter of 1.2e12 operations at 3e8 each are 1,000 images/s: in 6 of 18 seconds 30 batches of 200.
        (3e8, 32, "cpu", 18, 6000),
        # Never fewer than five steps.
        (3e12, 32, "cpu", 18, 1000),
        # No more than a processor's host feeds: 5,000 a second, in whole hundreds of its 150 steps' fifties.
        (1, 32, "cpu", 18, 30_000),
        (1, 32, "cpu", 3.9, 6400),
        # No more than CIFAR-10 has.
        (1, 32, "gpu", 60, 50_000),
        # No more than 256 MiB of pixels: 1,783 images of 224 x 224 are 8 batches.
        (1, 224, "gpu", 60, 1600),
    ],
)
def test_an_epoch_takes_a_third_of_the_time_or_less(operations, image_side, kind, seconds, expected) -> None:
    assert images_per_epoch(200, (image_side, image_side, 3), operations, 1.2e12, kind, seconds) == expected


def test_noise_is_a_data_set_that_is_the_same_every_time() -> None:
    data = noise_dataset(40, classes=4, image_shape=(6, 5, 3), test_images=20)
    assert data.train_images.shape == (40, 6, 5, 3) and data.test_images.shape == (20, 6, 5, 3)
    assert data.classes == 4 and set(data.train_labels) == {0, 1, 2, 3}
    assert data.digest == noise_dataset(40, 4, (6, 5, 3), 20).digest
    assert not np.array_equal(data.train_images[:20], data.test_images)
    assert noise_images(30).max() == 255 and noise_images(30).min() == 0


@pytest.mark.backends
def test_a_small_network_through_the_real_pipeline(small_products) -> None:
    lines: list[str] = []
    result = benchmark(
        SMALL, seconds=0.2, batch_size=20, precision="float32", augmentation="flip-shift", announce=lines.append
    )
    assert (result.image_shape, result.classes, result.parameters) == ((32, 32, 3), 10, 314)
    assert result.multiply_adds == MULTIPLY_ADDS
    assert result.training.operations_per_image == 6 * MULTIPLY_ADDS
    assert result.prediction.operations_per_image == 2 * MULTIPLY_ADDS
    assert len(result.training.rates) >= 3 and len(result.prediction.rates) >= 3
    assert min(*result.training.rates, *result.prediction.rates) > 0
    # Both at one precision: measured three times, and each shape is there once.
    assert result.training.products == result.prediction.products
    assert len(result.training.products) == 2
    assert (result.precision, result.batch_size, result.augmentation) == ("float32", 20, "flip-shift")
    assert result.noise_images % 20 == 0 and result.noise_images >= 100
    assert [time.recipe for time in result.recipes] == ["paper", "review", "fast"]
    assert result.recipe == "paper"
    assert result.recipes[0].training_seconds == 17_500_000 / result.training.images_per_second
    assert result.recipes[0].test_seconds == 3_500_000 / result.prediction.images_per_second
    # Keras and a backend alone take more than 100 MB.
    assert result.memory_peak_bytes is None or 1e8 < result.memory_peak_bytes < 1e12
    assert lines[0] == "measuring matrix products in float32 ..."
    json.dumps(result.as_dict(), allow_nan=False)


def test_the_step_of_another_recipe_in_mixed_precision(small_products) -> None:
    result = benchmark(SMALL, recipe="fast", seconds=0.1, precision="mixed_bfloat16", image_size=16, classes=3)
    assert (result.recipe, result.batch_size) == ("fast", RECIPES["fast"].batch_size)
    assert (result.image_shape, result.classes, result.recipes) == ((16, 16, 3), 3, ())
    # Compared with products of its own.
    assert {each.dtype for each in result.training.products} == {"bfloat16"}
    assert {each.dtype for each in result.prediction.products} == {"float32"}
    with pytest.raises(InputError, match='unknown recipe "slow"'):
        benchmark(SMALL, recipe="slow")


def test_images_lie_in_the_field_of_the_recipe_for_the_size(small_products) -> None:
    result = benchmark("4C5/4-NC1-GAP", recipe="large", seconds=0.1, batch_size=10, augmentation="large")
    # 32 x 32 positions of 4 filters of 5 x 5 x 3, then a 1x1 convolution.
    assert result.multiply_adds == 32 * 32 * (4 * 75 + 10 * 4)
    assert result.image_shape == (126, 126, 3) and result.augmentation == "large"
    assert [time.recipe for time in result.recipes] == ["large"]
    with pytest.raises(InputError, match="has a field of 126 pixels; got --image-size 64"):
        benchmark("4C5/4-NC1-GAP", recipe="large", image_size=64)


def test_memory_that_was_taken_shows(run_python) -> None:
    if process_memory_peak() is None:
        pytest.skip("this system does not say")
    # The process that starts this one has loaded more, and must not show.
    program = (
        "from allcnn.benchmark import process_memory_peak as peak\n"
        "before = peak()\nblock = b'x' * (200 << 20)\ndel block\nprint(before >> 20, peak() >> 20)"
    )
    before, after = map(int, run_python("-c", program).stdout.split())
    assert after - before > 100  # of 200, since importing may have freed some at its peak
    assert before < process_memory_peak() >> 20


def test_ctrl_c_leaves_nothing_behind(monkeypatch, tmp_path, small_products) -> None:
    import keras

    seen = []

    class Interrupt(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.extend(tmp_path.glob("allcnn-bench-*/run/config.json"))
            signal.raise_signal(signal.SIGINT)

    def interrupted_train(*arguments, callbacks, **options):
        assert options["patience"] > 10**6, "nobody gives up noise"
        return train(*arguments, callbacks=[*callbacks, Interrupt()], **options)

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(allcnn.benchmark, "train", interrupted_train)
    # Whatever started the tests may have told its children to ignore the signal.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(Interrupted) as caught:
            benchmark(SMALL, seconds=0.1, batch_size=10)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert str(caught.value) == "interrupted: nothing was kept."
    assert len(seen) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seconds": 0.0}, "the seconds to measure for must be a number above 0, such as 20; got 0.0."),
        ({"precision": "half"}, 'unknown precision "half"; expected one of: auto, float32, mixed_bfloat16.'),
        (
            {"augmentation": "crop"},
            'unknown augmentation "crop"; expected one of: none, flip-shift, flip-reflect, large.',
        ),
        ({"batch_size": 0}, "the batch size must be a whole number of at least 1; got 0."),
    ],
)
def test_wrong_arguments(arguments, message) -> None:
    with pytest.raises(InputError) as caught:
        benchmark(SMALL, **arguments)
    assert str(caught.value) == message


def test_batches_that_cannot_fit_are_refused_with_the_figure(monkeypatch) -> None:
    monkeypatch.setattr(allcnn.benchmark, "physical_memory", lambda: 10**9)
    with pytest.raises(InputError) as caught:
        benchmark(SMALL, batch_size=100_000)
    # 5 x 100,000 x 3,072 values of 5 bytes.
    assert str(caught.value) == (
        "5 batches of 100,000 images of 32 x 32 take 7.7 GB, this machine has 1.0 GB; expected a smaller batch "
        "(--batch-size) or smaller images."
    )
