"""One run in progress: what happens before a step, in a step and after an epoch; how it begins, goes on and ends."""

from __future__ import annotations

import errno
import math
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import keras

from allcnn.data.pipeline import BatchOrder, training_batches
from allcnn.data.streamed import Images, as_images
from allcnn.device import (
    Device,
    find_device,
    jit_compile,
    keep_images_on_device,
    resolve_precision,
    steps_per_execution,
)
from allcnn.errors import Interrupted, RunError
from allcnn.evaluation import evaluate
from allcnn.models.build import build_model
from allcnn.models.saved import save_model
from allcnn.preprocessing import Preprocessing
from allcnn.preprocessing.store import fit_preprocessing, load_preprocessing, save_preprocessing
from allcnn.runs.checkpoint import (
    TrainingState,
    apply_metrics,
    apply_state,
    bring_up_to_date,
    capture_state,
    load_state,
    save_state,
)
from allcnn.runs.config import KEPT
from allcnn.runs.folder import Row, create_json, write_json, write_metrics
from allcnn.training import outcome
from allcnn.training.callbacks import RunRecord, TableExport, TensorBoardLog
from allcnn.training.health import GivenUp, Health, default_patience
from allcnn.training.identity import refuse_other_run, spread_differences
from allcnn.training.network import (
    compile_for_training,
    copy_weights,
    make_optimizer,
    make_training_model,
    preprocess_once,
    set_dropout_step,
    store_images,
)
from allcnn.training.outcome import TrainingResult
from allcnn.training.plan import RunPlan
from allcnn.training.progress import ProgressDisplay
from allcnn.training.spread import settle
from allcnn.training.stopping import StopRequest
from allcnn.waiting import waiting

# Reading the loss waits for the accelerator, so it is read every so many seconds and not every step.
_LOOK_SECONDS = 2.0


