"""`allcnn train`, `eval` and `predict`, on a network small enough to train here."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from allcnn.models.saved import read_card
from allcnn_cli.eval import _labels as labels_of

SMALL = ("train", "--spec", "8C3/2-NC1-GAP", "--dataset", "digits")


def last_row(run: Path) -> dict[str, str]:
    with open(run / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))[-1]


def test_train_says_how_it_ended_and_what_comes_next(allcnn, tmp_path):
    run = tmp_path / "run"
    outcome = allcnn(*SMALL, "--epochs", "1", "--run-dir", run)
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert lines[0] == f"test error       {float(last_row(run)['test_error']):.2f} %"
    assert lines[1].startswith("trained          1 epoch in ")
    # 3*3*3*8 + 8 and 8*10 + 10.
    assert lines[1].endswith(", 314 parameters")
    assert lines[2:] == [f"model            {run / 'model.keras'}", f"next             allcnn eval {run}"]
    assert "the learning rate drops after 1, 1, 1 instead of 23, 29, 35.\n" in outcome.err
    *_, heading, epoch = outcome.err.splitlines()
    assert heading == "epoch      lr    loss  train error  test error  images/s       left"
    assert epoch.startswith("  1/1    0.02  ") and epoch.endswith("  done") and len(epoch) == len(heading)


def test_train_with_json_writes_one_document(allcnn, tmp_path):
    outcome = allcnn(*SMALL, "--epochs", "1", "--validation", "0.1", "--run-dir", tmp_path / "run", "--json")
    document = outcome.document
    assert document["run_dir"] == str(tmp_path / "run")
    assert document["test_error"] == float(last_row(tmp_path / "run")["test_error"])
    assert document["validation_error"] == float(last_row(tmp_path / "run")["validation_error"])
    assert document["parameters"] == 314
    assert document["status"] == "finished"
    *_, heading, epoch = outcome.err.splitlines()
    assert heading.split()[-3:] == ["held-out", "images/s", "left"]
    assert f"{document['test_error']:.2f} %  {document['validation_error']:>6.2f} %  " in epoch and len(epoch) < 80


def test_every_option_reaches_the_run(allcnn, tmp_path):
    run = tmp_path / "run"
    options = {
        "--lr": "0.01", "--epochs": "1", "--batch-size": "100", "--augment": "flip-shift", "--preprocessing": "center",
        "--initializer": "he_normal", "--weight-decay": "0.002", "--precision": "float32", "--validation": "0.2",
        "--seed": "7", "--image-size": "16", "--recipe": "review", "--set": "label_smoothing=0.2",
    }  # fmt: skip
    arguments = [part for option in options.items() for part in option]
    assert allcnn(*SMALL, *arguments, "--run-dir", run).code == 0
    config = json.loads((run / "config.json").read_text())
    recipe = config["recipe"]
    assert recipe["name"] == "review"
    assert (recipe["learning_rate"], recipe["length"], recipe["batch_size"]) == (0.01, 1, 100)
    assert (recipe["augmentation"], recipe["preprocessing"]) == ("flip-shift", "center")
    assert (recipe["initializer"], recipe["weight_decay"]) == ("he_normal", 0.002)
    assert recipe["label_smoothing"] == 0.2
    assert (config["precision"], config["validation"], config["seed"]) == ("float32", 0.2, 7)
    assert config["image_shape"] == [16, 16, 3]


def test_resume_needs_only_the_folder(allcnn, digits_run):
    before = last_row(digits_run)
    outcome = allcnn("train", "--resume", "--run-dir", digits_run, "--json")
    assert outcome.code == 0
    assert outcome.document["test_error"] == float(before["test_error"])


def test_eval_measures_the_error_of_the_run_to_the_last_digit(allcnn, digits_run):
    error = last_row(digits_run)["test_error"]
    for path in (digits_run, digits_run / "model.keras"):
        outcome = allcnn("eval", path)
        assert (outcome.code, outcome.err) == (0, "")
        assert f"\nerror {float(error):.2f} % (" in outcome.out and "tests of each image" not in outcome.out
    document = allcnn("eval", digits_run, "--json").document
    assert repr(document["error_percent"]) == error
    assert document["same_data_as_trained"] is True
    assert document["images"] == 359
    confusion = document["confusion"]
    assert np.sum(confusion) == 359
    assert document["errors"] == 359 - np.trace(confusion)
    assert set(document["class_error_percent"]) == set("0123456789")
    # Shown too, by class and as a matrix.
    lines = [line.split() for line in outcome.out.splitlines()]
    assert ["0", "27", f"{100 * (27 - confusion[0][0]) / 27:.2f}"] in lines
    assert ["0", *map(str, confusion[0])] in lines


def test_eval_says_that_a_run_has_not_finished(allcnn, digits_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(digits_run, run)
    (run / "summary.json").unlink()
    outcome = allcnn("eval", run)
    assert (outcome.code, outcome.err) == (0, "note: the run is unfinished; this is its model after 2 epochs.\n")


def test_names_beside_and_above_a_confusion_matrix():
    names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    assert labels_of(names, digits=4) == ([*names], ["airpl", "autom", *names[2:]])
    # All alike once they are cut.
    alike = tuple(f"class number {number} of them" for number in range(8))
    beside, above = labels_of(alike, digits=3)
    assert beside[0] == "1 class number 0 of t…" and above == list("12345678")
    digits = [str(number) for number in range(18)]
    assert labels_of(tuple(digits), digits=2) == (digits, digits)
    # Figures, or numbers of classes, that do not fit.
    assert labels_of(names, digits=6) is None
    assert labels_of(tuple(map(str, range(100))), digits=1) is None
    assert labels_of(("only",), digits=1) == (["only"], ["only"])


def test_predict_takes_folders(allcnn, digits_run, picture_folder):
    document = allcnn("predict", digits_run, picture_folder / "test", "--json", "--top", "1").document
    names = [str(picture_folder / "test" / name) for name in ("dark/0.png", "dark/1.png", "light/0.png", "light/1.png")]
    assert [one["image"] for one in document["predictions"]] == names


def test_predict_skips_a_damaged_image_if_asked(allcnn, digits_run, picture_folder):
    folder, bad = picture_folder / "test", picture_folder / "test/dark/1.png"
    whole = allcnn("predict", digits_run, folder, "--json").document["predictions"]
    bad.write_bytes(b"none")
    refused = allcnn("predict", digits_run, folder)
    assert refused.code == 2 and refused.err.startswith(f"error: {bad}: not an image")
    document = allcnn("predict", digits_run, folder, "--skip-damaged", "--json").document
    assert document["predictions"] == [one if one["image"] != str(bad) else {**one, "classes": []} for one in whole]
    lines = allcnn("predict", digits_run, folder, "--skip-damaged").out.splitlines()
    assert [line.split()[1:] for line in lines if line.startswith(str(bad))] == [["(cannot", "be", "read)", "-"]]


@pytest.mark.parametrize("command", ["eval {}", "predict {} x.png", "export {} --format onnx", "visualize {} -o x"])
def test_a_folder_of_runs_is_named_as_one(allcnn, digits_run, command):
    outcome = allcnn(*command.format(digits_run.parent).split())
    assert (outcome.code, outcome.out) == (2, "")
    assert f"expected one of them, such as {digits_run}.\n" in outcome.err


@pytest.mark.slow
def test_eval_on_jax_agrees_and_a_run_goes_on_there(run_python, allcnn, digits_run, tmp_path):
    here, there = (shutil.copytree(digits_run, tmp_path / name) for name in ("here", "there"))
    # In float32, whose last digit is all that the backends differ in.
    more = ("train", "--resume", "--epochs", "3", "--precision", "float32")
    more = (*more, "--allow", "epochs", "--allow", "precision", "--json", "--run-dir")
    program = f"""
