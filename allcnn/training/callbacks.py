"""Keras callbacks of a training run. The first three work in anybody's `model.fit`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from allcnn.files import write_text
from allcnn.runs.folder import Row, write_metrics
from allcnn.runs.recipe import learning_rate_after
from allcnn.runs.table import ResultRow, table_markdown

_ACCURACIES = ("accuracy", "acc", "sparse_categorical_accuracy", "categorical_accuracy", "binary_accuracy")


class LearningRateMultiplier(keras.callbacks.Callback):
    """Multiplies the learning rate after given epochs: the paper's schedule S = e1, e2, e3 (section 3.2.1).

    Args:
        milestones: whole epochs done when the learning rate drops, for example (200, 250, 300).
        multiplier: what it is multiplied by, each time.
        base: the learning rate before the first milestone; by default the optimizer's when training begins.

    The epoch's learning rate is added to its logs as "learning_rate". A run resumed with `initial_epoch` goes on
    as if it had not stopped, given `base`.
    """

    def __init__(self, milestones: Sequence[int] = (200, 250, 300), multiplier: float = 0.1, base: float | None = None):
        super().__init__()
        self.milestones = tuple(milestones)
        self.multiplier = multiplier
        self.base = base

    def on_train_begin(self, logs: dict | None = None) -> None:
        if self.base is None:
            # A float32 as the decimal number that was meant: 0.1 and not 0.10000000149.
            self.base = float(f"{float(self.model.optimizer.learning_rate):.7g}")

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        assert self.base is not None  # noqa: S101 - training has begun
        self.current = learning_rate_after(epoch, self.base, self.milestones, self.multiplier)
        self.model.optimizer.learning_rate = self.current

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = self.current


class RunRecord(keras.callbacks.Callback):
    """Writes metrics.csv: a row an epoch, the whole file in one step, so that it never holds half a row.

    Args:
        path: the file to write.
        images_per_epoch: for images_per_second; without it that column stays empty.
        rows: the rows of the epochs before, in a run that goes on.
        total_images: of the whole run, where its last epoch is cut short.

    Errors are percent. They come from the logs: train_error from the training accuracy, test_error from
    "test_error" or the accuracy of `validation_data`. `loss` is the cross-entropy where that is a metric named
    "cross_entropy", and the rest of Keras's loss (weight decay, label smoothing) is `penalty`; without one, `loss` is
    Keras's and `penalty` is empty. `learning_rate` is "learning_rate" in the logs, else the optimizer's when the epoch
    has ended. Put it after the callbacks that add to the logs.
    """

    def __init__(
        self,
        path: str | Path,
        images_per_epoch: int | None = None,
        rows: Sequence[Row] = (),
        total_images: int | None = None,
    ):
        super().__init__()
        self.path = Path(path)
        self.images_per_epoch = images_per_epoch
        self.total_images = total_images
        self.rows = list(rows)
        #: Seconds that an earlier process spent on the epoch that begins next.
        self.seconds_before = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.begun = time.perf_counter() - self.seconds_before
        self.seconds_before = 0.0
        self.testing = 0.0

    def seconds_so_far(self) -> float:
        """Seconds of training since the epoch began."""
        return time.perf_counter() - self.begun - self.testing

    def on_test_begin(self, logs: dict | None = None) -> None:
        self.test_begun = time.perf_counter()

    def on_test_end(self, logs: dict | None = None) -> None:
        if hasattr(self, "testing"):
            self.testing += time.perf_counter() - self.test_begun

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        logs = logs if logs is not None else {}
        seconds = self.seconds_so_far() - logs.pop("test_seconds", 0.0)
        self.rows.append(
            {
                "epoch": epoch + 1,
                "learning_rate": float(logs.get("learning_rate", self.model.optimizer.learning_rate)),
                "loss": logs.get("cross_entropy", logs.get("loss")),
                "penalty": logs["loss"] - logs["cross_entropy"] if "cross_entropy" in logs else None,
                "train_error": _error_percent(logs, ""),
                "test_error": logs.get("test_error", _error_percent(logs, "val_")),
                "seconds": seconds,
                "images_per_second": self._images_in(epoch) / seconds if self.images_per_epoch else None,
                "validation_error": logs.get("validation_error"),
                "test_top5_error": logs.get("test_top5_error"),
            }
        )
        write_metrics(self.path, self.rows)

    def _images_in(self, epoch: int) -> int:
        images = self.images_per_epoch or 0
        return images if self.total_images is None else min(images, self.total_images - epoch * images)


class TableExport(keras.callbacks.Callback):
    """Writes the run as a row in the style of the paper's Tables 3 and 4, after every epoch.

    Args:
        path: the markdown file to write.
        row: what is known before training: names, parameters, the published figures. `None` builds one from the
            model's own name and count.

    The error is the last epoch's "test_error", or that of `validation_data`.
    """

    def __init__(self, path: str | Path, row: ResultRow | None = None):
        super().__init__()
        self.path = Path(path)
        self.row = row

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        logs = logs or {}
        row = self.row or ResultRow(method=self.model.name, parameters=self.model.count_params())
        error = logs.get("test_error", _error_percent(logs, "val_"))
        write_text(self.path, table_markdown([row.with_error(error, epochs=epoch + 1)]))


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


def _error_percent(logs: dict[str, Any], prefix: str) -> float | None:
    """The error that goes with whichever accuracy is in the logs."""
    for name in _ACCURACIES:
        if prefix + name in logs:
            return 100.0 * (1.0 - logs[prefix + name])
    return None
