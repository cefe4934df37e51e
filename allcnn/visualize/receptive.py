"""What of the image a unit sees: size, stride and place of its receptive field, exactly, for the image's size.

The arithmetic of sizes, strides and offsets is that of `allcnn.specs.shapes`. What is added here are the pixels that
each unit depends on, and other layers of Keras.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from allcnn.errors import InputError
from allcnn.specs.shapes import Axis
from allcnn.visualize.graph import METHODS, Graph

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class FieldAxis:
    """One direction.

    axis: the field of all units. Unit u has the pixels from start + u * jump, some of which may be padding.
    seen: for each unit (first, end) of the pixels that it depends on, all inside the image; (0, 0) if it sees padding
        only. Where rounding down or dilation leaves out pixels, this is less than the field cut at the border.
    image: pixels of the image.
    """

    axis: Axis
    seen: tuple[tuple[int, int], ...]
    image: int

    @property
    def size(self) -> int:
        """Pixels of a unit's field."""
        return self.axis.receptive_field

    @property
    def start(self) -> int:
        """The first pixel of the first unit's field; below 0 where that is padding."""
        return round(self.axis.offset - (self.size - 1) / 2)

    def slid(self, window: int, stride: int, padding: str, dilation: int = 1) -> FieldAxis:
        """After a window has slid along; no units are left if it does not fit."""
        return self._through(self.axis.slid((window - 1) * dilation + 1, stride, padding), window, stride, dilation)

    def padded(self, before: int, after: int) -> FieldAxis:
        """After padding by so many positions, or cropping by so many below 0."""
        offset = self.axis.offset - before * self.axis.jump
        return self._through(replace(self.axis, size=self.axis.size + before + after, offset=offset), 1, 1, 1)

    def whole(self) -> FieldAxis:
        """One unit that sees what all together saw."""
        return self._through(self.axis.whole(), self.axis.size, 1, 1)

    def seeing_all(self, count: int) -> FieldAxis:
        """`count` units, all of which see what all together saw."""
        one = self.whole()
        return FieldAxis(replace(one.axis, size=count, jump=0), one.seen * count, self.image)

    def _through(self, axis: Axis, window: int, stride: int, dilation: int) -> FieldAxis:
        after = FieldAxis(axis, (), self.image)
        before = (self.start - after.start) // self.axis.jump if self.axis.jump else 0
        taps = np.arange(axis.size)[:, None] * stride - before + np.arange(window) * dilation
        inside = (taps >= 0) & (taps < len(self.seen))
        seen = np.array(self.seen)[np.where(inside, taps, 0)]
        inside &= seen[..., 0] < seen[..., 1]
        first = np.where(inside, seen[..., 0], self.image).min(axis=1, initial=self.image)
        end = np.where(inside, seen[..., 1], 0).max(axis=1, initial=0)
        boxes = tuple((int(low), int(high)) if low < high else (0, 0) for low, high in zip(first, end, strict=True))
        return replace(after, seen=boxes)


#: A tensor's height and width. A vector is one unit in both directions.
Field = tuple[FieldAxis, ...]
# What a tensor's units see of the source; None: nothing; an error: why that is not known.
_Known = Field | InputError | None


