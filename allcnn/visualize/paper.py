"""The figures of the paper and of the review, for a trained model of ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from allcnn.errors import InputError
from allcnn.evaluation import probabilities
from allcnn.models.parts import preprocessing_end
from allcnn.preprocessing.versions import to_visible
from allcnn.visualize.altered import with_random_weights
from allcnn.visualize.attribution import STRONGEST, Attributor
from allcnn.visualize.compare import compare_methods, single_unit_patterns
from allcnn.visualize.figures import Caption, Panel, as_grid, draw, image_pictures, signal_pictures
from allcnn.visualize.graph import METHODS, Graph
from allcnn.visualize.patches import Patches, strongest_patches

if TYPE_CHECKING:
    import keras

    from allcnn.models.saved import SavedModel

# Columns of units and filters; of those that are shown twice, side by side.
_COLUMNS, _COLUMNS_TWICE = 24, 16
# What stands above the columns.
_TITLES = {"backpropagation": "backpropagation", "deconvnet": "deconvnet", "guided": "guided backprop."}


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
    """A saved model of ours, and the names and places that its figures need.

    Args:
        random_weights: whether the figures show the same signals of a network with shuffled weights beside.
    """

    def __init__(self, saved: SavedModel, random_weights: bool = False):
        if saved.card is None:
            raise InputError(f"{saved.path}: was not written by allcnn; its layers are not known.")
        self.model: keras.Model = saved.model
        self.untrained = with_random_weights(saved.model) if random_weights else None
        self.name = saved.card.model
        self.class_names = saved.card.class_names
        self.preprocessing = preprocessing_end(saved.model, saved.card)
        #: Whether it whitens its images.
        self.is_whitened = any(layer.name == "zca" for layer in saved.model.layers)
        self.convolutions = [
            layer.name
            for layer in saved.model.layers
            if type(layer).__name__ == "Conv2D" and len(layer.output.shape) == 4
        ]

    def check_convolutions(self, least: int = 1) -> None:
        """Refuse a network of fewer convolutions than a figure shows. Raises InputError."""
        count = len(self.convolutions)
        if count < least:
            raise InputError(f"the network has {count or 'no'} convolution; expected at least {least}.")

    def middle_layers(self) -> list[str]:
        """The two layers of Figure 3: in the middle and near the end, as conv6 and conv9 are of the paper's twelve.

        Raises:
            InputError: the network has no convolution.
        """
        self.check_convolutions()
        count = len(self.convolutions)
        return [self.convolutions[index] for index in sorted({count // 2 - 1, (3 * count) // 4 - 1})]

    def has_max_pooling(self) -> bool:
        """Whether the network was trained with max-pooling."""
        return any("MaxPooling" in type(layer).__name__ for layer in self.model.layers)

    def captions(self, images: np.ndarray, labels: np.ndarray | None = None) -> list[Caption]:
        """The true class, where labels are given, and the predicted class of each of n raw images."""
        chances = probabilities(self.model, images)
        true = [None] * len(images) if labels is None else [self.class_names[int(label)] for label in labels]
        return [
            Caption(known, self.class_names[int(row.argmax())], 100 * float(row.max()))
            for known, row in zip(true, chances, strict=True)
        ]

    def in_picture_space(self, maps: np.ndarray) -> np.ndarray:
        """Signals at the network's input, (n, height, width, 3), as they are in a picture.

        Where the network whitens by y = x P, this is y P^-1. The mean is left out, since a signal is a direction and
        not an image; so is each image's own contrast.
        """
        if not self.is_whitened:
            return maps
        matrix = self.model.get_layer("zca").get_weights()[0].astype(np.float64)
        return np.linalg.solve(matrix.T, maps.reshape(len(maps), -1).T).T.reshape(maps.shape).astype(np.float32)

    def strongest_patches(
        self, images: np.ndarray, layer: str, top: int, units: Sequence[int] | None, method: str, most: int = 10
    ) -> Patches:
        """The strongest patches of a layer's units with their reconstructions, of 3 channels, or 6 if it whitens.

        Channels 3 to 5 have the reconstructions un-whitened.

        Args:
            images: raw, (n, height, width, 3); one pass goes over them.
            units: by default the first `most`.

        Raises:
            InputError: as `allcnn.visualize.strongest_patches`.
        """
        if units is None:
            units = range(min(most, Graph(self.model, METHODS[0]).output(layer).shape[-1]))

        def shown(maps: np.ndarray) -> np.ndarray:
            return np.concatenate([maps, self.in_picture_space(maps)], axis=-1) if self.is_whitened else maps

        return strongest_patches(self.model, images, layer, top, list(units), method, self.preprocessing, picture=shown)


def lower_layers(network: TrainedNetwork, path: Path) -> Drawn:
    """Figure 2: the patterns of single units of the first three convolutions, by the deconvnet, without an image."""
    network.check_convolutions()
    layers = network.convolutions[:3]
    columns = _COLUMNS_TWICE if network.is_whitened else _COLUMNS
    rows = []
    for layer in layers:
        maps = single_unit_patterns(network.model, layer, network.preprocessing)
        box = (slice(None), *_bounds(np.any(maps, axis=(0, 3))))
        rows.append([Panel(f"{layer}: {len(maps)} units", as_grid(signal_pictures(maps[box]), columns))])
        if network.is_whitened:
            shown = network.in_picture_space(maps)[box]
            rows[-1].append(Panel(f"{layer}, un-whitened", as_grid(signal_pictures(shown), columns)))
    title = f"{network.name}: patterns of single units of {', '.join(layers)}, deconvnet, no image"
    draw(rows, title, path)
    return Drawn("2", path, {"method": "deconvnet", "layers": layers})


def draw_patches(
    network: TrainedNetwork,
    images: np.ndarray,
    labels: np.ndarray,
    layer: str,
    units: Sequence[int] | None,
    top: int,
    method: str,
    path: Path,
    figure: str,
) -> Drawn:
    """Figure 3: a row for each unit, with what `method` brings back from its strongest images, and those patches.

    Where the network whitens, the reconstructions are shown as they are at its input and un-whitened.

    Args:
        images: raw, (n, height, width, 3); one pass goes over them.
        labels: (n,), their true classes.
        units: by default the first ten.

    Raises:
        InputError: as `strongest_patches`.
    """
    found = network.strongest_patches(images, layer, top, units, method)
    patches, signals = found.pictures()
    # What hangs over the image in every patch, as a field larger than the image does, is not worth the room.
    cut = (..., *_bounds(np.any(found.inside, axis=(0, 1))), slice(None))
    units_named = [
        f"unit {unit}" + ("" if values.any() else "\n(never active)")
        for unit, values in zip(found.units, found.activations, strict=True)
    ]
    panels = [Panel(_TITLES[method], signals[0][cut], units_named)]
    panels += [Panel("un-whitened", pictures[cut]) for pictures in signals[1:]]
    shown = np.unique(found.images)
    of_each = dict(zip(shown.tolist(), network.captions(images[shown], labels[shown]), strict=True))
    captions = [[of_each[image] for image in row] for row in found.images.tolist()]
    panels.append(Panel("image", patches[cut], captions=captions))
    if network.untrained is not None:
        other = signal_pictures(_untrained_signals(network, network.untrained, images, layer, method, found))
        panels.append(Panel(f"{_TITLES[method]},\nrandom weights", np.where(np.isnan(patches), np.nan, other)[cut]))
    draw(
        [panels],
        f"{network.name}: {_TITLES[method]} from the {top} strongest of {len(images):,} images for units of {layer}",
        path,
    )

    def patch(unit: int, rank: int) -> dict[str, Any]:
        return {
            "image": int(found.images[unit, rank]),
            "position": found.positions[unit, rank].tolist(),
            "box": found.boxes[unit, rank].tolist(),
            "activation": float(found.activations[unit, rank]),
            **_classes(captions[unit][rank]),
        }

    content = {
        "method": method,
        "layer": layer,
        "images_seen": len(images),
        "field": list(found.field.size),
        "units": [
            {"unit": int(unit), "images": [patch(index, rank) for rank in range(found.images.shape[1])]}
            for index, unit in enumerate(found.units)
        ],
    }
    return Drawn(figure, path, content)


def methods_compared(
    network: TrainedNetwork,
    images: np.ndarray,
    indices: Sequence[int | str],
    path: Path,
    figure: str,
    layer: str | None,
    units: np.ndarray | int | None = None,
    labels: np.ndarray | None = None,
) -> Drawn:
    """Figures 4 (a layer), 5 and 6 (the classes): each image's largest activation, by every method.

    images: raw, (n, height, width, 3); indices: which they are in their data set, or their names; labels: (n,), the
    true classes.
    """
    found = compare_methods(network.model, images, layer, units, network.preprocessing)
    columns = [
        (_TITLES[method] + (",\nwith switches" if switches else ""), maps)
        for (method, switches), maps in found.maps.items()
    ]
    if network.untrained is not None:
        for method in METHODS:
            attributor = Attributor(network.untrained, layer, method, network.preprocessing)
            columns.append((f"{_TITLES[method]},\nrandom weights", attributor(images, found.units).maps))
    headings = ["image", *(heading for heading, _ in columns)]
    names = [f"image {index}" if isinstance(index, int) else Path(index).name for index in indices]
    units_named = [f"unit {unit}" if layer else f"class {network.class_names[int(unit)]}" for unit in found.units]
    rows = [f"{name}\n{unit}" for name, unit in zip(names, units_named, strict=True)]
    captions = network.captions(images, labels)
    panels = []
    for un_whitened in (False, True) if network.is_whitened else (False,):
        signals = [network.in_picture_space(maps) if un_whitened else maps for _, maps in columns]
        tiles = np.stack([image_pictures(images), *map(signal_pictures, signals)], axis=1)
        title = "un-whitened" if un_whitened else "at the network's input, whitened" if network.is_whitened else ""
        panels.append([Panel(title, tiles, rows, headings, [[one] for one in captions])])
    where = layer or "the classes, before the softmax"
    where = f"the last convolution, {layer}" if figure == "4" else where
    what = "the strongest unit" if units is None else "a unit"
    draw(panels, f"{network.name}: backpropagation, deconvnet and guided backpropagation from {what} of {where}", path)
    positions = None if found.positions is None else found.positions.tolist()
    images_drawn = [
        {
            "image": index,
            "unit": int(unit),
            "position": position,
            "activation": float(activation),
            **_classes(caption),
        }
        for index, unit, position, activation, caption in zip(
            indices, found.units, positions or [None] * len(images), found.activations, captions, strict=True
        )
    ]
    with_switches = any(switches for _, switches in found.maps)
    return Drawn(
        figure, path, {"methods": list(METHODS), "layer": layer, "with_switches": with_switches, "images": images_drawn}
    )


def image_whitened(
    network: TrainedNetwork, images: np.ndarray, labels: np.ndarray, indices: Sequence[int], path: Path
) -> Drawn:
    """The review's Figure 3: images before and after contrast normalisation and whitening."""
    import keras

    if network.preprocessing is None:
        raise InputError("the model has no preprocessing to show.")
    before = keras.Model(network.model.inputs, network.model.get_layer(network.preprocessing).output)
    after = to_visible(np.asarray(before.predict_on_batch(images.astype(np.float32))))
    captions = network.captions(images, labels)
    rows = [
        [Panel("", image_pictures(images)[None], ["image"], [f"image {index}" for index in indices], [captions])],
        [Panel("", image_pictures(after)[None], ["preprocessed"])],
    ]
    draw(rows, f"{network.name}: images before and after its preprocessing", path)
    drawn = [{"image": index, **_classes(caption)} for index, caption in zip(indices, captions, strict=True)]
    return Drawn("review-3", path, {"images": drawn})


