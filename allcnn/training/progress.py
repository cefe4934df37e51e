"""What a person sees of a training run: a line an epoch, and in a terminal or notebook bars below them."""

from __future__ import annotations

import math
import sys
import threading
import time
from typing import Any, TextIO

import keras
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from allcnn.tables import duration
from allcnn.training.stopping import write_note

# A picture every so many seconds is enough to look at, and reading the figures off the accelerator costs time.
_REFRESH_SECONDS = 0.2


def is_watched() -> bool:
    """Whether a person sees standard error as it is written: in a terminal or a notebook."""
    console = Console(file=sys.stderr)
    return console.is_terminal or console.is_jupyter


class NotebookLive:
    """Rich's `Live` for notebooks, which needs no ipywidgets: one output, replaced again and again."""

    def __init__(self, picture: RenderableType):
        self.picture = picture

    def start(self, refresh: bool = True) -> None:
        from IPython.display import display

        self.output = display(_shown_by_notebooks(self.picture), display_id=True)

    def update(self, picture: RenderableType, refresh: bool = True) -> None:
        self.picture = picture
        self.output.update(_shown_by_notebooks(picture))

    def stop(self) -> None:
        from IPython.display import HTML

        self.output.update(HTML(""))


def _shown_by_notebooks(picture: RenderableType) -> Table:
    grid = Table.grid()
    grid.add_row(picture)
    return grid


