"""Output sizes, parameters, multiply-adds and receptive fields of a network, by arithmetic alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from operator import index

from allcnn.errors import InputError, SpecError
from allcnn.specs.layers import Activation, Conv, Dense, Dropout, GlobalAverage, Layer, Norm, Padding, Pool, Spec

MAX_SIDE = 65_536
MAX_CLASSES = 65_536
# Far beyond any image, and so small that the offsets of a thousand layers are exact as floats.
MAX_JUMP = 2**32

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Axis:
    """One direction of a layer's output: how many units, and which input pixels the units see.

    Pixel i has its centre at i. Unit u has its centre at `offset + u * jump` and sees `receptive_field` pixels
    around it, some of which may be padding.
    """

    size: int
    receptive_field: int = 1
    jump: int = 1
    offset: float = 0.0

    def slid(self, window: int, stride: int, padding: Padding) -> Axis:
        """The axis after a window slid along it; its size is below 1 where the window does not fit."""
        if padding == "same":
            # TensorFlow's rule: what cannot be halved goes to the far side, so 3x3/2 on an even size pads (0, 1).
            size = -(-self.size // stride)
            before = max((size - 1) * stride + window - self.size, 0) // 2
        else:
            before = 0 if isinstance(padding, str) else padding
            size = (self.size + 2 * before - window) // stride + 1
        return Axis(
            size,
            self.receptive_field + (window - 1) * self.jump,
            self.jump * stride,
            self.offset + ((window - 1) / 2 - before) * self.jump,
        )

    def whole(self) -> Axis:
        """The axis after GAP or FC: one unit sees what all positions together saw."""
        return self.slid(self.size, 1, "valid")


@dataclass(frozen=True, slots=True)
class LayerShape:
    """One row of the account of a network.

    name: conv1, conv2, ..., pool1, dropout1, norm1, activation1, fc1, global_pool, softmax (the paper's Tables 5, 6).
    token: the layer in the spec language; "softmax" for the softmax, which a spec leaves out (`layer` None).
    input_shape, output_shape: (height, width, channels), or (channels,) after GAP and FC.
    parameters: weights, biases and, for normalisation, the moving mean and variance too (4 a channel, as Keras counts).
    multiply_adds: for one image, of convolutions and fully connected layers; biases and padding counted as
        the plain formula does.
    axes: the geometry along height and along width.
    """

    name: str
    token: str
    layer: Layer | None
    input_shape: Shape
    output_shape: Shape
    parameters: int
    multiply_adds: int
    axes: tuple[Axis, Axis]

    @property
    def receptive_field(self) -> int:
        """Side, in input pixels, of what one unit sees (the longer side where height and width differ)."""
        return max(axis.receptive_field for axis in self.axes)

    @property
    def jump(self) -> int:
        """Input pixels from one unit to the next: the product of the strides so far."""
        return self.axes[0].jump

    @property
    def offset(self) -> float:
        """Input pixel, from 0, at the centre of what the first unit sees (along the height)."""
        return self.axes[0].offset


_KINDS: dict[type, str] = {
    Conv: "conv",
    Pool: "pool",
    Dropout: "dropout",
    Norm: "norm",
    Activation: "activation",
    GlobalAverage: "global_pool",
    Dense: "fc",
}


def layer_names(spec: Spec) -> tuple[str, ...]:
    """A name for each layer of the spec, counted by kind: conv1, pool1, ..., global_pool."""
    counts: dict[str, int] = {}
    names: list[str] = []
    for layer in spec:
        kind = _KINDS[type(layer)]
        counts[kind] = counts.get(kind, 0) + 1
        names.append(kind if kind == "global_pool" else f"{kind}{counts[kind]}")
    return tuple(names)


def layer_shapes(spec: Spec, input_shape: Sequence[int] = (32, 32, 3), classes: int = 10) -> tuple[LayerShape, ...]:
    """One row for each layer, and a last one for the softmax.

    Args:
        spec: the network.
        input_shape: (height, width, channels) of one image.
        classes: what N stands for.

    Raises:
        InputError: the input shape or the number of classes makes no sense.
        SpecError: a layer does not fit what reaches it.
    """
    shape = _checked_input(input_shape)
    classes = _checked_classes(classes)
    axes = (Axis(shape[0]), Axis(shape[1]))
    rows: list[LayerShape] = []
    for name, layer in zip(layer_names(spec), spec, strict=True):
        row = _row(name, layer, shape, axes, classes)
        rows.append(row)
        shape, axes = row.output_shape, row.axes
    rows.append(LayerShape("softmax", "softmax", None, shape, shape, 0, 0, axes))
    return tuple(rows)


def count_parameters(spec: Spec, input_shape: Sequence[int] = (32, 32, 3), classes: int = 10) -> int:
    """All parameters, biases included (Table 3's last column, exactly); raises as `layer_shapes` does."""
    return sum(row.parameters for row in layer_shapes(spec, input_shape, classes))


def count_multiply_adds(spec: Spec, input_shape: Sequence[int] = (32, 32, 3), classes: int = 10) -> int:
    """Multiply-adds of one image's forward pass; raises as `layer_shapes` does."""
    return sum(row.multiply_adds for row in layer_shapes(spec, input_shape, classes))


def _row(name: str, layer: Layer, shape: Shape, axes: tuple[Axis, Axis], classes: int) -> LayerShape:
    output = shape
    parameters = multiply_adds = 0
    match layer:
        case Conv() | Pool():
            axes = (_slid(axes[0], layer, name), _slid(axes[1], layer, name))
            channels = shape[2]
            if isinstance(layer, Conv):
                channels = layer.filters or classes
                weights = layer.size**2 * shape[2] * channels
                parameters = weights + channels
                multiply_adds = weights * axes[0].size * axes[1].size
            output = (axes[0].size, axes[1].size, channels)
        case GlobalAverage():
            axes, output = (axes[0].whole(), axes[1].whole()), (shape[2],)
        case Dense():
            units = layer.units or classes
            multiply_adds = prod(shape) * units
            parameters = multiply_adds + units
            axes, output = (axes[0].whole(), axes[1].whole()), (units,)
        case Norm():
            parameters = 4 * shape[-1]
    return LayerShape(name, str(layer), layer, shape, output, parameters, multiply_adds, axes)


def _slid(axis: Axis, layer: Conv | Pool, name: str) -> Axis:
    """The axis after a layer's window slid along it; refuses a window that does not fit."""
    slid = axis.slid(layer.size, layer.stride, layer.padding)
    if slid.size < 1:
        raise SpecError(
            f'{name} "{layer}" does not fit: its window is {layer.size} wide and only {axis.size} '
            f"{'position is' if axis.size == 1 else 'positions are'} left; give larger images, or let it or a layer "
            "before it keep the size (padding s)"
        )
    if slid.jump > MAX_JUMP:
        raise SpecError(
            f'{name} "{layer}": the strides up to here multiply to {slid.jump:,}, at most {MAX_JUMP:,}; no '
            "image is as large, so take strides out"
        )
    return slid


def _checked_input(input_shape: Sequence[int]) -> Shape:
    try:
        sizes = tuple(index(size) for size in input_shape)
    except TypeError:
        sizes = ()
    if len(sizes) != 3 or not all(1 <= size <= MAX_SIDE for size in sizes):
        raise InputError(
            f"the input shape must be (height, width, channels), each from 1 to {MAX_SIDE:,}, for example (32, 32, 3); "
            f"got {input_shape!r:.80}"
        )
    return sizes


def _checked_classes(classes: int) -> int:
    try:
        number = index(classes)
    except TypeError:
        number = 0
    if not 1 <= number <= MAX_CLASSES:
        raise InputError(f"the number of classes must be a whole number from 1 to {MAX_CLASSES:,}; got {classes!r:.80}")
    return number
