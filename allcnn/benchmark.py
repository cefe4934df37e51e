"""A network -> how fast it trains and predicts here, against what this machine can do at all.

It is measured through the real pipeline, that of `allcnn.train` and `allcnn.evaluate`, on images of noise. The function
has this module's name, so it is not one of `allcnn`'s own: `from allcnn.benchmark import benchmark`.
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from allcnn.backend import load_keras
from allcnn.data.dataset import Dataset
from allcnn.data.order import DRAWS
from allcnn.device import (
    LONGEST_EXECUTION,
    PRECISIONS,
    Device,
    device_memory_peak,
    find_device,
    physical_memory,
    resolve_precision,
)
from allcnn.errors import InputError, Interrupted, refuse_unknown
from allcnn.evaluation import BATCH_SIZE, probabilities
from allcnn.models.parts import fitting_batch
from allcnn.models.saved import load_model
from allcnn.runs.folder import RunFolder, read_metrics
from allcnn.runs.recipe import AUGMENTATIONS, RECIPES, Recipe, recipe_for
from allcnn.specs import Spec, count_multiply_adds, count_parameters, resolve
from allcnn.training.run import train

if TYPE_CHECKING:
    import keras

# Operations a multiply-add: one pass forward, and one backward for the weights and one for the maps before them.
_FORWARD, _TRAINING = 2, 6
_COUNTED_EPOCHS = 3
_LEAST_STEPS = 5
# A guessed rate, as a part of the ceiling, sets the length of an epoch. If it is too low, epochs are short, which costs
# nothing. The rate of small networks is limited by the host's work for an image.
_GUESSED_FRACTION = 0.25
_MOST_IMAGES_PER_SECOND_ON_CPU = 5_000
_MOST_IMAGES_PER_SECOND = 50_000
_MOST_IMAGES, _MOST_IMAGE_BYTES = 50_000, 256 << 20
_PREDICTED_BATCHES = 4
# Of images that lie in a field: CIFAR-10's.
_IMAGE_SHAPE = (32, 32, 3)
_LEAST_PREDICTIONS = 3
# No one shape is the fastest everywhere. On two cores with AMX, products of 16384x1024 by 1024x256 in bfloat16 reached
# 1,760 GFLOP/s, 2048x2048 square ones 1,220 and 4096x4096 ones 490; float32 went from 150 to 300, elsewhere the
# fastest. Convolutions are tall products too: many positions, few filters.
_CPU_SHAPES = (
    (1024, 1024, 1024), (1536, 1536, 1536), (2048, 2048, 2048), (1024, 4096, 1024), (4096, 1024, 512),
    (16384, 512, 256), (16384, 1024, 256), (16384, 864, 192),
)  # fmt: skip
_GPU_SHAPES = (
    (2048, 2048, 2048), (4096, 4096, 4096), (8192, 8192, 8192), (8192, 16384, 8192), (65536, 1024, 1024),
    (131072, 1024, 256), (131072, 1728, 192),
)  # fmt: skip
# Reading a scalar back waits for the device. So many seconds of products come before it that the wait is negligible.
_READING_SECONDS = 0.01
_LEAST_READINGS = 2


@dataclass(frozen=True)
class Speed:
    """A rate through the real pipeline, and the ceiling that it is compared with.

    precision: of the products. rates: images per second, of each epoch (or pass) that counted. products: all shapes
    that were measured at this precision, the fastest first. It is the ceiling.
    """

    precision: str
    rates: tuple[float, ...]
    operations_per_image: int
    products: tuple[Product, ...]

    @property
    def images_per_second(self) -> float:
        """The median of the rates."""
        return median(self.rates)

    @property
    def operations_per_second(self) -> float:
        return self.images_per_second * self.operations_per_image

    @property
    def ceiling(self) -> Product:
        return self.products[0]

    @property
    def fraction(self) -> float:
        """The part of the ceiling that is reached, 0 to 1 (a convolution may beat a matrix product)."""
        return self.operations_per_second / self.ceiling.operations_per_second

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON."""
        return {
            "precision": self.precision,
            "images_per_second": self.images_per_second,
            "rates": self.rates,
            "operations_per_image": self.operations_per_image,
            "operations_per_second": self.operations_per_second,
            "ceiling_operations_per_second": self.ceiling.operations_per_second,
            "fraction": self.fraction,
            "products": [asdict(product) for product in self.products],
        }


