"""Odd images at the shell and in predictions: in `allcnn predict`, and in folders of images to train on."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
from image_bytes import PIXELS, encoded
from odd_images import REFUSED
from PIL import Image
from refusals import refused_by_shell, snapshot

from allcnn.data import load_data
from allcnn.evaluation import predict


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    from allcnn.models.build import build_model
    from allcnn.models.saved import ModelCard, save_model

    path = tmp_path_factory.mktemp("model") / "model.keras"
    card = ModelCard("", "NC1-GAP", "pets", "", ("cat", "dog"), (8, 8, 3), "none", "none", "paper", 8)
    save_model(build_model("NC1-GAP", (8, 8, 3), 2, seed=0), card, path)
    return path


@pytest.mark.parametrize("name", ["text.jpg", "cut, packed.tif"])
def test_predict_refuses(name, model, tmp_path, capfd):
    (tmp_path / "good.png").write_bytes(encoded("PNG"))
    (tmp_path / name).write_bytes(REFUSED[name][0])
    before = snapshot(tmp_path)
    for options in ([], ["--json"]):
        refused_by_shell(
            capfd, ["predict", model, tmp_path / "good.png", tmp_path / name, *options], f"{tmp_path / name}: "
        )
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("name", ["cut.jpg", "huge.gif"])
def test_a_folder_of_images_is_refused(name, pets, tmp_path, capfd):
    (pets / "train" / "dog" / name).write_bytes(REFUSED[name][0])
    before = snapshot(tmp_path)
    arguments = ["--data-dir", pets, "--image-size", "8"]
    refused_by_shell(capfd, ["data", *arguments], f"{pets / 'train' / 'dog' / name}: ")
    run = ["train", "--spec", "NC1-GAP", "--epochs", "1", "--run-dir", tmp_path / "run", *arguments]
    refused_by_shell(capfd, run, f"{pets / 'train' / 'dog' / name}: ")
    assert snapshot(tmp_path) == before


def test_training_and_predicting_turn_an_image_the_same_way(pets, model, tmp_path):
    upright = load_data(data_dir=pets, image_size=8).digest
    exif = Image.Exif()
    exif[274] = 6  # the camera's top row is the right column
    turned = pets / "train/dog/a.png"
    turned.write_bytes(encoded("PNG", np.ascontiguousarray(np.rot90(PIXELS)), exif=exif))
    assert load_data(data_dir=pets, image_size=8).digest == upright
    one, other = predict(model, [turned, pets / "train/cat/a.png"])
    assert one.classes == other.classes


def test_of_many_photographs_one_is_held_at_a_time(model, tmp_path, monkeypatch):
    held = []

    def read(path):
        assert all(before() is None for before in held)
        pixels = np.zeros((100, 100, 3), np.uint8)
        held.append(weakref.ref(pixels))
        return pixels

    monkeypatch.setattr("allcnn.evaluation.read_image", read)
    assert len(predict(model, [tmp_path / f"{number}.jpg" for number in range(5)])) == 5 == len(held)


def test_a_model_of_grey_images(tmp_path, capfd):
    from allcnn.models.build import build_model

    (tmp_path / "good.png").write_bytes(encoded("PNG"))
    build_model("NC1-GAP", (8, 8, 1), 2, seed=0).save(tmp_path / "grey.keras")
    refused_by_shell(
        capfd, ["predict", tmp_path / "grey.keras", tmp_path / "good.png"], "takes (None, 8, 8, 1); expected"
    )
