"""At the shell: training in a field, several tests of each image, pictures of an augmentation."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from allcnn.models.saved import read_card

SMALL = ("train", "--spec", "8C3/2-NC1:linear-GAP", "--dataset", "digits", "--epochs", "1")


@pytest.fixture(scope="module")
def augmented_run(tmp_path_factory):
    from allcnn_cli.main import main

    folder = tmp_path_factory.mktemp("large") / "run"
    options = ["--recipe", "large", "--field", "40", "--batch-size", "100"]
    assert main([*SMALL, *options, "--run-dir", str(folder), "--json"]) == 0
    return folder


def test_field_and_augmentation_reach_the_run(augmented_run):
    recipe = json.loads((augmented_run / "config.json").read_text())["recipe"]
    assert (recipe["name"], recipe["augmentation"], recipe["field"]) == ("large", "large", 40)
    card = read_card(augmented_run / "model.keras")
    assert (card.augmentation, card.image_shape) == ("large", (32, 32, 3))


def test_tests_are_said_and_repeatable(allcnn, augmented_run):
    one, three = (allcnn("eval", augmented_run, *tests, "--json").document for tests in ((), ("--tests", "3")))
    assert (one["tests"], three["tests"]) == (1, 3)
    assert one["cross_entropy"] != three["cross_entropy"]
    lines = allcnn("eval", augmented_run, "--tests", "3").out.splitlines()
    assert "3 tests of each image, augmented as in training (large)" in lines
    assert f"cross-entropy {three['cross_entropy']:.4f}" in lines


def test_samples_of_an_augmentation(allcnn, tmp_path):
    path = tmp_path / "large.png"
    arguments = ("data", "digits", "--samples", path, "--augment", "large", "--preprocessing", "center")
    document = allcnn(*arguments, "--json").document
    assert document["samples"] == {
        "path": str(path), "preprocessing": "center", "augmentation": "large", "field": 126,
    }  # fmt: skip
    with Image.open(path) as sheet:  # two blocks of ten columns of six pictures
        assert sheet.width > 1800 and 1.1 < sheet.height / sheet.width < 1.3
    outcome = allcnn(*arguments, "--field", "50")
    assert f"samples   {path} (below each image versions by large, after center)\n" in outcome.out
