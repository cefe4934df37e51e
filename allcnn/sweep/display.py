"""Where a sweep stands, and what a person sees of it: the table as it fills, or a plain line a run."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TextIO

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from allcnn.errors import AllcnnError
from allcnn.runs.folder import read_metrics
from allcnn.sweep.grid import Cell
from allcnn.sweep.result import ENDED, GridRun, RateFigures, TableRow, look, table_of
from allcnn.tables import duration
from allcnn.training.stopping import write_note

RUNNING = "running"
_REFRESH_SECONDS = 0.5
# Lines below the table, and what a prompt takes.
_LINES_BESIDE_TABLE = 9
_SHOWN_RUNNING = 4
_NOTE = "stopping: each run saves its state; once more to leave at once."


class Board:
    """The runs of a grid by name, and the clock."""

    def __init__(self, cells: Sequence[Cell], chosen_by: str, clock: Callable[[], float] = time.monotonic):
        self.cells = {cell.name: cell for cell in cells}
        self.runs: dict[str, GridRun] = {name: look(cell) for name, cell in self.cells.items()}
        self.chosen_by = chosen_by
        self.clock = clock
        self.at_a_time: int | None = 1
        self.waiting_for: str | None = None
        self._begun: dict[str, float] = {}

    def follow(self, running: set[str]) -> list[GridRun]:
        """Bring the running ones up to date, from their metrics; gives those that began since the last call."""
        began = []
        for name in sorted(running):
            run, cell = self.runs[name], self.cells[name]
            if run.status != RUNNING:
                self._begun[name] = self.clock()
                run = self.runs[name] = replace(run, status=RUNNING, reason=None)
                began.append(run)
            try:
                rows = read_metrics(cell.folder.metrics)
            except AllcnnError:
                continue  # not written yet
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
        if run.status not in ENDED:
            reason = failure or run.reason or "its process ended well, but the run is not finished"
            run = replace(run, status="crashed", reason=reason)
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
        """From the seconds that an epoch took so far, by multiply-adds; None before any epoch was measured."""
        cost = {name: cell.multiply_adds for name, cell in self.cells.items()}
        done = sum(run.epochs * cost[name] for name, run in self.runs.items() if run.seconds)
        if not done:
            return None
        rate = sum(run.seconds for run in self.runs.values()) / done
        left = [
            (run.of_epochs - run.epochs) * cost[name] * rate
            for name, run in self.runs.items()
            if run.status in (RUNNING, "waiting", "unfinished")
        ]
        # However many run at a time, they take as long as the longest.
        workers = min(self.at_a_time or max(self.count(RUNNING), 1), max(len(left), 1))
        return max(sum(left) / workers, max(left, default=0.0))


class SweepDisplay:
    """Shows what runs, what is done, the best so far and the time left, on standard error by default."""

    def __init__(self, board: Board, stream: TextIO | None = None):
        self.board = board
        self.console = Console(file=stream or sys.stderr, markup=False, emoji=False, highlight=False)
        self.live: Live | None = None
        self.shown = 0.0

    def __enter__(self) -> SweepDisplay:
        if self.console.is_terminal:
            self.live = Live(
                self._picture(), console=self.console, auto_refresh=False, transient=True,
                redirect_stdout=False, redirect_stderr=False,
            )  # fmt: skip
            self.live.start(refresh=True)
        return self

    def __exit__(self, *failure: object) -> None:
        if self.live:
            self.live.stop()
            self.live = None

    def update(self) -> None:
        """Draw the table again, if it is time to."""
        now = time.monotonic()
        if self.live and now - self.shown >= _REFRESH_SECONDS:
            self.shown = now
            self.live.update(self._picture(), refresh=True)

    def line(self, text: str) -> None:
        """A line that stays, above the table."""
        self.console.print(text, soft_wrap=True)

    def began(self, run: GridRun) -> None:
        """A run was begun: where there is no table, a line."""
        if not self.live:
            done = f", {run.epochs} of {run.of_epochs} epochs are done" if run.epochs else ""
            self.line(f"{_name(run)}: begun{done}")

    def ended(self, run: GridRun) -> None:
        """A run ended, one way or another."""
        board = self.board
        done = len(board.runs) - board.count(RUNNING, "waiting", "unfinished")
        left = "" if self.live else f"  {_left(board.seconds_left())} left" if done < len(board.runs) else "  done"
        self.line(f"[{done}/{len(board.runs)}] {run_line(run, board.chosen_by)}{left}")

    def say_stopping(self, _: str) -> None:
        """How the first Ctrl-C is answered; called from a signal handler."""
        if self.live:
            self.line(_NOTE)
        else:
            write_note(_NOTE)

    def _picture(self) -> Group:
        return Group(self._table(), Text(), *self._lines())

    def _table(self) -> Table:
        rows = self.board.table
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
        table.add_column("network", no_wrap=True)
        for rate in dict.fromkeys(figures.learning_rate for row in rows for figures in row.rates):
            table.add_column(f"lr {rate:g}", justify="right", no_wrap=True)
        for row in self._rows_that_fit():
            table.add_row(row.model, *(self._entry(row.model, rate, rate is row.best) for rate in row.rates))
        return table

    def _rows_that_fit(self):
        """All rows, or, in a low window, those from the one that was begun last."""
        rows = self.board.table
        room = max(self.console.size.height - _LINES_BESIDE_TABLE - _SHOWN_RUNNING, 1)
        if len(rows) <= room:
            return rows
        active = {run.model for run in self.board.runs.values() if run.status != "waiting"}
        last = max((index for index, row in enumerate(rows) if row.model in active), default=0)
        first = min(max(last + 1 - room + (room > 2), 0), len(rows) - room)
        return rows[first : first + room]

    def _entry(self, model: str, figures: RateFigures, best: bool) -> Text:
        text = Text()
        mean = getattr(figures, self.board.chosen_by)
        if mean is not None:
            text.append(f"{mean:.2f}{' *' * best}", style="bold green" if best else "")
        if figures.finished not in (0, figures.runs):
            text.append(f" ({figures.finished}/{figures.runs})", style="dim")
        for run in self.board.runs.values():
            if (run.model, run.learning_rate, run.status) == (model, figures.learning_rate, RUNNING):
                text.append(f" {run.epochs}/{run.of_epochs}", style="cyan")
        for status, count in figures.statuses:
            if status not in ("finished", RUNNING, "waiting"):
                many = f"{count} " if count > 1 else ""
                text.append(f" {many}{status}", style="yellow" if status == "unfinished" else "red")
        return text if text.plain else Text("·", style="dim")

    def _lines(self) -> list[Text]:
        board = self.board
        running = [run for run in board.runs.values() if run.status == RUNNING]
        lines = [
            Text(
                f"{_name(run)}: epoch {min(run.epochs + 1, run.of_epochs)}/{run.of_epochs}, "
                f"{duration(board.elapsed(run.name))}"
                + (f", test error {run.test_error:.2f} %" if run.test_error is not None else ""),
                style="cyan", no_wrap=True, overflow="ellipsis",
            )
            for run in running[:_SHOWN_RUNNING]
        ]  # fmt: skip
        if len(running) > _SHOWN_RUNNING:
            lines.append(Text(f"and {len(running) - _SHOWN_RUNNING} more", style="dim"))
        if board.waiting_for:
            lines.append(Text(board.waiting_for, style="yellow"))
        best = board.best
        if best is not None:
            lines.append(Text(f"best so far: {run_line(best, board.chosen_by)}", style="bold", no_wrap=True))
        lines.append(
            Text(
                f"{len(board.runs)} runs: {counts_line(list(board.runs.values()))}; {_left(board.seconds_left())} left",
                style="dim",
            )
        )
        return lines


def run_line(run: GridRun, chosen_by: str) -> str:
    """What became of a run, in a line."""
    where = _name(run)
    if run.status == "finished":
        held_out = f", held-out error {run.validation_error:.2f} %" if chosen_by == "validation_error" else ""
        return f"{where}: test error {run.test_error:.2f} %{held_out}"
    return f"{where}: {run.status}" + (f": {run.reason}" if run.reason else "")


def counts_line(runs: Sequence[GridRun]) -> str:
    """How many runs are in which state, those that occur."""
    order = ("finished", "diverged", "dead", "unreadable", "crashed", RUNNING, "unfinished", "waiting")
    counts = {status: sum(run.status == status for run in runs) for status in order}
    return ", ".join(f"{count} {status}" for status, count in counts.items() if count)


def _name(run: GridRun) -> str:
    return f"{run.model} lr {run.learning_rate:g} seed {run.seed}"


def _left(seconds: float | None) -> str:
    return "?" if seconds is None else duration(seconds)
