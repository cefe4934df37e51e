"""A saved model and what was asked for -> PNG or PDF files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from allcnn.backend import load_keras
from allcnn.data.images import ResizeRule, read_image
from allcnn.errors import DataError, InputError, refuse_unknown
from allcnn.evaluation import load_own_data
from allcnn.models.saved import find_model_file, open_saved, read_card
from allcnn.visualize import paper
from allcnn.visualize.figures import check_format
from allcnn.visualize.graph import check_method
from allcnn.visualize.paper import Drawn, TrainedNetwork

FIGURES = ("2", "3", "4", "5", "6", "review-3", "review-4")
# Drawn from the weights alone.
_WITHOUT_IMAGES = ("2", "review-4")
# Images in the figures that compare methods.
_COMPARED = 4


def draw_saved(
    path: str | Path,
    output: str | Path,
    *,
    layer: str | None = None,
    units: str | Sequence[int] | None = None,
    top: int = 10,
    method: str = "guided",
    images: str | Path | Sequence[str | Path] = (),
    figures: str | Sequence[str] | None = None,
    random_weights: bool = False,
    form: str = "png",
    dataset: str | None = None,
    data_dir: str | Path | None = None,
    image_size: int | None = None,
    mirror: str | None = None,
    announce: Callable[[str], None] = lambda line: None,
) -> list[Drawn]:
    """Draw the figures of a trained network of ours as PNG or PDF files.

    With a `layer`: its units' strongest patches in the test set, each with what `method` brings back from it. With
    `images`: all methods on these. Otherwise the paper's figures 2 to 6 and the review's 3 and 4, those of them that
    the network has.

    Args:
        path: a .keras file or a run folder.
        output: the folder for the files; made if need be.
        units: of the layer, or one to look at the images from: numbers, or text such as "0-9,12"; by default the first
            ten, or each image's strongest.
        top: images for each unit.
        figures: which of `FIGURES`, as a sequence or joined by commas.
        random_weights: beside each picture the same one from a network of shuffled weights.
        form: "png" or "pdf".
        dataset, data_dir, image_size, mirror: the images, by default those that the model was trained on. If they are
            nowhere, and no figure was asked for by name, those are drawn that need none: 2 and review-4.
        announce: called with lines worth telling a person.

    Returns:
        A `Drawn` for each file, in order.

    Raises:
        InputError: a wrong layer, unit, figure, method or format, or Figure 6 of a network without max-pooling;
            CheckpointError, DataError as their rooms say.
    """
    check_method(method)
    check_format(form)
    wanted = _which_figures(figures)
    if wanted is not None and (layer is not None or images):
        raise InputError("--figures goes with neither --layer nor --image; ask for them one after the other.")
    if units is not None and layer is None and not images:
        raise InputError("--units goes with --layer or --image; the figures of the paper choose their units.")
    images = [images] if isinstance(images, str | Path) else images
    chosen = None if units is None else parse_units(units)
    if images and chosen is not None and len(chosen) != 1:
        raise InputError(f"an image is looked at from one unit; {len(chosen)} were given (--units).")
    path = find_model_file(path)
    card = read_card(path)
    if card is None:
        raise InputError(
            f"{path}: was not written by allcnn, so its preprocessing and names are not known.\n"
            "In Python, allcnn.visualize takes any functional or sequential Keras model."
        )
    folder = Path(output)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; expected a folder for the figures (--output).")
    rule = ResizeRule.of(card.resize, card.image_shape[0])
    pixels = np.stack([rule.centre(read_image(image)) for image in images]) if images else None
    asked = wanted or list(FIGURES)
    data, missing = None, None
    if pixels is None and (layer is not None or not set(asked) <= set(_WITHOUT_IMAGES)):
        try:
            data = load_own_data(path, card, dataset, data_dir, image_size, mirror)
        except DataError as error:
            if layer is not None or wanted is not None or data_dir is not None:
                raise
            missing = error
    load_keras()
    network = TrainedNetwork(open_saved(path), random_weights)
    if pixels is not None:
        unit = None if chosen is None else chosen[0]
        file = folder / f"images-{(layer or 'classes').replace('/', '-')}.{form}"
        names = [str(image) for image in images]
        return [paper.methods_compared(network, pixels, names, file, "images", layer, unit)]
    test_images, labels = np.empty((0, *card.image_shape), np.uint8), np.empty(0, np.int64)
    if data is not None:
        test_images, labels = data.test_set_in_memory()
    if layer is not None:
        file = folder / f"patches-{layer.replace('/', '-')}-{method}.{form}"
        return [paper.draw_patches(network, test_images, labels, layer, chosen, top, method, file, "patches")]
    if wanted is not None and "6" in wanted and not network.has_max_pooling():
        raise InputError(
            f"Figure 6 shows a network that was trained with max-pooling; {network.name} has no max-pooling.\n"
            "Ask for --figures 5: the same of this network, also with max-pooling put in after training."
        )
    # Figures 4 and 5 compare with switches put in for strides, 6 is of networks trained with max-pooling.
    others = {"2", "4", "5"} if network.has_max_pooling() else {"6"}
    if wanted is None:
        asked = [figure for figure in FIGURES if figure not in others]
    if missing is not None:
        left = [figure for figure in asked if figure not in _WITHOUT_IMAGES]
        announce(f"figures {', '.join(left)} show test images, which are not here, and are left out: {missing}")
        asked = [figure for figure in asked if figure in _WITHOUT_IMAGES]
    drawn: list[Drawn] = []
    for figure in asked:
        announce(f"drawing figure {figure} ...")
        try:
            drawn += _draw_figure(figure, network, test_images, labels, folder, form, method, top)
        except InputError as error:
            if wanted is not None:
                raise
            announce(f"figure {figure} is left out: {error}")
    return drawn


def parse_units(units: str | Sequence[int]) -> list[int]:
    """Unit numbers from text such as "0-9,12". Raises InputError."""
    if not isinstance(units, str):
        return [int(unit) for unit in units]
    found: list[int] = []
    for part in units.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or (dash and int(last) < int(first)):
            raise InputError(f'cannot read the units "{units[:80]}"; expected numbers such as 0-9 or 3,5,8-12.')
        if dash and int(last) - int(first) > 65_536:
            raise InputError(f'"{part.strip()[:40]}" is more units than any layer has.')
        found += range(int(first), int(last or first) + 1)
    return list(dict.fromkeys(found))


def _which_figures(figures: str | Sequence[str] | None) -> list[str] | None:
    if figures is None:
        return None
    names = [name.strip() for name in figures.split(",")] if isinstance(figures, str) else list(figures)
    for name in names:
        refuse_unknown("figure", name, FIGURES)
    return names


def _draw_figure(
    figure: str,
    network: TrainedNetwork,
    images: np.ndarray,
    labels: np.ndarray,
    folder: Path,
    form: str,
    method: str,
    top: int,
) -> list[Drawn]:
    """One of `FIGURES`; Figure 3 is a file for each of its layers."""
    indices = list(range(min(_COMPARED, len(images))))
    few, their_labels = images[indices], labels[indices]
    path = folder / f"figure-{figure}.{form}"
    match figure:
        case "2":
            return [paper.lower_layers(network, path)]
        case "3":
            files = {layer: folder / f"figure-3-{layer}.{form}" for layer in network.middle_layers()}
            return [
                paper.draw_patches(network, images, labels, layer, None, top, method, file, "3")
                for layer, file in files.items()
            ]
        case "review-3":
            return [paper.image_whitened(network, few, their_labels, indices, path)]
        case "review-4":
            return [paper.filters(network, path)]
    layer = None
    if figure == "4":
        network.check_convolutions()
        layer = network.convolutions[-1]
    return [paper.methods_compared(network, few, indices, path, figure, layer, labels=their_labels)]
