"""Looks into the best network of each kind: its confusion, its mistakes, its filters, its strongest patches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from allcnn.errors import AllcnnError
from allcnn.page.images import Picture, picture, sheet, small
from allcnn.page.looked import Looked, Onlooker
from allcnn.page.overview import best_of_each_network
from allcnn.page.plots import Plot, axis, plain, plot
from allcnn.runs.collected import CollectedRun

#: Networks that are loaded and looked into, each of which takes a pass over its test images.
LOOKED_INTO = 6
#: Mistakes and hits that are shown.
WORST, RIGHT = 12, 6
#: Units and images of the strongest patches, and how many test images they are looked for in.
UNITS, TOP, SEEN = 6, 6, 2000
# Units are looked at in order until so many; those that nothing excites are passed over.
_CANDIDATES = 16
_FILTER_COLUMNS = 16
# More classes than this have no room for a number in each field of the confusion, or for a name at each row.
_NUMBERED, _NAMED = 12, 30
# From nothing, which is the page's own colour, to all. Never so deep that black letters, or white ones in the dark,
# could not be read on it.
_SCALE = [[0, "rgba(59, 130, 246, 0.0)"], [0.02, "rgba(59, 130, 246, 0.12)"], [1, "rgba(59, 130, 246, 0.75)"]]
# What a file that is damaged, or too large, raises beside the errors of ours.
_REFUSED = (AllcnnError, OSError, MemoryError)
T = TypeVar("T")


class Missing(str):
    """Why a part of the page is not there."""


def networks(runs: Sequence[CollectedRun], names: Sequence[str], announce: Callable[[str], None]) -> dict[str, Any]:
    """The section's content: "found", how many networks there are, and "shown", what each has to show."""
    best = best_of_each_network(runs)
    chosen = best[:LOOKED_INTO]
    names_by_run = {id(run): name for run, name in zip(runs, names, strict=True)}
    # Those of the same data one after the other, so that these are loaded once; then back in the order of errors.
    onlooker, shown = Onlooker(), {}
    for run in sorted(chosen, key=lambda run: (run.dataset, run.digest)):
        announce(f"looking into {names_by_run[id(run)]} ...")
        place = next(index for index, one in enumerate(chosen) if one is run)
        shown[place] = _network(run, names_by_run[id(run)], f"network{place}", onlooker, announce)
    return {"found": len(best), "shown": [shown[place] for place in range(len(chosen))]}


def _network(
    run: CollectedRun, name: str, anchor: str, onlooker: Onlooker, announce: Callable[[str], None]
) -> dict[str, Any]:
    about = {"model": run.model, "dataset": run.dataset, "name": name, "spec": run.config.get("spec", "")}
    try:
        looked = onlooker.look(run)
    except _REFUSED as error:
        announce(f"{name} is left out: {_reason(error, run)}")
        return {**about, "missing": f"Not looked into: {_reason(error, run)}"}

    def guarded(part: Callable[[Looked], T], what: str) -> T | Missing:
        try:
            return part(looked)
        except _REFUSED as error:
            announce(f"the {what} of {name} are left out: {_reason(error, run)}")
            return Missing(f"No {what}: {_reason(error, run)}")

    return {
        **about,
        "missing": None,
        "errors": looked.errors,
        "images": len(looked.labels),
        "confusion": confusion(looked, f"{anchor}-confusion"),
        **samples(looked),
        "filters": guarded(filters, "filters"),
        "strongest": guarded(strongest, "strongest patches"),
    }


def _reason(error: BaseException, run: CollectedRun) -> str:
    """The first line, without the folders that the run and the user's own lie in: pages are passed on."""
    said = (str(error) or type(error).__name__).splitlines()[0]
    for folder, name in ((run.folder.path.absolute(), run.name), (run.folder.path, run.name), (Path.home(), "~")):
        said = said.replace(str(folder), name)
    return said[:400]


