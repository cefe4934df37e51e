"""The best network of each kind, loaded: its confusion, its mistakes, its filters, its strongest patches."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from allcnn.backend import load_keras
from allcnn.data.dataset import Dataset
from allcnn.data.download import find_kept
from allcnn.data.layouts import CLASSES
from allcnn.errors import AllcnnError, CheckpointError, DataError
from allcnn.evaluation import is_data_of_training, load_own_data, probabilities
from allcnn.models.parts import check_images_fit
from allcnn.models.saved import find_model_file, open_saved, read_card
from allcnn.page.figures import confusion
from allcnn.page.overview import best_of_each_network
from allcnn.runs.collected import CollectedRun
from allcnn.scores import Evaluation, score

if TYPE_CHECKING:
    from allcnn.models.saved import SavedModel

#: The most networks that are loaded: each takes a pass over its test images.
INSPECTED = 6
#: The most mistakes and correct images that are shown.
WORST, CORRECT = 12, 6
#: Strongest patches: the most units, the images of each, and the test images that are searched.
UNITS, TOP, SEARCHED = 6, 6, 2000
# This many units are tried, in their order; those that no image excites are left out.
_CANDIDATES = 16
_FILTER_COLUMNS = 16
# Test images are shown no larger than this, in pixels: a page holds many.
_LARGEST_SIDE = 96
# What a damaged or too large file raises beside our own errors.
_REFUSED = (AllcnnError, OSError, MemoryError)
T = TypeVar("T")


@dataclass(frozen=True)
class Inspected:
    """A network and what it made of its test images. chances: (n, classes), the probabilities."""

    saved: SavedModel
    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    chances: np.ndarray

    @property
    def guesses(self) -> np.ndarray:
        """(n,) the likeliest class of each image."""
        return self.chances.argmax(axis=1)

    @cached_property
    def evaluation(self) -> Evaluation:
        """The same as `allcnn.evaluate` gives."""
        return score(self.chances, self.labels, self.class_names)


class Picture(NamedTuple):
    """A picture for the template: a PNG in base64, its size in pixels, and what it shows."""

    png: str
    width: int
    height: int
    says: str


def networks(runs: Sequence[CollectedRun], names: Sequence[str], announce: Callable[[str], None]) -> dict[str, Any]:
    """The section's content: "found", how many networks there are, and "shown", what each has to show."""
    best = best_of_each_network(runs)
    names_by_run = {id(run): name for run, name in zip(runs, names, strict=True)}
    # Networks of the same data one after the other, so that these are loaded once; shown in the order of errors.
    by_data = sorted(enumerate(best[:INSPECTED]), key=lambda pair: (pair[1].dataset, pair[1].digest))
    loaded: dict[tuple[object, ...], Dataset] = {}
    shown = {}
    for place, run in by_data:
        name = names_by_run[id(run)]
        announce(f"looking into {name} ...")
        about = {"model": run.model, "dataset": run.dataset, "name": name, "spec": run.spec}
        shown[place] = {**about, **_network(run, name, f"network{place}", loaded, announce)}
    return {"found": len(best), "shown": [shown[place] for place in sorted(shown)]}


def _network(
    run: CollectedRun,
    name: str,
    anchor: str,
    loaded: dict[tuple[object, ...], Dataset],
    announce: Callable[[str], None],
) -> dict[str, Any]:
    def attempt(part: Callable[[], T], what: str, instead: str) -> T | str:
        """A part of the page, or a sentence on why it is missing."""
        try:
            return part()
        except _REFUSED as error:
            announce(f"{what} left out: {_reason(error, run)}")
            return f"{instead}: {_reason(error, run)}"

    inspected = attempt(lambda: inspect(run, loaded), f"{name} is", "Not looked into")
    if isinstance(inspected, str):
        return {"missing": inspected}
    patches = "strongest patches"
    return {
        "missing": None,
        "errors": inspected.evaluation.errors,
        "images": inspected.evaluation.images,
        "confusion": confusion(inspected.evaluation, f"{anchor}-confusion"),
        **samples(inspected),
        "filters": attempt(lambda: _filters(inspected), f"the filters of {name} are", "No filters"),
        "strongest": attempt(lambda: _strongest(inspected), f"the {patches} of {name} are", f"No {patches}"),
    }


def _reason(error: BaseException, run: CollectedRun) -> str:
    """The first line, without the folders in which the run and the user's own lie: pages are passed on."""
    said = (str(error) or type(error).__name__).splitlines()[0]
    for folder, name in ((run.folder.path.absolute(), run.name), (Path.home(), "~")):
        said = said.replace(str(folder), name)
    return said[:400]


def inspect(run: CollectedRun, loaded: dict[tuple[object, ...], Dataset]) -> Inspected:
    """Load a run's network and data, and predict. loaded: keeps the last data set for the next run.

    Raises:
        CheckpointError: the network is missing, damaged, or asks for code.
        DataError: the images are missing or are not those of the run. Nothing is downloaded for a page.
        InputError: the images do not fit the network.
    """
    path = find_model_file(run.folder.path.absolute())  # which `_reason` knows in a message
    card = read_card(path)
    if card is None:
        raise CheckpointError(f"{path}: has no card of allcnn.")
    stream, skip_damaged = (bool(run.config.get(name)) for name in ("streamed", "skip_damaged"))
    key = (card.dataset, card.data_dir, card.image_shape, card.class_names, card.resize, stream, skip_damaged)
    if key not in loaded:
        loaded.clear()  # memory may hold one data set, not two
        given = card.data_dir is not None and os.path.exists(card.data_dir)
        if card.dataset in CLASSES and not given and find_kept(card.dataset) is None:
            raise DataError(f"{card.dataset} is not on this machine any more where it was kept.")
        loaded[key] = load_own_data(path, card, stream=stream, skip_damaged=skip_damaged)
    data = loaded[key]
    if card.digest != run.digest or is_data_of_training(card, data) is False:
        raise DataError(f"{data.source}: holds other images than the run was trained on.")
    load_keras()
    saved = open_saved(path)
    check_images_fit(saved.model, data.test_images)
    images, labels = data.test_set_in_memory()
    return Inspected(saved, images, labels, data.class_names, probabilities(saved.model, images))


