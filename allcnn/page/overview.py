"""The runs by name: what each was, how many epochs it trained, how it ended and why; which are the best."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from allcnn.runs.collected import STATUSES, CollectedRun
from allcnn.tables import Column, Table, Values, duration, tabulate, value


def overview(runs: Sequence[CollectedRun], names: Sequence[str]) -> Table:
    """The table of all runs. The machine is a remark if it is the same for all runs, else a column."""
    machines = sorted({_computed_with(run) for run in runs})
    columns = [
        # First what one looks for.
        Column("Run", value("name", ""), left=True),
        Column("Status", value("status", ""), left=True),
        Column("Test error (%)", value("test_error")),
        Column("Epochs", value("epochs", "")),
        Column("Training time", value("time", "")),
        Column("Network", value("model", ""), left=True),
        Column("Data", value("dataset", ""), left=True),
        Column("Recipe", value("recipe", ""), left=True),
        Column("Learning rate", value("learning_rate", "g")),
        Column("Seed", value("seed", "")),
        Column("Computed with", lambda row: row["computed"] if len(machines) > 1 else "", left=True, optional=True),
    ]
    rows = [
        (_values(run, name), [f"{name} {run.status}: {run.reason}"] if run.reason else [])
        for run, name in zip(runs, names, strict=True)
    ]
    remarks = [f"All computed with {machines[0]}."] if len(machines) == 1 else []
    return tabulate("runs", counted(runs), columns, rows, remarks)


def _values(run: CollectedRun, name: str) -> Values:
    recipe = run.recipe
    of = run.summary.get("of_epochs") if run.summary else None
    if of is None and recipe.unit == "epochs":
        of = recipe.length
    return {
        "name": name,
        "status": run.status,
        "test_error": run.test_error,
        "epochs": f"{len(run.rows)} of {of}" if of is not None else str(len(run.rows)),
        "time": duration(run.seconds),
        "model": run.model,
        "dataset": run.dataset,
        "recipe": recipe.name + ("" if recipe.augmentation == "none" else f", {recipe.augmentation}"),
        "learning_rate": recipe.learning_rate,
        "seed": run.seed,
        "computed": _computed_with(run),
    }


def _computed_with(run: CollectedRun) -> str:
    parts = [run.config.get("backend"), run.config.get("precision"), (run.config.get("device") or {}).get("name")]
    return ", ".join(str(part) for part in parts if part)


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
    parts = [Path(os.path.abspath(run.folder.path)).parts for run in runs]
    for length in range(2, max(map(len, parts), default=0) + 1):
        if len(set(names)) == len(names):
            break
        twice = {name for name in names if names.count(name) > 1}
        names = ["/".join(part[-length:]) if name in twice else name for name, part in zip(names, parts, strict=True)]
    return names
