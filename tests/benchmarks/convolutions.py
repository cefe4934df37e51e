"""GFLOP/s of every convolution of the paper's twelve networks: forward, both gradients, and the weights' by matmul.

    python tests/benchmarks/convolutions.py [--batch-size 200] [--seconds 2]

In bfloat16, TensorFlow's own convolutions (oneDNN's on a CPU) and two other ways to the gradient of the weights, all in
turn, the median of each. `rows` lays the k taps of a row of the kernel side by side, and multiplies matrices k times:
(k C x N) (N x O), where N is batch x height x width. `taps` does so k x k times: (C x N) (N x O); it is left out at
stride 2, where TensorFlow cuts its slices out slowly. The last columns are the largest difference of each weight
gradient from float64's, as a share of float64's largest value.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from peers import MODELS

from allcnn.device import tensorflow_device
from allcnn.specs import Conv, layer_shapes, resolve


class Convolution(NamedTuple):
    """A square convolution. padding: "SAME" or "VALID"; the paper's networks have no others."""

    height: int
    channels: int
    size: int
    stride: int
    padding: str
    out: int
    filters: int

    def zeros(self) -> tuple[int, int]:
        """Before and behind, along each side."""
        total = max((self.out - 1) * self.stride + self.size - self.height, 0) if self.padding == "SAME" else 0
        return total // 2, total - total // 2


def convolutions() -> dict[Convolution, list[str]]:
    """The different convolutions of the twelve networks, and which layers are one: "all-c.conv1", ..."""
    found: dict[Convolution, list[str]] = {}
    for model in MODELS:
        for row in layer_shapes(resolve(model)[0]):
            if isinstance(row.layer, Conv):
                (height, _, channels), (out, _, filters) = row.input_shape, row.output_shape
                padding = str(row.layer.padding).upper()
                one = Convolution(height, channels, row.layer.size, row.layer.stride, padding, out, filters)
                found.setdefault(one, []).append(f"{model}.{row.name}")
    return found


