"""A saved model and what was asked for -> PNG files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from allcnn.backend import load_keras
from allcnn.data.dataset import Dataset
from allcnn.data.images import ResizeRule, read_image
from allcnn.errors import InputError
from allcnn.evaluation import load_own_data
from allcnn.models.saved import find_model_file, open_saved, read_card
from allcnn.visualize.rules import check_method

if TYPE_CHECKING:
    from allcnn.visualize.paper import Drawn, TrainedNetwork

FIGURES = ("2", "3", "4", "5", "6", "review-3", "review-4")
#: Images in the figures that compare methods, and units and images in Figure 3.
_COMPARED, _UNITS, _TOP = 4, 10, 10


def draw_saved(
    path: str | Path,
    output: str | Path,
    *,
    layer: str | None = None,
    units: str | Sequence[int] | None = None,
    top: int = _TOP,
    method: str = "guided",
    images: Sequence[str | Path] = (),
    figures: str | Sequence[str] | None = None,
    random_weights: bool = False,
    dataset: str | None = None,
    data_dir: str | Path | None = None,
    image_size: int | None = None,
    mirror: str | None = None,
    announce: Callable[[str], None] = lambda line: None,
) -> list[Drawn]:
    """Draw the figures of a trained network of ours as PNG files.

    With a `layer`: its units' strongest patches in the test set, each with what `method` brings back from it. With
    `images`: all methods on these. Otherwise the paper's figures 2 to 6 and the review's 3 and 4, those of them that
    the network has.

    Args:
        path: a .keras file or a run folder.
        output: the folder for the files; made if need be.
        units: numbers, or text such as "0-9,12"; by default the first ten.
        top: images for each unit.
        figures: which of `FIGURES`, as a sequence or joined by commas.
        random_weights: beside each picture the same one from a network of shuffled weights.
        dataset, data_dir, image_size, mirror: the images, by default those that the model was trained on.
        announce: called with lines worth telling a person.

    Returns:
        A `Drawn` for each file, in order.

    Raises:
        InputError: a wrong layer, unit, figure or method; CheckpointError, DataError as their rooms say.
    """
    check_method(method)
    wanted = _which_figures(figures)
    if wanted is not None and (layer is not None or images):
        raise InputError("--figures goes with neither --layer nor --image; ask for them one after the other.")
    chosen = None if units is None else parse_units(units)
    path = find_model_file(path)
    card = read_card(path)
    if card is None:
        raise InputError(
            f"{path}: was not written by allcnn, so its preprocessing and names are not known.\n"
            "In Python, allcnn.visualize takes any Keras model."
        )
    folder = Path(output)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; expected a folder for the figures (--output).")
    rule = ResizeRule.of(card.resize, card.image_shape[0])
    pixels = np.stack([rule.centre(read_image(image)) for image in images]) if images else None
    data = load_own_data(path, card, dataset, data_dir, image_size, mirror) if pixels is None else None
    load_keras()
    from allcnn.visualize.paper import TrainedNetwork

    network = TrainedNetwork(open_saved(path))
    artist = _Artist(network, folder, method, top, random_weights, announce)
    if pixels is not None:
        return artist.own_images(pixels, [str(image) for image in images], layer, chosen)
    assert data is not None  # noqa: S101  (there are no images of one's own)
    if layer is not None:
        return [
            artist.patches(layer, chosen, data.test_set_in_memory()[0], f"patches-{layer.replace('/', '-')}-{method}")
        ]
    return artist.paper(wanted, data)


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
        if name not in FIGURES:
            raise InputError(f'unknown figure "{name}"; expected one of: {", ".join(FIGURES)}.')
    return names


class _Artist:
    """Draws for one network into one folder."""

    def __init__(
        self,
        network: TrainedNetwork,
        folder: Path,
        method: str,
        top: int,
        random_weights: bool,
        announce: Callable[[str], None],
    ) -> None:
        from allcnn.visualize.trained import with_random_weights

        self.network = network
        self.folder = folder
        self.method = method
        self.top = top
        self.announce = announce
        self.untrained = with_random_weights(network.model) if random_weights else None

    def patches(
        self, layer: str, units: list[int] | None, images: np.ndarray, name: str, figure: str = "patches"
    ) -> Drawn:
        """The strongest patches of a layer's units."""
        from allcnn.visualize.patch_figure import draw_patches

        return draw_patches(
            self.network, images, layer, units, self.top, self.method, self.folder / f"{name}.png", figure,
            self.untrained,
        )  # fmt: skip

    def own_images(
        self, pixels: np.ndarray, names: list[str], layer: str | None, units: list[int] | None
    ) -> list[Drawn]:
        """All methods on images of one's own."""
        from allcnn.visualize.paper import methods_compared

        if units is not None and len(units) != 1:
            raise InputError(f"an image is looked at from one unit; {len(units)} were given (--units).")
        unit = None if units is None else units[0]
        path = self.folder / f"images-{(layer or 'classes').replace('/', '-')}.png"
        return [methods_compared(self.network, pixels, names, path, "images", layer, unit, self.untrained)]

    def paper(self, wanted: list[str] | None, data: Dataset) -> list[Drawn]:
        """The figures asked for, or those that the network has; why another is missing is announced."""

        drawn: list[Drawn] = []
        images, _ = data.test_set_in_memory()
        for figure in wanted or self._figures_of_the_network():
            self.announce(f"drawing figure {figure} ...")
            try:
                drawn += self._figure(figure, images)
            except InputError as error:
                if wanted is not None:
                    raise
                self.announce(f"figure {figure} is left out: {error}")
        return drawn

    def _figures_of_the_network(self) -> list[str]:
        """Figures 4 and 5 compare with switches put in for strides, 6 is of networks trained with max-pooling."""
        others = {"2", "4", "5"} if self.network.has_max_pooling() else {"6"}
        return [figure for figure in FIGURES if figure not in others]

    def _figure(self, figure: str, images: np.ndarray) -> list[Drawn]:
        from allcnn.visualize import paper

        network = self.network
        indices = list(range(min(_COMPARED, len(images))))
        few = images[indices]
        path = self.folder / f"figure-{figure}.png"
        match figure:
            case "2":
                return [paper.lower_layers(network, path)]
            case "3":
                return [
                    self.patches(layer, None, images, f"figure-3-{layer}", "3") for layer in network.middle_layers()
                ]
            case "review-3":
                return [paper.image_whitened(network, few, indices, path)]
            case "review-4":
                return [paper.filters(network, path)]
        layer = network.convolutions[-1] if figure == "4" else None
        return [paper.methods_compared(network, few, indices, path, figure, layer, None, self.untrained)]
