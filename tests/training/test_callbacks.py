"""The callbacks in anybody's `model.fit`: a model of one weight, whose every step is known."""

from __future__ import annotations

import csv
import time

import keras
import numpy as np
import pytest

from allcnn.runs.table import ResultRow
from allcnn.training.callbacks import LearningRateMultiplier, RunRecord, TableExport

pytestmark = pytest.mark.backends


def one_weight(learning_rate: float = 1.0) -> keras.Model:
    """Its loss is its output, w times 1: every step takes the learning rate away from w, which starts at 0."""
    inputs = keras.Input((1,))
    model = keras.Model(inputs, keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")(inputs))
    model.compile(keras.optimizers.SGD(learning_rate), loss=lambda labels, outputs: outputs)
    return model


def fit(model: keras.Model, steps: int = 1, **arguments) -> keras.callbacks.History:
    return model.fit(np.ones((steps, 1), np.float32), np.zeros((steps, 1)), batch_size=1, verbose=0, **arguments)


def weight(model: keras.Model) -> float:
    return float(model.get_weights()[0][0, 0])


def test_multiplied_after_epochs() -> None:
    model = one_weight(0.5)
    history = fit(model, steps=2, epochs=5, callbacks=[LearningRateMultiplier((2, 3), 0.1)])
    assert history.history["learning_rate"] == [0.5, 0.5, 0.05, 0.005, 0.005]
    # And these are the steps that were made, two an epoch.
    assert weight(model) == pytest.approx(-2 * (0.5 + 0.5 + 0.05 + 0.005 + 0.005), rel=1e-5)


def test_the_paper_s_milestones_are_the_default() -> None:
    callback = LearningRateMultiplier()
    assert (callback.milestones, callback.multiplier) == ((200, 250, 300), 0.1)


def test_a_resumed_run_goes_on_as_if_it_had_not_stopped() -> None:
    straight, resumed = one_weight(0.5), one_weight(0.5)
    fit(straight, epochs=4, callbacks=[LearningRateMultiplier((1, 3))])
    fit(resumed, epochs=2, callbacks=[LearningRateMultiplier((1, 3))])
    # The optimizer stands at 0.05 now; `base` says where the run began.
    fit(resumed, initial_epoch=2, epochs=4, callbacks=[LearningRateMultiplier((1, 3), base=0.5)])
    assert weight(resumed) == weight(straight) == pytest.approx(-(0.5 + 0.05 + 0.05 + 0.005), rel=1e-5)


RANDOM = np.random.default_rng(0)
IMAGES, LABELS = RANDOM.normal(size=(40, 4)).astype(np.float32), RANDOM.integers(0, 3, 40)


def classifier(*more_metrics) -> keras.Model:
    regularizer = keras.regularizers.L2(0.05)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, kernel_regularizer=regularizer)], name="small")
    model.compile(
        keras.optimizers.SGD(0.25),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy", *more_metrics],
    )
    return model


