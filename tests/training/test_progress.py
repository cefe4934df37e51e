"""What a person sees of a training run, without one."""

from __future__ import annotations

import io
import itertools
from types import SimpleNamespace
from typing import Any

import pytest

from allcnn.training.progress import ProgressDisplay

STEP = {"cross_entropy": 1.23456, "accuracy": 0.5433}
LOGS = {**STEP, "learning_rate": 0.05, "test_error": 43.214, "test_seconds": 0.0}


def lines(monkeypatch: pytest.MonkeyPatch, epochs: int, logs: dict[str, Any]) -> list[str]:
    """What is written of the first epoch and the last, where an epoch of 50,000 images takes 40 seconds."""
    seconds = itertools.count(0, 40)
    monkeypatch.setattr("allcnn.training.progress.time", SimpleNamespace(perf_counter=lambda: next(seconds) // 2))
    stream = io.StringIO()
    display = ProgressDisplay(steps_per_epoch=250, batch_size=200, total_steps=250 * epochs, stream=stream)
    display.on_train_begin()
    for epoch in (0, epochs - 1):
        display.on_epoch_begin(epoch)
        display.on_epoch_end(epoch, logs)
    return stream.getvalue().splitlines()


def test_a_line_an_epoch_below_one_of_headings(monkeypatch) -> None:
    heading, first, last = lines(monkeypatch, 350, LOGS)
    assert heading == "  epoch      lr    loss  train error  test error  images/s       left"
    assert first.startswith("  1/350    0.05  1.2346      45.67 %     43.21 %  ") and first.endswith(" h")
    assert last.startswith("350/350    0.05  1.2346      45.67 %     43.21 %  ") and last.endswith("  done")
    assert len(first) == len(last) == len(heading)


@pytest.mark.parametrize("epochs", [2, 999])
def test_80_columns_are_enough(monkeypatch, epochs: int) -> None:
    heading, *others = lines(monkeypatch, epochs, {**LOGS, "validation_error": 44.1, "learning_rate": 0.000131})
    assert "  1.3e-4  " in others[0]
    assert "held-out" in heading and "44.10 %" in others[0]
    assert max(map(len, (heading, *others))) <= 80


def test_an_epoch_that_was_not_measured(monkeypatch) -> None:
    _, first, _ = lines(monkeypatch, 3, {name: figure for name, figure in LOGS.items() if name != "test_error"})
    assert first.split()[5] == "-"


def test_in_a_terminal_it_says_what_follows_the_last_step(monkeypatch, terminal) -> None:
    monkeypatch.setenv("TERM", "xterm")
    display = ProgressDisplay(steps_per_epoch=250, batch_size=200, total_steps=750, stream=terminal)
    display.on_train_begin()
    display.on_epoch_begin(0)
    display.on_train_batch_end(0, STEP)
    assert "images/s" in display.figures.plain and "measuring" not in display.figures.plain
    display.on_train_batch_end(249, STEP)
    assert display.figures.plain.endswith("images/s   measuring and saving ...")
    display.close()


@pytest.mark.parametrize(("total", "epoch", "steps"), [(10, 0, 10), (250, 1, 50)])
def test_a_run_whose_steps_end_within_an_epoch(monkeypatch, terminal, total: int, epoch: int, steps: int) -> None:
    seconds = itertools.count()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("allcnn.training.progress.time", SimpleNamespace(perf_counter=lambda: next(seconds)))
    display = ProgressDisplay(steps_per_epoch=200, batch_size=20, total_steps=total, stream=terminal)
    display.on_train_begin()
    display.on_epoch_begin(epoch)
    display.on_train_batch_end(steps - 1, STEP)
    assert [(bar.completed, bar.total, bar.fields["left"]) for bar in display.bars.tasks] == [
        (steps, steps, "0 s"),
        (total, total, "0 s"),
    ]
    assert display.figures.plain.endswith("measuring and saving ...")
    display.close()
    columns = display._columns(epoch, LOGS)
    # The seconds go by with each look at the clock: from 1 to 3.
    assert columns["images/s"] == (0, f"{steps * 20 / 2:,.0f}") and columns["left"][1] == "done"