@dataclass(frozen=True)
class BenchmarkResult:
    """How fast a network is on this machine.

    image_shape: what the network sees: (height, width, channels) of the images, or of the field that they lie in.
    multiply_adds: of one image's forward pass. Training counts 6 operations for each, prediction 2; the real
    number is slightly lower, since nothing is passed back to the pixels. recipe: whose training step was measured.
    noise_images: how many images it was trained on.
    memory_peak_bytes: the most that this process had resident, from its start; device_memory_peak_bytes: the
    most that it took on the accelerator. None where the system does not say.
    """

    model: str
    spec: str
    image_shape: tuple[int, int, int]
    classes: int
    parameters: int
    multiply_adds: int
    device: Device
    precision: str
    recipe: str
    batch_size: int
    augmentation: str
    noise_images: int
    training: Speed
    prediction: Speed
    recipes: tuple[RecipeTime, ...]
    memory_peak_bytes: int | None
    device_memory_peak_bytes: int | None

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON."""
        return {
            **asdict(self),
            "training": self.training.as_dict(),
            "prediction": self.prediction.as_dict(),
            "recipes": [recipe.as_dict() for recipe in self.recipes],
        }


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
            times as long, unless a single step takes longer.
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
    refuse_unknown("precision", precision, PRECISIONS)
    if not (math.isfinite(seconds) and seconds > 0):
        raise InputError(f"the seconds to measure for must be a number above 0, such as 20; got {seconds}.")

    load_keras()
    device = find_device()
    precision = resolve_precision(precision, device)
    dtypes = sorted({product_dtype(precision), "float32"})

    def measure_all() -> list[Product]:
        each = seconds / 6 / len(dtypes)
        return [product for dtype in dtypes for product in measure_products(dtype, device.kind, each)]

    announce(f"measuring matrix products in {' and '.join(dtypes)} ...")
    products = measure_all()
    ceiling = max(one.operations_per_second for one in products if one.dtype == product_dtype(precision))
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
    # Three times in all: other programs come and go, and the ceiling is the best rate.
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
    if steps > LONGEST_EXECUTION:
        steps -= steps % LONGEST_EXECUTION
    return batch_size * max(steps, _LEAST_STEPS)


def process_memory_peak() -> int | None:
    """The most memory that this process had resident so far, in bytes; None where the system does not say."""
    try:
        # On Linux ru_maxrss includes the peak of the program that started this one.
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
    """The recipe to train by: the step is the measured recipe's, the learning rate too small to diverge on noise."""
    measured = [name for name in AUGMENTATIONS if name not in DRAWS or not DRAWS[name].on_host]
    refuse_unknown("augmentation", augmentation, measured)
    return replace(
        recipe_for(recipe, "cifar10"), name="benchmark", unit="epochs", length=10**6, learning_rate=1e-4, milestones=(),
        preprocessing="standardize", augmentation=augmentation,
    ).with_overrides(batch_size=batch_size)  # fmt: skip


def _refuse_large(batch_size: int, shape: tuple[int, int, int]) -> None:
    """Refuse batches so large that the shortest epoch does not fit the memory: a byte and a float32 for each value."""
    needed, memory = _LEAST_STEPS * batch_size * math.prod(shape) * 5, physical_memory()
    if needed > memory:
        raise InputError(
            f"{_LEAST_STEPS} batches of {batch_size:,} images of {shape[0]} x {shape[1]} take {needed / 1e9:,.1f} GB, "
            f"this machine has {memory / 1e9:,.1f} GB; expected a smaller batch (--batch-size) or smaller images."
        )


def _train(spec: Spec, data: Dataset, recipe: Recipe, precision: str, run: Path, seconds: float) -> list[float]:
    """Train in a run folder until the seconds are over; images per second of the epochs after the first."""
    import keras

    warm = math.inf

    def stop_in_time(epoch: int, logs: dict[str, Any]) -> None:
        nonlocal warm
        if epoch == 0:
            warm = time.perf_counter()
        elif epoch >= _COUNTED_EPOCHS and time.perf_counter() - warm >= seconds:
            stopper.model.stop_training = True

    stopper = keras.callbacks.LambdaCallback(on_epoch_end=stop_in_time)
    try:
        # Noise cannot be learned, so that no epoch leaves guessing's loss.
        train(
            spec, dataset=data, recipe=recipe, precision=precision, run_dir=run, devices=1, patience=sys.maxsize,
            callbacks=[stopper],
        )  # fmt: skip
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


# The ceiling: the fastest large matrix product that the device can be seen to do.


@dataclass(frozen=True)
class Product:
    """A product of a (rows, inner) matrix with an (inner, columns) one, and the best rate seen.

    operations_per_second counts 2 operations a multiply-add. dtype: "bfloat16" or "float32".
    """

    dtype: str
    rows: int
    inner: int
    columns: int
    operations_per_second: float

    def __str__(self) -> str:
        return f"{self.rows}x{self.inner} by {self.inner}x{self.columns}"


def product_dtype(precision: str) -> str:
    """The type of a precision's products: "bfloat16" for "mixed_bfloat16"."""
    return precision.removeprefix("mixed_")


def measure_products(dtype: str, kind: str, seconds: float) -> list[Product]:
    """Measure products of several shapes on the device that Keras uses.

    Args:
        dtype: "bfloat16" or "float32".
        kind: the device's, "cpu" or another; others get larger shapes.
        seconds: about how long, for all shapes together; each is measured at least twice.
    """
    shapes = _CPU_SHAPES if kind == "cpu" else _GPU_SHAPES
    return [_measure(dtype, shape, seconds / len(shapes)) for shape in shapes]


