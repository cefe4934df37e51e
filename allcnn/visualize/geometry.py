"""What units see along one direction, and how each kind of Keras layer changes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from allcnn.errors import InputError


@dataclass(frozen=True)
class FieldAxis:
    """One direction. Unit u has the pixels from start + u * jump, `size` of them, some of which may be padding.

    seen: for each unit (first, end) of those that it depends on, all inside the image; (0, 0) if it sees padding only.
        Nearer than cutting at the border: what rounding down or dilation leaves out there is left out.
    image: pixels of the image.
    """

    size: int
    jump: int
    start: int
    seen: tuple[tuple[int, int], ...]
    image: int

    @property
    def offset(self) -> float:
        """The pixel, from 0, at the centre of what the first unit sees."""
        return self.start + (self.size - 1) / 2


#: A tensor's height and width. A vector is one unit in both directions.
Field = tuple[FieldAxis, FieldAxis]


def pixels(count: int) -> FieldAxis:
    """The image itself: each unit is a pixel."""
    return FieldAxis(1, 1, 0, tuple((pixel, pixel + 1) for pixel in range(count)), count)


def slid(axis: FieldAxis, window: int, stride: int, before: int, count: int, dilation: int = 1) -> FieldAxis:
    """After a window slid along: `count` units, the first beginning `before` positions in front of the map."""
    taps = np.arange(count)[:, None] * stride - before + np.arange(window) * dilation
    inside = (taps >= 0) & (taps < len(axis.seen))
    seen = np.array(axis.seen)[np.where(inside, taps, 0)]
    inside &= seen[..., 0] < seen[..., 1]
    first = np.where(inside, seen[..., 0], axis.image).min(axis=1)
    end = np.where(inside, seen[..., 1], 0).max(axis=1)
    return FieldAxis(
        axis.size + (window - 1) * dilation * axis.jump,
        axis.jump * stride,
        axis.start - before * axis.jump,
        tuple((int(low), int(high)) if low < high else (0, 0) for low, high in zip(first, end, strict=True)),
        axis.image,
    )


def whole(axis: FieldAxis) -> FieldAxis:
    """One unit that sees what all together saw."""
    units = len(axis.seen)
    together = slid(axis, units, 1, 0, 1)
    return FieldAxis(together.size, axis.jump, axis.start, together.seen, axis.image)


def spread(axis: FieldAxis, count: int) -> FieldAxis:
    """`count` units, all of which see what all together saw."""
    one = whole(axis)
    return FieldAxis(one.size, 0, one.start, one.seen * count, one.image)


def met(axes: Sequence[FieldAxis], where: str) -> FieldAxis:
    """Where branches meet: each unit sees what any branch showed it."""
    count = max(len(axis.seen) for axis in axes)
    axes = [spread(axis, count) if len(axis.seen) < count else axis for axis in axes]
    seen = [axis.seen for axis in axes]
    if len(jumps := {axis.jump for axis in axes}) > 1:
        if 0 not in jumps:
            raise InputError(f"{where} joins branches of strides {sorted(jumps)}; its units have no field of one size.")
        # One branch sees the whole image, so that the field no longer moves with the unit.
        axes = [spread(axis, count) for axis in axes]
    start = min(axis.start for axis in axes)
    size = max(axis.start + axis.size for axis in axes) - start
    return FieldAxis(size, axes[0].jump, start, tuple(map(_hull, zip(*seen, strict=True))), axes[0].image)


def _hull(parts: Sequence[tuple[int, int]]) -> tuple[int, int]:
    parts = [part for part in parts if part[0] < part[1]]
    return (min(first for first, _ in parts), max(end for _, end in parts)) if parts else (0, 0)


def through(layer: Any, fields: Sequence[Field], output_shape: tuple[int | None, ...]) -> Field:
    """What the units of a layer, or of an operation of keras.ops, see, given what its inputs' units see.

    Raises:
        InputError: it is not known what this layer's units see.
    """
    where = f'layer "{layer.name}" ({type(layer).__name__})'
    if getattr(layer, "data_format", None) == "channels_first":
        raise InputError(f"{where} has its channels first; expected channels last.")
    if len(output_shape) not in (2, 4):
        raise InputError(f"{where} gives outputs of rank {len(output_shape)}; expected feature maps or vectors.")
    rules = _LAYERS if hasattr(layer, "weights") else _OPERATIONS
    for kind in type(layer).__mro__:
        if kind.__module__.split(".")[0] in ("keras", "allcnn") and kind.__name__ in rules:
            field = fields[0] if len(fields) == 1 else _joined(fields, where)
            return rules[kind.__name__](layer, field, output_shape)
    raise InputError(
        f"it is not known what the units of {where} see; expected a layer before it, or down_to behind it."
    )


def _joined(fields: Sequence[Field], where: str) -> Field:
    return met([field[0] for field in fields], where), met([field[1] for field in fields], where)


def _same(layer: Any, field: Field, shape: tuple[int | None, ...]) -> Field:
    return field


def _windows(layer: Any, field: Field, shape: tuple[int | None, ...]) -> Field:
    window = _pair(getattr(layer, "kernel_size", None) or layer.pool_size)
    strides, dilation = _pair(layer.strides), _pair(getattr(layer, "dilation_rate", 1))
    axes = []
    for axis, size, stride, gap in zip(field, window, strides, dilation, strict=True):
        count, reach, before = len(axis.seen), (size - 1) * gap + 1, 0
        if layer.padding == "same":
            units = -(-count // stride)
            before = max((units - 1) * stride + reach - count, 0) // 2
        else:
            units = (count - reach) // stride + 1
        if units < 1:
            raise InputError(f'layer "{layer.name}" has a window of {reach} and only {count} positions to slide along.')
        axes.append(slid(axis, size, stride, before, units, gap))
    return axes[0], axes[1]


def _edges(layer: Any, field: Field, shape: tuple[int | None, ...]) -> Field:
    """Zero padding and cropping: a window of one position that begins earlier or later."""
    sign, edges = (1, layer.padding) if hasattr(layer, "padding") else (-1, layer.cropping)
    axes = [
        slid(axis, 1, 1, sign * before, len(axis.seen) + sign * (before + after))
        for axis, (before, after) in zip(field, edges, strict=True)
    ]
    return axes[0], axes[1]


def _whole(layer: Any, field: Field, shape: tuple[int | None, ...]) -> Field:
    return whole(field[0]), whole(field[1])


def _reshaped(layer: Any, field: Field, shape: tuple[int | None, ...]) -> Field:
    if len(shape) == 2:
        return _whole(layer, field, shape)
    height, width = (len(axis.seen) for axis in field)
    if shape[1:3] in ((height, width), (None, None)) and (height, width) != (1, 1):
        return field
    if shape[1] is None or shape[2] is None:
        raise InputError(f'layer "{layer.name}" gives maps of an open size {shape}; expected one known beforehand.')
    return spread(field[0], shape[1]), spread(field[1], shape[2])


def _normalised(layer: Any, field: Field, shape: tuple[int | None, ...]) -> Field:
    """What is computed along an axis mixes its positions; along the channels alone each position stays by itself."""
    along = layer.axis if isinstance(layer.axis, list | tuple) else [layer.axis]
    along = [axis % len(shape) for axis in along]
    axes = [
        spread(axis, len(axis.seen)) if len(shape) == 4 and place in along else axis
        for place, axis in enumerate(field, start=1)
    ]
    return axes[0], axes[1]


def _everywhere(layer: Any, field: Field, shape: tuple[int | None, ...]) -> Field:
    return spread(field[0], len(field[0].seen)), spread(field[1], len(field[1].seen))


def _channels(layer: Any, field: Field, shape: tuple[int | None, ...]) -> Field:
    if layer.axis % len(shape) != len(shape) - 1:
        raise InputError(f'layer "{layer.name}" joins along axis {layer.axis}; expected the channels, the last one.')
    return field


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


_Rule = Callable[[Any, Field, tuple[int | None, ...]], Field]

# By class name, subclasses included: Keras is loaded when a model is there, not before.
_EACH_POSITION = (
    "Activation ReLU LeakyReLU PReLU ELU Identity ActivityRegularization Rescaling BatchNormalization Normalization "
    "Dense Dropout AlphaDropout SpatialDropout2D GaussianDropout GaussianNoise "
    "Add Subtract Multiply Average Maximum Minimum "
    # Nothing but the identity outside training.
    "RandomFlip RandomRotation RandomZoom RandomTranslation RandomContrast RandomBrightness"
)
_LAYERS: dict[str, _Rule] = {
    **dict.fromkeys(_EACH_POSITION.split(), _same),
    **dict.fromkeys(
        "Conv2D DepthwiseConv2D SeparableConv2D MaxPooling2D AveragePooling2D NormPooling2D".split(), _windows
    ),
    **dict.fromkeys("ZeroPadding2D Cropping2D".split(), _edges),
    **dict.fromkeys("Flatten GlobalAveragePooling2D GlobalMaxPooling2D".split(), _whole),
    **dict.fromkeys("Softmax LayerNormalization RMSNormalization UnitNormalization".split(), _normalised),
    "GroupNormalization": _everywhere,
    "Concatenate": _channels,
    "Reshape": _reshaped,
}
_ELEMENTWISE = (
    "Relu Relu6 Sigmoid Softplus Softsign Silu LeakyRelu HardSigmoid HardSilu Elu Selu Gelu Celu Add Subtract Multiply "
    "Divide TrueDivide Power Maximum Minimum Absolute Abs Negative Exp Expm1 Log Log1p Sqrt Square Tanh Clip Cast"
)
_OPERATIONS: dict[str, _Rule] = {
    **dict.fromkeys(_ELEMENTWISE.split(), _same),
    "Concatenate": _channels,
    "Reshape": _reshaped,
}
