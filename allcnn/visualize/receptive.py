"""What of the image a unit sees: size, stride and place of its receptive field, exactly, for the image's size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from allcnn.errors import InputError
from allcnn.specs import resolve
from allcnn.specs.layers import Conv, Pool, Spec
from allcnn.specs.shapes import Axis, layer_shapes
from allcnn.visualize.geometry import Field, FieldAxis, pixels, slid, through, whole
from allcnn.visualize.layers import find_layer, named_layers

if TYPE_CHECKING:
    import keras

# Of a tensor: what its units see; None if nothing of what is asked for; why that is not known.
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
        return self.height.jump, self.width.jump

    @property
    def offset(self) -> tuple[float, float]:
        """The pixel, (y, x), at the centre of what unit (0, 0) sees."""
        return self.height.offset, self.width.offset

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


def spec_receptive_field(
    model: str | Spec, layer: str, input_shape: tuple[int, int, int] | None = None
) -> ReceptiveField:
    """The receptive field in one of our networks, by the arithmetic of its spec, without building it.

    Args:
        model: a name, a network in the spec language, or a Spec.
        layer: the layer's name, as in `allcnn.specs.shapes.layer_names`.
        input_shape: (height, width, channels); by default the published network's own, else (32, 32, 3).

    Raises:
        SpecError: the text is not a network, or does not fit the input.
        InputError: an unknown network or layer.
    """
    spec, network = resolve(model)
    shape = input_shape or (network.input_shape if network else (32, 32, 3))
    rows = layer_shapes(spec, shape)
    if layer not in (names := [row.name for row in rows]):
        raise InputError(f'the network has no layer "{layer}"; expected one of: {", ".join(names)}.')
    fields = [pixels(side) for side in shape[:2]]
    for row in rows[: names.index(layer) + 1]:
        if isinstance(row.layer, Conv | Pool):
            fields = [
                slid(field, row.layer.size, row.layer.stride, before=_before(field, axis), count=axis.size)
                for field, axis in zip(fields, row.axes, strict=True)
            ]
        elif len(row.output_shape) == 1:
            fields = [whole(field) for field in fields]
    return ReceptiveField(*fields)


def _before(field: FieldAxis, axis: Axis) -> int:
    """The zeros in front of the first unit that the arithmetic counted with."""
    start = axis.offset - (axis.receptive_field - 1) / 2
    return round((field.start - start) / field.jump)


def receptive_field(
    model: keras.Model, layer: str, down_to: str | None = None, image_size: tuple[int, int] | None = None
) -> ReceptiveField:
    """The receptive field of a layer's units, from the graph of any functional or sequential Keras model.

    Through convolutions, pooling, padding, cropping and whatever works on each position by itself; where branches
    meet, what all of them see; in nested models too. A unit of a vector (flattened, fully connected, globally pooled)
    is taken to see whatever any of its values sees. Units after a layer that mixes all positions, as contrast
    normalisation and whitening do, see the whole image; `down_to` counts from behind it.

    Args:
        layer, down_to: names, as `Attributor` takes them. The field is counted in the pixels of the image, or in the
            positions of `down_to`'s output.
        image_size: (height, width), needed where the model takes images of any size.

    Raises:
        InputError: an unknown layer; a layer on the way of which it is not known what it sees, which the message names;
            a model without a graph; or the layer does not depend on `down_to`.
    """
    wanted = find_layer(model, layer)
    source = find_layer(model, down_to) if down_to is not None else None
    fields = _fields(model, source, image_size)
    found = fields.get(id(wanted), None)
    if isinstance(found, InputError):
        raise found
    if found is None:
        raise InputError(f'layer "{layer}" does not depend on {"the image" if source is None else down_to}.')
    return ReceptiveField(*found)


def preprocessed_image(model: keras.Model) -> str | None:
    """The name of the layer that ends a preprocessing over the whole image inside a model; None where it has none.

    It is the first that gives an image of the same shape again, every pixel of which depends on all pixels, as contrast
    normalisation and whitening do. Its pixels lie where the image's do, and from it on receptive fields are local.
    """
    names = {id(layer): name for name, layer in named_layers(model)}
    shape = image_shape(model)
    if None in shape:
        return None
    for key, field in _fields(model, None, None).items():
        if isinstance(field, tuple) and all(axis.jump == 0 for axis in field) and key in names:
            if tuple(find_layer(model, names[key]).output.shape[1:]) == shape:
                return names[key]
    return None


def image_shape(model: keras.Model) -> tuple[int | None, ...]:
    """(height, width, channels) of the images that a model takes, None where it takes any.

    Raises:
        InputError: a model without a graph of layers, or of other inputs than one of images.
    """
    inputs = getattr(_graph(model), "inputs", None)
    if inputs is None:
        raise InputError(f'"{model.name}" has no graph of layers; expected a functional or sequential model.')
    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        shapes = ", ".join(str(tensor.shape) for tensor in inputs)
        raise InputError(f"the model takes {shapes}; expected one input of images (None, height, width, channels).")
    return tuple(inputs[0].shape[1:])


def _fields(
    model: keras.Model, source: keras.layers.Layer | None, image_size: tuple[int, int] | None
) -> dict[int, _Known]:
    """What the units of every layer see, by the layer's identity; of one that is called twice, in its last call."""
    own = image_shape(model)[:2]
    height, width = own if image_size is None else image_size
    if height is None or width is None:
        raise InputError("the model takes images of any size; pass image_size=(height, width).")
    if any(side not in (None, given) for side, given in zip(own, (height, width), strict=True)):
        raise InputError(f"the model takes images of {own}; image_size is {(height, width)}.")
    seen: dict[int, _Known] = {}
    _follow(model, [None if source is not None else (pixels(height), pixels(width))], source, seen)
    return seen


