"""What has become of a grid: every run as its folder tells it, and the table of networks by learning rates."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from allcnn.errors import RunError, one_line
from allcnn.runs.collected import FAILED, Statistic, rate_rank, read_run
from allcnn.sweep.grid import Cell

#: The statuses of a run that has its result.
ENDED = ("finished", *FAILED)
#: The statuses of a run that is only made again if `retry_failed` asks for it.
LEFT_ALONE = (*FAILED, "unreadable")


@dataclass(frozen=True)
class GridRun:
    """One run of a grid.

    status: "finished", "diverged" or "dead" (it cannot go anywhere; it is kept), "unreadable" (damaged, or something
    else lies there), "crashed" (its process failed; the next sweep goes on with it), "unfinished" or "waiting".
    reason: why, in a line. Errors are percent, of the last epoch, and None of a run that is not finished.
    """

    model: str
    learning_rate: float
    seed: int
    run_dir: Path
    status: str
    reason: str | None
    epochs: int
    of_epochs: int
    loss: float | None
    test_error: float | None
    validation_error: float | None
    seconds: float

    @property
    def name(self) -> str:
        return self.run_dir.name


@dataclass(frozen=True)
class RateFigures:
    """One learning rate of one network, over the seeds: means and deviations of its finished runs."""

    learning_rate: float
    test_error: float | None
    test_deviation: float | None
    validation_error: float | None
    validation_deviation: float | None
    statuses: tuple[tuple[str, int], ...]

    @property
    def finished(self) -> int:
        return dict(self.statuses).get("finished", 0)

    @property
    def failed(self) -> int:
        """How many runs diverged or died."""
        return sum(count for status, count in self.statuses if status in FAILED)

    @property
    def runs(self) -> int:
        return sum(count for _, count in self.statuses)


@dataclass(frozen=True)
class TableRow:
    """One network: its figures at each learning rate, and the best of them, None where no run finished."""

    model: str
    rates: tuple[RateFigures, ...]
    best: RateFigures | None


@dataclass(frozen=True)
class SweepResult:
    """A sweep that came to its end.

    chosen_by: "validation_error", that on the images held out, or "test_error", the last epoch's, as in the paper.
    """

    runs_dir: Path
    chosen_by: str
    runs: tuple[GridRun, ...]
    table: tuple[TableRow, ...]

    @property
    def crashed(self) -> tuple[GridRun, ...]:
        """The runs that have no result, and that another sweep would go on with, or that nobody can read."""
        return tuple(run for run in self.runs if run.status not in ENDED)

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON."""
        table = [
            {
                "model": row.model,
                "best_learning_rate": row.best.learning_rate if row.best else None,
                "rates": [{**asdict(figures), "statuses": dict(figures.statuses)} for figures in row.rates],
            }
            for row in self.table
        ]
        runs = [{**asdict(run), "run_dir": str(run.run_dir)} for run in self.runs]
        return {"runs_dir": str(self.runs_dir), "chosen_by": self.chosen_by, "runs": runs, "table": table}


def look(cell: Cell) -> GridRun:
    """What the folder of a cell tells of it now; never raises."""
    folder = cell.folder
    if not os.path.lexists(folder.path):
        return _grid_run(cell, "waiting")
    try:
        if not folder.holds_run():
            folder.refuse_other_content()
            return _grid_run(cell, "waiting")
        run = read_run(folder)
    except (RunError, OSError) as error:
        return _grid_run(cell, "unreadable", one_line(error))
    status = run.status if run.status in ENDED else "unfinished"
    return replace(
        _grid_run(cell, status, one_line(run.reason) if run.reason else None),
        epochs=len(run.rows),
        loss=run.rows[-1]["loss"] if status == "finished" else None,
        test_error=run.test_error,
        validation_error=run.validation_error,
        seconds=run.seconds,
    )


def table_of(runs: Sequence[GridRun], chosen_by: str) -> tuple[TableRow, ...]:
    """Networks by learning rates, both in the order of the grid.

    The best rate is that of the lowest `rate_rank`, by the mean of `chosen_by`, as in a report of the same runs.
    """
    table = []
    for model in dict.fromkeys(run.model for run in runs):
        mine = [run for run in runs if run.model == model]
        rates = tuple(
            _figures(rate, [run for run in mine if run.learning_rate == rate])
            for rate in dict.fromkeys(run.learning_rate for run in mine)
        )
        known = [rate for rate in rates if getattr(rate, chosen_by) is not None]
        best = min(
            known, key=lambda rate: rate_rank(rate.failed, getattr(rate, chosen_by), rate.learning_rate), default=None
        )
        table.append(TableRow(model, rates, best))
    return tuple(table)


def _figures(rate: float, runs: Sequence[GridRun]) -> RateFigures:
    test = Statistic.of([run.test_error for run in runs if run.test_error is not None])
    held_out = Statistic.of([run.validation_error for run in runs if run.validation_error is not None])
    return RateFigures(
        learning_rate=rate,
        test_error=test.mean if test else None,
        test_deviation=test.deviation if test else None,
        validation_error=held_out.mean if held_out else None,
        validation_deviation=held_out.deviation if held_out else None,
        statuses=tuple(sorted(Counter(run.status for run in runs).items())),
    )


def _grid_run(cell: Cell, status: str, reason: str | None = None) -> GridRun:
    return GridRun(
        model=cell.model, learning_rate=cell.learning_rate, seed=cell.asked.seed, run_dir=cell.folder.path,
        status=status, reason=reason, epochs=0, of_epochs=cell.epochs,
        loss=None, test_error=None, validation_error=None, seconds=0.0,
    )  # fmt: skip
