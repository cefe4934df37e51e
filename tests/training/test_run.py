"""A whole run, small: what it leaves in its folder, and twice the same bits."""

import json
import shutil

import keras
import numpy as np
import pytest
from small_runs import SPEC, assert_same_bits, weights

import allcnn
from allcnn.errors import InputError, RunError, TrainingError
from allcnn.evaluation import evaluate
from allcnn.preprocessing.store import fit_preprocessing
from allcnn.runs.folder import read_metrics
from allcnn.training.plan import plan_run
from allcnn.training.run import train


@pytest.mark.backends
def test_a_run_leaves_its_folder_and_repeats_to_the_same_bits(undisturbed, stripes, numbers, tmp_path):
    result, whole = undisturbed, undisturbed.run_dir
    train(SPEC, dataset=stripes, run_dir=tmp_path / "again", **numbers)
    assert_same_bits(whole, tmp_path / "again")

    assert sorted(path.name for path in whole.iterdir()) == [
        ".lock", "config.json", "metrics.csv", "model.keras", "preprocessing.h5", "state.h5", "state.previous.h5",
        "summary.json", "table.md",
    ]  # fmt: skip
    rows = read_metrics(whole / "metrics.csv")
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5, 6, 7]
    # ceil(200 * 7 / 350) = 4, ceil(250 * 7 / 350) = 5, ceil(300 * 7 / 350) = 6 epochs at the full rate.
    assert [row["learning_rate"] for row in rows] == [0.05] * 4 + [0.005, 0.0005, 0.00005]
    measured = allcnn.evaluate(result, stripes)
    assert measured.error_percent == rows[-1]["test_error"] == result.test_error
    assert json.loads((whole / "summary.json").read_text())["test_error"] == result.test_error
    assert repr(result) == f"TrainingResult({whole}: finished, 7 epochs, test error {result.test_error:.2f} %)"
    assert '<td style="text-align:left">7</td>' in result._repr_html_() and "published" not in result._repr_html_()
    assert f"{result.test_error:.2f}" in (whole / "table.md").read_text()
    config = json.loads((whole / "config.json").read_text())
    assert config["spec"] == SPEC and config["digest"] == stripes.digest and config["precision"] == "float32"


def test_a_fast_run_leaves_the_same_network_as_any_other(undisturbed, stripes, numbers, tmp_path):
    """Only the values of the weights tell: what the recipe needs in training is nothing that is saved."""
    fast = tmp_path / "fast"
    result = train(SPEC, dataset=stripes, run_dir=fast, recipe="fast", **{**numbers, "epochs": 5})
    models = [keras.saving.load_model(run / "model.keras") for run in (undisturbed.run_dir, fast)]
    assert models[0].count_params() == models[1].count_params()
    initial = ("kernel_initializer", "bias_initializer")  # how the weights started
    configs = [
        [
            {key: value for key, value in layer.get_config().items() if key not in initial}
            for layer in model.layers
            if layer.name not in ("standardize_mean", "standardize_scale")
        ]
        for model in models
    ]
    assert configs[0] == configs[1]
    measured = allcnn.evaluate(fast, stripes.test_images, stripes.test_labels)
    assert measured.error_percent == read_metrics(fast / "metrics.csv")[-1]["test_error"] == result.test_error


def test_of_two_runs_in_one_folder_the_second_is_refused(stripes, numbers, tmp_path, monkeypatch):
    """The folder is free when both look; only one may begin."""
    run_dir = tmp_path / "run"
    fit = fit_preprocessing

    def meanwhile(*arguments):
        (run_dir / "config.json").write_text("the other's")
        return fit(*arguments)

    monkeypatch.setattr("allcnn.training.loop.fit_preprocessing", meanwhile)
    with pytest.raises(RunError, match="another process began a run here just now"):
        train(SPEC, dataset=stripes, run_dir=run_dir, **numbers)
    assert sorted(path.name for path in run_dir.iterdir()) == [".lock", "config.json"]
    assert (run_dir / "config.json").read_text() == "the other's"