def _graph(model: Any) -> Any:
    """The part of a Keras model that holds its graph: a sequential model keeps it inside."""
    graph = getattr(model, "_functional", None) or model
    return graph if hasattr(graph, "_nodes_by_depth") else None


def _follow(model: Any, fields: Sequence[_Known], source: Any, seen: dict[int, _Known]) -> list[_Known]:
    """Follow the fields of a model's inputs to its outputs, and note those of each layer on the way."""
    graph = _graph(model)
    known = {id(tensor): field for tensor, field in zip(graph.inputs, fields, strict=True)}
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            layer = node.operation
            outputs: Sequence[_Known]
            if node.is_input:
                outputs = [known[id(tensor)] for tensor in node.outputs]
            else:
                outputs = _call(layer, [known[id(tensor)] for tensor in node.input_tensors], node.outputs, source, seen)
            if layer is source:
                outputs = [_begin(tensor, layer) for tensor in node.outputs]
            known.update((id(tensor), field) for tensor, field in zip(node.outputs, outputs, strict=True))
            seen[id(layer)] = outputs[0]
    return [known[id(tensor)] for tensor in graph.outputs]


def _call(
    layer: Any, inputs: Sequence[_Known], tensors: Sequence[Any], source: Any, seen: dict[int, _Known]
) -> Sequence[_Known]:
    """The fields of a layer's outputs. Nothing is refused yet: the layer may not lie on the way."""
    if _graph(layer) is not None:
        return _follow(layer, inputs, source, seen)
    for field in inputs:
        if isinstance(field, InputError):
            return [field] * len(tensors)
    fields = [field for field in inputs if isinstance(field, tuple)]
    if not fields:
        return [None] * len(tensors)
    try:
        return [through(layer, fields, tuple(tensors[0].shape))] * len(tensors)
    except InputError as refusal:
        return [refusal] * len(tensors)


def _begin(tensor: Any, layer: Any) -> Field | InputError:
    if len(tensor.shape) != 4 or None in tensor.shape[1:3]:
        return InputError(f'layer "{layer.name}" gives {tensor.shape}; expected maps of a known size to count from.')
    return pixels(tensor.shape[1]), pixels(tensor.shape[2])