def by_rows(conv: Convolution, images: tf.Tensor, arriving: tf.Tensor) -> tf.Tensor:
    """The gradient of the weights, (k, k, C, O), from images (n, h, h, C) and what arrives, (n, out, out, O)."""
    size, stride, out, channels = conv.size, conv.stride, conv.out, conv.channels
    reach = -(-size // stride)
    height = (out + reach - 1) * stride
    before = conv.zeros()[0]
    zeros = (before, max(height - conv.height - before, 0))
    padded = tf.pad(images, ((0, 0), zeros, zeros, (0, 0)))[:, :height, :height]
    # Rows of pixels first: the rows that a tap of the kernel meets are then one piece of memory.
    lines = tf.reshape(
        tf.transpose(padded, (1, 0, 2, 3)), (height // stride, stride, -1, height // stride, stride * channels)
    )
    arriving = tf.reshape(tf.transpose(arriving, (1, 0, 2, 3)), (-1, conv.filters))
    rows: list[tf.Tensor] = [None] * size
    for phase in range(min(stride, size)):
        taps = [lines[:, phase, :, x : x + out, : channels * min(stride, size - x * stride)] for x in range(reach)]
        beside = tf.concat(taps, -1)
        for y in range(phase, size, stride):
            seen = tf.reshape(beside[y // stride : y // stride + out], (-1, size * channels))
            rows[y] = tf.matmul(seen, arriving, transpose_a=True)
    return tf.reshape(tf.stack(rows), (size, size, channels, conv.filters))


def by_taps(conv: Convolution, images: tf.Tensor, arriving: tf.Tensor) -> tf.Tensor:
    """As `by_rows`."""
    padded, out, stride = tf.pad(images, ((0, 0), conv.zeros(), conv.zeros(), (0, 0))), conv.out, conv.stride
    arriving = tf.reshape(arriving, (-1, conv.filters))
    last = (out - 1) * stride + 1
    taps = [
        tf.matmul(
            tf.reshape(padded[:, y : y + last : stride, x : x + last : stride], (-1, conv.channels)), arriving,
            transpose_a=True,
        )
        for y in range(conv.size)
        for x in range(conv.size)
    ]  # fmt: skip
    return tf.reshape(tf.stack(taps), (conv.size, conv.size, conv.channels, conv.filters))


def weight_gradient(conv: Convolution, images: tf.Tensor, arriving: tf.Tensor) -> tf.Tensor:
    """TensorFlow's own."""
    return tf.raw_ops.Conv2DBackpropFilter(
        input=images, filter_sizes=[conv.size, conv.size, conv.channels, conv.filters], out_backprop=arriving,
        strides=[1, conv.stride, conv.stride, 1], padding=conv.padding,
    )  # fmt: skip


def in_turn(contestants: dict[str, Callable[[], tf.Tensor]], seconds: float) -> dict[str, float]:
    """Seconds of each, the median."""
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for run in contestants.values():
        run()
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or min(map(len, taken.values())) < 3:
        for name, run in contestants.items():
            begun = time.perf_counter()
            run()
            taken[name].append(time.perf_counter() - begun)
    return {name: median(values) for name, values in taken.items()}


def measure(conv: Convolution, batch_size: int, seconds: float) -> tuple[dict[str, float], dict[str, float]]:
    """-> (GFLOP/s of each, the difference of each weight gradient from float64's)"""
    random = np.random.default_rng(0)

    def noise(*shape: int, scale: float = 1.0) -> tf.Tensor:
        return tf.cast(random.standard_normal(shape).astype(np.float32) * scale, tf.bfloat16)

    images = noise(batch_size, conv.height, conv.height, conv.channels)
    arriving = noise(batch_size, conv.out, conv.out, conv.filters)
    kernel = noise(conv.size, conv.size, conv.channels, conv.filters, scale=0.05)
    ways = {"weights": weight_gradient, "rows": by_rows}
    if conv.stride == 1:
        ways["taps"] = by_taps
    compiled = {name: tf.function(way, autograph=False) for name, way in ways.items()}
    contestants: dict[str, Callable[[], tf.Tensor]] = {
        "forward": tf.function(lambda: tf.nn.conv2d(images, kernel, conv.stride, conv.padding), autograph=False),
        "images": tf.function(
            lambda: tf.nn.conv2d_transpose(arriving, kernel, images.shape, conv.stride, conv.padding), autograph=False
        ),
    }
    contestants |= {name: lambda way=way: way(conv, images, arriving) for name, way in compiled.items()}
    operations = 2 * batch_size * conv.out**2 * conv.filters * conv.size**2 * conv.channels
    rates = {name: operations / taken / 1e9 for name, taken in in_turn(contestants, seconds).items()}
    few = tf.cast(images[:20], tf.float64), tf.cast(arriving[:20], tf.float64)
    exact = by_taps(conv, *few).numpy()
    differences = {
        name: float(np.abs(way(conv, images[:20], arriving[:20]).numpy() - exact).max() / np.abs(exact).max())
        for name, way in ways.items()
    }
    return rates, differences


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=2, help="for each convolution")
    arguments = parser.parse_args()
    columns = ("forward", "images", "weights", "rows", "taps")
    print(f"{tensorflow_device().name}, {os.cpu_count()} cores, batches of {arguments.batch_size}\n")
    print("| Convolution | Layers | " + " | ".join(columns) + " | differences: weights, rows, taps |")
    print("|---|---|" + "---:|" * (len(columns) + 1))
    for conv, layers in sorted(convolutions().items()):
        rates, differences = measure(conv, arguments.batch_size, arguments.seconds)
        name = f"{conv.height}² x {conv.channels} to {conv.out}² x {conv.filters}, {conv.size}x{conv.size}"
        name += f"/{conv.stride}" if conv.stride > 1 else ""
        used = layers[0] + (f" and {len(layers) - 1} more" if len(layers) > 1 else "")
        figures = " | ".join(f"{rates[column]:.0f}" if column in rates else "" for column in columns)
        print(
            f"| {name} | {used} | {figures} | {', '.join(f'{value:.1e}' for value in differences.values())} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
