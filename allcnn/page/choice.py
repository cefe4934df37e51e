"""Which runs the page begins with, and which networks it looks into."""

from __future__ import annotations

from collections.abc import Sequence

from allcnn.runs.collected import CollectedRun

#: Networks that are loaded and looked into, each of which takes a pass over its test images.
LOOKED_INTO = 6


def best_of_each_network(runs: Sequence[CollectedRun]) -> list[CollectedRun]:
    """Of each network on each data set the finished run with the lowest test error, in the order of the errors."""
    best: dict[tuple[str, str], tuple[float, CollectedRun]] = {}
    for run in runs:
        if run.test_error is not None:
            key = (run.model, run.dataset)
            if key not in best or run.test_error < best[key][0]:
                best[key] = (run.test_error, run)
    return [run for _, run in sorted(best.values(), key=lambda pair: pair[0])]


def names_of(runs: Sequence[CollectedRun]) -> list[str]:
    """A name for each run: its folder's, with as many of the folders above as tell it from the others."""
    names = [run.name for run in runs]
    parts = [run.folder.path.absolute().parts for run in runs]
    for length in range(2, max(map(len, parts), default=0) + 1):
        if len(set(names)) == len(names):
            break
        twice = {name for name in names if names.count(name) > 1}
        names = ["/".join(part[-length:]) if name in twice else name for name, part in zip(names, parts, strict=True)]
    return names
