"""The runs by name: what each was, how far it came, how it ended and why; which are the best."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from allcnn.runs.collected import STATUSES, CollectedRun


def overview(runs: Sequence[CollectedRun], names: Sequence[str]) -> list[dict[str, Any]]:
    """What the table of all runs has of each, under the names that the template uses."""
    return [
        {
            "name": name,
            "status": run.status,
            "reason": run.reason,
            "test_error": run.test_error,
            "epochs": _epochs(run),
            "time": duration(run.seconds),
            "model": run.model,
            "dataset": run.dataset,
            "recipe": ", ".join([run.recipe.name, *([how] if (how := run.recipe.augmentation) != "none" else [])]),
            "learning_rate": f"{run.recipe.learning_rate:g}",
            "seed": run.seed,
            "computed": _computed_with(run),
        }
        for run, name in zip(runs, names, strict=True)
    ]


def counted(runs: Sequence[CollectedRun]) -> str:
    """How many there are of each status: "12 runs: 10 finished, 2 dead"."""
    found = Counter(run.status for run in runs)
    parts = [f"{found[status]} {status}" for status in STATUSES if found[status]]
    return f"{len(runs)} run{'s' * (len(runs) != 1)}: {', '.join(parts)}"


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


def duration(seconds: float) -> str:
    """Seconds for reading: "6:46 min", "3:18:43 h"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} h" if hours else f"{minutes}:{rest:02} min"


def _computed_with(run: CollectedRun) -> str:
    parts = [run.config.get("backend"), run.config.get("precision"), (run.config.get("device") or {}).get("name")]
    return ", ".join(str(part) for part in parts if part)


def _epochs(run: CollectedRun) -> str:
    of = run.summary.get("of_epochs") if run.summary else None
    if of is None and run.recipe.unit == "epochs":
        of = run.recipe.length
    return f"{len(run.rows)} of {of}" if of is not None else str(len(run.rows))
