"""The way back written out in numpy, in float64 and without autodiff: what the package's is held against.

Convolutions and their transposes are sums over the places of a kernel, max-pooling keeps where its maxima lay, a ReLU
follows the paper's Figure 1 c. Nothing is shared with the package.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after, as TensorFlow's "same" has them."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


@dataclass
class Window:
    """What convolution and pooling share: a padding, and the views of the padded map under each place of the window."""

    size: int
    stride: int
    padding: str
    fill: float = 0.0

    def margins(self, x: np.ndarray) -> list[tuple[int, int]]:
        if self.padding == "valid":
            return [(0, 0), (0, 0)]
        return [same_padding(side, self.size, self.stride) for side in x.shape[1:3]]

    def padded(self, x: np.ndarray) -> np.ndarray:
        return np.pad(x, [(0, 0), *self.margins(x), (0, 0)], constant_values=self.fill)

    def cropped(self, padded: np.ndarray, x: np.ndarray) -> np.ndarray:
        (top, _), (left, _) = self.margins(x)
        return padded[:, top : top + x.shape[1], left : left + x.shape[2]]

    def places(self, padded: np.ndarray) -> list[tuple[int, int, tuple]]:
        """(i, j, the slice of the padded map that lies under place i, j of the window, wherever the window stands)."""
        rows, columns = ((side - self.size) // self.stride * self.stride + 1 for side in padded.shape[1:3])
        return [
            (i, j, np.s_[:, i : i + rows : self.stride, j : j + columns : self.stride])
            for i in range(self.size)
            for j in range(self.size)
        ]


@dataclass
class Convolution:
    kernel: np.ndarray
    bias: np.ndarray
    window: Window
    relu: bool
    before_relu: np.ndarray = field(init=False)
    inputs: np.ndarray = field(init=False)

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.inputs, padded = x, self.window.padded(x)
        self.before_relu = self.bias + sum(
            padded[under] @ self.kernel[i, j] for i, j, under in self.window.places(padded)
        )
        return np.maximum(self.before_relu, 0) if self.relu else self.before_relu

    def back(self, signal: np.ndarray, method: str) -> np.ndarray:
        if self.relu:
            forwards, arriving = self.before_relu > 0, signal > 0
            signal = signal * {
                "backpropagation": forwards, "deconvnet": arriving, "guided": forwards & arriving,
            }[method]  # fmt: skip
        padded = np.zeros_like(self.window.padded(self.inputs))
        for i, j, under in self.window.places(padded):
            padded[under] += signal @ self.kernel[i, j].T
        return self.window.cropped(padded, self.inputs)


@dataclass
class MaxPooling:
    window: Window
    inputs: np.ndarray = field(init=False)
    switches: np.ndarray = field(init=False)
    #: The least distance of a maximum above 0 from the next largest value of its window.
    margin: float = field(init=False)

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.inputs, padded = x, self.window.padded(x)
        values = np.stack([padded[under] for _, _, under in self.window.places(padded)])
        self.switches = values.argmax(axis=0)  # the first of equal ones
        second, first = np.sort(values, axis=0)[-2:]
        self.margin = float((first - second)[first > 0].min())
        return first

    def back(self, signal: np.ndarray, method: str) -> np.ndarray:
        padded = np.zeros_like(self.window.padded(self.inputs))
        for place, (_, _, under) in enumerate(self.window.places(padded)):
            padded[under] += signal * (self.switches == place)
        return self.window.cropped(padded, self.inputs)


@dataclass
class GlobalAverage:
    inputs: np.ndarray = field(init=False)

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.inputs = x
        return x.mean(axis=(1, 2))

    def back(self, signal: np.ndarray, method: str) -> np.ndarray:
        return np.broadcast_to(signal[:, None, None] / np.prod(self.inputs.shape[1:3]), self.inputs.shape)


class Network:
    """A chain of a Keras model's layers, their weights copied to float64; what trains or normalises is left out."""

    def __init__(self, model) -> None:
        self.layers: dict[str, Convolution | MaxPooling | GlobalAverage] = {}
        for layer in model.layers:
            kind = type(layer).__name__
            if kind == "Conv2D":
                kernel, bias = (weights.astype(np.float64) for weights in layer.get_weights())
                window = Window(kernel.shape[0], layer.strides[0], layer.padding)
                self.layers[layer.name] = Convolution(kernel, bias, window, layer.activation.__name__ == "relu")
            elif kind == "MaxPooling2D":
                window = Window(layer.pool_size[0], layer.strides[0], layer.padding, fill=-np.inf)
                self.layers[layer.name] = MaxPooling(window)
            elif kind == "GlobalAveragePooling2D":
                self.layers[layer.name] = GlobalAverage()
            else:
                assert kind in ("InputLayer", "Dropout", "Softmax"), kind

    def forward(self, images: np.ndarray) -> dict[str, np.ndarray]:
        outputs, x = {}, images.astype(np.float64)
        for name, layer in self.layers.items():
            outputs[name] = x = layer.forward(x)
        return outputs

    def margin(self) -> float:
        """How near what decides comes to its border, relative to the layer's largest value: a ReLU's inputs to 0.

        Where it is not far above float32's rounding, float32 may see a ReLU shut that is open in float64.
        """
        nearest = []
        for layer in self.layers.values():
            if isinstance(layer, Convolution) and layer.relu:
                values = np.abs(layer.before_relu)
                nearest.append(values.min() / values.max())
            elif isinstance(layer, MaxPooling):
                nearest.append(layer.margin / layer.inputs.max())
        return float(min(nearest))

    def back(self, name: str, start: np.ndarray, method: str) -> np.ndarray:
        """The signal at the image that `start` at the output of layer `name` becomes."""
        names = list(self.layers)
        signal = start
        for below in reversed(names[: names.index(name) + 1]):
            signal = self.layers[below].back(signal, method)
        return signal

    def from_unit(
        self, name: str, outputs: np.ndarray, unit: int, position: tuple[int, int] | None, method: str
    ) -> tuple[np.ndarray, tuple[int, ...], float]:
        """For one image: its map, where the unit was looked at (None: where it is largest), its value there."""
        values = outputs[0, ..., unit]
        place = np.unravel_index(values.argmax(), values.shape) if position is None else position
        start = np.zeros_like(outputs)
        start[(0, *place, unit)] = 1
        return self.back(name, start, method)[0], tuple(int(side) for side in place), float(values[tuple(place)])