class ProgressDisplay(keras.callbacks.Callback):
    """Shows epoch, batch, loss, error, images per second, and the time left for the epoch and for the run.

    Args:
        steps_per_epoch, batch_size: in steps and images.
        total_steps: of the run, which need not end with an epoch.
        steps_done: how many were done before, in a run that goes on.
        stream: where to; standard error by default. Neither a terminal nor a notebook: no bars.

    loss is the cross-entropy, without the penalty; errors are percent.
    """

    def __init__(
        self,
        steps_per_epoch: int,
        batch_size: int,
        total_steps: int,
        steps_done: int = 0,
        stream: TextIO | None = None,
    ):
        super().__init__()
        self.steps_per_epoch = steps_per_epoch
        self.batch_size = batch_size
        self.total_steps = total_steps
        self.epochs = math.ceil(total_steps / steps_per_epoch)
        # By earlier processes: the rates leave these steps out.
        self.done_before = steps_done
        self.begun = 0.0
        self.headed = False
        self.console = Console(file=stream or sys.stderr)
        self.live: Live | NotebookLive | None = None
        self.lock = threading.Lock()
        if self.console.is_terminal or self.console.is_jupyter:
            # Keras reads every step's figures off the accelerator for a callback that has this method; in a thread of
            # its own, so that training does not wait for them, where the callback says that it bears that.
            self.on_train_batch_end = self._show_step
            self.async_safe = True

    def on_train_begin(self, logs: dict | None = None) -> None:
        self.begun = self.begun or time.perf_counter()  # Keras begins twice where an epoch was half done
        self.bars = Progress(
            TextColumn("{task.description:<14}"), BarColumn(bar_width=30), MofNCompleteColumn(),
            TextColumn("{task.fields[left]} left"), auto_refresh=False,
        )  # fmt: skip
        self.epoch_bar = self.bars.add_task("epoch", total=self.steps_per_epoch, left="?")
        self.run_bar = self.bars.add_task("run", total=self.total_steps, left="?")
        self.figures = Text("the first step compiles the network ...", style="dim")
        if self.console.is_jupyter:
            self.live = NotebookLive(self._picture())
        elif self.console.is_terminal:
            self.live = Live(self._picture(), console=self.console, auto_refresh=False, transient=True)
        if self.live:
            self.live.start(refresh=True)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.epoch = epoch
        self.steps = min(self.steps_per_epoch, self.total_steps - epoch * self.steps_per_epoch)
        self.first_step = max(self.done_before - epoch * self.steps_per_epoch, 0)
        self.epoch_begun = time.perf_counter()
        self.shown = 0.0
        self.last_batch = -1

    def _show_step(self, batch: int, logs: dict[str, Any]) -> None:
        with self.lock:
            if batch > self.last_batch:  # threads may come in another order
                self.last_batch = batch
                self._show(batch, logs)

    def _show(self, batch: int, logs: dict[str, Any]) -> None:
        now = time.perf_counter()
        done = self.first_step + batch + 1
        if now - self.shown < _REFRESH_SECONDS and done < self.steps:
            return
        self.shown = now
        rate = (batch + 1) / (now - self.epoch_begun)
        steps_of_run = self.epoch * self.steps_per_epoch + done
        run_rate = (steps_of_run - self.done_before) / (now - self.begun)
        self.figures = Text.assemble(
            ("loss ", "dim"), f"{logs['cross_entropy']:.4f}", ("   error ", "dim"), f"{_train_error(logs):.2f} %",
            (f"   {rate * self.batch_size:,.0f} images/s", "dim"),
            ("   measuring and saving ..." if done == self.steps else "", "dim"),
        )  # fmt: skip
        self.bars.update(
            self.epoch_bar, completed=done, total=self.steps, left=duration((self.steps - done) / rate),
            description=f"epoch {self.epoch + 1}/{self.epochs}",
        )  # fmt: skip
        left = duration((self.total_steps - steps_of_run) / run_rate)
        self.bars.update(self.run_bar, completed=steps_of_run, left=left)
        if self.live:
            self.live.update(self._picture(), refresh=True)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        columns = self._columns(epoch, logs)
        widths = {heading: max(least, len(heading)) for heading, (least, _) in columns.items()}
        if not self.headed:
            self.headed = True
            self._print("  ".join(f"{heading:>{width}}" for heading, width in widths.items()))
        self._print("  ".join(f"{figure:>{widths[heading]}}" for heading, (_, figure) in columns.items()))

    def _print(self, line: str) -> None:
        self.console.print(line, highlight=False, soft_wrap=True)

    def on_train_end(self, logs: dict | None = None) -> None:
        self.close()

    def say(self, line: str) -> None:
        """Show a line above the bars, from a signal handler too: what else writes to the terminal would tear them."""
        if self.live:
            self._print(line)
        else:
            write_note(line)

    def close(self) -> None:
        """Take the bars off the screen; safe to call twice, and needed when training ends by an exception."""
        if self.live:
            self.live.stop()
            self.live = None

    def _columns(self, epoch: int, logs: dict[str, Any]) -> dict[str, tuple[int, str]]:
        """Of an epoch's line, by its headings: the least width, and the figure. 80 characters with all of them."""
        # Read before the test pass's seconds are taken out of the logs, or after: both give the training rate.
        seconds = time.perf_counter() - self.epoch_begun - logs.get("test_seconds", 0.0)
        steps_of_run = epoch * self.steps_per_epoch + self.steps
        rate = (steps_of_run - self.done_before) / (time.perf_counter() - self.begun)
        left = (self.total_steps - steps_of_run) / rate
        of_epoch = (self.steps - self.first_step) * self.batch_size / seconds
        learning_rate = logs["learning_rate"]
        columns = {
            "epoch": (2 * len(str(self.epochs)) + 1, f"{epoch + 1}/{self.epochs}"),
            "lr": (
                6,
                f"{learning_rate:.3g}" if learning_rate >= 0.001 else f"{learning_rate:.1e}".replace("e-0", "e-"),
            ),
            "loss": (6, f"{logs['cross_entropy']:.4f}"),
            "train error": (0, f"{_train_error(logs):.2f} %"),
            "test error": (0, f"{logs['test_error']:.2f} %" if "test_error" in logs else "-"),
        }
        if "validation_error" in logs:
            columns["held-out"] = (0, f"{logs['validation_error']:.2f} %")
        columns["images/s"] = (0, f"{of_epoch:,.0f}")
        columns["left"] = (9, duration(left) if epoch + 1 < self.epochs else "done")
        return columns

    def _picture(self) -> Group:
        return Group(self.bars, self.figures)


def _train_error(logs: dict[str, Any]) -> float:
    return 100.0 * (1.0 - logs["accuracy"])