def best_of_each(products: Iterable[Product]) -> list[Product]:
    """The best rate of each shape, where shapes were measured more than once; the fastest shape first."""
    best: dict[tuple[str, int, int, int], Product] = {}
    for product in sorted(products, key=lambda product: -product.operations_per_second):
        best.setdefault((product.dtype, product.rows, product.inner, product.columns), product)
    return list(best.values())


def _measure(dtype: str, shape: tuple[int, int, int], seconds: float) -> Product:
    from keras import ops, random

    rows, inner, columns = shape
    left = ops.cast(random.normal((rows, inner), seed=1), dtype)
    right = ops.cast(random.normal((inner, columns), seed=2), dtype)

    def reading(products: int) -> float:
        """The seconds that a product takes, of several in a row."""
        begun = time.perf_counter()
        for _ in range(products):
            result = ops.matmul(left, right)
        float(ops.convert_to_numpy(ops.cast(result[0, 0], "float32")))
        return (time.perf_counter() - begun) / products

    reading(1)  # compiles
    products = max(1, math.ceil(_READING_SECONDS / reading(1)))
    end = time.perf_counter() + seconds
    fastest, readings = math.inf, 0
    while readings < _LEAST_READINGS or time.perf_counter() < end:
        fastest = min(fastest, reading(products))
        readings += 1
    return Product(dtype, rows, inner, columns, 2 * rows * inner * columns / fastest)


# How long the recipes would take at given rates, by arithmetic alone.


#: What the recipes are for: height and width of what the network sees (for the recipe large, of the field that the
#: images lie in), and the numbers of images to train on and to test on after every epoch. CIFAR-10's numbers; the
#: recipe imagenet counts steps, and has no test pass of its own.
RECIPE_DATA = {
    "paper": (32, 50_000, 10_000),
    "review": (32, 50_000, 10_000),
    "fast": (32, 50_000, 10_000),
    "large": (126, 50_000, 10_000),
    "imagenet": (224, 1_281_167, 0),
}


@dataclass(frozen=True)
class RecipeTime:
    """How long a recipe would take.

    unit, length: what the recipe counts, and how many. training_images, test_images: of all epochs together.
    Counted are the training steps and the test passes, one an epoch; not start-up, whitening, saving, nor an
    augmentation other than the measured one.
    """

    recipe: str
    unit: str
    length: int
    training_images: int
    test_images: int
    training_seconds: float
    test_seconds: float

    @property
    def total_seconds(self) -> float:
        return self.training_seconds + self.test_seconds

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON."""
        return {**asdict(self), "total_seconds": self.total_seconds}


def fitting_recipes(image_shape: tuple[int, int, int]) -> list[Recipe]:
    """The recipes for images of this shape, (height, width, channels); none for most."""
    return [RECIPES[name] for name, (side, *_) in RECIPE_DATA.items() if image_shape[:2] == (side, side)]


def recipe_time(recipe: Recipe, training_rate: float, prediction_rate: float) -> RecipeTime:
    """How long a recipe takes at rates in images per second."""
    _, an_epoch, a_test = RECIPE_DATA[recipe.name]
    # An epoch is of whole batches: a last, smaller one is dropped.
    images = recipe.batch_size if recipe.unit == "steps" else an_epoch // recipe.batch_size * recipe.batch_size
    training_images, test_images = recipe.length * images, recipe.length * a_test
    return RecipeTime(
        recipe.name, recipe.unit, recipe.length, training_images, test_images,
        training_images / training_rate, test_images / prediction_rate,
    )  # fmt: skip


# Images of noise: a step costs the same on them as on photographs, and there is nothing to download.


def noise_images(count: int, image_shape: tuple[int, int, int] = (32, 32, 3), seed: int = 0) -> np.ndarray:
    """Random pixels, (count, height, width, 3) uint8, the same for the same seed."""
    return np.random.default_rng(seed).integers(0, 256, (count, *image_shape), dtype=np.uint8)


def noise_dataset(
    images: int, classes: int = 10, image_shape: tuple[int, int, int] = (32, 32, 3), test_images: int = 250
) -> Dataset:
    """A data set of random pixels and random labels, the same on every call.

    Args:
        images, test_images: how many there are to train and to test on.
        classes: they are called "0", "1", ...
        image_shape: (height, width, 3).

    Raises:
        DataError: a split without images, or images that are not RGB.
    """
    labels = np.random.default_rng(1).integers(0, classes, images + test_images).astype(np.int32)
    return Dataset(
        name="noise",
        train_images=noise_images(images, image_shape, seed=2),
        train_labels=labels[:images],
        test_images=noise_images(test_images, image_shape, seed=3),
        test_labels=labels[images:],
        class_names=tuple(str(index) for index in range(classes)),
        source="random numbers",
        layout="none",
        resize="none",
    )