@dataclass(frozen=True)
class ReceptiveField:
    """What the units of a layer see, along height and width; units of a vector are one unit in each direction."""

    height: FieldAxis
    width: FieldAxis

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels, padding included: the same for all units of the layer."""
        return self.height.size, self.width.size

    @property
    def jump(self) -> tuple[int, int]:
        """Pixels from one unit to the next, (down, across); 0 where every unit sees the whole image."""
        return self.height.axis.jump, self.width.axis.jump

    @property
    def offset(self) -> tuple[float, float]:
        """The pixel, (y, x), at the centre of what unit (0, 0) sees."""
        return self.height.axis.offset, self.width.axis.offset

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of the image, or of the map that the field is counted in."""
        return self.height.image, self.width.image

    def field_of(self, position: Any, clipped: bool = True) -> np.ndarray:
        """The boxes (top, left, bottom, right) of units at positions (y, x), of shape (..., 2): (..., 4) ints.

        bottom and right are the first pixels outside. Clipped, a box holds what the unit depends on; otherwise all
        boxes have the field's size, and may reach over the border.

        Raises:
            InputError: a position is not in the layer's map.
        """
        places = np.asarray(position)
        units = len(self.height.seen), len(self.width.seen)
        if places.shape[-1:] != (2,) or ((places < 0) | (places >= units)).any():
            raise InputError(
                f"no such position: {np.array2string(places, threshold=8)}; "
                f"expected (y, x) from (0, 0) to {(units[0] - 1, units[1] - 1)}."
            )
        if clipped:
            (top, bottom), (left, right) = (
                np.moveaxis(np.array(axis.seen)[places[..., index]], -1, 0)
                for index, axis in enumerate((self.height, self.width))
            )
        else:
            top, left = np.moveaxis(places * self.jump + (self.height.start, self.width.start), -1, 0)
            bottom, right = top + self.size[0], left + self.size[1]
        return np.stack([top, left, bottom, right], axis=-1)

    def cut(self, pictures: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """What one unit sees of each picture: (n, height, width, channels) -> (n, *size, channels), 0 outside its box.

        Args:
            pictures: of `image_size`.
            positions: (n, 2), the unit of each picture.
        """
        patches = np.zeros((len(pictures), *self.size, pictures.shape[-1]), pictures.dtype)
        boxes, corners = self.field_of(positions), self.field_of(positions, clipped=False)[..., :2]
        for patch, picture, (top, left, bottom, right), (y, x) in zip(patches, pictures, boxes, corners, strict=True):
            patch[top - y : bottom - y, left - x : right - x] = picture[top:bottom, left:right]
        return patches


def receptive_field(
    model: keras.Model | Graph, layer: str, down_to: str | None = None, image_size: tuple[int, int] | None = None
) -> ReceptiveField:
    """The receptive field of a layer's units, from the graph of any functional or sequential Keras model.

    It is followed through convolutions, pooling, padding, cropping and whatever works on each position by itself, in
    nested models too. Where branches meet, a unit sees what any of them sees. A unit of a vector (flattened, fully
    connected, globally pooled) sees what any of the vector's values sees. Units after a layer that mixes all positions,
    as contrast normalisation and whitening do, see the whole image; `down_to` counts from behind such a layer.

    Args:
        model: or a `Graph` of it.
        layer, down_to: names, as `Attributor` takes them. The field is counted in the pixels of the image, or in the
            positions of `down_to`'s output.
        image_size: (height, width), needed where the model takes images of any size.

    Raises:
        InputError: an unknown layer; a layer on the way whose field is not known, which the message names; a model
            without a graph; or the layer does not depend on `down_to`.
    """
    graph = model if isinstance(model, Graph) else Graph(model, METHODS[0])
    wanted = graph.output(layer)
    found = _fields(graph, graph.image if down_to is None else graph.output(down_to), image_size).get(id(wanted))
    if isinstance(found, InputError):
        raise found
    if found is None:
        raise InputError(f'layer "{layer}" does not depend on {"the image" if down_to is None else down_to}.')
    return ReceptiveField(*found)


def preprocessed_image(graph: Graph) -> str | None:
    """The name of the layer that ends a preprocessing over the whole image inside a model; None where it has none.

    It is the first layer that gives an image of the same shape of which every pixel depends on all pixels, as contrast
    normalisation and whitening do. Its pixels lie where the image's do. From it on receptive fields are local.
    """
    if None in graph.image_shape:
        return None
    fields = _fields(graph, graph.image, None)
    for call in graph.calls:
        field = fields[id(call.outputs[0])]
        if isinstance(field, tuple) and all(axis.axis.jump == 0 for axis in field):
            if tuple(call.outputs[0].shape[1:]) == graph.image_shape:
                return call.name
    return None


def _fields(graph: Graph, source: Any, image_size: tuple[int, int] | None) -> dict[int, _Known]:
    """What the units of every tensor in a graph see of a source tensor, by identity."""
    own = graph.image_shape[:2]
    height, width = own if image_size is None else image_size
    if height is None or width is None:
        raise InputError("the model takes images of any size; pass image_size=(height, width).")
    if any(side not in (None, given) for side, given in zip(own, (height, width), strict=True)):
        raise InputError(f"the model takes images of {own}; image_size is {(height, width)}.")
    fields: dict[int, _Known] = {id(graph.image): None}
    if source is graph.image:
        fields[id(source)] = _pixels(height), _pixels(width)
    for call in graph.calls:
        found = _after(call.layer, [fields.get(id(tensor)) for tensor in call.inputs], call.outputs[0].shape)
        for tensor in call.outputs:
            fields.setdefault(id(tensor), found)  # the calls of a nested model come before its own
            if tensor is source:
                fields[id(tensor)] = _from_here(call.layer, tensor.shape)
    return fields


def _pixels(count: int) -> FieldAxis:
    """The image itself: each unit is a pixel."""
    return FieldAxis(Axis(count), tuple((pixel, pixel + 1) for pixel in range(count)), count)


def _from_here(layer: Any, shape: tuple[int | None, ...]) -> _Known:
    if len(shape) != 4 or shape[1] is None or shape[2] is None:
        return InputError(f'layer "{layer.name}" gives {shape}; expected maps of a known size to count from.')
    return _pixels(shape[1]), _pixels(shape[2])


def _after(layer: Any, inputs: Sequence[_Known], shape: tuple[int | None, ...]) -> _Known:
    """What a layer's units see, given what its inputs' units see. An error is returned: the layer may not matter."""
    for field in inputs:
        if isinstance(field, InputError):
            return field
    fields = [field for field in inputs if isinstance(field, tuple)]
    if not fields:
        return None
    where = f'layer "{layer.name}" ({type(layer).__name__})'
    if getattr(layer, "data_format", None) == "channels_first":
        return InputError(f"{where} has its channels first; expected channels last.")
    if len(shape) not in (2, 4):
        return InputError(f"{where} gives outputs of rank {len(shape)}; expected feature maps or vectors.")
    rules = _LAYERS if hasattr(layer, "weights") else _OPERATIONS
    for kind in type(layer).__mro__:
        if kind.__module__.split(".")[0] in ("keras", "allcnn") and kind.__name__ in rules:
            try:
                field = tuple(_met(axes, where) for axes in zip(*fields, strict=True))
                return rules[kind.__name__](layer, field, shape)
            except InputError as refusal:
                return refusal
    return InputError(
        f"it is not known what the units of {where} see; expected a layer before it, or down_to behind it."
    )


def _met(axes: Sequence[FieldAxis], where: str) -> FieldAxis:
    """Where branches meet: each unit sees what any branch showed it."""
    if len(axes) == 1:
        return axes[0]
    count = max(len(axis.seen) for axis in axes)
    axes = [axis.seeing_all(count) if len(axis.seen) < count else axis for axis in axes]
    seen = [axis.seen for axis in axes]
    if len(jumps := {axis.axis.jump for axis in axes}) > 1:
        if 0 not in jumps:
            raise InputError(f"{where} joins branches of strides {sorted(jumps)}; its units have no field of one size.")
        # One branch sees the whole image, so that the field no longer moves with the unit.
        axes = [axis.seeing_all(count) for axis in axes]
    start = min(axis.start for axis in axes)
    size = max(axis.start + axis.size for axis in axes) - start
    field = Axis(count, size, axes[0].axis.jump, start + (size - 1) / 2)
    return FieldAxis(field, tuple(map(_hull, zip(*seen, strict=True))), axes[0].image)


def _hull(parts: Sequence[tuple[int, int]]) -> tuple[int, int]:
    parts = [part for part in parts if part[0] < part[1]]
    return (min(first for first, _ in parts), max(end for _, end in parts)) if parts else (0, 0)


_Shape = tuple[int | None, ...]


def _same(layer: Any, field: Field, shape: _Shape) -> Field:
    return field


def _windows(layer: Any, field: Field, shape: _Shape) -> Field:
    window = _pair(getattr(layer, "kernel_size", None) or layer.pool_size)
    strides, dilation = _pair(layer.strides), _pair(getattr(layer, "dilation_rate", 1))
    after = tuple(
        axis.slid(size, stride, layer.padding, gap)
        for axis, size, stride, gap in zip(field, window, strides, dilation, strict=True)
    )
    if not all(axis.seen for axis in after):
        raise InputError(f'layer "{layer.name}" has a larger window than there are positions to slide it along.')
    return after


def _edges(layer: Any, field: Field, shape: _Shape) -> Field:
    sign, edges = (1, layer.padding) if hasattr(layer, "padding") else (-1, layer.cropping)
    return tuple(axis.padded(sign * before, sign * after) for axis, (before, after) in zip(field, edges, strict=True))


def _whole(layer: Any, field: Field, shape: _Shape) -> Field:
    return tuple(axis.whole() for axis in field)


def _reshaped(layer: Any, field: Field, shape: _Shape) -> Field:
    if len(shape) == 2:
        return _whole(layer, field, shape)
    height, width = (len(axis.seen) for axis in field)
    if shape[1:3] in ((height, width), (None, None)) and (height, width) != (1, 1):
        return field
    sides = [side for side in shape[1:3] if side is not None]
    if len(sides) < 2:
        raise InputError(f'layer "{layer.name}" gives maps of an open size {shape}; expected one known beforehand.')
    return tuple(axis.seeing_all(side) for axis, side in zip(field, sides, strict=True))


def _normalised(layer: Any, field: Field, shape: _Shape) -> Field:
    """What is computed along an axis mixes its positions; along the channels alone each position stays by itself."""
    along = layer.axis if isinstance(layer.axis, list | tuple) else [layer.axis]
    along = [axis % len(shape) for axis in along]
    return tuple(
        axis.seeing_all(len(axis.seen)) if len(shape) == 4 and place in along else axis
        for place, axis in enumerate(field, start=1)
    )


def _everywhere(layer: Any, field: Field, shape: _Shape) -> Field:
    return tuple(axis.seeing_all(len(axis.seen)) for axis in field)


def _channels(layer: Any, field: Field, shape: _Shape) -> Field:
    if layer.axis % len(shape) != len(shape) - 1:
        raise InputError(f'layer "{layer.name}" joins along axis {layer.axis}; expected the channels, the last one.')
    return field


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _table(rules: dict[Callable, str]) -> dict[str, Callable[[Any, Field, _Shape], Field]]:
    return {name: rule for rule, names in rules.items() for name in names.split()}


# By class name, subclasses included: Keras is loaded when a model is there, not before.
_LAYERS = _table(
    {
        _same: "Activation ReLU LeakyReLU PReLU ELU Identity ActivityRegularization Rescaling BatchNormalization "
        "Normalization Dense Dropout AlphaDropout SpatialDropout2D GaussianDropout GaussianNoise "
        "Add Subtract Multiply Average Maximum Minimum "
        # Nothing but the identity outside training.
        "RandomFlip RandomRotation RandomZoom RandomTranslation RandomContrast RandomBrightness",
        _windows: "Conv2D DepthwiseConv2D SeparableConv2D MaxPooling2D AveragePooling2D NormPooling2D",
        _edges: "ZeroPadding2D Cropping2D",
        _whole: "Flatten GlobalAveragePooling2D GlobalMaxPooling2D",
        _normalised: "Softmax LayerNormalization RMSNormalization UnitNormalization",
        _everywhere: "GroupNormalization",
        _channels: "Concatenate",
        _reshaped: "Reshape",
    }
)
_OPERATIONS = _table(
    {
        _same: "ReLU Relu Relu6 Sigmoid Softplus Softsign Silu LeakyRelu HardSigmoid HardSilu Elu Selu Gelu Celu Add "
        "Subtract Multiply Divide TrueDivide Power Maximum Minimum Absolute Abs Negative Exp Expm1 Log Log1p Sqrt "
        "Square Tanh Clip Cast",
        _channels: "Concatenate",
        _reshaped: "Reshape",
    }
)
