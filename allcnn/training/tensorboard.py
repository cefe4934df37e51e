"""The rows of metrics.csv as TensorBoard's event files, for those who live there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from allcnn.runs.folder import Row


class TensorBoardLog(keras.callbacks.Callback):
    """Writes a scalar for every column of metrics.csv after every epoch, its step the epoch, from 1.

    Not Keras's TensorBoard callback: that reads the figures of every step, and writes an epoch that is done again after
    a kill a second time. What an earlier process left is written anew from the rows.

    Args:
        folder: where the event files go; older ones in it are replaced.
        rows: of the run so far, to which `RunRecord` adds; put this callback after it.
    """

    def __init__(self, folder: Path, rows: Sequence[Row]):
        super().__init__()
        self.folder = folder
        self.rows = rows
        self.writer: Any = None

    def on_train_begin(self, logs: dict | None = None) -> None:
        from tensorboard.summary import Writer

        for old in self.folder.glob("events.out.tfevents.*"):
            old.unlink()
        self.writer = Writer(str(self.folder))
        for row in self.rows:
            self._write(row)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self._write(self.rows[-1])
        self.writer.flush()

    def on_train_end(self, logs: dict | None = None) -> None:
        self.writer.close()

    def _write(self, row: Row) -> None:
        for column, value in row.items():
            if column != "epoch" and value is not None:
                self.writer.add_scalar(column, float(value), row["epoch"])
