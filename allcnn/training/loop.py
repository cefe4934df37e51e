"""One run in progress: the models, the batches, what happens after each epoch, and how it ends."""

from __future__ import annotations

import errno
import math
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from allcnn.data.pipeline import BatchOrder, training_batches
from allcnn.data.streamed import Images, part_of
from allcnn.device import (
    Device,
    find_device,
    jit_compile,
    keep_images_on_device,
    resolve_precision,
    steps_per_execution,
)
from allcnn.errors import Interrupted
from allcnn.models.build import build_model
from allcnn.models.saved import save_model
from allcnn.preprocessing import Preprocessing
from allcnn.preprocessing.store import fit_preprocessing, load_preprocessing, save_preprocessing
from allcnn.runs.folder import Row, create_json, write_metrics
from allcnn.training import outcome
from allcnn.training.damage import record_damage, refusing_damage
from allcnn.training.health import GivenUp, Health, default_patience
from allcnn.training.outcome import TrainingResult
from allcnn.training.plan import RunPlan
from allcnn.training.resuming import load_own_state
from allcnn.training.spread import settle
from allcnn.training.stopping import StopRequest

if TYPE_CHECKING:
    import keras

    from allcnn.runs.checkpoint import TrainingState
    from allcnn.spread.channel import Channel
    from allcnn.training.progress import ProgressDisplay
    from allcnn.training.saving import StateSaver


