"""Errors, confusion and predictions of a model whose answers are known."""

from __future__ import annotations

import json
from dataclasses import replace

import keras
import numpy as np
import pytest
from PIL import Image

from allcnn.data import Dataset
from allcnn.data.streamed import as_images
from allcnn.errors import CheckpointError, DataError, InputError
from allcnn.evaluation import BATCH_SIZE, evaluate, predict, probabilities
from allcnn.models.build import build_model
from allcnn.models.saved import ModelCard, open_saved, save_model

NAMES = ("red", "green", "blue")


@pytest.fixture(scope="module")
def colours() -> keras.Model:
    """Takes images of 2x2 pixels for the colour that is brightest on average: softmax of a hundredth of the means."""
    model = build_model("NC1:linear-GAP", (2, 2, 3), 3)
    model.get_layer("conv1").set_weights([np.eye(3, dtype=np.float32).reshape(1, 1, 3, 3) / 100, np.zeros(3)])
    return model


def pictures(*pixels: tuple[int, int, int]) -> np.ndarray:
    return np.array([np.full((2, 2, 3), pixel) for pixel in pixels], np.uint8)


RED, GREEN, BLUE = (200, 10, 0), (0, 100, 50), (90, 90, 91)
IMAGES = pictures(RED, RED, GREEN, BLUE, RED, BLUE, GREEN)
LABELS = np.array([0, 0, 0, 0, 1, 1, 1], np.int32)


@pytest.mark.backends
def test_by_hand(colours) -> None:
    result = evaluate(colours, IMAGES, LABELS, NAMES)
    # Of four reds two are taken for red, one for green, one for blue; of three greens one for each.
    assert result.confusion.tolist() == [[2, 1, 1], [1, 1, 1], [0, 0, 0]]
    assert (result.images, result.errors, result.error_percent) == (7, 4, 400 / 7)
    assert result.class_errors() == [50.0, 200 / 3, None]
    values = IMAGES[:, 0, 0].astype(np.float64) / 100
    chances = np.exp(values) / np.exp(values).sum(axis=1, keepdims=True)
    assert result.cross_entropy == pytest.approx(-np.log(chances[np.arange(7), LABELS]).mean(), rel=1e-5)
    assert json.loads(json.dumps(result.as_dict())) == {
        "images": 7,
        "errors": 4,
        "error_percent": 400 / 7,
        "top5_error_percent": None,
        "cross_entropy": result.cross_entropy,
        "skipped": 0,
        "class_error_percent": {"red": 50.0, "green": 200 / 3, "blue": None},
        "class_names": ["red", "green", "blue"],
        "confusion": [[2, 1, 1], [1, 1, 1], [0, 0, 0]],
    }


def test_classes_are_numbers_where_no_names_are_given(colours) -> None:
    assert evaluate(colours, IMAGES, LABELS).class_names == ("0", "1", "2")


def test_a_probability_of_zero_is_counted_as_a_ten_millionth() -> None:
    model = build_model("NC1:linear-GAP", (2, 2, 3), 3)
    model.get_layer("conv1").set_weights([np.eye(3, dtype=np.float32).reshape(1, 1, 3, 3), np.zeros(3)])
    result = evaluate(model, pictures((255, 0, 0)), np.array([1]))
    assert result.cross_entropy == pytest.approx(np.log(1e7), rel=1e-6)


