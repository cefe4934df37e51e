"""`allcnn data`: what is there, and the sheet of samples."""

from __future__ import annotations

import numpy as np
from photo_files import write_photographs
from PIL import Image

from allcnn.data import load_data
from allcnn.visualize.figures import draw


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


def test_samples_are_written_before_and_after_the_default_preprocessing(allcnn, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("allcnn.visualize.samples.draw", lambda *parts: drawn.append(parts) or draw(*parts))
    path = tmp_path / "sheet.png"
    document = allcnn("data", "digits", "--samples", path, "--json").document
    assert document["samples"] == {"path": str(path), "preprocessing": "standardize"}
    ((bands, title, _),) = drawn
    assert title == "digits: training images, standardize"
    for (panel,) in bands:  # two blocks of ten columns
        assert panel.column_labels == list("0123456789") and panel.row_labels == ["image", "standardize"]
        assert panel.tiles.shape == (2, 10, 32, 32, 3)
    data = load_data("digits")
    first_zero = data.train_images[data.train_labels == 0][0]
    np.testing.assert_allclose(bands[0][0].tiles[0, 0], first_zero / 255, atol=1e-6)
    with Image.open(path) as sheet:
        assert sheet.width > 1800
    assert list(tmp_path.iterdir()) == [path]


def test_samples_of_a_chosen_preprocessing(allcnn, tmp_path):
    outcome = allcnn("data", "digits", "--samples", tmp_path / "gcn.png", "--preprocessing", "gcn")
    assert outcome.code == 0
    assert "(above raw, below gcn)" in outcome.out
    assert outcome.err == "fitting gcn to 1,438 training images ...\n"


def test_check_reads_everything_and_names_what_is_damaged(allcnn, tmp_path, monkeypatch):
    photos = write_photographs(tmp_path / "photos")
    document = allcnn("data", photos, "--check", "--json").document
    assert document["damaged"] == [] and document["train"]["images"] == 20
    bad = photos / "train/n00000000/photo_4.JPEG"
    bad.write_bytes(b"none")
    refused = allcnn("data", photos)
    assert refused.code == 2 and refused.err.startswith(f"error: {bad}: not an image")
    checked = allcnn("data", photos, "--check", "--samples", tmp_path / "samples.png")
    assert checked.code == 1
    assert "damaged   1 file\n" in checked.out and str(bad) in checked.out
    assert checked.err == "note: no samples are drawn, since some images are damaged.\n"
    monkeypatch.chdir(tmp_path)
    outcome = allcnn("data", "nowhere")
    assert outcome.code == 2 and "unknown data set 'nowhere'" in outcome.err
