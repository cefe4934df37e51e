"""A run that is stopped, anywhere, by anything, and resumed ends in the bits of one that was not."""

import errno
import os
import shutil
import signal
from dataclasses import replace

import keras
import pytest
from small_runs import SPEC, StopAt, assert_same_bits

import allcnn
from allcnn.device import find_device
from allcnn.errors import Interrupted, RunError, TrainingError
from allcnn.evaluation import evaluate
from allcnn.files import read_arrays
from allcnn.preprocessing import Preprocessing
from allcnn.runs.folder import read_json, read_metrics
from allcnn.training.run import train

STEPS_PER_EPOCH = 6  # 61 images in batches of 10


@pytest.fixture(autouse=True)
def signals_are_heard():
    """Whatever started the tests: a job in the background ignores Ctrl-C, and hands that down."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def ctrl_c() -> None:
    """What the terminal sends on Ctrl-C."""
    os.kill(os.getpid(), signal.SIGINT)


def killed() -> None:
    """Ends the run as SIGKILL would: nothing more is saved."""
    raise ConnectionResetError("as if the process were gone")


def test_sigterm_in_the_test_pass_leaves_what_fits_together(undisturbed, stripes, numbers, tmp_path, monkeypatch):
    """The epoch whose test pass it met is finished and saved; model, metrics, state and summary are all its."""
    stopped, passes = tmp_path / "stopped run", []

    def interrupted_evaluate(*arguments):
        passes.append(None)
        if len(passes) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return evaluate(*arguments)

    monkeypatch.setattr("allcnn.training.loop.evaluate", interrupted_evaluate)
    with pytest.raises(Interrupted, match="3 of 7 epochs are saved") as caught:
        train(SPEC, dataset=stripes, run_dir=stopped, **numbers)
    assert caught.value.exit_code == 130
    assert str(caught.value).endswith(f"allcnn train --resume --run-dir '{stopped}'")
    monkeypatch.undo()
    rows = read_metrics(stopped / "metrics.csv")
    assert len(rows) == 3 and read_json(stopped / "summary.json")["status"] == "interrupted"
    assert evaluate(stopped, stripes.test_images, stripes.test_labels).error_percent == rows[-1]["test_error"]
    train(dataset=stripes, run_dir=stopped, resume=True)
    assert_same_bits(undisturbed.run_dir, stopped)


def test_ctrl_c_before_the_first_step_says_how_to_go_on(stripes, numbers, tmp_path, monkeypatch):
    apply = Preprocessing.apply
    monkeypatch.setattr(Preprocessing, "apply", lambda self, images: ctrl_c() or apply(self, images))
    with pytest.raises(Interrupted, match="0 of 7 epochs are saved.*\n.*--resume"):
        train(SPEC, dataset=stripes, run_dir=tmp_path / "run", **numbers)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    monkeypatch.undo()
    assert train(dataset=stripes, run_dir=tmp_path / "run", resume=True).epochs == 7


def test_an_ignored_ctrl_c_stays_ignored(stripes, numbers, tmp_path, monkeypatch):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    apply = Preprocessing.apply
    monkeypatch.setattr(Preprocessing, "apply", lambda self, images: ctrl_c() or apply(self, images))
    assert train(SPEC, dataset=stripes, run_dir=tmp_path / "run", **numbers).status == "finished"


def test_a_second_ctrl_c_leaves_at_once_and_the_state_on_disk_counts(undisturbed, stripes, numbers, tmp_path):
    class Impatient(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                ctrl_c()
                ctrl_c()

    forced = tmp_path / "forced"
    with pytest.raises(Interrupted, match="2 of 7 epochs are saved"):
        train(SPEC, dataset=stripes, run_dir=forced, callbacks=[Impatient()], **numbers)
    assert not (forced / "model.keras").exists()
    train(dataset=stripes, run_dir=forced, resume=True)
    assert_same_bits(undisturbed.run_dir, forced)


@pytest.mark.backends
def test_a_run_goes_on_from_the_middle_of_an_epoch(undisturbed, stripes, numbers, tmp_path):
    stopped = tmp_path / "stopped"
    with pytest.raises(ConnectionResetError):
        train(SPEC, dataset=stripes, run_dir=stopped, save_every=4, callbacks=[StopAt(23, killed)], **numbers)
    arrays, attributes = read_arrays(stopped / "state.h5")
    assert (attributes["epochs_done"], attributes["steps_done"]) == (3, 20)
    assert attributes["seconds"] > 0
    assert arrays["metrics/loss/count"] == 20  # images, of the fourth epoch's first two steps
    said = []
    with pytest.raises(Interrupted, match="4 of 7 epochs and 2 steps of the next are saved"):
        train(dataset=stripes, run_dir=stopped, resume=True, callbacks=[StopAt(5, ctrl_c)], announce=said.append)
    assert "resuming after 3 of 7 epochs and 2 steps of the next." in said
    # The model that it leaves is that of the fourth epoch, which this process finished.
    rows = read_metrics(stopped / "metrics.csv")
    assert evaluate(stopped, stripes.test_images, stripes.test_labels).error_percent == rows[3]["test_error"]
    # Half an epoch done and stopped again within it: what lies there is still the fourth epoch's.
    model = (stopped / "model.keras").read_bytes()
    with pytest.raises(Interrupted, match="4 of 7 epochs and 4 steps of the next are saved"):
        train(dataset=stripes, run_dir=stopped, resume=True, callbacks=[StopAt(1, ctrl_c)])
    assert (stopped / "model.keras").read_bytes() == model
    result = train(dataset=stripes, run_dir=stopped, resume=True)
    assert (result.status, result.epochs) == ("finished", 7)
    assert_same_bits(undisturbed.run_dir, stopped)


@pytest.mark.backends
def test_the_fast_recipe_goes_on_from_the_middle_of_an_epoch(stripes, tmp_path):
    """Its schedule, the momentum of its kernels and the alternating flips are where they were."""
    numbers = {"recipe": "fast", "epochs": 4, "batch_size": 10, "precision": "float32", "dropout_scale": 0.5}
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    train(SPEC, dataset=stripes, run_dir=whole, **numbers)
    with pytest.raises(ConnectionResetError):
        train(SPEC, dataset=stripes, run_dir=stopped, save_every=4, callbacks=[StopAt(15, killed)], **numbers)
    assert read_arrays(stopped / "state.h5")[1]["steps_done"] == 12
    train(dataset=stripes, run_dir=stopped, resume=True)
    assert_same_bits(whole, stopped)
    rates = [row["learning_rate"] for row in read_metrics(whole / "metrics.csv")]
    assert rates == pytest.approx([0.02 * (1 - step / 24) for step in (5, 11, 17, 23)])  # of each epoch's last step


def test_a_recipe_in_steps_ends_at_its_step_and_goes_on_from_any(stripes, tmp_path):
    recipe = allcnn.Recipe(
        "steps", unit="steps", length=15, milestones=(8, 13), batch_size=10, preprocessing="standardize"
    )
    numbers = {"dataset": stripes, "recipe": recipe, "precision": "float32"}
    train(SPEC, run_dir=tmp_path / "whole", **numbers)
    assert read_arrays(tmp_path / "whole" / "state.h5")[1]["steps_done"] == 15
    # An epoch is 6 steps: 6 + 6 + 3. The rate drops within the second epoch and the third.
    rates = [row["learning_rate"] for row in read_metrics(tmp_path / "whole" / "metrics.csv")]
    assert rates == [0.05, 0.005, 0.0005]
    for step in (8, 14):  # at a drop, and in the last epoch, which is cut short
        stopped = tmp_path / f"stopped-{step}"
        with pytest.raises(Interrupted):
            train(SPEC, run_dir=stopped, callbacks=[StopAt(step - 1, ctrl_c)], **numbers)
        assert read_arrays(stopped / "state.h5")[1]["steps_done"] == step
        train(dataset=stripes, run_dir=stopped, resume=True)
        assert_same_bits(tmp_path / "whole", stopped)


def test_a_callback_that_ends_a_half_done_epoch_is_heard(stripes, numbers, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(Interrupted):
        train(SPEC, dataset=stripes, run_dir=run, callbacks=[StopAt(9, ctrl_c)], **numbers)

    class Enough(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = True

    result = train(dataset=stripes, run_dir=run, resume=True, callbacks=[Enough()])
    assert (result.status, result.epochs) == ("stopped", 2)


def test_several_steps_in_one_call_save_between_the_calls(stripes, numbers, tmp_path, monkeypatch):
    """As on a GPU: six steps an epoch in calls of three; a state after the third."""
    monkeypatch.setattr("allcnn.training.loop.steps_per_execution", lambda device, *counts: 3)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    train(SPEC, dataset=stripes, run_dir=whole, **numbers)
    with pytest.raises(ConnectionResetError):
        train(SPEC, dataset=stripes, run_dir=stopped, save_every=2, callbacks=[StopAt(5, killed)], **numbers)
    assert read_arrays(stopped / "state.h5")[1]["steps_done"] == 15
    train(dataset=stripes, run_dir=stopped, resume=True)
    assert_same_bits(whole, stopped)


def test_a_damaged_state_is_set_aside_and_the_one_before_used(undisturbed, stripes, numbers, tmp_path):
    stopped = tmp_path / "stopped"
    with pytest.raises(ConnectionResetError):
        train(SPEC, dataset=stripes, run_dir=stopped, callbacks=[StopAt(20, killed)], **numbers)
    damaged = bytearray((stopped / "state.h5").read_bytes())
    damaged[len(damaged) // 2] ^= 4
    (stopped / "state.h5").write_bytes(damaged)
    said = []
    train(dataset=stripes, run_dir=stopped, resume=True, announce=said.append)
    assert f"{stopped / 'state.h5'}: damaged" in said[1] and "set aside as state.damaged-1.h5" in said[1]
    assert said[2] == "resuming after 2 of 7 epochs."
    assert (stopped / "state.damaged-1.h5").read_bytes() == damaged
    assert_same_bits(undisturbed.run_dir, stopped)


@pytest.mark.parametrize("file", ["state.h5", "model.keras"])
def test_a_full_disk_stops_the_run_and_loses_nothing(undisturbed, stripes, numbers, tmp_path, monkeypatch, file):
    """The third write of the state, after which the metrics are ahead of it, or the only one of the model fails."""
    import allcnn.files

    full, writes = tmp_path / "full", []
    replace_file = os.replace

    def fail_third(source, target):
        writes.extend([target] if os.path.basename(target) == file else [])
        if len(writes) == (1 if file == "model.keras" else 3):
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        return replace_file(source, target)

    monkeypatch.setattr(allcnn.files.os, "replace", fail_third)
    done = 7 if file == "model.keras" else 2
    message = (
        f"no space is left on the disk; {done} of 7 epochs are saved.\nMake room, then go on with: allcnn train --re"
    )
    with pytest.raises(TrainingError, match=message):
        train(SPEC, dataset=stripes, run_dir=full, **numbers)
    monkeypatch.undo()
    assert not list(full.glob(".*.partial*"))
    train(dataset=stripes, run_dir=full, resume=True)
    assert_same_bits(undisturbed.run_dir, full)


def test_a_run_may_be_made_longer_if_that_is_allowed(undisturbed, stripes, tmp_path):
    run = shutil.copytree(undisturbed.run_dir, tmp_path / "run")
    refusal = "length was 7, now 9.\nResume it as it was begun, or with --allow epochs"
    with pytest.raises(RunError, match=refusal):
        train(dataset=stripes, run_dir=run, resume=True, epochs=9)
    result = train(dataset=stripes, run_dir=run, resume=True, epochs=9, allow=["epochs"])
    assert (result.status, result.epochs) == ("finished", 9)
    config = read_json(run / "config.json")
    assert config["recipe"]["length"] == 9
    (change,) = config["changes"]
    assert change["after_steps"] == 7 * STEPS_PER_EPOCH and "the recipe's length was 7, now 9" in change["allowed"]
    with pytest.raises(RunError, match="is further than that already: 9 of 2 epochs"):
        train(dataset=stripes, run_dir=run, resume=True, epochs=2, allow=["epochs"])


def test_another_precision_or_machine_is_refused_unless_allowed(undisturbed, stripes, tmp_path, monkeypatch):
    run = shutil.copytree(undisturbed.run_dir, tmp_path / "run")
    with pytest.raises(RunError, match="the precision was float32, now mixed_bfloat16.*\n.*--allow precision"):
        train(dataset=stripes, run_dir=run, resume=True, precision="mixed_bfloat16")
    another = replace(find_device(), name="Another processor")
    monkeypatch.setattr("allcnn.training.loop.find_device", lambda: another)
    with pytest.raises(RunError, match="the machine's name was .*, now Another processor.\n.*--allow machine"):
        train(dataset=stripes, run_dir=run, resume=True)
    said = []
    train(dataset=stripes, run_dir=run, resume=True, allow=["machine"], announce=said.append)
    assert said[0].endswith(f" on stripes, recipe paper, 7 epochs: {run}")
    assert said[1].startswith("allowed: the machine's name was ")
    assert read_json(run / "config.json")["device"]["name"] == "Another processor"


def test_other_images_of_the_same_name_are_refused(undisturbed, stripes, tmp_path):
    run = shutil.copytree(undisturbed.run_dir, tmp_path / "run")
    other = stripes.train_images.copy()
    other[0, 0, 0, 0] ^= 1
    with pytest.raises(RunError, match="the data set was stripes .*\nResume it as it was begun, or choose"):
        train(dataset=replace(stripes, train_images=other), run_dir=run, resume=True, allow=["machine"])
