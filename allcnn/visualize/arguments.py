"""Checking what a way back is asked for: images, units, positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from allcnn.errors import InputError

if TYPE_CHECKING:
    import keras

#: Where in its feature map a unit is looked at, if not at a given place: where it is largest.
STRONGEST = "strongest"

Shape = tuple[int | None, ...]


def image_shape(model: keras.Model) -> Shape:
    """(height, width, channels) that a model takes; sides that may differ are None.

    Raises:
        InputError: the model is not built, has several inputs, or one of another rank.
    """
    shapes = getattr(model, "input_shape", None)
    if shapes is None:  # a model of one's own class: the shape of the images that it was first called on
        built: dict[str, Any] = getattr(model, "get_build_config", dict)() or {}
        if "shapes_dict" in built:
            shapes = built["shapes_dict"]
        else:
            shapes = built.get("input_shape")
    if shapes is None:
        raise InputError(f'the shape of the images that "{model.name}" takes is not known; call it on some first.')
    if isinstance(shapes, dict):
        shapes = list(shapes.values())
    if isinstance(shapes, list):
        if len(shapes) != 1:
            raise InputError(f'"{model.name}" has {len(shapes)} inputs; expected one of images.')
        shapes = shapes[0]
    if len(shapes) != 4:
        raise InputError(
            f'"{model.name}" takes inputs of shape {tuple(shapes[1:])}; expected images (height, width, channels).'
        )
    return tuple(shapes[1:])


def check_differentiable(model: keras.Model) -> None:
    """Raises InputError for a model whose images are made integers, through which no signal passes."""
    kinds = [str(one.dtype) for one in getattr(model, "inputs", None) or ()]
    if kinds and "float" not in kinds[0]:
        raise InputError(
            f'"{model.name}" takes images of type {kinds[0]}, to which no signal passes back; '
            "expected float32, or the layer at which to read the signal (down_to)."
        )


def checked_images(images: Any, expected: Shape) -> np.ndarray:
    """Images as an array of (n, height, width, channels), n > 0. Raises InputError."""
    images = np.asarray(images)
    fits = images.ndim == 4 and all(
        side in (None, found) for found, side in zip(images.shape[1:], expected, strict=True)
    )
    if not fits:
        sides = ", ".join("any" if side is None else str(side) for side in expected)
        raise InputError(f"images of shape {images.shape}; expected (n, {sides}).")
    if images.dtype.kind not in "biuf":
        raise InputError(f"images of type {images.dtype}; expected numbers.")
    if not len(images):
        raise InputError("no images were given; expected at least one.")
    return images


def chosen_units(units: Any, images: int, available: int, where: str) -> np.ndarray:
    """The unit of each image, (images,) int32. Raises InputError."""
    chosen = _integers(units, "unit")
    if chosen.shape not in ((), (images,)):
        raise InputError(f"units of shape {chosen.shape}; expected one, or one for each of the {images} images.")
    outside = chosen[(chosen < 0) | (chosen >= available)]
    if outside.size:
        raise InputError(f"{where} has no unit {outside.flat[0]}; expected 0 to {available - 1}.")
    return np.broadcast_to(chosen, (images,)).astype(np.int32)


def flat_positions(position: Any, images: int, unit_shape: Sequence[int], where: str) -> np.ndarray:
    """Each image's position as an index into the flattened feature map, (images,) int32; -1 for the strongest.

    Raises:
        InputError: the units have no position, or this is none of theirs.
    """
    if isinstance(position, str):
        if position != STRONGEST:
            raise InputError(f'unknown position "{position}"; expected "{STRONGEST}" or (y, x).')
        return np.full(images, -1, np.int32)
    if len(unit_shape) == 1:
        raise InputError(f'{where} is a vector, whose units have no position; leave it at "{STRONGEST}".')
    places = _integers(position, "position")
    if places.shape not in ((2,), (images, 2)):
        raise InputError(f"positions of shape {places.shape}; expected (y, x), or one for each of the {images} images.")
    height, width, _ = unit_shape
    places = np.broadcast_to(places, (images, 2))
    outside = places[((places < 0) | (places >= (height, width))).any(axis=1)]
    if len(outside):
        raise InputError(
            f"{where} has no position {tuple(map(int, outside[0]))}; expected (0, 0) to ({height - 1}, {width - 1})."
        )
    return (places[:, 0] * width + places[:, 1]).astype(np.int32)


def _integers(values: Any, name: str) -> np.ndarray:
    try:
        array = np.asarray(values)
    except ValueError:  # lists of different lengths
        array = np.asarray(None)
    if array.dtype.kind not in "iu":
        raise InputError(f"unknown {name} {values!r:.60}; expected integers.")
    return array
