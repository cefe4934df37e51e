"""One run in progress: the models, the batches, what happens after each epoch, and how it ends."""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from functools import cached_property
from shlex import quote
from typing import TYPE_CHECKING, Any

import numpy as np

from allcnn.data.pipeline import BatchOrder, training_batches
from allcnn.device import (
    Device,
    find_device,
    jit_compile,
    keep_images_on_device,
    resolve_precision,
    steps_per_execution,
)
from allcnn.errors import Interrupted, TrainingError
from allcnn.models.build import build_model
from allcnn.models.saved import save_model
from allcnn.preprocessing import Preprocessing
from allcnn.preprocessing.store import fit_preprocessing, load_preprocessing, save_preprocessing
from allcnn.runs.folder import Row, create_json, write_metrics
from allcnn.training import outcome
from allcnn.training.outcome import TrainingResult
from allcnn.training.plan import RunPlan
from allcnn.training.stopping import StopRequest

if TYPE_CHECKING:
    import keras


class TrainingLoop:
    """A run in progress: what its parts share. Made once Keras is loaded."""

    def __init__(self, plan: RunPlan, announce: Callable[[str], None]):
        import keras

        from allcnn.training.network import preprocess_once

        self.plan = plan
        self.announce = announce
        self.device: Device = find_device()
        self.backend = keras.backend.backend()
        self.precision = resolve_precision(plan.precision, self.device)
        self.recipe = plan.recipe
        self.order = BatchOrder(
            images=len(plan.kept), batch_size=plan.recipe.batch_size, seed=plan.seed, shuffle=plan.recipe.shuffle,
            augment=plan.recipe.augmentation == "flip-shift",
        )  # fmt: skip
        steps_per_epoch = self.order.steps_per_epoch
        by_steps = plan.recipe.unit == "steps"
        self.total_steps = plan.recipe.length if by_steps else plan.recipe.length * steps_per_epoch
        self.epochs = math.ceil(self.total_steps / steps_per_epoch)
        self.rows: list[Row] = []
        shape = plan.data.image_shape
        self.preprocessed_once = preprocess_once(shape, len(plan.kept))
        value_bytes = 4 if self.preprocessed_once else 1
        self.images_on_device = keep_images_on_device(self.device, len(plan.kept) * math.prod(shape) * value_bytes)

    def train(self, progress: bool, callbacks: Sequence[keras.callbacks.Callback]) -> TrainingResult:
        """Begin, or go on, and run to the end."""
        plan = self.plan
        from allcnn.runs.checkpoint import apply_state, load_state
        from allcnn.training.network import copy_weights, set_dropout_step

        config = plan.config(self.backend, self.precision)
        if plan.stored is not None:
            plan.refuse_other_run(config)
        state = load_state(plan.folder) if plan.stored is not None else None
        preprocessing = self._fit_preprocessing()
        self._make_models(preprocessing)
        epochs_done = steps_done = 0
        if state is not None:
            apply_state(self.training, state)
            epochs_done, steps_done, self.rows = state.epochs_done, state.steps_done, list(state.rows)
            write_metrics(plan.folder.metrics, self.rows)
            copy_weights(self.training, self.final)
            self.announce(f"resuming after epoch {epochs_done} of {self.epochs}.")
        self.epochs_saved = epochs_done
        set_dropout_step(self.training, steps_done)
        with StopRequest() as stop:
            try:
                if plan.stored is None:
                    self._begin_folder(config)
                plan.folder.remove_partial_files()
                if not plan.folder.preprocessing.exists():  # a resumed run read it from there
                    save_preprocessing(preprocessing, plan.folder.preprocessing)
                if steps_done < self.total_steps:
                    batches = self._batches(preprocessing, steps_done)
                    stop.check()
                    self._fit(batches, epochs_done, steps_done, progress, callbacks, stop)
            except KeyboardInterrupt:
                raise self._interrupted(stop.forced) from None
        return self._finish()

    def _make_models(self, preprocessing: Preprocessing) -> None:
        """`final`, the float32 model of raw images that is measured and saved, and `training`, the one that learns."""
        from allcnn.training.network import compile_for_training, make_training_model

        plan, recipe = self.plan, self.recipe
        self.final = build_model(
            plan.spec, plan.data.image_shape, plan.data.classes, preprocessing=preprocessing, dtype="float32",
            initializer=recipe.initializer, seed=plan.seed, name=plan.model.replace("-", "_"),
        )  # fmt: skip
        self.training = make_training_model(
            plan.spec, plan.data.image_shape, plan.data.classes,
            initializer=recipe.initializer, seed=plan.seed, weight_decay=recipe.weight_decay,
            decay_biases=recipe.decay_biases, augment=self.order.augment, dtype=self.precision,
            preprocessing=None if self.preprocessed_once else preprocessing,
            stored=len(plan.kept) if self.images_on_device else 0,
        )  # fmt: skip
        # The learning rate may change, and the run end, only between two executions.
        counts = [*recipe.milestones, self.total_steps] if recipe.unit == "steps" else []
        compile_for_training(
            self.training, recipe.learning_rate, recipe.momentum, jit_compile(self.device),
            steps_per_execution(self.device, self.order.steps_per_epoch, *counts),
        )  # fmt: skip
        self.training.optimizer.build(self.training.trainable_variables)

    def _batches(self, preprocessing: Preprocessing, steps_done: int) -> Iterable[Any]:
        """The batches of the steps still to do; images preprocessed once, and on the accelerator, where they fit."""
        from allcnn.training.network import store_images

        images = self.training_images
        if self.preprocessed_once:
            images = preprocessing.apply(images)
        stored = store_images(self.training, images)
        labels = self.plan.data.train_labels[self.plan.kept]
        return training_batches(None if stored else images, labels, self.order, steps_done, self.total_steps)

    @cached_property
    def training_images(self) -> np.ndarray:
        """The raw images to train on: those not held out."""
        plan = self.plan
        return plan.data.train_images[plan.kept] if len(plan.held) else plan.data.train_images

    def _fit_preprocessing(self) -> Preprocessing:
        """From the run folder on resume, so that it is the same to the bit; else fitted, or taken from the cache."""
        plan = self.plan
        if plan.stored is not None and plan.folder.preprocessing.exists():
            return load_preprocessing(plan.folder.preprocessing)
        return fit_preprocessing(self.recipe.preprocessing, self.training_images)

    def _begin_folder(self, config: dict[str, Any]) -> None:
        """config.json first: from then on the folder is this run's, and can be resumed."""
        folder = self.plan.folder
        folder.path.mkdir(parents=True, exist_ok=True)
        more = {
            "source": self.plan.data.source,
            "training_images": len(self.plan.kept),
            "preprocessed_once": self.preprocessed_once,
            "device": asdict(self.device),
            "versions": {"python": platform.python_version(), **outcome.installed_versions()},
        }
        create_json(folder.config, {**config, **more})

    def _fit(
        self,
        batches: Iterable[Any],
        epochs_done: int,
        steps_done: int,
        progress: bool,
        callbacks: Sequence[keras.callbacks.Callback],
        stop: StopRequest,
    ) -> None:
        from allcnn.training import callbacks as ours
        from allcnn.training.progress import ProgressDisplay

        plan, recipe, folder = self.plan, self.recipe, self.plan.folder
        batch_size = self.order.images_per_batch
        record = ours.RunRecord(folder.metrics, self.order.steps_per_epoch * batch_size, self.rows)
        self.rows = record.rows
        display = ProgressDisplay(self.order.steps_per_epoch, batch_size, self.epochs, epochs_done)
        chain: list[keras.callbacks.Callback] = [
            ours.LearningRateMultiplier(
                recipe.milestones, recipe.multiplier, recipe.learning_rate, recipe.unit, first_step=steps_done
            ),
            ours.MeasureErrors(self._measure),
            *([display] if progress else []),
            record,
            ours.TableExport(folder.table, outcome.result_row_of(plan)),
            ours.AfterEpoch(self._save_epoch),
            ours.BetweenSteps(stop.check),
            *([ours.StopAtStep(self.total_steps, steps_done)] if recipe.unit == "steps" else []),
            *callbacks,
        ]
        try:
            self.training.fit(
                batches, epochs=self.epochs, initial_epoch=epochs_done, steps_per_epoch=self.order.steps_per_epoch,
                callbacks=chain, shuffle=False, verbose=0,
            )  # fmt: skip
        finally:
            display.close()

    def _measure(self, epochs_done: int) -> dict[str, float]:
        """Bring the weights into the float32 model of raw images, and its errors where this epoch is to be measured."""
        from allcnn.evaluation import evaluate
        from allcnn.training.network import copy_weights

        data, held = self.plan.data, self.plan.held
        copy_weights(self.training, self.final)
        if epochs_done % self.plan.test_every and epochs_done != self.epochs:
            return {}
        figures = {"test_error": evaluate(self.final, data.test_images, data.test_labels).error_percent}
        if len(held):
            held_out = evaluate(self.final, data.train_images[held], data.train_labels[held])
            figures["validation_error"] = held_out.error_percent
        return figures

    def _save_epoch(self, epochs_done: int, logs: dict[str, Any]) -> None:
        """Save the training state, after refusing one that holds nothing worth going on with."""
        from allcnn.runs.checkpoint import capture_state, save_state

        if not math.isfinite(logs["loss"]):
            outcome.write_summary(self.plan, "diverged", self.rows, self.epochs)
            raise TrainingError(
                f"the loss became {logs['loss']} in epoch {epochs_done}: the run diverged.\n"
                f"Try a smaller learning rate than {self.recipe.learning_rate:g} (--lr), or another preprocessing "
                f"than {self.recipe.preprocessing}."
            )
        steps_done = min(epochs_done * self.order.steps_per_epoch, self.total_steps)
        save_state(self.plan.folder, capture_state(self.training, epochs_done, steps_done, self.rows))
        self.epochs_saved = epochs_done

    def _interrupted(self, forced: bool) -> Interrupted:
        """Leave what is needed to look at the run and to go on with it, and say how.

        Between two steps the float32 model, the rows and the saved state are those of the last whole epoch. A stop that
        was forced may have come anywhere: then only the state on disk counts, and no model is published.
        """
        folder = self.plan.folder
        if self.epochs_saved and not forced:
            save_model(self.final, outcome.model_card(self.plan), folder.model)
            outcome.write_summary(self.plan, "interrupted", self.rows, self.epochs)
        done = f"{self.epochs_saved} of {self.epochs} epochs are saved"
        line = f"allcnn train --resume --run-dir {quote(str(folder.path))}"
        return Interrupted(f"interrupted: {done}. Go on with:\n{line}")

    def _finish(self) -> TrainingResult:
        plan, last = self.plan, self.rows[-1]
        # A callback of the user's may have ended the training before its time, after an epoch that was not measured.
        if last["test_error"] is None:
            last.update(self._measure(self.epochs))
            write_metrics(plan.folder.metrics, self.rows)
            outcome.write_table(plan, self.rows)
        status = "finished" if len(self.rows) == self.epochs else "stopped"
        save_model(self.final, outcome.model_card(plan), plan.folder.model)
        chance = math.log(plan.data.classes)
        if last["loss"] > 0.99 * chance:
            self.announce(
                f"the cross-entropy ended at {last['loss']:.3f}, that of guessing is {chance:.3f}: nothing was "
                "learned. Try another learning rate (--lr), more epochs, a smaller batch (--batch-size) or a linear "
                "last convolution (NC1:linear in the network's text)."
            )
        outcome.write_summary(plan, status, self.rows, self.epochs)
        return outcome.training_result(plan, status, self.rows)
