"""The display of a run in a notebook: one output that is replaced, and a line an epoch below it."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from allcnn.training import progress
from allcnn.training.progress import ProgressDisplay, is_watched


@pytest.fixture
def outputs(monkeypatch) -> list[str]:
    """What a stand-in for a notebook shows at last, each output as text."""
    shown: list[str] = []

    def display(picture, display_id: bool):
        shown.append("")
        place = len(shown) - 1

        def update(picture):
            shown[place] = picture._repr_mimebundle_((), ())["text/plain"] if picture else ""

        update(picture)
        return SimpleNamespace(update=update)

    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display, HTML=lambda text: text))
    console = progress.Console
    monkeypatch.setattr(progress, "Console", lambda **options: console(force_jupyter=True, **options))
    return shown


def test_a_notebook_sees_bars_that_leave(outputs, capsys, monkeypatch) -> None:
    assert is_watched()
    display = ProgressDisplay(steps_per_epoch=4, batch_size=10, total_steps=8)
    monkeypatch.setattr(display.console, "print", lambda line, **options: print(line))
    display.on_train_begin()
    display.on_epoch_begin(0)
    for batch in range(4):
        display.on_train_batch_end(batch, {"cross_entropy": 0.25, "accuracy": 0.5})
    (shown,) = outputs
    assert "4/4" in shown and "4/8" in shown and "loss 0.2500" in shown and "error 50.00 %" in shown
    display.on_epoch_end(0, {"learning_rate": 0.05, "cross_entropy": 0.25, "accuracy": 0.5, "test_error": 12.5})
    display.on_train_end()
    assert outputs == [""]
    assert "12.50 %" in capsys.readouterr().out


def test_a_log_is_not_watched() -> None:
    assert not is_watched()