@pytest.mark.backends
@pytest.mark.parametrize("count", [1, BATCH_SIZE - 1, BATCH_SIZE, BATCH_SIZE + 1])
def test_the_last_batch_is_filled_up_and_cut(count) -> None:
    model = build_model("4C3-BN-NC1-GAP", (4, 4, 3), 3, seed=0)
    images = np.random.default_rng(0).integers(0, 256, (BATCH_SIZE + 1, 4, 4, 3)).astype(np.uint8)
    whole = probabilities(model, images)
    part = probabilities(model, images[:count])
    assert part.shape == (count, 3) and part.dtype == np.float32
    assert np.array_equal(part, whole[:count])
    np.testing.assert_allclose(model.predict_on_batch(images[:count]), part, atol=1e-6)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES, [0, 1, 2, 0, 1, 2, 3], "labels run from 0 to 3; the model knows 0 to 2."),
        (IMAGES, [0, 1, 2, 0, 1, 2, -1], "labels run from -1 to 2; the model knows 0 to 2."),
        (IMAGES, LABELS / 1, "the labels are float64 of shape (7,); expected whole numbers of shape (n,)."),
        (IMAGES, np.eye(3)[LABELS], "the labels are float64 of shape (7, 3); expected whole numbers of shape (n,)."),
        (IMAGES, LABELS[:6], "got 7 images and 6 labels; expected as many, and at least one."),
        (IMAGES[:0], LABELS[:0], "got 0 images and 0 labels; expected as many, and at least one."),
        (np.zeros((7, 3, 2, 3)), LABELS, "the images are (3, 2, 3); the model takes (2, 2, 3)."),
        (np.zeros((7, 12)), LABELS, "the images are (12,); the model takes (2, 2, 3)."),
    ],
)
def test_images_and_labels_that_do_not_fit(colours, images, labels, message) -> None:
    with pytest.raises(InputError) as caught:
        evaluate(colours, images, labels)
    assert str(caught.value) == message


@pytest.fixture
def saved_colours(tmp_path, colours):
    card = ModelCard("", "NC1:linear-GAP", "colours", "", NAMES, (2, 2, 3), "none", "none", "paper", 12)
    save_model(colours, card, tmp_path / "model.keras")
    return tmp_path / "model.keras"


@pytest.mark.backends
def test_the_saved_model_measures_the_same(saved_colours, colours) -> None:
    here, there = evaluate(colours, IMAGES, LABELS), evaluate(saved_colours, IMAGES, LABELS)
    assert there.cross_entropy == here.cross_entropy
    assert there.confusion.tolist() == here.confusion.tolist()
    with pytest.raises(CheckpointError, match="no such file"):
        evaluate(saved_colours.with_name("other.keras"), IMAGES, LABELS)


def test_a_card_of_other_classes_than_the_models_is_refused(saved_colours) -> None:
    opened = open_saved(saved_colours)
    save_model(opened.model, replace(opened.card, class_names=("red", "green")), saved_colours)
    for call in (lambda: predict(saved_colours, IMAGES), lambda: evaluate(saved_colours, IMAGES, LABELS)):
        with pytest.raises(CheckpointError, match="model.keras: names 2 classes but gives 3 probabilities"):
            call()


def test_pictures_are_named(saved_colours, tmp_path) -> None:
    Image.new("RGB", (2, 2), GREEN).save(tmp_path / "leaf.png")
    Image.new("RGB", (5, 4), RED).save(tmp_path / "rose.png")  # brought to the model's size
    leaf, rose = predict(str(saved_colours), [tmp_path / "leaf.png", str(tmp_path / "rose.png")], top=2)
    assert (leaf.image, rose.image) == (str(tmp_path / "leaf.png"), str(tmp_path / "rose.png"))
    assert [name for name, _ in leaf.classes] == ["green", "blue"]
    assert [name for name, _ in rose.classes] == ["red", "green"]
    values = np.exp(np.array(GREEN) / 100)
    assert [chance for _, chance in leaf.classes] == pytest.approx([*(values / values.sum())[[1, 2]]], rel=1e-5)


def test_a_picture_that_cannot_be_read_is_named(saved_colours, tmp_path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="broken.png"):
        predict(saved_colours, [tmp_path / "broken.png"])


def test_a_model_of_images_that_are_not_square(tmp_path) -> None:
    Image.new("RGB", (2, 2), GREEN).save(tmp_path / "leaf.png")
    path = tmp_path / "wide.keras"
    build_model("NC1-GAP", (2, 4, 3)).save(path)
    with pytest.raises(InputError) as caught:
        predict(path, [tmp_path / "leaf.png"])
    assert str(caught.value) == (
        f"{path}: takes (None, 2, 4, 3); expected a model of square images of one size, (None, 32, 32, 3)."
    )