class TrainingLoop:
    """A run in progress. Made once Keras is loaded.

    Two models share their weights' names: `training` learns, compiled, on all devices; `final` is the float32 model of
    raw images that is measured and saved, on one device.
    """

    def __init__(self, plan: RunPlan, announce: Callable[[str], None], together: bool = False):
        self.plan = plan
        self.recipe = plan.recipe
        self.announce = announce
        self.device: Device = find_device()
        self.precision = resolve_precision(plan.asked.precision, self.device)
        self.spread = settle(plan, together, self.device, min(plan.recipe.batch_size, len(plan.kept)))
        self.order = BatchOrder(
            images=len(plan.kept), batch_size=plan.recipe.batch_size, seed=plan.asked.seed, shuffle=plan.recipe.shuffle,
            augmentation=plan.recipe.augmentation, alternate_flips=plan.recipe.alternate_flips,
            streamed=plan.data.streamed,
            host=self.spread.host, hosts=self.spread.hosts,
        )  # fmt: skip
        self.steps_per_epoch = self.order.steps_per_epoch
        self.total_steps = plan.recipe.total_steps(self.steps_per_epoch)
        self.epochs = math.ceil(self.total_steps / self.steps_per_epoch)
        self.health = Health(
            plan.recipe, plan.data.classes, plan.asked.patience or default_patience(self.steps_per_epoch)
        )
        shape = plan.data.image_shape
        self.preprocessed_once = not plan.data.streamed and preprocess_once(shape, len(plan.kept))
        value_bytes = 4 if self.preprocessed_once else 1
        self.images_on_device = not plan.data.streamed and keep_images_on_device(
            self.device, len(plan.kept) * math.prod(shape) * value_bytes
        )
        self.display: ProgressDisplay | None = None
        self.rows: list[Row] = []
        self.steps_before = 0  # of an earlier process
        self.steps_saved = 0
        self.final_is_last_epoch = False
        self.writes = self.spread.host == 0

    def train(self, progress: bool, callbacks: Sequence[keras.callbacks.Callback]) -> TrainingResult:
        """Begin, or go on, and run to the end."""
        folder = self.plan.folder
        config = {
            **self.plan.config(self.device, self.precision, self.preprocessed_once),
            "devices": self.spread.devices,
            "hosts": self.spread.hosts,
        }
        with self.spread.in_turn():
            state = self._state_to_go_on_from(config)
        with StopRequest(self.spread.stop_here if self.spread.hosts > 1 else None) as stop:
            self.stop = stop
            try:
                images = self._begin(config, state, progress)
                if self.steps_saved < self.total_steps:
                    stop.check()
                    if self.writes:
                        folder.summary.unlink(missing_ok=True)  # it tells how a run ended, and this one goes on
                    self._fit(self._accompanied(callbacks), images, state)
                return self._finish()
            except KeyboardInterrupt:
                interrupted = self._interrupted(stop.forced)
                if stop.asked and not stop.forced:
                    self.spread.gather()  # nobody leaves before host 0 has saved
                raise interrupted from None
            except GivenUp as failure:
                if self.writes:
                    outcome.write_summary(self.plan, failure.status, self.rows, self.epochs, str(failure))
                self.spread.gather()
                raise
            except OSError as failure:
                if failure.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise outcome.disk_full(folder, self._saved()) from failure
                raise
            finally:
                if self.display:
                    self.display.close()

    # A step and an epoch.

    def _accompanied(self, callbacks: Sequence[keras.callbacks.Callback]) -> list[keras.callbacks.Callback]:
        """What Keras calls around the steps, in this order."""
        folder = self.plan.folder
        return [
            keras.callbacks.LambdaCallback(on_epoch_end=self._measure),
            *([self.display] if self.display else []),
            self.record,
            *([TensorBoardLog(folder.tensorboard, self.rows)] if self.plan.asked.tensorboard else []),
            TableExport(folder.table, outcome.result_row_of(self.plan)),
            keras.callbacks.LambdaCallback(on_epoch_end=self._after_epoch),
            *callbacks,
        ]

    def _fit(
        self, callbacks: Sequence[keras.callbacks.Callback], images: Images | None, state: TrainingState | None
    ) -> None:
        """Take the steps that are left, on all devices; also from the middle of an epoch, where Keras cannot begin.

        The rest of a half-done epoch is a call of Keras's fit of its own: callbacks see training begin twice.
        """
        labels = self.plan.data.train_labels[self.plan.kept]
        per_epoch = self.steps_per_epoch

        def epoch_begins(epoch: int, logs: dict | None = None) -> None:
            self.epoch_begins = max(epoch * per_epoch, self.steps_before)
            if self.epoch_begins % per_epoch and state is not None:
                apply_metrics(self.metrics, state)  # Keras has just set the sums of the epoch to zero

        begins = keras.callbacks.LambdaCallback(on_epoch_begin=epoch_begins, on_train_batch_begin=self._before_step)
        whole = min(math.ceil(self.steps_before / per_epoch) * per_epoch, self.total_steps)
        with self.spread.scope(), outcome.refusing_damage(images, self.plan.folder):
            for first, last in ((self.steps_before, whole), (whole, self.total_steps)):
                if first == last:
                    continue
                epoch, within = divmod(first, per_epoch)
                self.training.fit(
                    training_batches(images, labels, self.order, first, last), initial_epoch=epoch,
                    epochs=math.ceil(last / per_epoch), steps_per_epoch=per_epoch - within,
                    callbacks=[begins, *callbacks], shuffle=False, verbose=0,
                )  # fmt: skip
                if self.training.stop_training:  # a callback's wish, which the next fit would forget
                    return

    def _before_step(self, batch: int, logs: dict | None = None) -> None:
        """Look for a stop, save the state if it is time to, end the run at its last step.

        Before a step, not after: for a callback after it Keras would wait for the step's figures each time.
        """
        steps_done = self.epoch_begins + batch
        every = self.plan.asked.save_every
        if self.stop.before_step() or (every and steps_done // every > self.steps_saved // every):
            self._save_within_epoch(steps_done)
            self.stop.check()
        elif self.spread.hosts == 1 and time.monotonic() > self.next_look:  # the clocks of hosts differ
            self._check_loss(steps_done)
        # A recipe that counts steps need not end with an epoch; Keras looks at this after the step that now begins.
        if steps_done + self.training.steps_per_execution >= self.total_steps:
            self.training.stop_training = True

    def _measure(self, epoch: int, logs: dict[str, Any]) -> None:
        """Bring the weights into the final model, and its errors into the logs where this epoch is to be measured."""
        epochs_done = epoch + 1
        self.health.check_loss(logs["loss"], epochs_done)
        last_step = min(epochs_done * self.steps_per_epoch, self.total_steps) - 1
        logs["learning_rate"] = self.recipe.learning_rate_at(last_step, self.steps_per_epoch)
        begun = time.perf_counter()
        with self.spread.suspended():
            copy_weights(self.training, self.final)
            self.final_is_last_epoch = True
            if epochs_done % self.plan.asked.test_every == 0 or epochs_done == self.epochs:
                logs.update(self._errors())
        logs["test_seconds"] = time.perf_counter() - begun

    def _errors(self) -> dict[str, float]:
        """The errors of the final model, in percent, on the test images and on those held out."""
        data, held = self.plan.data, self.plan.held
        test = evaluate(self.final, data.test_images, data.test_labels)
        figures = {"test_error": test.error_percent}
        if test.top5_error_percent is not None:
            figures["test_top5_error"] = test.top5_error_percent
        if len(held):
            held_out = evaluate(self.final, as_images(data.train_images).part(held), data.train_labels[held])
            figures["validation_error"] = held_out.error_percent
        return figures

    def _after_epoch(self, epoch: int, logs: dict[str, Any]) -> None:
        """Check whether the run can still learn, then save the state.

        In this order: a run that is given up here, or killed, repeats this epoch when it is resumed. From a state after
        it the run would go on, or be finished.
        """
        steps_done = min((epoch + 1) * self.steps_per_epoch, self.total_steps)
        outcome.record_damage(self.plan)
        self.health.check_epoch(self.rows, logs["largest_value"])
        save_state(self.plan.folder, capture_state(self.training, epoch + 1, steps_done, self.rows))
        self.steps_saved = steps_done

    def _save_within_epoch(self, steps_done: int) -> None:
        """Save the state between two steps. No state is saved whose loss is no number."""
        if steps_done == self.steps_saved:
            return
        self._check_loss(steps_done)
        if self.writes:
            epochs_done, within = divmod(steps_done, self.steps_per_epoch)
            half_done = (self.metrics, self.record.seconds_so_far()) if within else ()
            save_state(self.plan.folder, capture_state(self.training, epochs_done, steps_done, self.rows, *half_done))
        self.steps_saved = steps_done

    def _check_loss(self, steps_done: int) -> None:
        self.next_look = time.monotonic() + _LOOK_SECONDS
        epochs_done, within = divmod(steps_done, self.steps_per_epoch)
        if within:  # before an epoch's first step there is no loss
            bring_up_to_date(self.training)
            # By hand: with several hosts the accelerators compute nothing that not all of them ask for.
            total, images = (float(keras.ops.convert_to_numpy(part)) for part in self.metrics[0].variables)
            self.health.check_loss(total / images if images else 0.0, epochs_done + 1)

    # The beginning.

    def _state_to_go_on_from(self, config: dict[str, Any]) -> TrainingState | None:
        """The state in the folder, if the run there is this one, or differs only in what may differ.

        Differences are announced, and added to "changes" in config.json with the number of steps done before. Options
        that may always change replace those in config.json, for later resumes.

        Raises:
            RunError: another run, or one that is further than this is to go.
            CheckpointError: no state there can be read.
        """
        plan, stored = self.plan, self.plan.stored
        if stored is None:
            return None
        allowed = refuse_other_run(plan.folder.path, stored, config, plan.allow)
        respread = spread_differences(stored, config)
        state = load_state(plan.folder, self.announce)
        done = state.steps_done if state else 0
        if done > self.total_steps:
            so_far = outcome.amount(done, self.steps_per_epoch, self.epochs)
            raise RunError(f"{plan.folder.path}: is further than that already: {so_far}; expected more (--epochs).")
        if allowed:
            self.announce(f"allowed: {'; '.join(map(str, allowed))}.")
        if respread:
            self.announce(
                f"{'; '.join(map(str, respread))}: from here the figures agree within rounding, not to the bit."
            )
        record = {**stored, **{name: config[name] for name in KEPT}}
        if said := [str(change) for change in (*allowed, *respread)]:
            changes = [*stored.get("changes", []), {"after_steps": done, "allowed": said}]
            record = {**config, "changes": changes}
        if self.writes and record != stored:
            write_json(plan.folder.config, record)
        return state

    def _begin(self, config: dict[str, Any], state: TrainingState | None, progress: bool) -> Images | None:
        """Make the models and put them where the state left them; gives the images to take batches from."""
        folder = self.plan.folder
        self.steps_before = self.steps_saved = state.steps_done if state else 0
        with waiting("preparing the run"), self.spread.in_turn():
            preprocessing = self._fit_preprocessing()
            self._make_final(preprocessing)
            if self.plan.stored is None:
                create_json(folder.config, config)  # from now on the folder is this run's, and can be resumed
            folder.remove_partial_files()
            if not folder.preprocessing.exists():  # a resumed run read it from there
                save_preprocessing(preprocessing, folder.preprocessing)
        self.spread.see(folder, folder.config, folder.preprocessing, steps_done=self.steps_before)
        with waiting("making the network"):
            self._make_training(preprocessing, state)

        batch_size = self.order.images_per_batch
        self.record = RunRecord(
            folder.metrics,
            self.steps_per_epoch * batch_size,
            state.rows if state else (),
            self.total_steps * batch_size,
        )
        self.rows = self.record.rows
        if state is not None:
            write_metrics(folder.metrics, self.rows)
            copy_weights(self.training, self.final)
            self.record.seconds_before = state.seconds
            self.announce(f"resuming after {self._saved()}.")
            self.final_is_last_epoch = self.steps_before % self.steps_per_epoch == 0
        if progress:
            self.display = ProgressDisplay(self.steps_per_epoch, batch_size, self.total_steps, self.steps_before)
            self.stop.say = self.display.say
        self.next_look = time.monotonic() + _LOOK_SECONDS
        return self._images(preprocessing) if self.steps_before < self.total_steps else None

    def _fit_preprocessing(self) -> Preprocessing:
        """From the run folder on resume, so that it is the same to the bit; else fitted, or taken from the cache."""
        plan = self.plan
        if plan.stored is not None and plan.folder.preprocessing.exists():
            return load_preprocessing(plan.folder.preprocessing)
        return fit_preprocessing(self.recipe.preprocessing, self.training_images)

    @cached_property
    def training_images(self) -> Images:
        """The raw images to train on: those not held out."""
        plan = self.plan
        return as_images(plan.data.train_images).part(plan.kept) if len(plan.held) else plan.data.train_images

    @waiting("preprocessing the images")
    def _images(self, preprocessing: Preprocessing) -> Images | None:
        """The images to take batches from, preprocessed once where they fit; None where the accelerator has them."""
        if self.plan.data.streamed:
            return self.training_images
        images = self.training_images[:]
        if self.preprocessed_once:
            images = preprocessing.apply(images)
        return None if store_images(self.training, images) else images

    def _make_final(self, preprocessing: Preprocessing) -> None:
        plan, recipe = self.plan, self.recipe
        self.final = build_model(
            plan.spec, plan.data.image_shape, plan.data.classes, preprocessing=preprocessing, dtype="float32",
            initializer=recipe.initializer, class_bias=recipe.class_bias, seed=plan.asked.seed,
            name=plan.model.replace("-", "_"), field=recipe.field,
        )  # fmt: skip

    def _make_training(self, preprocessing: Preprocessing, state: TrainingState | None) -> None:
        plan, recipe = self.plan, self.recipe
        # Keras looks at the callbacks, and can end the run, only between two executions.
        ends = [self.total_steps] if recipe.unit == "steps" else []
        within_epoch = self.steps_before % self.steps_per_epoch
        steps = steps_per_execution(self.device, self.steps_per_epoch, within_epoch, *ends)
        with self.spread.scope():
            self.training = make_training_model(
                plan.spec, plan.data.image_shape, plan.data.classes, recipe, seed=plan.asked.seed, dtype=self.precision,
                preprocessing=None if self.preprocessed_once else preprocessing,
                stored=len(plan.kept) if self.images_on_device else 0,
            )  # fmt: skip
            self.metrics = compile_for_training(
                self.training, make_optimizer(recipe, self.steps_per_epoch), jit_compile(self.device), steps,
                recipe.label_smoothing,
            )  # fmt: skip
            self.training.optimizer.build(self.training.trainable_variables)
        if state is not None:
            apply_state(self.training, state)
        set_dropout_step(self.training, self.steps_before)

    # The end.

    def _finish(self) -> TrainingResult:
        plan, last = self.plan, self.rows[-1]
        # A callback of the user's may have ended the training before its time, after an epoch that was not measured.
        if last["test_error"] is None:
            last.update(self._errors())
            write_metrics(plan.folder.metrics, self.rows)
            outcome.write_table(plan, self.rows)
        status = "finished" if len(self.rows) == self.epochs else "stopped"
        save_model(self.final, outcome.model_card(plan), plan.folder.model)
        outcome.write_summary(plan, status, self.rows, self.epochs)
        result = outcome.training_result(plan, status, self.rows)
        self.spread.gather(result.as_dict())
        return result

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
        return outcome.amount(self.steps_saved, self.steps_per_epoch, self.epochs)


class FollowingLoop(TrainingLoop):
    """A host that is not the first: its share of every batch. It measures and writes nothing.

    It takes the steps that host 0 takes, in its order, from what host 0 left in the run's folder. It sees the same
    losses, and so gives a run up, or stops, where host 0 does.
    """

    def _begin(self, config: dict[str, Any], state: TrainingState | None, progress: bool) -> Images | None:
        folder = self.plan.folder
        self.steps_before = self.steps_saved = state.steps_done if state else 0
        self.rows = list(state.rows) if state else []
        with self.spread.in_turn():
            pass  # host 0 has begun the folder
        self.spread.see(folder, folder.config, folder.preprocessing, steps_done=self.steps_before)
        preprocessing = load_preprocessing(folder.preprocessing)
        self._make_training(preprocessing, state)
        return self._images(preprocessing) if self.steps_before < self.total_steps else None

    def _accompanied(self, callbacks: Sequence[keras.callbacks.Callback]) -> list[keras.callbacks.Callback]:
        return [keras.callbacks.LambdaCallback(on_epoch_end=self._after_epoch), *callbacks]

    def _after_epoch(self, epoch: int, logs: dict[str, Any]) -> None:
        self.health.check_loss(logs["loss"], epoch + 1)
        self.steps_saved = min((epoch + 1) * self.steps_per_epoch, self.total_steps)
        self.rows.append({"epoch": epoch + 1, "loss": logs["cross_entropy"]})
        self.health.check_epoch(self.rows, logs["largest_value"])

    def _finish(self) -> TrainingResult:
        result = self.spread.gather()[0]
        return TrainingResult(**{**result, "run_dir": Path(result["run_dir"])})
