"""The three methods side by side, with and without switches: the paper's Figures 2, 4, 5 and 6."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from allcnn.errors import InputError
from allcnn.evaluation import BATCH_SIZE, probabilities
from allcnn.visualize.altered import with_switches
from allcnn.visualize.attribution import Attributor, checked_images
from allcnn.visualize.graph import COPY, METHODS, Graph
from allcnn.visualize.patches import peaks

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Comparison:
    """The signals of each method for n images, each from its own unit.

    units: (n,), the unit with the largest activation of all, each at its strongest position.
    activations: (n,); positions: (n, 2) or None for classes.
    maps: by (method, with switches), (n, height, width, channels).
    """

    layer: str | None
    units: np.ndarray
    activations: np.ndarray
    positions: np.ndarray | None
    maps: dict[tuple[str, bool], np.ndarray]

    def __repr__(self) -> str:
        return f"Comparison({self.layer or 'classes'}: {len(self.units)} images, {len(self.maps)} ways back)"


def compare_methods(
    model: keras.Model,
    images: np.ndarray,
    layer: str | None = None,
    units: np.ndarray | int | None = None,
    down_to: str | None = None,
) -> Comparison:
    """Each image's largest activation in a layer (None: the classes), brought back by every method.

    Where the model has strided convolutions, also with max-pooling put in their place after training, whose switches
    the way back then uses (section 3.4).

    Args:
        images: (n, height, width, 3), as the model takes them.
        units: the unit to look at instead of the one with the largest activation.

    Raises:
        InputError: as `Attributor`.
    """
    if units is None:
        units = largest_units(model, images, layer)
    models = {False: model}
    try:
        models[True] = with_switches(model)
    except InputError:  # it has no strides to replace; max-pooling of its own has its switches anyway
        pass
    found = {
        (method, switches): Attributor(network, layer, method, down_to)(images, units)
        for switches, network in models.items()
        for method in METHODS
    }
    first = found[METHODS[0], False]
    maps = {key: result.maps for key, result in found.items()}
    return Comparison(layer, np.broadcast_to(units, len(images)), first.activations, first.positions, maps)


def largest_units(model: keras.Model, images: np.ndarray, layer: str | None = None) -> np.ndarray:
    """The unit with the largest activation anywhere in a layer (None: the likeliest class), (n,) for n images."""
    graph = Graph(model, METHODS[0])
    images = checked_images(images, graph.image_shape)
    return probabilities(peaks(graph, layer), images, min(len(images), BATCH_SIZE))[..., 0].argmax(axis=1)


def single_unit_patterns(model: keras.Model, layer: str, down_to: str | None = None) -> np.ndarray:
    """What each unit of a lower layer stands for, without an image: (units, height, width, 3), of both signs.

    The deconvnet's way back from a single unit in the middle of its map, set to 1. The deconvnet ignores what the
    ReLUs saw, so no image is needed unless there is max-pooling (section 3.4, Figure 2). The maps are whole images,
    zero outside the unit's receptive field.

    Raises:
        InputError: the layer has max-pooling before it, whose switches would need an image; or as `Attributor`.
    """
    attributor = Attributor(model, layer, "deconvnet", down_to)
    if len(attributor.unit_shape) != 3:
        raise InputError(f'layer "{layer}" is no feature map; expected a convolution.')
    for operation in attributor.values.operations:
        if "MaxPooling" in type(operation).__name__:
            raise InputError(
                f'layer "{layer}" has max-pooling before it ("{operation.name.removeprefix(COPY)}"), whose switches '
                "need an image; expected a layer before that."
            )
    shape = tuple(side or 64 for side in attributor.image_shape)
    height, width, units = attributor.values.compute_output_shape((1, *shape))[1:]
    # Any image does: by the deconvnet's rule the unit passes the signal on, whatever it saw.
    images = np.zeros((units, *shape), np.float32)
    return attributor(images, np.arange(units), (height // 2, width // 2)).maps