def test_labels_as_keras_datasets_give_them(colours) -> None:
    assert evaluate(colours, IMAGES, LABELS[:, None]).errors == evaluate(colours, IMAGES, LABELS).errors
    assert evaluate(colours, list(IMAGES), LABELS.tolist()).errors == evaluate(colours, IMAGES, LABELS).errors


def test_a_model_of_something_else(tmp_path) -> None:
    Image.new("RGB", (2, 2), GREEN).save(tmp_path / "leaf.png")
    inputs = keras.Input((7,))
    keras.Model(inputs, keras.layers.Dense(3)(inputs)).save(tmp_path / "rows.keras")
    with pytest.raises(InputError, match=r"takes \(None, 7\); expected a model of square images"):
        predict(tmp_path / "rows.keras", tmp_path / "leaf.png")
    with pytest.raises(InputError, match=r"takes \(None, 7\) and gives \(None, 3\); expected one that takes images"):
        evaluate(tmp_path / "rows.keras", IMAGES, LABELS)
    with pytest.raises(InputError, match="no images given"):
        predict(tmp_path / "rows.keras", [])


def test_one_picture_costs_one_picture(saved_colours, tmp_path, monkeypatch) -> None:
    Image.new("RGB", (2, 2), GREEN).save(tmp_path / "leaf.png")
    sizes = []
    before = keras.Model.predict_on_batch
    monkeypatch.setattr(
        keras.Model, "predict_on_batch", lambda self, batch: sizes.append(len(batch)) or before(self, batch)
    )
    predict(saved_colours, tmp_path / "leaf.png")
    assert sizes == [1]


def test_tensorflow_does_not_warn_of_many_models(caplog) -> None:
    for filters in range(1, 8):
        probabilities(build_model(f"{filters}C1-NC1-GAP", (2, 2, 3), 3), IMAGES, 7)
    assert caplog.records == []


OTHER = np.zeros((7, 3, 3, 3), np.uint8)


def dataset(**changes) -> Dataset:
    parts = {
        "name": "colours", "train_images": IMAGES, "train_labels": LABELS, "test_images": IMAGES, "test_labels": LABELS,
        "class_names": NAMES, "source": "by hand", "layout": "folders", "resize": "none",
    }  # fmt: skip
    return Dataset(**{**parts, **changes})


def test_a_data_set_brings_labels_and_names(colours, saved_colours) -> None:
    wanted = evaluate(colours, IMAGES, LABELS, NAMES).as_dict()
    assert evaluate(colours, dataset()).as_dict() == evaluate(saved_colours, dataset()).as_dict() == wanted
    for model, changes, message in (
        (colours, {"class_names": ("a", "b")}, "knows 3 classes; the data set colours has 2"),
        (saved_colours, {"class_names": ("a", "b", "c")}, "was trained on 3 classes .red, green, blue.; the data set"),
        (colours, {"train_images": OTHER, "test_images": OTHER}, "the images are .3, 3, 3.; the model takes"),
    ):
        with pytest.raises(InputError, match=message):
            evaluate(model, dataset(**changes))
    with pytest.raises(InputError, match="labels were given beside the data set colours, which has its own"):
        evaluate(colours, dataset(), LABELS)
    with pytest.raises(InputError, match="the images have no labels; expected them as the next argument"):
        evaluate(colours, IMAGES)


@pytest.fixture
def colour_folders(tmp_path):
    """Folders of images of the three colours, train/CLASS/* and test/CLASS/*, two green ones among the red."""
    folder = tmp_path / "colours"
    for split in ("train", "test"):
        for name, pixels in (("red", (RED, RED, GREEN, GREEN)), ("green", (GREEN,)), ("blue", (BLUE,))):
            (folder / split / name).mkdir(parents=True)
            for index, pixel in enumerate(pixels):
                Image.new("RGB", (2, 2), pixel).save(folder / split / name / f"{index}.png")
    return folder