def filters(network: TrainedNetwork, path: Path) -> Drawn:
    """The review's Figure 4: the filters of the first two convolutions, the second's by their first input channel."""
    network.check_convolutions(2)
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


def _classes(caption: Caption) -> dict[str, Any]:
    """A caption for JSON, with a probability from 0 to 1 as `allcnn predict` gives it."""
    return {"true_class": caption.true, "predicted_class": caption.predicted, "probability": caption.percent / 100}


def _bounds(mask: np.ndarray) -> tuple[slice, slice]:
    """The rows and columns of a mask (height, width) that hold all of what is set; of an empty one all."""
    if not mask.any():
        return slice(None), slice(None)
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _untrained_signals(
    network: TrainedNetwork, untrained: keras.Model, images: np.ndarray, layer: str, method: str, found: Patches
) -> np.ndarray:
    """What the untrained network brings back from the units, images and positions of `found`."""
    attributor = Attributor(untrained, layer, method, network.preprocessing)
    units, positions = found.units.repeat(found.images.shape[1]), found.positions.reshape(-1, 2)
    places = positions if len(attributor.unit_shape) == 3 else STRONGEST
    maps = attributor(images[found.images.ravel()], units, places).maps
    signals = found.field.cut(network.in_picture_space(maps), positions)
    return signals.reshape(*found.images.shape, *signals.shape[1:])
