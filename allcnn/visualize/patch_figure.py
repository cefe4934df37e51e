"""The strongest patches of a layer's units with their reconstructions beside: the paper's Figure 3."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from allcnn.visualize.attribution import Attributor
from allcnn.visualize.compare import TITLES
from allcnn.visualize.figures import Panel, draw, image_pictures, signal_pictures
from allcnn.visualize.layers import find_layer
from allcnn.visualize.paper import Drawn, TrainedNetwork
from allcnn.visualize.patches import Patches, cut_to_boxes, strongest_patches

if TYPE_CHECKING:
    import keras

#: Units drawn where none are named.
UNITS = 10


def draw_patches(
    network: TrainedNetwork,
    images: np.ndarray,
    layer: str,
    units: Sequence[int] | None,
    top: int,
    method: str,
    path: Path,
    figure: str,
    untrained: keras.Model | None = None,
) -> Drawn:
    """Draw a row for each unit: what `method` brings back from its strongest images, and those patches of them.

    Where the network whitens, the reconstructions are shown as they are at its input and un-whitened.

    Args:
        images: raw, (n, height, width, 3); one pass goes over them.
        units: by default the first ten.
        untrained: the network with random weights: what it brings back from the same places is shown too.

    Raises:
        InputError: as `strongest_patches`.
    """
    if units is None:
        units = range(min(UNITS, find_layer(network.model, layer).output.shape[-1]))
    whitened = network.is_whitened

    def shown(maps: np.ndarray) -> np.ndarray:
        return np.concatenate([maps, network.in_picture_space(maps)], axis=-1) if whitened else maps

    found = strongest_patches(
        network.model, images, layer, top, list(units), method, network.preprocessing, picture=shown
    )
    assert found.reconstructions is not None  # noqa: S101  (a method was given)
    blank = np.where(found.inside[..., None], 0.0, np.nan).astype(np.float32)
    # What hangs over the image in every patch, as a field larger than the image does, is not worth the room.
    rows, columns = (np.flatnonzero(found.inside.any(axis=axes)) for axes in ((0, 1, 3), (0, 1, 2)))
    cut = (..., slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1), slice(None))

    def panel(title: str, pictures: np.ndarray, labels: Sequence[str] = ()) -> Panel:
        return Panel(title, (pictures + blank)[cut], labels)

    labels = [
        f"unit {unit}" + ("" if values.any() else "\n(never active)")
        for unit, values in zip(found.units, found.activations, strict=True)
    ]
    panels = [panel(TITLES[method], signal_pictures(found.reconstructions[..., :3]), labels)]
    if whitened:
        panels.append(panel("un-whitened", signal_pictures(found.reconstructions[..., 3:])))
    panels.append(panel("image", image_pictures(found.patches)))
    if untrained is not None:
        signals = _from_the_same_places(untrained, network, images, layer, method, found)
        panels.append(panel(f"{TITLES[method]},\nrandom weights", signal_pictures(signals)))
    draw(
        [panels],
        f"{network.name}: {TITLES[method]} from the {top} strongest of {len(images):,} images for units of {layer}",
        path,
    )
    content = {
        "method": method,
        "layer": layer,
        "images_seen": len(images),
        "field": list(found.field.size),
        "units": [
            {
                "unit": int(unit),
                "images": [
                    {
                        "image": int(image),
                        "position": position.tolist(),
                        "box": box.tolist(),
                        "activation": float(value),
                    }
                    for image, position, box, value in zip(*patches, strict=True)
                ],
            }
            for unit, *patches in zip(
                found.units, found.images, found.positions, found.boxes, found.activations, strict=True
            )
        ],
    }
    return Drawn(figure, path, content)


def _from_the_same_places(
    model: keras.Model, network: TrainedNetwork, images: np.ndarray, layer: str, method: str, found: Patches
) -> np.ndarray:
    """What another network of the same layers brings back from the units, images and positions of `found`."""
    chosen = found.images.ravel()
    units = found.units.repeat(found.images.shape[1])
    attributor = Attributor(model, layer, method, network.preprocessing)
    places = found.positions.reshape(-1, 2) if len(attributor.unit_shape) == 3 else "strongest"
    maps = network.in_picture_space(attributor(images[chosen], units, places).maps)
    signals = np.zeros((*found.images.shape, *found.field.size, maps.shape[-1]), np.float32)
    rows, slots = np.unravel_index(np.arange(found.images.size), found.images.shape)
    cut_to_boxes(maps, signals, rows, slots, found.boxes, found.field.field_of(found.positions, clipped=False))
    return signals
