"""A small network, a way to stop its run, and whether two runs of it ended in the same bits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

import allcnn
from allcnn.runs.folder import read_metrics

SPEC = "D.2-8C3-8C3/2-D.5-12C3v-NC1-GAP"


def interrupt() -> None:
    """As a second Ctrl-C: nothing more is saved."""
    raise KeyboardInterrupt


class StopAt(keras.callbacks.Callback):
    """Stops a run before a call of the training step, counted from 0 in this process."""

    def __init__(self, call: int, stop: Callable[[], None] = interrupt):
        super().__init__()
        self.calls_left = call
        self.stop = stop

    def on_train_batch_begin(self, batch, logs=None):
        if self.calls_left == 0:
            self.stop()
        self.calls_left -= 1


def weights(run_dir: Path) -> list[np.ndarray]:
    return allcnn.load_model(run_dir).get_weights()


def assert_same_bits(first: Path, second: Path) -> None:
    for one, other in zip(weights(first), weights(second), strict=True):
        np.testing.assert_array_equal(one, other)
    timeless = [
        [{key: value for key, value in row.items() if key not in ("seconds", "images_per_second")} for row in rows]
        for rows in (read_metrics(first / "metrics.csv"), read_metrics(second / "metrics.csv"))
    ]
    assert timeless[0] == timeless[1]
