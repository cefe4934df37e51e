"""Runs that go nowhere: losses that are no number, dead networks, plateaus; what they say and leave."""

import json
import math

import keras
import numpy as np
import pytest
from small_runs import SPEC

from allcnn.errors import Interrupted, TrainingError
from allcnn.runs.folder import read_json
from allcnn.runs.recipe import RECIPES
from allcnn.training.health import GivenUp, Health, default_patience
from allcnn.training.network import LargestValue
from allcnn.training.run import train

HEALTH = Health(RECIPES["paper"], classes=10, patience=3)


def rows(*losses: float) -> list[dict]:
    return [{"epoch": epoch, "loss": loss} for epoch, loss in enumerate(losses, 1)]


def summary(run_dir) -> dict:
    return json.loads((run_dir / "summary.json").read_text())


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_must_be_a_number(loss) -> None:
    with pytest.raises(GivenUp, match=f"the loss became {loss} in epoch 4: .*\\nTry a smaller learning rate") as caught:
        HEALTH.check_loss(loss, 4)
    assert caught.value.status == "diverged" and caught.value.exit_code == 1
    HEALTH.check_loss(1e30, 4)


def test_the_plateau_is_within_a_hundredth_of_guessing_and_counts_epochs_in_a_row() -> None:
    assert HEALTH.guessing == math.log(10)
    assert [HEALTH.epochs_on_plateau(rows(loss)) for loss in (2.2795, 2.2797, 2.3, 2.3255, 2.326)] == [0, 1, 1, 1, 0]
    assert HEALTH.epochs_on_plateau(rows(2.3, 2.3, 1.9, 2.3)) == 1
    HEALTH.check_epoch(rows(2.3, 2.3, 1.9, 2.3, 2.3), 1.0)
    with pytest.raises(GivenUp, match="still 2.300 in epoch 3, .* 2.303: nothing was learned in 3 epochs") as caught:
        HEALTH.check_epoch(rows(2.31, 2.3, 2.3), 1.0)
    assert caught.value.status == "dead" and "--resume --patience 6" in str(caught.value)


def test_patience_is_five_epochs_and_1000_steps() -> None:
    assert default_patience(250) == 5
    assert default_patience(57) == 18  # 1,026 steps


@pytest.mark.backends
def test_the_largest_value_is_of_the_whole_epoch() -> None:
    metric = LargestValue()
    for values in ([[0.0, 0.5]], [[-2.5, 1.0]], [[0.0, 0.0]]):
        metric.update_state(np.zeros(1), keras.ops.convert_to_tensor(values))
    assert float(metric.result()) == 2.5
    metric.reset_state()
    assert float(metric.result()) == 0


def test_a_network_whose_values_are_all_zero_is_dead(stripes, numbers, tmp_path) -> None:
    class Kill(keras.callbacks.Callback):
        """The last convolution's biases far below zero: its ReLU gives nothing, for any image."""

        def on_train_begin(self, logs=None):
            last = [layer for layer in self.model.layers if layer.name.startswith("conv")][-1]
            last.bias.assign(np.full(3, -1e6, np.float32))

    with pytest.raises(TrainingError, match="in epoch 1 the values of all classes were zero for every training image"):
        train(SPEC, dataset=stripes, run_dir=tmp_path / "run", callbacks=[Kill()], **numbers)
    left = summary(tmp_path / "run")
    assert left["status"] == "dead" and left["epochs"] == 1
    assert "--lr" in left["reason"] and "--initializer" in left["reason"]


def test_a_plateau_ends_the_run_which_may_be_given_more_time(stripes, numbers, tmp_path, monkeypatch) -> None:
    run = tmp_path / "run"
    still = {**numbers, "learning_rate": 1e-9}
    # An untrained network's cross-entropy is that of guessing, give or take how far its values are spread at the start.
    monkeypatch.setattr("allcnn.training.health.PLATEAU", 0.2)
    with pytest.raises(TrainingError, match="nothing was learned in 2 epochs"):
        train(SPEC, dataset=stripes, run_dir=run, patience=2, **still)
    assert summary(run)["status"] == "dead" and summary(run)["epochs"] == 2
    with pytest.raises(TrainingError, match="nothing was learned in 4 epochs"):
        train(dataset=stripes, run_dir=run, resume=True, patience=4, save_every=5)
    # The last epoch is no other: resumed as it was, the run is given up again, and not finished.
    for patience in (7, None):
        with pytest.raises(TrainingError, match="nothing was learned in 7 epochs"):
            train(dataset=stripes, run_dir=run, resume=True, patience=patience)
        assert summary(run)["status"] == "dead" and summary(run)["epochs"] == 7
    config = read_json(run / "config.json")
    assert (config["patience"], config["save_every"], config["seed"]) == (7, 5, 5) and "changes" not in config
    assert train(dataset=stripes, run_dir=run, resume=True, patience=99).status == "finished"


def test_a_loss_that_is_no_number_within_an_epoch_ends_it_there_and_is_not_saved(
    stripes, numbers, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr("allcnn.training.loop._LOOK_SECONDS", 0.0)
    steps: list[int] = []

    class Poison(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            steps.append(batch)
            if len(steps) == 9:
                self.model.layers[-2].kernel.assign(np.full(self.model.layers[-2].kernel.shape, np.nan, np.float32))

    with pytest.raises(TrainingError, match="the loss became nan in epoch 2"):
        train(SPEC, dataset=stripes, run_dir=tmp_path / "run", save_every=1, callbacks=[Poison()], **numbers)
    assert len(steps) == 9  # not the whole epoch of twelve
    assert summary(tmp_path / "run")["status"] == "diverged"
    with pytest.raises(Interrupted):
        train(dataset=stripes, run_dir=tmp_path / "run", resume=True, callbacks=[_Interrupt()])


class _Interrupt(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        assert epoch == 1  # the state before the poison: eight steps, six of them the first epoch's
        raise KeyboardInterrupt