def test_a_folder_is_a_data_set(colours, colour_folders, tmp_path) -> None:
    names = ("blue", "green", "red")
    model = build_model("NC1:linear-GAP", (2, 2, 3), 3)
    kernel = np.eye(3, dtype=np.float32)[:, ::-1].reshape(1, 1, 3, 3) / 100
    model.get_layer("conv1").set_weights([kernel, np.zeros(3)])
    card = ModelCard("", "NC1:linear-GAP", "colours", "", names, (2, 2, 3), "none", "none", "paper", 12)
    path = tmp_path / "model.keras"
    save_model(model, replace(card, data_dir=str(colour_folders)), path)
    for result in (
        evaluate(model, colour_folders), evaluate(path, str(colour_folders)), evaluate(path), evaluate(open_saved(path))
    ):  # fmt: skip
        assert (result.errors, result.images, result.class_names) == (2, 6, names)
    with pytest.raises(InputError, match="which does not say what it was trained on"):
        evaluate(model)
    with pytest.raises(DataError, match="there is no such folder"):
        evaluate(path, tmp_path / "nowhere")


def test_keras_is_settled_before_any_saved_model_is_opened(saved_colours, monkeypatch) -> None:
    settled: list[bool] = []
    monkeypatch.setattr("allcnn.evaluation.load_keras", lambda: settled.append(True))
    for call in (lambda: evaluate(saved_colours, IMAGES, LABELS), lambda: predict(saved_colours, IMAGES)):
        settled.clear()
        call()
        assert settled


def test_names_for_other_classes_than_the_models_are_refused(colours) -> None:
    with pytest.raises(InputError, match="2 class names were given; the model knows 3 classes"):
        evaluate(colours, IMAGES, LABELS, class_names=("a", "b"))


def test_folders_are_seen_in_the_order_of_names(saved_colours, colour_folders) -> None:
    found = predict(saved_colours, [colour_folders / "test", colour_folders / "train" / "red" / "0.png"], top=1)
    names = ["blue/0.png", "green/0.png", *(f"red/{index}.png" for index in range(4))]
    assert [one.image for one in found] == [
        *(str(colour_folders / "test" / name) for name in names), str(colour_folders / "train" / "red" / "0.png")
    ]  # fmt: skip
    assert [one.classes[0][0] for one in found] == ["blue", "green", "red", "red", "green", "green", "red"]
    (colour_folders / "none").mkdir()
    with pytest.raises(InputError, match="none: holds no images; expected files ending in .bmp, "):
        predict(saved_colours, colour_folders / "none")


def test_arrays_of_any_size_are_predicted(saved_colours, colours) -> None:
    large = np.full((9, 7, 3), GREEN, np.uint8)
    assert [one.image for one in predict(colours, IMAGES)] == [f"image {index}" for index in range(7)]
    for images in (IMAGES[2], [IMAGES[2]], large, [large], large[None], IMAGES[2].astype(np.float32)):
        (found,) = predict(saved_colours, images, top=1)
        assert (found.image, found.classes[0][0]) == ("image 0", "green")
    assert predict(colours, IMAGES[2])[0].classes[0][0] == "1"
    assert predict(open_saved(saved_colours), as_images(IMAGES))[6].classes[0][0] == "green"
    for images, message in (
        (large.astype(np.float32), r"image 0 is float32 of shape \(9, 7, 3\); expected uint8 of shape \(height, width"),
        (IMAGES[:0], "no images given"),
        ([np.zeros((4, 4), np.uint8)], r"image 0 is uint8 of shape \(4, 4\)"),
        (dataset(), "the images are a Dataset; expected files, folders or arrays"),
    ):
        with pytest.raises(InputError, match=message):
            predict(saved_colours, images)


def test_results_are_shown_in_short(colours) -> None:
    result = evaluate(colours, IMAGES, LABELS, NAMES)
    assert repr(result) == f"Evaluation(57.14 % error: 4 of 7 images, cross-entropy {result.cross_entropy:.4f})"
    assert '<td style="text-align:left">green</td>' in result._repr_html_() and "66.67" in result._repr_html_()
    (one,) = predict(colours, IMAGES[:1])
    assert repr(one).startswith("Prediction(image 0: 0 77.83 %, 1 ") and len(repr(one)) < 60
    assert "image 0</caption>" in one._repr_html_()
