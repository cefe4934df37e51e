"""A small network, a way to stop its run, and whether two runs of it ended in the same bits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
from kills import differences

import allcnn

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
    assert differences(first, second) == []
