"""Keras callbacks of a training run. The first three work in anybody's `model.fit`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras

from allcnn.errors import InputError
from allcnn.files import write_text
from allcnn.runs.folder import Row, write_metrics
from allcnn.runs.table import ResultRow, table_markdown
from allcnn.training.schedule import learning_rate

_ACCURACIES = ("accuracy", "acc", "sparse_categorical_accuracy", "categorical_accuracy", "binary_accuracy")


class LearningRateMultiplier(keras.callbacks.Callback):
    """Multiplies the learning rate after given epochs: the paper's schedule S = e1, e2, e3 (section 3.2.1).

    Args:
        milestones: whole epochs (or steps) done when the learning rate drops, for example (200, 250, 300).
        multiplier: what it is multiplied by, each time.
        base: the learning rate before the first milestone; by default the optimizer's when training begins.
        unit: "epochs" or "steps", what the milestones count.

    The epoch's learning rate is added to its logs as "learning_rate". A run resumed with `initial_epoch` goes on
    as if it had not stopped, given `base` (and, counting steps, `first_step`).
    """

    def __init__(
        self,
        milestones: Sequence[int] = (200, 250, 300),
        multiplier: float = 0.1,
        base: float | None = None,
        unit: str = "epochs",
        first_step: int = 0,
    ):
        super().__init__()
        if unit not in ("epochs", "steps"):
            raise InputError(f'the unit of the milestones must be "epochs" or "steps"; got "{unit}".')
        self.milestones = tuple(milestones)
        self.multiplier = multiplier
        self.base = base
        self.step = first_step
        if unit == "steps":
            # Keras looks for this method before it reads every step's figures, so it is there only if needed.
            self.on_train_batch_begin = self._set_at_step

    def on_train_begin(self, logs: dict | None = None) -> None:
        if self.base is None:
            self.base = _decimal(self.model.optimizer.learning_rate)
        self.by_steps = "on_train_batch_begin" in vars(self)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        if not self.by_steps:
            self._set(epoch)

    def _set_at_step(self, batch: int, logs: dict | None = None) -> None:
        self._set(self.step)
        self.step += self.model.steps_per_execution

    def _set(self, position: int) -> None:
        base = self.base if self.base is not None else _decimal(self.model.optimizer.learning_rate)
        self.current = learning_rate(position, base, self.milestones, self.multiplier)
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
    Keras's and `penalty` is empty. `learning_rate` is the last step's where it is constant within an epoch; where it
    falls from step to step it is the next step's, so that 0 stands in the last row. Put it after the callbacks that
    add to the logs.
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


class MeasureErrors(keras.callbacks.Callback):
    """Puts measured errors into the epoch's logs, and how long that took, so that it does not count as training.

    `measure` is called with the number of epochs done; what it leaves out stays empty in metrics.csv.
    """

    def __init__(self, measure: Callable[[int], dict[str, float]]):
        super().__init__()
        self.measure = measure

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        begun = time.perf_counter()
        figures = self.measure(epoch + 1)
        if logs is not None:
            logs.update(figures)
            logs["test_seconds"] = time.perf_counter() - begun


class BeforeEpoch(keras.callbacks.Callback):
    """Calls a function when an epoch begins, after Keras has set the metrics to zero."""

    def __init__(self, function: Callable[[], None]):
        super().__init__()
        self.function = function

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.function()


class AfterEpoch(keras.callbacks.Callback):
    """Calls a function with the number of epochs done and the epoch's logs."""

    def __init__(self, function: Callable[[int, dict[str, Any]], None]):
        super().__init__()
        self.function = function

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.function(epoch + 1, logs or {})


class BetweenSteps(keras.callbacks.Callback):
    """Calls a function with the number of steps done before every step; what it raises ends the training there.

    Before, not after: for a callback after the step Keras would wait for the step's figures each time.

    Args:
        function: called with the steps of the run that are done.
        steps_per_epoch: of a whole epoch.
        first_step: steps done when training begins; the first epoch may be half done.
    """

    def __init__(self, function: Callable[[int], None], steps_per_epoch: int, first_step: int = 0):
        super().__init__()
        self.function = function
        self.steps_per_epoch = steps_per_epoch
        self.first_step = first_step

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.epoch_begins = max(epoch * self.steps_per_epoch, self.first_step)

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        self.function(self.epoch_begins + batch)


class StopAtStep(keras.callbacks.Callback):
    """Ends training after so many steps, for recipes that count them and do not end with an epoch."""

    def __init__(self, steps: int, first_step: int = 0):
        super().__init__()
        self.remaining = steps - first_step

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        self.remaining -= self.model.steps_per_execution
        if self.remaining <= 0:
            self.model.stop_training = True  # looked at after the step that now begins


def _decimal(value: Any) -> float:
    """A float32 as the decimal number that was meant: 0.1 and not 0.10000000149."""
    return float(f"{float(value):.7g}")


def _error_percent(logs: dict[str, Any], prefix: str) -> float | None:
    """The error that goes with whichever accuracy is in the logs."""
    for name in _ACCURACIES:
        if prefix + name in logs:
            return 100.0 * (1.0 - logs[prefix + name])
    return None
