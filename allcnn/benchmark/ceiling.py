"""The ceiling of a device: the fastest large matrix product that it can be seen to do."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

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
# Reading a scalar back waits for the device. That has to be little beside the products before it.
_READING_SECONDS = 0.01
_LEAST_READINGS = 2


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

    @property
    def operations(self) -> int:
        """How many operations it takes."""
        return 2 * self.rows * self.inner * self.columns

    def __str__(self) -> str:
        return f"{self.rows}x{self.inner} by {self.inner}x{self.columns}"

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON."""
        return asdict(self)


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
    for product in products:
        key = (product.dtype, product.rows, product.inner, product.columns)
        if key not in best or product.operations_per_second > best[key].operations_per_second:
            best[key] = product
    return sorted(best.values(), key=lambda product: -product.operations_per_second)


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
