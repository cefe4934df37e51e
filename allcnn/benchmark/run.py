"""A network -> its speed on this machine, through the pipeline that trains and evaluates for real."""

from __future__ import annotations

import math
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from allcnn.backend import load_keras
from allcnn.benchmark.ceiling import Product, best_of_each, measure_products, product_dtype
from allcnn.benchmark.durations import fitting_recipes, recipe_time
from allcnn.benchmark.noise import noise_dataset, noise_images
from allcnn.benchmark.result import BenchmarkResult, Speed
from allcnn.data.order import DRAWS
from allcnn.device import PRECISIONS, device_memory_peak, find_device, physical_memory, resolve_precision
from allcnn.errors import InputError, Interrupted
from allcnn.evaluation import BATCH_SIZE, probabilities
from allcnn.models.passes import fitting_batch
from allcnn.models.saved import load_model
from allcnn.runs.folder import RunFolder, read_metrics
from allcnn.runs.recipe import AUGMENTATIONS, Recipe, recipe_for
from allcnn.specs import Spec, count_multiply_adds, count_parameters, resolve
from allcnn.training.run import train

if TYPE_CHECKING:
    import keras

    from allcnn.data.dataset import Dataset

# Operations a multiply-add: one pass forward, and one backward for the weights and one for the maps before them.
_FORWARD, _TRAINING = 2, 6
_COUNTED_EPOCHS = 3
_LEAST_STEPS = 5
# A guess of the rate only decides how long an epoch is. A low one makes epochs short, which costs nothing. What the
# host has to do for an image limits the rate of small networks.
_GUESSED_FRACTION = 0.25
_MOST_IMAGES_PER_SECOND_ON_CPU = 5_000
_MOST_IMAGES_PER_SECOND = 50_000
# An accelerator runs up to so many steps at once, as many as divide an epoch: 50 of CIFAR-10's 250.
_STEPS_AT_ONCE = 50
_MOST_IMAGES, _MOST_IMAGE_BYTES = 50_000, 256 << 20
_PREDICTED_BATCHES = 4
# Of images that lie in a field: CIFAR-10's.
_IMAGE_SHAPE = (32, 32, 3)
_LEAST_PREDICTIONS = 3