def confusion(looked: Looked, identity: str) -> Plot:
    """A heat map, a row for each class: the share of its images that was taken for each."""
    counts = looked.confusion
    shares = 100.0 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = [plain(name) for name in looked.class_names]
    # Numbers as places, names as their labels: two classes may have one name, and plotly would merge them.
    places = list(range(len(names)))
    numbered = len(names) <= _NUMBERED
    trace = {
        "type": "heatmap",
        "x": places,
        "y": places,
        "z": np.round(shares, 2).tolist(),
        "zmin": 0,
        "zmax": 100,
        "colorscale": _SCALE,
        "showscale": False,
        "xgap": 1 if numbered else 0,
        "ygap": 1 if numbered else 0,
        "text": [[str(count) if count else "" for count in row] for row in counts.tolist()] if numbered else None,
        "texttemplate": "%{text}" if numbered else None,
        "textfont": {"size": 11},
        "customdata": [
            [[names[row], names[column], int(counts[row, column]), int(counts[row].sum())] for column in places]
            for row in places
        ],
        "hovertemplate": "%{customdata[0]}, taken for %{customdata[1]}:<br>%{customdata[2]} of %{customdata[3]} "
        "images (%{z:.1f} %)<extra></extra>",
    }  # fmt: skip
    labels = (
        {"tickvals": places, "ticktext": [plain(name if len(name) <= 16 else f"{name[:15]}…")
                                          for name in looked.class_names]}
        if len(names) <= _NAMED else {}
    )  # fmt: skip
    return plot(
        identity,
        "Confusion: rows are the true classes, columns what they were taken for; on the diagonal what is right",
        "confusion",
        460,
        [trace],
        axis("taken for", **labels, tickangle=-45, showgrid=False, zeroline=False, ticks=""),
        axis("true class", **labels, autorange="reversed", ticks="", showgrid=False, zeroline=False),
    )


def samples(looked: Looked) -> dict[str, list[dict[str, Any]]]:
    """The worst mistakes, by the probability of the wrong class, and the first images that were right."""
    guesses, rows = looked.guesses, np.arange(len(looked.labels))
    sure = looked.chances[rows, guesses]
    wrong = np.flatnonzero(guesses != looked.labels)
    worst = wrong[np.argsort(-sure[wrong], kind="stable")][:WORST]
    right = np.flatnonzero(guesses == looked.labels)[:RIGHT]
    return {"worst": [_sample(looked, index) for index in worst], "right": [_sample(looked, index) for index in right]}


def _sample(looked: Looked, index: int) -> dict[str, Any]:
    true, guess = (looked.class_names[int(labels[index])] for labels in (looked.labels, looked.guesses))
    own, sure = (100 * float(looked.chances[index, labels[index]]) for labels in (looked.labels, looked.guesses))
    says = true if true == guess else f"{true}, taken for {guess}"
    return {
        "picture": picture(small(looked.images[index]), f"test image {index}: {says}"),
        "index": int(index), "true": true, "own": own, "guess": guess, "sure": sure,
    }  # fmt: skip


def filters(looked: Looked) -> dict[str, Any] | Missing:
    """The filters of the first convolution. Raises InputError for a network that has none."""
    from allcnn.visualize.figures import as_grid, signal_pictures
    from allcnn.visualize.paper import TrainedNetwork

    first = TrainedNetwork(looked.saved).convolutions[:1]
    if not first:
        return Missing("The network has no convolution.")
    kernel = np.moveaxis(looked.saved.model.get_layer(first[0]).get_weights()[0], 3, 0)
    if kernel.shape[-1] != 3:
        return Missing(f"The filters of {first[0]} are not of three colours.")
    grid = sheet(as_grid(signal_pictures(kernel), _FILTER_COLUMNS))
    return {
        "layer": first[0], "picture": picture(grid, f"filters of {first[0]}"), "count": len(kernel),
        "size": f"{kernel.shape[1]}x{kernel.shape[2]}",
    }  # fmt: skip


def strongest(looked: Looked) -> dict[str, Any] | Missing:
    """The strongest patches of a middle layer's units, and what guided backpropagation brings back from them.

    Raises:
        InputError: the network is not one that signals can be sent back through.
    """
    from allcnn.visualize.paper import TrainedNetwork, patch_pictures

    network = TrainedNetwork(looked.saved)
    layer = network.middle_layers()[0]
    images = looked.images[:SEEN]
    top = min(TOP, len(images))
    found = network.strongest_patches(images, layer, top, None, "guided", most=_CANDIDATES)
    patches, signals = patch_pictures(found)
    rows = [patches, *signals]
    firing = [index for index in range(len(found.units)) if found.activations[index, 0] > 0][:UNITS]
    if not firing:
        return Missing(f"None of the first {len(found.units)} units of {layer} responds to any image.")

    def unit(index: int) -> tuple[Picture, str]:
        number, activations = found.units[index], found.activations[index]
        shown = picture(sheet(np.stack([row[index] for row in rows])), f"patches of unit {number}")
        return shown, f"unit {number}: activations {activations[0]:.3g} to {activations[-1]:.3g}"

    return {
        "layer": layer, "top": top, "seen": len(images), "field": found.field.size, "whitened": network.is_whitened,
        "silent": len(firing) < min(UNITS, len(found.units)), "units": [unit(index) for index in firing],
    }  # fmt: skip
