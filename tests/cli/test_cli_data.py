"""`allcnn data`: what is there, and the sheet of samples."""

from __future__ import annotations

import numpy as np
from PIL import Image

from allcnn.data import load_data


def test_describes_the_digits(allcnn):
    outcome = allcnn("data", "digits")
    assert (outcome.code, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert lines[0] == "digits: 10 classes, 32 x 32 RGB"
    assert "from      scikit-learn" in lines[1]
    assert ["total", "1,438", "359"] in [line.split() for line in lines]


def test_json_holds_one_document(allcnn):
    document = allcnn("data", "digits", "--image-size", "8", "--json").document
    data = load_data("digits", image_size=8)
    assert document["name"] == "digits"
    assert document["layout"] == "scikit-learn"
    assert document["image_shape"] == [8, 8, 3]
    assert document["digest"] == data.digest
    assert document["train"]["images"] == 1438
    assert sum(document["test"]["images_per_class"].values()) == document["test"]["images"] == 359
    assert "samples" not in document


def test_a_folder_of_images(allcnn, picture_folder):
    document = allcnn("data", "--data-dir", picture_folder, "--image-size", "8", "--json").document
    assert document["name"] == "pictures"
    assert document["class_names"] == ["dark", "light"]
    assert document["train"]["images_per_class"] == {"dark": 3, "light": 3}
    assert document["test"]["images_per_class"] == {"dark": 2, "light": 2}
    assert document["resize"] == "shorter side to 8, bilinear with antialiasing, centre crop"


def test_samples_are_written_before_and_after_the_default_preprocessing(allcnn, tmp_path):
    path = tmp_path / "sheet.png"
    document = allcnn("data", "digits", "--samples", path, "--json").document
    assert document["samples"] == {"path": str(path), "preprocessing": "standardize"}
    sheet = np.asarray(Image.open(path))
    # Two blocks of ten columns, each picture enlarged to 64 pixels above its preprocessed version.
    assert sheet.shape == (2 * (64 + 2 + 64) + 10, 10 * 66 - 2, 3)
    data = load_data("digits")
    first_zero = data.train_images[data.train_labels == 0][0]
    assert np.array_equal(sheet[:64:2, :64:2], first_zero)
    assert list(tmp_path.iterdir()) == [path]


def test_samples_of_a_chosen_preprocessing(allcnn, tmp_path):
    outcome = allcnn("data", "digits", "--samples", tmp_path / "gcn.png", "--preprocessing", "gcn")
    assert outcome.code == 0
    assert "(above raw, below gcn)" in outcome.out
    assert outcome.err == "fitting gcn to 1,438 training images ...\n"