def samples(inspected: Inspected) -> dict[str, list[dict[str, Any]]]:
    """The worst mistakes, by the probability of the wrong class, and the first correct images."""
    guesses, chances = inspected.guesses, inspected.chances.max(axis=1)
    wrong = np.flatnonzero(guesses != inspected.labels)
    worst = wrong[np.argsort(-chances[wrong], kind="stable")][:WORST]
    correct = np.flatnonzero(guesses == inspected.labels)[:CORRECT]

    def sample(index: int) -> dict[str, Any]:
        label, guess = int(inspected.labels[index]), int(guesses[index])
        true, guessed = inspected.class_names[label], inspected.class_names[guess]
        says = true if true == guessed else f"{true}, taken for {guessed}"
        return {
            "picture": _picture(inspected.images[index], f"test image {index}: {says}", _LARGEST_SIDE),
            "index": index,
            "true": true,
            "guess": guessed,
            "true_percent": 100 * float(inspected.chances[index, label]),
            "guess_percent": 100 * float(chances[index]),
        }

    return {"worst": [sample(int(index)) for index in worst], "correct": [sample(int(index)) for index in correct]}


def _filters(inspected: Inspected) -> dict[str, Any] | str:
    """The filters of the first convolution, or why there are none to see."""
    from allcnn.visualize.figures import as_grid, signal_pictures
    from allcnn.visualize.paper import TrainedNetwork

    first = TrainedNetwork(inspected.saved).convolutions[:1]
    if not first:
        return "The network has no convolution."
    kernel = np.moveaxis(inspected.saved.model.get_layer(first[0]).get_weights()[0], 3, 0)
    if kernel.shape[-1] != 3:
        return f"The filters of {first[0]} are not of three colours."
    grid = _sheet(as_grid(signal_pictures(kernel), _FILTER_COLUMNS))
    size = f"{kernel.shape[1]}x{kernel.shape[2]}"
    return {"layer": first[0], "picture": _picture(grid, f"filters of {first[0]}"), "count": len(kernel), "size": size}


def _strongest(inspected: Inspected) -> dict[str, Any] | str:
    """The strongest patches of a middle layer's units, and their guided backpropagation, or why there are none.

    Raises:
        InputError: the network is not one that signals can be sent back through.
    """
    from allcnn.visualize.figures import Caption, tinted
    from allcnn.visualize.paper import TrainedNetwork

    network = TrainedNetwork(inspected.saved)
    layer = network.middle_layers()[0]
    images = inspected.images[:SEARCHED]
    top = min(TOP, len(images))
    found = network.strongest_patches(images, layer, top, None, "guided", most=_CANDIDATES)
    patches, signals = found.pictures()
    rows = [tinted(pictures) for pictures in (patches, *signals)]
    firing = [index for index in range(len(found.units)) if found.activations[index, 0] > 0][:UNITS]
    if not firing:
        return f"None of the first {len(found.units)} units of {layer} responds to any image."

    def classes(image: int) -> str:
        true, guess = (inspected.class_names[int(labels[image])] for labels in (inspected.labels, inspected.guesses))
        return Caption(true, guess, 100 * float(inspected.chances[image].max())).in_lines()

    def unit(index: int) -> tuple[Picture, str, list[str]]:
        number, activations = found.units[index], found.activations[index]
        shown = _picture(_sheet(np.stack([row[index] for row in rows])), f"patches of unit {number}")
        says = f"unit {number}, activations {activations[0]:.3g} to {activations[-1]:.3g}"
        return shown, says, [classes(image) for image in found.images[index]]

    return {
        "layer": layer, "top": top, "searched": len(images), "field": found.field.size,
        "whitened": network.is_whitened, "silent": len(firing) < min(UNITS, len(found.units)),
        "overhang": not found.inside[firing].all(), "units": [unit(index) for index in firing],
    }  # fmt: skip


def _picture(pixels: np.ndarray, says: str, largest_side: int | None = None) -> Picture:
    """Pixels (height, width, 3), or 4 with transparency, uint8 or 0..1, as a picture for the template."""
    from PIL import Image

    if pixels.dtype != np.uint8:
        pixels = np.round(np.clip(pixels, 0.0, 1.0) * 255).astype(np.uint8)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if largest_side is not None:
        image.thumbnail((largest_side, largest_side))
    file = io.BytesIO()
    image.save(file, format="PNG", optimize=True)
    return Picture(base64.b64encode(file.getvalue()).decode("ascii"), image.width, image.height, says)


def _sheet(tiles: np.ndarray) -> np.ndarray:
    """A grid (rows, columns, height, width, 3) of pictures 0..1 as one; transparent between them and where NaN is."""
    opaque = np.concatenate([np.nan_to_num(tiles), ~np.isnan(tiles).any(axis=-1, keepdims=True)], axis=-1)
    spaced = np.pad(opaque, ((0, 0), (0, 0), (0, 1), (0, 1), (0, 0)))
    rows, columns, height, width, _ = spaced.shape
    return spaced.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, 4)[:-1, :-1]