def benchmark(
    model: str | Spec = "all-c",
    *,
    recipe: str | None = None,
    batch_size: int | None = None,
    precision: str = "auto",
    augmentation: str = "none",
    image_size: int | None = None,
    classes: int | None = None,
    seconds: float = 20.0,
    announce: Callable[[str], None] | None = None,
) -> BenchmarkResult:
    """Measure how fast a network trains and predicts here, and the fastest matrix products in the same minute.

    Training is a run of `allcnn.train` on noise in a temporary folder: the first epoch warms up, the median rate of
    the others counts, without their test passes. Prediction is the float32 model that the run leaves, through
    `allcnn.evaluation.probabilities`. Products are measured before, between and after, and the best counts.

    Args:
        model: a name ("strided-b") or a network in the spec language.
        recipe: whose step is measured, with its optimizer, dropout and loss; by default that of the first published
            recipe for this size, else "paper".
        batch_size: images in a training step; by default the recipe's.
        precision: "auto", "float32" or "mixed_bfloat16", of the training; prediction is float32.
        augmentation: "none", "flip-shift", "flip-reflect" or "large".
        image_size: height and width of what the network sees; by default the published network's own, else 32. Where
            the published recipe for this size has a field, the images lie in one, 32x32 as CIFAR-10's.
        classes: by default the published network's own, else 10.
        seconds: about how long to train for after the warm-up, three epochs at least. The rest takes one to two
            times as long, where a step is not longer than all of it.
        announce: called with lines worth telling a person.

    Raises:
        InputError: a wrong argument, or a network that does not fit the images; Keras was not loaded for it.
        Interrupted: stopped by the user; nothing is left behind.
    """
    announce = announce or (lambda line: None)
    spec, network = resolve(model)
    shape = network.input_shape if network else (32, 32, 3)
    if image_size is not None:
        shape = (image_size, image_size, 3)
    measured = recipe or next((fitting.name for fitting in fitting_recipes(shape)), "paper")
    training_recipe = _training_recipe(measured, batch_size, augmentation)
    if (field := training_recipe.field) is not None:
        if image_size not in (None, field):
            raise InputError(
                f"the recipe {measured} has a field of {field} pixels; got --image-size {image_size}, "
                f"expected none, or {field}."
            )
        shape = (field, field, 3)
    classes = classes if classes is not None else network.classes if network else 10
    multiply_adds = count_multiply_adds(spec, shape, classes)
    _refuse_large(training_recipe.batch_size, shape)
    image_shape = shape if training_recipe.field is None else _IMAGE_SHAPE
    if precision not in PRECISIONS:
        raise InputError(f'unknown precision "{precision}"; expected one of: {", ".join(PRECISIONS)}.')
    if not (math.isfinite(seconds) and seconds > 0):
        raise InputError(f"the seconds to measure for must be a number above 0, such as 20; got {seconds}.")

    load_keras()
    device = find_device()
    precision = resolve_precision(precision, device)
    dtypes = sorted({product_dtype(precision), "float32"})
    measure_all = partial(_measure_all, dtypes, device.kind, seconds / 6)
    announce(f"measuring matrix products in {' and '.join(dtypes)} ...")
    products = measure_all()
    ceilings = {dtype: max(p.operations_per_second for p in products if p.dtype == dtype) for dtype in dtypes}

    ceiling = ceilings[product_dtype(precision)]
    images = images_per_epoch(
        training_recipe.batch_size, shape, _TRAINING * multiply_adds, ceiling, device.kind, seconds
    )
    announce(f"training on {images:,} images of noise, epoch after epoch ...")
    with tempfile.TemporaryDirectory(prefix="allcnn-bench-") as folder:
        run = Path(folder) / "run"
        training_rates = _train(
            spec, noise_dataset(images, classes, image_shape), training_recipe, precision, run, seconds
        )
        trained = load_model(run)
    # Again and again: what else runs on a machine comes and goes, and a ceiling should have seen the best moment.
    announce("measuring matrix products again ...")
    products += measure_all()
    announce("predicting ...")
    prediction_rates = _predict(trained, noise_images(_PREDICTED_BATCHES * BATCH_SIZE, image_shape), seconds / 4)
    announce("measuring matrix products once more ...")
    products = best_of_each([*products, *measure_all()])

    def speed(dtype: str, rates: list[float], operations: int) -> Speed:
        own = tuple(product for product in products if product.dtype == dtype)
        return Speed(dtype, tuple(rates), operations * multiply_adds, own)

    training = speed(product_dtype(precision), training_rates, _TRAINING)
    prediction = speed("float32", prediction_rates, _FORWARD)
    return BenchmarkResult(
        model=network.name if network else str(spec),
        spec=str(spec),
        image_shape=shape,
        classes=classes,
        parameters=count_parameters(spec, shape, classes),
        multiply_adds=multiply_adds,
        device=device,
        precision=precision,
        recipe=measured,
        batch_size=training_recipe.batch_size,
        augmentation=augmentation,
        noise_images=images,
        training=training,
        prediction=prediction,
        recipes=tuple(
            recipe_time(fitting, training.images_per_second, prediction.images_per_second)
            for fitting in fitting_recipes(shape)
        ),
        memory_peak_bytes=process_memory_peak(),
        device_memory_peak_bytes=device_memory_peak(),
    )