def read(path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_run_record_in_anybody_s_fit(tmp_path) -> None:
    begun = time.perf_counter()
    history = classifier().fit(
        IMAGES[:30], LABELS[:30], batch_size=10, epochs=3, verbose=0,
        validation_data=(IMAGES[30:], LABELS[30:]), callbacks=[RunRecord(tmp_path / "metrics.csv")],
    ).history  # fmt: skip
    elapsed = time.perf_counter() - begun
    rows = read(tmp_path / "metrics.csv")
    assert list(rows[0]) == [
        "epoch", "learning_rate", "loss", "penalty", "train_error", "test_error", "seconds", "images_per_second",
    ]  # fmt: skip
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert [row["learning_rate"] for row in rows] == ["0.25"] * 3
    assert [float(row["loss"]) for row in rows] == history["loss"]
    assert [row["penalty"] for row in rows] == [""] * 3
    # Percent of 30 and of 10 images.
    for row, accuracy, test_accuracy in zip(rows, history["accuracy"], history["val_accuracy"], strict=True):
        assert float(row["train_error"]) == pytest.approx(100 * (1 - accuracy), abs=1e-9)
        assert float(row["test_error"]) == pytest.approx(100 * (1 - test_accuracy), abs=1e-9)
        assert round(float(row["test_error"]), 4) in range(0, 101, 10)
        assert float(row["seconds"]) > 0
        assert row["images_per_second"] == ""
    assert sum(float(row["seconds"]) for row in rows) < elapsed
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.csv"]


def test_run_record_tells_the_cross_entropy_from_the_penalty(tmp_path) -> None:
    model = classifier(keras.metrics.SparseCategoricalCrossentropy(from_logits=True, name="cross_entropy"))
    model.optimizer.learning_rate = 0.0
    kernel, bias = model.get_weights()
    callbacks = [LearningRateMultiplier((1,), base=1e-30), RunRecord(tmp_path / "metrics.csv", images_per_epoch=40)]
    model.fit(IMAGES, LABELS, batch_size=20, epochs=2, verbose=0, callbacks=callbacks)
    values = IMAGES.astype(np.float64) @ kernel + bias
    cross_entropy = (np.log(np.exp(values).sum(axis=1)) - values[np.arange(40), LABELS]).mean()
    for row, rate in zip(read(tmp_path / "metrics.csv"), ["1e-30", "1e-31"], strict=True):
        assert float(row["loss"]) == pytest.approx(cross_entropy, rel=1e-5)
        assert float(row["penalty"]) == pytest.approx(0.05 * (kernel.astype(np.float64) ** 2).sum(), rel=1e-4)
        assert row["learning_rate"] == rate
        assert row["test_error"] == ""
        assert float(row["images_per_second"]) == pytest.approx(40 / float(row["seconds"]))


def test_measured_errors_are_recorded_and_do_not_count_as_training(tmp_path) -> None:
    def measure(epoch: int, logs: dict) -> None:
        time.sleep(0.5)
        logs.update({"test_error": 12.5, "validation_error": 25.0} if epoch != 1 else {}, test_seconds=0.5)

    begun: list[float] = []
    elapsed: list[float] = []
    callbacks = [
        keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: begun.append(time.perf_counter()), on_epoch_end=measure
        ),
        RunRecord(tmp_path / "metrics.csv", rows=[{"epoch": 1, "learning_rate": 0.5, "test_error": 50.0}]),
        keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: elapsed.append(time.perf_counter() - begun[-1])
        ),
    ]
    model = classifier()
    model.train_on_batch(IMAGES, LABELS)  # compiled before the clock runs
    model.fit(IMAGES, LABELS, initial_epoch=1, epochs=3, verbose=0, callbacks=callbacks)
    rows = read(tmp_path / "metrics.csv")
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert [row["test_error"] for row in rows] == ["50.0", "", "12.5"]
    assert [row["validation_error"] for row in rows] == ["", "", "25.0"]
    # However slow the machine is at the moment: half a second of the epoch is not in it.
    assert all(0 < float(row["seconds"]) < whole - 0.49 for row, whole in zip(rows[1:], elapsed, strict=True))


def test_table_export(tmp_path) -> None:
    model = classifier()
    history = model.fit(
        IMAGES[:30], LABELS[:30], epochs=2, verbose=0, validation_data=(IMAGES[30:], LABELS[30:]),
        callbacks=[TableExport(tmp_path / "table.md")],
    ).history  # fmt: skip
    error = 100 * (1 - history["val_accuracy"][-1])
    assert (tmp_path / "table.md").read_text() == (
        "| Model | Error (%) | Published error (%) | # parameters | Published # | Epochs | Trained on |\n"
        "|---|---:|---:|---:|---:|---:|---|\n"
        f"| small | {error:.2f} | - | 15 | - | 2 |  |\n"
    )
    row = ResultRow("ALL-CNN-C", 1_369_738, None, 9.08, "1.4 M", "Table 3", "cifar10, paper, lr 0.05, seed 0")
    measure = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(test_error=9.876))
    model.fit(IMAGES, LABELS, epochs=1, verbose=0, callbacks=[measure, TableExport(tmp_path / "table.md", row)])
    assert (tmp_path / "table.md").read_text().splitlines()[2] == (
        "| ALL-CNN-C | 9.88 | 9.08 (Table 3) | 1,369,738 | 1.4 M | 1 | cifar10, paper, lr 0.05, seed 0 |"
    )
