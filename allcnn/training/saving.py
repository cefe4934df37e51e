"""When the training state is saved: after every epoch, every so many steps, and when somebody asks for a stop."""

from __future__ import annotations

import time
from collections.abc import Sequence

import keras

from allcnn.runs.checkpoint import bring_up_to_date, capture_state, save_state
from allcnn.runs.folder import RunFolder
from allcnn.training.callbacks import RunRecord
from allcnn.training.health import Health
from allcnn.training.stopping import StopRequest

# Reading the loss waits for the accelerator, so it is looked at by the clock and not every step.
_LOOK_SECONDS = 2.0


class StateSaver:
    """Saves a run between its steps. No state is saved whose loss is no number.

    Args:
        folder: the run's.
        model, metrics: what trains, and its epoch's metrics, the loss first.
        steps_per_epoch, total_steps: of the run.
        save_every: steps between two states within an epoch; 0 for none.
        record: holds the rows of the epochs that are done.
    """

    def __init__(
        self,
        folder: RunFolder,
        model: keras.Model,
        metrics: Sequence[keras.metrics.Metric],
        *,
        steps_per_epoch: int,
        total_steps: int,
        save_every: int,
        record: RunRecord,
        health: Health,
        stop: StopRequest,
        steps_saved: int = 0,
    ):
        self.folder = folder
        self.model = model
        self.metrics = metrics
        self.steps_per_epoch = steps_per_epoch
        self.total_steps = total_steps
        self.save_every = save_every
        self.record = record
        self.health = health
        self.stop = stop
        self.steps_saved = steps_saved
        self.next_look = time.monotonic() + _LOOK_SECONDS

    def after_epoch(self, epochs_done: int) -> None:
        """Save the state at the end of an epoch, whose loss was found to be a number."""
        steps_done = min(epochs_done * self.steps_per_epoch, self.total_steps)
        save_state(self.folder, capture_state(self.model, epochs_done, steps_done, self.record.rows))
        self.steps_saved = steps_done

    def between_steps(self, steps_done: int) -> None:
        """Save the state if it is time to, or if a stop was asked for, which then raises KeyboardInterrupt."""
        every = self.save_every
        if self.stop.asked or (every and steps_done // every > self.steps_saved // every):
            self._save_within_epoch(steps_done)
            self.stop.check()
        elif time.monotonic() > self.next_look:
            self._check_loss(steps_done)

    def _save_within_epoch(self, steps_done: int) -> None:
        if steps_done == self.steps_saved:
            return
        self._check_loss(steps_done)
        epochs_done, within = divmod(steps_done, self.steps_per_epoch)
        state = capture_state(
            self.model, epochs_done, steps_done, self.record.rows,
            self.metrics if within else (), self.record.seconds_so_far() if within else 0.0,
        )  # fmt: skip
        save_state(self.folder, state)
        self.steps_saved = steps_done

    def _check_loss(self, steps_done: int) -> None:
        epochs_done, within = divmod(steps_done, self.steps_per_epoch)
        self.next_look = time.monotonic() + _LOOK_SECONDS
        if within:  # before an epoch's first step there is none
            bring_up_to_date(self.model)
            # By hand: with several hosts the accelerators compute nothing that not all of them ask for.
            total, images = (float(keras.ops.convert_to_numpy(part)) for part in self.metrics[0].variables)
            self.health.check_loss(total / images if images else 0.0, epochs_done + 1)