class TrainingLoop:
    """A run in progress: what its parts share. Made once Keras is loaded."""

    def __init__(self, plan: RunPlan, announce: Callable[[str], None], channel: Channel | None = None):
        from allcnn.training.network import preprocess_once

        self.plan = plan
        self.announce = announce
        self.device: Device = find_device()
        self.precision = resolve_precision(plan.precision, self.device)
        self.recipe = plan.recipe
        self.spread = settle(plan, channel, self.device, min(plan.recipe.batch_size, len(plan.kept)))
        self.order = BatchOrder(
            images=len(plan.kept), batch_size=plan.recipe.batch_size, seed=plan.seed, shuffle=plan.recipe.shuffle,
            augmentation=plan.recipe.augmentation, alternate_flips=plan.recipe.alternate_flips,
            streamed=plan.data.streamed,
            host=self.spread.host, hosts=self.spread.hosts,
        )  # fmt: skip
        steps_per_epoch = self.order.steps_per_epoch
        by_steps = plan.recipe.unit == "steps"
        self.total_steps = plan.recipe.length if by_steps else plan.recipe.length * steps_per_epoch
        self.epochs = math.ceil(self.total_steps / steps_per_epoch)
        self.rows: list[Row] = []
        shape = plan.data.image_shape
        self.preprocessed_once = not plan.data.streamed and preprocess_once(shape, len(plan.kept))
        value_bytes = 4 if self.preprocessed_once else 1
        self.health = Health(self.recipe, plan.data.classes, plan.patience or default_patience(steps_per_epoch))
        self.display: ProgressDisplay | None = None
        self.saver: StateSaver | None = None
        self.final_is_last_epoch = False
        self.images_on_device = not plan.data.streamed and keep_images_on_device(
            self.device, len(plan.kept) * math.prod(shape) * value_bytes
        )

    def train(self, progress: bool, callbacks: Sequence[keras.callbacks.Callback]) -> TrainingResult:
        """Begin, or go on, and run to the end."""
        plan, folder = self.plan, self.plan.folder
        config = {**plan.config(self.device, self.precision, self.preprocessed_once), **self.spread.as_config()}
        state = load_own_state(plan, config, self.order, self.total_steps, self.announce) if plan.stored else None
        with StopRequest() as stop:
            self.spread.heed_stops(stop)
            try:
                preprocessing = self._fit_preprocessing()
                self._make_final(preprocessing)
                if plan.stored is None:
                    create_json(folder.config, config)  # from now on the folder is this run's, and can be resumed
                folder.remove_partial_files()
                if not folder.preprocessing.exists():  # a resumed run read it from there
                    save_preprocessing(preprocessing, folder.preprocessing)
                self.spread.show_folder(folder, state.steps_done if state else 0)
                with self.spread.scope():
                    self._make_training(preprocessing, state.steps_done if state else 0)
                self.saver = self._begin(state, progress, stop)
                if self.saver.steps_saved < self.total_steps:
                    images = self._images(preprocessing)
                    stop.check()
                    folder.summary.unlink(missing_ok=True)  # it tells how a run ended, and this one goes on
                    self._fit(self.saver, images, state, callbacks)
                return self._finish()
            except KeyboardInterrupt:
                raise self._interrupted(stop.forced) from None
            except GivenUp as failure:
                outcome.write_summary(plan, failure.status, self.rows, self.epochs, str(failure))
                raise
            except OSError as failure:
                if failure.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise outcome.disk_full(plan.folder, self._saved()) from failure
                raise
            finally:
                if self.display:
                    self.display.close()

    def _make_final(self, preprocessing: Preprocessing) -> None:
        """`final`, the float32 model of raw images that is measured and saved, on one device."""
        plan, recipe = self.plan, self.recipe
        self.final = build_model(
            plan.spec, plan.data.image_shape, plan.data.classes, preprocessing=preprocessing, dtype="float32",
            initializer=recipe.initializer, class_bias=recipe.class_bias, seed=plan.seed,
            name=plan.model.replace("-", "_"), field=recipe.field,
        )  # fmt: skip

    def _make_training(self, preprocessing: Preprocessing, steps_done: int) -> None:
        """`training`, the model that learns, compiled; inside `spread.scope`."""
        from allcnn.training.network import compile_for_training, make_optimizer, make_training_model

        plan, recipe = self.plan, self.recipe
        self.training = make_training_model(
            plan.spec, plan.data.image_shape, plan.data.classes,
            initializer=recipe.initializer, class_bias=recipe.class_bias, seed=plan.seed,
            weight_decay=recipe.weight_decay, decay_biases=recipe.decay_biases,
            dropout_scale=recipe.dropout_scale, input_dropout_scale=recipe.input_dropout_scale,
            augmentation=recipe.augmentation, dtype=self.precision,
            preprocessing=None if self.preprocessed_once else preprocessing,
            stored=len(plan.kept) if self.images_on_device else 0, field=recipe.field,
        )  # fmt: skip
        # The learning rate may change, and the run end, only between two executions.
        counts = [*recipe.drops, self.total_steps] if recipe.unit == "steps" else []
        within_epoch = steps_done % self.order.steps_per_epoch
        self.metrics = compile_for_training(
            self.training, make_optimizer(recipe, self.total_steps), jit_compile(self.device),
            steps_per_execution(self.device, self.order.steps_per_epoch, within_epoch, *counts),
            recipe.label_smoothing,
        )  # fmt: skip
        self.training.optimizer.build(self.training.trainable_variables)

    def _images(self, preprocessing: Preprocessing) -> Images | None:
        """The images to take batches from, preprocessed once where they fit; None where the accelerator has them."""
        from allcnn.training.network import store_images

        if self.plan.data.streamed:
            return self.training_images
        images = self.training_images[:]
        if self.preprocessed_once:
            images = preprocessing.apply(images)
        return None if store_images(self.training, images) else images

    @cached_property
    def training_images(self) -> Images:
        """The raw images to train on: those not held out."""
        plan = self.plan
        return part_of(plan.data.train_images, plan.kept) if len(plan.held) else plan.data.train_images

    def _fit_preprocessing(self) -> Preprocessing:
        """From the run folder on resume, so that it is the same to the bit; else fitted, or taken from the cache."""
        plan = self.plan
        if plan.stored is not None and plan.folder.preprocessing.exists():
            return load_preprocessing(plan.folder.preprocessing)
        return fit_preprocessing(self.recipe.preprocessing, self.training_images)

    def _begin(self, state: TrainingState | None, progress: bool, stop: StopRequest) -> StateSaver:
        """Put the models where the state left them, and make what accompanies the steps."""
        from allcnn.runs.checkpoint import apply_state
        from allcnn.training.callbacks import RunRecord
        from allcnn.training.network import copy_weights, set_dropout_step
        from allcnn.training.progress import ProgressDisplay
        from allcnn.training.saving import StateSaver

        folder, steps_per_epoch = self.plan.folder, self.order.steps_per_epoch
        batch_size = self.order.images_per_batch
        steps_done = state.steps_done if state else 0
        self.record = RunRecord(
            folder.metrics, steps_per_epoch * batch_size, state.rows if state else (), self.total_steps * batch_size
        )
        self.rows = self.record.rows
        if state is not None:
            apply_state(self.training, state)
            write_metrics(folder.metrics, self.rows)
            copy_weights(self.training, self.final)
            self.record.seconds_before = state.seconds
            self.announce(f"resuming after {outcome.amount(steps_done, steps_per_epoch, self.epochs)}.")
            self.final_is_last_epoch = steps_done % steps_per_epoch == 0
        set_dropout_step(self.training, steps_done)
        if progress:
            self.display = ProgressDisplay(steps_per_epoch, batch_size, self.epochs, steps_done)
            stop.say = self.display.say
        return StateSaver(
            folder, self.training, self.metrics, steps_per_epoch=steps_per_epoch, total_steps=self.total_steps,
            save_every=self.plan.save_every, record=self.record, health=self.health, stop=stop, steps_saved=steps_done,
        )  # fmt: skip

    def _fit(
        self,
        saver: StateSaver,
        images: Images | None,
        state: TrainingState | None,
        callbacks: Sequence[keras.callbacks.Callback],
    ) -> None:
        from allcnn.training import callbacks as ours
        from allcnn.training.tensorboard import TensorBoardLog

        plan, recipe, steps_per_epoch = self.plan, self.recipe, self.order.steps_per_epoch
        steps_done = saver.steps_saved
        chain: list[keras.callbacks.Callback] = [
            ours.AfterEpoch(lambda epochs, logs: self.health.check_loss(logs["loss"], epochs)),
            *self._learning_rate_drops(steps_done),
            ours.MeasureErrors(self.spread.outside(self._measure)),
            *([self.display] if self.display else []),
            self.record,
            *([TensorBoardLog(plan.folder.tensorboard, self.rows)] if plan.tensorboard else []),
            ours.TableExport(plan.folder.table, outcome.result_row_of(plan)),
            ours.AfterEpoch(partial(self._after_epoch, saver)),
            *([ours.BetweenSteps(self.spread.check, steps_per_epoch)] if self.spread.channel else []),
            ours.BetweenSteps(saver.between_steps, steps_per_epoch, steps_done),
            *([ours.StopAtStep(self.total_steps, steps_done)] if recipe.unit == "steps" else []),
            *callbacks,
        ]
        self._fit_with(chain, images, state)

    def _learning_rate_drops(self, steps_done: int) -> list[keras.callbacks.Callback]:
        """The schedule, where it is not in the optimizer."""
        from allcnn.training.callbacks import LearningRateMultiplier

        recipe = self.recipe
        if recipe.schedule != "drops":
            return []
        return [
            LearningRateMultiplier(
                recipe.drops, recipe.multiplier, recipe.learning_rate, recipe.unit, first_step=steps_done
            )
        ]

    def _fit_with(
        self, chain: list[keras.callbacks.Callback], images: Images | None, state: TrainingState | None
    ) -> None:
        """Take the steps that are left, on all devices."""
        from allcnn.runs.checkpoint import apply_metrics
        from allcnn.training.fit import fit_from

        labels = self.plan.data.train_labels[self.plan.kept]
        with self.spread.scope(), refusing_damage(images, self.plan.folder):
            fit_from(
                self.training, partial(training_batches, images, labels, self.order), chain,
                first_step=state.steps_done if state else 0, last_step=self.total_steps,
                steps_per_epoch=self.order.steps_per_epoch,
                restore_metrics=lambda: apply_metrics(self.metrics, state) if state else None,
            )  # fmt: skip

    def _measure(self, epochs_done: int) -> dict[str, float]:
        """Bring the weights into the float32 model of raw images, and its errors where this epoch is to be measured."""
        from allcnn.evaluation import evaluate
        from allcnn.training.network import copy_weights

        data, held = self.plan.data, self.plan.held
        copy_weights(self.training, self.final)
        self.final_is_last_epoch = True
        if epochs_done % self.plan.test_every and epochs_done != self.epochs:
            return {}
        test = evaluate(self.final, data.test_images, data.test_labels)
        figures = {"test_error": test.error_percent}
        if test.top5_error_percent is not None:
            figures["test_top5_error"] = test.top5_error_percent
        if len(held):
            held_out = evaluate(self.final, part_of(data.train_images, held), data.train_labels[held])
            figures["validation_error"] = held_out.error_percent
        return figures

    def _after_epoch(self, saver: StateSaver, epochs_done: int, logs: dict[str, Any]) -> None:
        """Save the state, then see whether it is worth going on from."""
        saver.after_epoch(epochs_done)
        record_damage(self.plan)
        self.health.check_epoch(self.rows, logs["largest_value"])

    def _interrupted(self, forced: bool) -> Interrupted:
        """Leave what is needed to look at the run and to go on with it, and say how.

        Between two steps the float32 model and the rows are those of the last whole epoch, if this process has seen it
        end. A stop that was forced may have come anywhere: then only the state on disk counts, and no model is
        published.
        """
        if self.rows and self.final_is_last_epoch and not forced:
            save_model(self.final, outcome.model_card(self.plan), self.plan.folder.model)
            outcome.write_summary(self.plan, "interrupted", self.rows, self.epochs)
        return Interrupted(
            f"interrupted: {self._saved()} are saved. Go on with:\n{outcome.resume_line(self.plan.folder)}"
        )

    def _saved(self) -> str:
        """How much of the run is on disk."""
        steps = self.saver.steps_saved if self.saver else 0
        return outcome.amount(steps, self.order.steps_per_epoch, self.epochs)

    def _finish(self) -> TrainingResult:
        plan, last = self.plan, self.rows[-1]
        # A callback of the user's may have ended the training before its time, after an epoch that was not measured.
        if last["test_error"] is None:
            last.update(self._measure(self.epochs))
            write_metrics(plan.folder.metrics, self.rows)
            outcome.write_table(plan, self.rows)
        status = "finished" if len(self.rows) == self.epochs else "stopped"
        save_model(self.final, outcome.model_card(plan), plan.folder.model)
        outcome.write_summary(plan, status, self.rows, self.epochs)
        result = outcome.training_result(plan, status, self.rows)
        self.spread.finish(result.as_dict())
        return result