def test_a_callback_that_ends_the_training_is_no_finished_run(stripes, numbers, tmp_path):
    class Enough(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    result = train(SPEC, dataset=stripes, run_dir=tmp_path / "run", callbacks=[Enough()], **numbers)
    assert (result.status, result.epochs) == ("stopped", 2)
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["status"] == "stopped"


def test_penalty_is_half_the_decay_times_the_squared_weights(stripes, numbers, tmp_path):
    """A learning rate too small to move the weights leaves the penalty that of the initial ones."""
    train(SPEC, dataset=stripes, run_dir=tmp_path / "run", learning_rate=1e-12, weight_decay=0.3, **numbers)
    squares = sum(float(np.square(weight, dtype=np.float64).sum()) for weight in weights(tmp_path / "run"))
    for row in read_metrics(tmp_path / "run" / "metrics.csv"):
        assert row["penalty"] == pytest.approx(0.15 * squares, rel=1e-4)
        assert row["loss"] == pytest.approx(np.log(3), rel=0.2)


def test_a_large_set_is_preprocessed_in_the_step_and_says_so(undisturbed, stripes, numbers, tmp_path, monkeypatch):
    monkeypatch.setattr("allcnn.training.network.KEEP_BYTES", 1000)
    batchwise = train(SPEC, dataset=stripes, run_dir=tmp_path / "batchwise", **{**numbers, "epochs": 1})
    said = [
        json.loads((run.run_dir / "config.json").read_text())["preprocessed_once"] for run in (undisturbed, batchwise)
    ]
    assert said == [True, False]


def test_held_out_images_are_measured_and_not_trained_on(stripes, numbers, tmp_path):
    result = train(SPEC, dataset=stripes, run_dir=tmp_path / "run", validation=0.25, **numbers)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["training_images"] == 46  # 61 - round(61 / 4)
    # 15 held-out images: the error is a multiple of 100 / 15 percent.
    assert result.validation_error * 15 / 100 == pytest.approx(round(result.validation_error * 15 / 100))
    assert read_metrics(tmp_path / "run" / "metrics.csv")[-1]["validation_error"] == result.validation_error


def test_errors_are_measured_every_so_many_epochs_and_after_the_last(undisturbed, stripes, numbers, tmp_path):
    every, seldom, stopped = undisturbed.run_dir, tmp_path / "seldom", tmp_path / "stopped"
    train(SPEC, dataset=stripes, run_dir=seldom, test_every=3, **numbers)
    for one, other in zip(weights(every), weights(seldom), strict=True):
        np.testing.assert_array_equal(one, other)
    errors = [[row["test_error"] for row in read_metrics(run / "metrics.csv")] for run in (every, seldom)]
    assert errors[1] == [None, None, errors[0][2], None, None, errors[0][5], errors[0][6]]

    class StopAfterTwo(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    result = train(SPEC, dataset=stripes, run_dir=stopped, test_every=3, callbacks=[StopAfterTwo()], **numbers)
    assert result.status == "stopped" and result.test_error == errors[0][1]
    assert f"{result.test_error:.2f}" in (stopped / "table.md").read_text()
    # What is saved is the model of the second epoch, though that epoch had not been measured.
    assert evaluate(stopped, stripes.test_images, stripes.test_labels).error_percent == errors[0][1]
    train(SPEC, dataset=stripes, run_dir=stopped, resume=True, **numbers)
    measured = [row["epoch"] for row in read_metrics(stopped / "metrics.csv") if row["test_error"] is not None]
    assert measured == [3, 6, 7]


def test_a_run_that_diverges_says_so(stripes, tmp_path):
    with pytest.raises(TrainingError, match="diverged.*\n.*smaller learning rate than 1e\\+20"):
        train(
            SPEC, dataset=stripes, learning_rate=1e20, epochs=2, batch_size=10, preprocessing="none",
            precision="float32", run_dir=tmp_path / "run",
        )  # fmt: skip
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["status"] == "diverged"
    assert "in epoch 1: the run diverged" in summary["reason"]
    assert summary["epochs"] == 0 and not (tmp_path / "run" / "state.h5").exists()


def test_wrong_calls_are_refused_and_leave_nothing(stripes, tmp_path):
    run_dir = tmp_path / "run"
    wrong = [
        ({"learning_rate": -0.05}, "learning rate must be a number above 0, such as 0.05; got -0.05"),
        ({"initializer": "foo"}, 'unknown initializer "foo"; expected one of: glorot_uniform'),
        ({"augmentation": "crop-mirror"}, 'augmentation "crop-mirror" works on images as they are decoded'),
        ({"field": 7}, "a field of 7 x 7 pixels is smaller than the images, 8 x 8; expected one of at least 8"),
        ({"allow": ["epochs"]}, "--allow is for a run that is resumed; expected --resume beside it"),
        ({"validation": 0.001}, "holding out 0.001 of 61 training images leaves 61 to train on and 0 held out"),
        ({"resume": True}, "holds no run to resume"),
    ]
    for arguments, message in wrong:
        with pytest.raises(InputError, match=message):
            plan_run(SPEC, dataset=stripes, run_dir=run_dir, **arguments)
    (tmp_path / "file").write_text("a file")
    with pytest.raises(RunError, match="file: is not a folder; expected a place for the run's folder"):
        plan_run(SPEC, dataset=stripes, run_dir=tmp_path / "file" / "run")
    with pytest.raises(InputError, match="no run to resume was named; expected --run-dir DIR"):
        plan_run(resume=True)
    with pytest.raises(InputError, match="no network was given"):
        plan_run(dataset=stripes, run_dir=run_dir)
    with pytest.raises(InputError, match="does not fit"):
        plan_run("96C9v-NC1-GAP", dataset=stripes, run_dir=run_dir)
    assert not run_dir.exists()


def test_a_folder_that_holds_another_run_is_refused(undisturbed, stripes, numbers, tmp_path):
    run_dir = shutil.copytree(undisturbed.run_dir, tmp_path / "run")
    before = {path.name: path.read_bytes() for path in run_dir.iterdir()}
    with pytest.raises(RunError, match="already holds a run.\nContinue it with --resume"):
        train(SPEC, dataset=stripes, run_dir=run_dir, **numbers)
    with pytest.raises(RunError, match="is another run: the recipe's learning rate was 0.05, now 0.1"):
        train(dataset=stripes, run_dir=run_dir, resume=True, learning_rate=0.1)
    with pytest.raises(RunError, match="is another run: the network was .*; the seed was 5, now 6"):
        train("8C3-NC1-GAP", dataset=stripes, run_dir=run_dir, resume=True, seed=6)
    assert {path.name: path.read_bytes() for path in run_dir.iterdir()} == before