import sys
from allcnn_cli.main import main
assert main(["eval", {str(digits_run)!r}, "--backend", "jax", "--json"]) == 0
print("resumed", file=sys.stderr)
assert main([*{more}, {str(there)!r}, "--backend", "jax", "--allow", "backend"]) == 0
"""
    result = run_python("-c", program, KERAS_BACKEND=None)
    on_jax, _ = json.JSONDecoder().raw_decode(result.stdout)
    evaluation = allcnn("eval", digits_run, "--json").document
    assert on_jax["cross_entropy"] == pytest.approx(evaluation["cross_entropy"], abs=1e-4)
    assert abs(on_jax["errors"] - evaluation["errors"]) <= 1
    assert result.stderr.startswith("resumed\n")  # nothing comes with the evaluation

    (change,) = json.loads((there / "config.json").read_text())["changes"]
    assert "the backend was tensorflow, now jax" in change["allowed"]
    assert allcnn(*more, here).code == 0
    # An epoch at a tenth of the rate, from the same state.
    assert float(last_row(there)["loss"]) == pytest.approx(float(last_row(here)["loss"]), rel=1e-5)


def test_a_model_of_a_folder_of_images_finds_its_images_again(allcnn, tmp_path, picture_folder):
    run = tmp_path / "run"
    arguments = ("--spec", "4C3/2-NC1-GAP", "--data-dir", picture_folder, "--image-size", "8", "--epochs", "1")
    assert allcnn("train", *arguments, "--preprocessing", "center", "--run-dir", run).code == 0
    outcome = allcnn("eval", run, "--json")
    assert outcome.err == ""
    assert (outcome.document["dataset"], outcome.document["images"]) == ("pictures", 4)
    assert repr(outcome.document["error_percent"]) == last_row(run)["test_error"]

    # One picture less: measured, but said.
    (picture_folder / "test" / "dark" / "1.png").unlink()
    outcome = allcnn("eval", run, "--json")
    assert outcome.document["images"] == 3
    assert outcome.document["same_data_as_trained"] is False
    digest = read_card(run / "model.keras").digest
    assert outcome.err == (
        "note: these images, or their order, are not those of the training: their digest is "
        f"{outcome.document['digest'][:12]}, the model's {digest[:12]}.\n"
    )


def test_a_model_that_keras_saved_needs_a_data_set(allcnn, tmp_path):
    import keras

    inputs = keras.Input((32, 32, 3))
    outputs = keras.layers.Dense(3, "softmax")(keras.layers.GlobalAveragePooling2D()(inputs))
    path = tmp_path / "own.keras"
    keras.Model(inputs, outputs).save(path)
    assert allcnn("eval", path) == (
        2,
        "",
        f"error: {path}: was not saved by allcnn, so it does not say which data it belongs to.\n"
        "Pass --dataset or --data-dir.\n",
    )
    assert allcnn("eval", path, "--dataset", "digits") == (
        2,
        "",
        f"error: {path}: knows 3 classes; the data set digits has 10.\n",
    )


def test_predict_names_the_likeliest_classes(allcnn, digits_run, tmp_path):
    pictures = [tmp_path / "seven [a].png", tmp_path / "wide.jpg"]
    for path, shape in zip(pictures, ((32, 32, 3), (50, 90, 3)), strict=True):
        Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)).save(path)
    document = allcnn("predict", digits_run, *pictures, "--top", "3", "--json").document
    assert document["checkpoint"] == str(digits_run / "model.keras")
    assert [prediction["image"] for prediction in document["predictions"]] == [str(path) for path in pictures]
    classes = document["predictions"][0]["classes"]
    assert len(classes) == 3
    assert classes[0]["probability"] >= classes[1]["probability"] >= classes[2]["probability"] > 0

    lines = allcnn("predict", digits_run, *pictures, "--top", "1").out.splitlines()
    assert len(lines) == 4
    assert lines[2].startswith(str(pictures[0]))
    assert lines[2].split()[-2:] == [classes[0]["class"], f"{100 * classes[0]['probability']:.2f}"]
