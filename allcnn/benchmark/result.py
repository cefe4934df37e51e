"""What a benchmark found: rates, the ceiling they are compared with, durations, memory."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from allcnn.benchmark.ceiling import Product
from allcnn.benchmark.durations import RecipeTime
from allcnn.device import Device


@dataclass(frozen=True)
class Speed:
    """A rate through the real pipeline, and the ceiling that it is compared with.

    precision: of the products. rates: images per second, of each epoch (or pass) that counted. products: every
    shape that was measured at this precision, the fastest first, which is the ceiling.
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
            "rates": list(self.rates),
            "operations_per_image": self.operations_per_image,
            "operations_per_second": self.operations_per_second,
            "ceiling_operations_per_second": self.ceiling.operations_per_second,
            "fraction": self.fraction,
            "products": [product.as_dict() for product in self.products],
        }


@dataclass(frozen=True)
class BenchmarkResult:
    """How fast a network is on this machine.

    image_shape: what the network sees: (height, width, channels) of the images, or of the field that they lie in.
    multiply_adds: of one image's forward pass. Training counts 6 operations for each, prediction 2; the real
    number is slightly below, for nothing is passed back to the pixels. recipe: whose training step was measured.
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
            "image_shape": list(self.image_shape),
            "training": self.training.as_dict(),
            "prediction": self.prediction.as_dict(),
            "recipes": [recipe.as_dict() for recipe in self.recipes],
        }
