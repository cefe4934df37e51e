"""The figures of the paper and of the review, for a trained model of ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from allcnn.errors import InputError
from allcnn.models.parts import preprocessing_end
from allcnn.visualize.compare import TITLES, compare_methods, single_unit_patterns
from allcnn.visualize.figures import Panel, as_grid, draw, image_pictures, signal_pictures
from allcnn.visualize.rules import METHODS
from allcnn.visualize.trained import is_whitened, unwhiten

if TYPE_CHECKING:
    import keras

    from allcnn.models.saved import SavedModel

_COLUMNS = 16


@dataclass(frozen=True)
class Drawn:
    """A figure that was written, and what is in it, as plain values for JSON."""

    figure: str
    path: Path
    content: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return {"figure": self.figure, "path": str(self.path), **self.content}


class TrainedNetwork:
    """A saved model of ours, and the names and places that its figures need."""

    def __init__(self, saved: SavedModel):
        if saved.card is None:
            raise InputError(f"{saved.path}: was not written by allcnn; its layers are not known.")
        self.model: keras.Model = saved.model
        self.name = saved.card.model
        self.class_names = saved.card.class_names
        self.preprocessing = preprocessing_end(saved.model, saved.card)
        self.convolutions = [
            layer.name
            for layer in saved.model.layers
            if type(layer).__name__ == "Conv2D" and len(layer.output.shape) == 4
        ]

    def middle_layers(self) -> list[str]:
        """The two layers of Figure 3: in the middle and near the end, as conv6 and conv9 are of the paper's twelve."""
        count = len(self.convolutions)
        return [self.convolutions[index] for index in sorted({count // 2 - 1, (3 * count) // 4 - 1})]

    def has_max_pooling(self) -> bool:
        """Whether the network was trained with max-pooling."""
        return any("MaxPooling" in type(layer).__name__ for layer in self.model.layers)

    @property
    def is_whitened(self) -> bool:
        """Whether it whitens its images."""
        return is_whitened(self.model)

    def in_picture_space(self, maps: np.ndarray) -> np.ndarray:
        """Signals at the network's input as they are in a picture: un-whitened, where it whitens."""
        return unwhiten(self.model, maps) if is_whitened(self.model) else maps


def lower_layers(network: TrainedNetwork, path: Path, layers: Sequence[str] | None = None) -> Drawn:
    """Figure 2: the patterns of single units of the first three convolutions, by the deconvnet, without an image."""
    layers = list(layers or network.convolutions[:3])
    rows = []
    for layer in layers:
        maps = single_unit_patterns(network.model, layer, network.preprocessing)
        rows.append([Panel(f"{layer}: {len(maps)} units", as_grid(signal_pictures(_crop(maps)), _COLUMNS))])
        if network.is_whitened:
            shown = _crop(network.in_picture_space(maps), _box(maps))
            rows[-1].append(Panel(f"{layer}, un-whitened", as_grid(signal_pictures(shown), _COLUMNS)))
    title = f"{network.name}: patterns of single units of {', '.join(layers)}, deconvnet, no image"
    draw(rows, title, path)
    return Drawn("2", path, {"method": "deconvnet", "layers": layers})


def methods_compared(
    network: TrainedNetwork,
    images: np.ndarray,
    indices: Sequence[int | str],
    path: Path,
    figure: str,
    layer: str | None,
    units: np.ndarray | int | None = None,
    untrained: keras.Model | None = None,
) -> Drawn:
    """Figures 4 (a layer), 5 and 6 (the classes): each image's largest activation, by every method.

    images: raw, (n, height, width, 3); indices: which they are in their data set, or their names; untrained: the
    network with random weights, whose signals from the same units are shown too.
    """
    found = compare_methods(network.model, images, layer, units, network.preprocessing)
    sources = [(found.maps, "")]
    if untrained is not None:
        other = compare_methods(untrained, images, layer, found.units, network.preprocessing)
        sources.append(({key: maps for key, maps in other.maps.items() if not key[1]}, ",\nrandom weights"))
    names = [f"image {index}" if isinstance(index, int) else Path(index).name for index in indices]
    rows = [f"{name}\n{_unit_name(network, layer, unit)}" for name, unit in zip(names, found.units, strict=True)]
    panels = []
    for un_whitened in (False, True) if network.is_whitened else (False,):
        columns, labels = [image_pictures(images)], ["image"]
        for maps, more in sources:
            for method, switches in sorted(maps, key=lambda key: (key[1], METHODS.index(key[0]))):
                signals = maps[method, switches]
                columns.append(signal_pictures(network.in_picture_space(signals) if un_whitened else signals))
                labels.append(TITLES[method] + (",\nwith switches" if switches else more))
        title = "un-whitened" if un_whitened else "at the network's input, whitened" if network.is_whitened else ""
        panels.append([Panel(title, np.stack(columns, axis=1), rows, labels)])
    where = layer or "the classes, before the softmax"
    where = f"the last convolution, {layer}" if figure == "4" else where
    what = "the strongest unit" if units is None else "a unit"
    draw(panels, f"{network.name}: backpropagation, deconvnet and guided backpropagation from {what} of {where}", path)
    positions = None if found.positions is None else found.positions.tolist()
    images_drawn = [
        {"image": index, "unit": int(unit), "position": position, "activation": float(activation)}
        for index, unit, position, activation in zip(
            indices, found.units, positions or [None] * len(images), found.activations, strict=True
        )
    ]
    with_switches = any(switches for _, switches in found.maps)
    return Drawn(
        figure, path, {"methods": list(METHODS), "layer": layer, "with_switches": with_switches, "images": images_drawn}
    )


def image_whitened(network: TrainedNetwork, images: np.ndarray, indices: Sequence[int], path: Path) -> Drawn:
    """The review's Figure 3: images before and after contrast normalisation and whitening."""
    import keras

    if network.preprocessing is None:
        raise InputError("the model has no preprocessing to show.")
    before = keras.Model(network.model.inputs, network.model.get_layer(network.preprocessing).output)
    after = np.asarray(before.predict_on_batch(images.astype(np.float32)))
    centred = after - after.mean(axis=(1, 2, 3), keepdims=True)
    # As `allcnn data --samples` shows them: three standard deviations to each side.
    shown = 0.5 + centred / (6 * after.std(axis=(1, 2, 3), keepdims=True) + 1e-12)
    panels = [
        Panel("image", image_pictures(images)[:, None], [f"image {index}" for index in indices]),
        Panel("preprocessed", np.clip(shown, 0, 1)[:, None]),
    ]
    draw([panels], f"{network.name}: images before and after its preprocessing", path)
    return Drawn("review-3", path, {"images": [{"image": index} for index in indices]})


def filters(network: TrainedNetwork, path: Path) -> Drawn:
    """The review's Figure 4: the filters of the first two convolutions, the second's by their first input channel."""
    if len(network.convolutions) < 2:
        raise InputError(f"the network has {len(network.convolutions)} convolution; expected two to show filters of.")
    first, second = network.convolutions[:2]
    kernels = [network.model.get_layer(name).get_weights()[0] for name in (first, second)]
    colour = np.moveaxis(kernels[0], 3, 0)
    grey = np.moveaxis(kernels[1][:, :, :1], 3, 0).repeat(3, axis=3)
    panels = [
        Panel(f"{first}: {len(colour)} filters", as_grid(signal_pictures(colour), _COLUMNS)),
        Panel(
            f"{second}: {len(grey)} filters, their first channel",
            as_grid(signal_pictures(grey, one_scale=True), _COLUMNS),
        ),
    ]
    draw([[panel] for panel in panels], f"{network.name}: filters of {first} and {second}", path)
    return Drawn("review-4", path, {"layers": [first, second]})


def _unit_name(network: TrainedNetwork, layer: str | None, unit: int) -> str:
    return f"{layer} unit {unit}" if layer is not None else network.class_names[int(unit)]


def _box(maps: np.ndarray) -> tuple[slice, slice]:
    """The rows and columns of whole maps in which any of them is not zero."""
    used = np.abs(maps).max(axis=(0, 3)) > 0
    if not used.any():
        return slice(None), slice(None)
    rows, columns = (np.flatnonzero(used.any(axis=axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _crop(maps: np.ndarray, box: tuple[slice, slice] | None = None) -> np.ndarray:
    """Whole maps cut to where they are not zero."""
    rows, columns = box or _box(maps)
    return maps[:, rows, columns]
