"""The part of a host that is not the first: its share of every batch. It decides nothing and writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from allcnn.errors import RunError
from allcnn.preprocessing.store import load_preprocessing
from allcnn.training.loop import TrainingLoop
from allcnn.training.outcome import TrainingResult
from allcnn.training.stopping import StopRequest

if TYPE_CHECKING:
    import keras


class FollowingLoop(TrainingLoop):
    """Takes the steps that host 0 takes, in its order, from what host 0 left in the run's folder.

    Whether the run is healthy, saved, stopped or done is host 0's business; how it ended is heard from there. SIGINT
    and SIGTERM, which schedulers send to all, are handed on to host 0, which saves and ends the run.
    """

    def train(self, progress: bool, callbacks: Sequence[keras.callbacks.Callback]) -> TrainingResult:
        """Follow host 0 to the end of the run; gives its result."""
        from allcnn.runs.checkpoint import apply_state, load_state
        from allcnn.training import callbacks as ours
        from allcnn.training.network import set_dropout_step

        plan, recipe = self.plan, self.recipe
        with StopRequest() as stop:
            self.spread.hand_on_stops(stop)
            steps_done = self.spread.see_folder(plan.folder)
            preprocessing = load_preprocessing(plan.folder.preprocessing)
            state = load_state(plan.folder) if steps_done else None
            if (state.steps_done if state else 0) != steps_done:
                raise RunError(
                    f"{plan.folder.path}: host 0 goes on after {steps_done} steps, and this is another state."
                )
            with self.spread.scope():
                self._make_training(preprocessing, steps_done)
            if state is not None:
                apply_state(self.training, state)
            set_dropout_step(self.training, steps_done)
            if steps_done < self.total_steps:
                chain: list[keras.callbacks.Callback] = [
                    *self._learning_rate_drops(steps_done),
                    ours.BetweenSteps(self.spread.check, self.order.steps_per_epoch, steps_done),
                    *([ours.StopAtStep(self.total_steps, steps_done)] if recipe.unit == "steps" else []),
                    *callbacks,
                ]
                self._fit_with(chain, self._images(preprocessing), state)
            result = self.spread.finish(None)
        return TrainingResult(**{**result, "run_dir": Path(result["run_dir"])})
