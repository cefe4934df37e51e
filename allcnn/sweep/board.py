"""Where a sweep stands: each run's state now, how long it takes, the time left."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from allcnn.errors import AllcnnError
from allcnn.runs.folder import read_metrics
from allcnn.sweep.grid import Grid
from allcnn.sweep.result import GridRun, TableRow, crashed, look, table_of

RUNNING = "running"


class Board:
    """The runs of a grid by name, and the clock."""

    def __init__(self, grid: Grid, chosen_by: str, clock: Callable[[], float] = time.monotonic):
        self.cells = {cell.name: cell for cell in grid.cells}
        self.runs: dict[str, GridRun] = {name: look(cell) for name, cell in self.cells.items()}
        self.chosen_by = chosen_by
        self.clock = clock
        self.at_a_time: int | None = 1
        self.waiting_for: str | None = None
        self._begun: dict[str, float] = {}
        self._moved: dict[str, float] = {}  # when a running run's last epoch ended
        self._before: dict[str, float] = {}  # seconds of training that a run brought along
        self._overheads: list[float] = []

    def follow(self, running: set[str]) -> list[GridRun]:
        """Bring the running ones up to date, from their metrics; gives those that began since the last call."""
        began = []
        for name in sorted(running):
            run, cell = self.runs[name], self.cells[name]
            if run.status != RUNNING:
                self._begun[name] = self._moved[name] = self.clock()
                self._before[name] = run.seconds
                run = self.runs[name] = replace(run, status=RUNNING, reason=None)
                began.append(run)
            try:
                rows = read_metrics(cell.folder.metrics)
            except AllcnnError:
                continue  # not written yet
            if len(rows) != run.epochs:
                self._moved[name] = self.clock()
            last = rows[-1] if rows else {}
            self.runs[name] = replace(
                run,
                epochs=len(rows),
                seconds=sum(row["seconds"] for row in rows),
                test_error=last.get("test_error"),
                validation_error=last.get("validation_error"),
            )
        return began

    def end(self, name: str, failure: str | None) -> GridRun:
        """Take in a run whose process ended; what its folder says counts before what the process said."""
        run = look(self.cells[name])
        if run.status not in ("finished", "diverged", "dead"):
            run = crashed(run, failure or run.reason or "its process ended well, but the run is not finished")
        elif name in self._begun:
            trained = run.seconds - self._before[name]
            self._overheads.append(max(self.clock() - self._begun[name] - trained, 0.0))
        self.runs[name] = run
        return run

    def look_again(self, name: str) -> None:
        """Take a run as its folder tells it."""
        self.runs[name] = look(self.cells[name])

    def elapsed(self, name: str) -> float:
        """Seconds since a run was begun by this sweep."""
        return self.clock() - self._begun.get(name, self.clock())

    @property
    def table(self) -> tuple[TableRow, ...]:
        """The table so far: figures of finished runs only."""
        plain = [
            replace(run, test_error=None, validation_error=None) if run.status == RUNNING else run
            for run in self.runs.values()
        ]
        return table_of(plain, self.chosen_by)

    @property
    def best(self) -> GridRun | None:
        """The finished run of the lowest error so far."""
        done = [run for run in self.runs.values() if run.status == "finished"]
        known = [run for run in done if getattr(run, self.chosen_by) is not None]
        return min(known, key=lambda run: getattr(run, self.chosen_by), default=None)

    def count(self, *statuses: str) -> int:
        return sum(run.status in statuses for run in self.runs.values())

    def seconds_left(self) -> float | None:
        """From the seconds an epoch took so far, by multiply-adds; None before any epoch was measured."""
        work = sum(run.epochs * self.cells[name].multiply_adds for name, run in self.runs.items() if run.seconds)
        if not work:
            return None
        rate = sum(run.seconds for run in self.runs.values()) / work
        overhead = sum(self._overheads) / len(self._overheads) if self._overheads else 0.0
        left = {
            name: self._left(name, run, rate, overhead)
            for name, run in self.runs.items()
            if run.status in (RUNNING, "waiting", "unfinished")
        }
        # Not even many at a time end before the longest of them does.
        workers = min(self.at_a_time or max(self.count(RUNNING), 1), max(len(left), 1))
        return max(sum(left.values()) / workers, max(left.values(), default=0.0))

    def _left(self, name: str, run: GridRun, rate: float, overhead: float) -> float:
        training = (run.of_epochs - run.epochs) * self.cells[name].multiply_adds * rate
        if run.status != RUNNING:
            return training + overhead
        return max(training + (overhead if not run.epochs else 0.0) - (self.clock() - self._moved[name]), 0.0)


def run_line(run: GridRun, chosen_by: str) -> str:
    """What became of a run, in a line."""
    where = f"{run.model} lr {run.learning_rate:g} seed {run.seed}"
    if run.status == "finished":
        held_out = f", held-out error {run.validation_error:.2f} %" if chosen_by == "validation_error" else ""
        return f"{where}: test error {run.test_error:.2f} %{held_out}"
    return f"{where}: {run.status}" + (f": {run.reason}" if run.reason else "")


def counts_line(runs: Sequence[GridRun]) -> str:
    """How many runs are in which state, those that occur."""
    order = ("finished", "diverged", "dead", "unreadable", "crashed", RUNNING, "unfinished", "waiting")
    counts = {status: sum(run.status == status for run in runs) for status in order}
    return ", ".join(f"{count} {status}" for status, count in counts.items() if count)
