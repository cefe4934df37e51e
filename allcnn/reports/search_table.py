"""The whole search: every network, setting and learning rate that was run, and what became of every run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from allcnn.reports.comparison import MISSING, count_text, error_text, images_note, rate_text, recipe_notes
from allcnn.reports.structure import Column, Footnotes, Row, Table
from allcnn.reports.summaries import Search, Trial

_COLUMNS = (
    Column("network", left=True), Column("data set", left=True), Column("epochs"), Column("lr"), Column("n"),
    Column("test %"), Column("held out %"), Column("best"), Column("other runs", left=True), Column("notes"),
)  # fmt: skip
_OPTIONAL = ("held out %", "other runs", "notes")
_LONGEST_NAME = 20


def search_table(searches: Sequence[Search]) -> Table:
    """Every learning rate of every search, with the errors of its finished runs and a count of the others."""
    footnotes = Footnotes()
    rows = []
    for search in searches:
        for trial in search.trials:
            marks = footnotes.mark(_notes(search, searches, trial))
            rows.append(Row(_cells(search, trial, marks), _values(search, trial), marks))
    columns, rows = _without_empty_columns(rows)
    remarks = ["test %: mean ± sample deviation over n seeds of the last epoch's test error."]
    if any(column.heading == "held out %" for column in columns):
        remarks.append("held out %: of the error on the images held out; the best is chosen by it where all have it.")
    remarks.append("Best: at which the fewest runs diverged or died; of these the lowest mean, then the smaller rate.")
    title = "The search for the learning rate"
    return Table("lr", title, columns, tuple(rows), tuple(footnotes.texts), tuple(remarks))


def _without_empty_columns(rows: Sequence[Row]) -> tuple[tuple[Column, ...], list[Row]]:
    """Leave out what no row has anything in: most searches hold no images out and lose no run."""
    kept = [
        index
        for index, column in enumerate(_COLUMNS)
        if column.heading not in _OPTIONAL or any(row.cells[index] not in ("", MISSING) for row in rows)
    ]
    narrow = [replace(row, cells=tuple(row.cells[index] for index in kept)) for row in rows]
    return tuple(_COLUMNS[index] for index in kept), narrow


def _cells(search: Search, trial: Trial, marks: Sequence[int]) -> tuple[str, ...]:
    setting = search.setting
    augmentation = setting.recipe.augmentation
    augmented = "" if augmentation == "none" else f", {augmentation}"
    unit = "" if setting.recipe.unit == "epochs" else f" {setting.recipe.unit}"
    chosen = trial is search.best
    return (
        _short_name(search),
        f"{setting.dataset}{augmented}",
        f"{setting.recipe.length:,}{unit}",
        rate_text(trial.learning_rate),
        str(len(trial.counted)),
        error_text(trial.test, MISSING),
        error_text(trial.validation, MISSING),
        ("best" if len(search.searched) > 1 else "only") if chosen else "",
        count_text(trial.not_counted),
        ",".join(map(str, marks)),
    )


def _values(search: Search, trial: Trial) -> dict[str, Any]:
    setting, network = search.setting, search.setting.network
    test, validation = trial.test, trial.validation
    return {
        "network": network.name if network else None,
        "spec": setting.spec,
        "dataset": setting.dataset,
        "digest": setting.digest,
        "recipe": {**setting.recipe.as_dict(), "name": search.recipe_name, "learning_rate": trial.learning_rate},
        "validation": setting.validation,
        "learning_rate": trial.learning_rate,
        "n": len(trial.counted),
        "test_error_percent": test.mean if test else None,
        "deviation": test.deviation if test else None,
        "validation_error_percent": validation.mean if validation else None,
        "validation_deviation": validation.deviation if validation else None,
        "minutes": trial.minutes,
        "best": trial is search.best,
        "chosen_by": search.chosen_by,
        "not_counted": dict(trial.not_counted),
        "runs": [
            {
                "folder": str(run.folder.path),
                "seed": run.seed,
                "status": run.status,
                "reason": run.reason,
                "counted": run in trial.counted,
                "epochs": len(run.rows),
                "test_error_percent": run.test_error,
                "validation_error_percent": run.validation_error,
                "minutes": run.seconds / 60,
            }
            for run in trial.runs
        ],
    }


def _short_name(search: Search) -> str:
    network, spec = search.setting.network, search.setting.spec
    if network:
        return network.name
    return spec if len(spec) <= _LONGEST_NAME else f"{spec[: _LONGEST_NAME - 1]}…"


def _notes(search: Search, searches: Sequence[Search], trial: Trial) -> list[str]:
    setting = search.setting
    notes = []
    if setting.network is None and len(setting.spec) > _LONGEST_NAME:
        notes.append(f"Network: {setting.spec}")
    notes += recipe_notes(search, "paper")
    if setting.validation:
        notes.append(f"A part of {setting.validation:.3g} of the training images held out.")
    notes += [
        f"{run.folder.path.name} {run.status}: {run.reason.partition(chr(10))[0]}" for run in trial.others if run.reason
    ]
    return notes + images_note(search, searches)