def images_per_epoch(
    batch_size: int,
    image_shape: tuple[int, int, int],
    operations_per_image: int,
    ceiling: float,
    kind: str,
    seconds: float,
) -> int:
    """Whole batches of images for an epoch that takes about a third of `seconds` or less, and five steps at least.

    ceiling: in operations per second. kind: the device's, "cpu" or another.
    """
    fastest = _MOST_IMAGES_PER_SECOND_ON_CPU if kind == "cpu" else _MOST_IMAGES_PER_SECOND
    rate = min(_GUESSED_FRACTION * ceiling / max(operations_per_image, 1), fastest)
    most = min(_MOST_IMAGES, _MOST_IMAGE_BYTES // math.prod(image_shape))
    steps = int(min(rate * seconds / 3, most)) // batch_size
    if steps > _STEPS_AT_ONCE:
        steps -= steps % _STEPS_AT_ONCE
    return batch_size * max(steps, _LEAST_STEPS)


def process_memory_peak() -> int | None:
    """The most memory that this process had resident so far, in bytes; None where the system does not say."""
    try:
        # Linux's ru_maxrss begins with what the program had that started this one.
        status = Path("/proc/self/status").read_text()
    except OSError:
        status = ""
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _training_recipe(recipe: str, batch_size: int | None, augmentation: str) -> Recipe:
    """What to train by: the step is the recipe's, the learning rate too small to diverge on noise."""
    measured = [name for name in AUGMENTATIONS if name not in DRAWS or not DRAWS[name].on_host]
    if augmentation not in measured:
        raise InputError(f'unknown augmentation "{augmentation}"; expected one of: {", ".join(measured)}.')
    return replace(
        recipe_for(recipe, "cifar10"), name="benchmark", unit="epochs", length=10**6, learning_rate=1e-4, milestones=(),
        preprocessing="standardize", augmentation=augmentation,
    ).with_overrides(batch_size=batch_size)  # fmt: skip


def _refuse_large(batch_size: int, shape: tuple[int, int, int]) -> None:
    """Refuse batches of which the few that an epoch has would not fit the memory: a byte a value, and four."""
    needed, memory = _LEAST_STEPS * batch_size * math.prod(shape) * 5, physical_memory()
    if needed > memory:
        raise InputError(
            f"{_LEAST_STEPS} batches of {batch_size:,} images of {shape[0]} x {shape[1]} take {needed / 1e9:,.1f} GB, "
            f"this machine has {memory / 1e9:,.1f} GB; expected a smaller batch (--batch-size) or smaller images."
        )


def _measure_all(dtypes: list[str], kind: str, seconds: float) -> list[Product]:
    return [product for dtype in dtypes for product in measure_products(dtype, kind, seconds / len(dtypes))]


def _train(spec: Spec, data: Dataset, recipe: Recipe, precision: str, run: Path, seconds: float) -> list[float]:
    """Train in a run folder until the seconds are over; images per second of the epochs after the first."""
    from allcnn.training.callbacks import AfterEpoch

    warm = math.inf

    def stop_in_time(epochs_done: int, logs: dict[str, Any]) -> None:
        nonlocal warm
        if epochs_done == 1:
            warm = time.perf_counter()
        elif epochs_done > _COUNTED_EPOCHS and time.perf_counter() - warm >= seconds:
            stopper.model.stop_training = True

    stopper = AfterEpoch(stop_in_time)
    try:
        train(spec, dataset=data, recipe=recipe, precision=precision, run_dir=run, devices=1, callbacks=[stopper])
    except Interrupted:
        # The run's own message says how to go on with a folder that is gone by then.
        raise Interrupted("interrupted: nothing was kept.") from None
    return [row["images_per_second"] for row in read_metrics(RunFolder(run).metrics)[1:]]


def _predict(model: keras.Model, images: np.ndarray, seconds: float) -> list[float]:
    """Images per second of passes over the images, after one that warms up."""

    def pass_over(block: np.ndarray) -> float:
        begun = time.perf_counter()
        probabilities(model, block)
        return time.perf_counter() - begun

    first = images[: fitting_batch(model, BATCH_SIZE)]
    pass_over(first)  # compiles
    block = images if pass_over(first) * len(images) / len(first) * _LEAST_PREDICTIONS < seconds else first
    rates: list[float] = []
    end = time.perf_counter() + seconds
    while len(rates) < _LEAST_PREDICTIONS or time.perf_counter() < end:
        rates.append(len(block) / pass_over(block))
    return rates
