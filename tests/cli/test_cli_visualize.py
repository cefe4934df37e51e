"""`allcnn visualize`: the figures, patches of a layer, one's own images, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from allcnn.errors import DataError, InputError
from allcnn.visualize.draw import draw_saved, parse_units


def assert_picture(path) -> None:
    with Image.open(path) as picture:
        assert picture.format == "PNG" and min(picture.size) > 100
        pixels = np.asarray(picture.convert("RGB"), np.float32)
    assert pixels.std() > 10


@pytest.fixture
def titles(monkeypatch) -> list[str]:
    """What the figures drawn are called."""
    from matplotlib.figure import Figure

    seen: list[str] = []
    suptitle = Figure.suptitle
    monkeypatch.setattr(
        Figure, "suptitle", lambda self, text, **more: seen.append(text) or suptitle(self, text, **more)
    )
    return seen


def test_the_papers_figures(allcnn, digits_run, tmp_path, titles) -> None:
    out = tmp_path / "figures"
    result = allcnn("visualize", digits_run, "-o", out, "--random-weights", "--json")
    assert result.code == 0, result.err
    drawn = result.document["drawn"]
    assert [figure["figure"] for figure in drawn] == ["2", "3", "4", "5", "review-3", "review-4"]
    assert sorted(path.name for path in out.iterdir()) == sorted(figure["path"].split("/")[-1] for figure in drawn)
    for figure, title in zip(drawn, titles, strict=True):
        assert_picture(figure["path"])
        assert title.startswith("spec-")  # the model's name
    assert "deconvnet" in titles[0] and "conv1" in titles[0] and "guided" in titles[1]
    assert drawn[3]["with_switches"] is True and len(drawn[3]["images"]) == 4
    for image in drawn[3]["images"]:
        assert image["true_class"] in "0123456789" and 0.1 <= image["probability"] <= 1
        assert image["predicted_class"] == str(image["unit"])  # the likeliest class is looked at
    assert drawn[4]["images"][0]["true_class"] == drawn[3]["images"][0]["true_class"]


def test_the_strongest_patches_of_a_layer(allcnn, digits_run, tmp_path, titles) -> None:
    result = allcnn(
        "visualize", digits_run, "--layer", "conv1", "--units", "0-2,7", "--top", 3, "--method", "deconvnet",
        "-o", tmp_path, "--json",
    )  # fmt: skip
    assert result.code == 0, result.err
    (figure,) = result.document["drawn"]
    assert figure["path"].endswith("patches-conv1-deconvnet.png")
    assert_picture(figure["path"])
    assert [unit["unit"] for unit in figure["units"]] == [0, 1, 2, 7]
    for unit in figure["units"]:
        values = [image["activation"] for image in unit["images"]]
        assert len(values) == 3 and values == sorted(values, reverse=True)
    assert figure["field"] == [3, 3] and figure["images_seen"] == 359
    assert "deconvnet" in titles[0] and "conv1" in titles[0]


def test_figure_6_needs_max_pooling(allcnn, digits_run, tmp_path) -> None:
    result = allcnn("visualize", digits_run, "--figures", "2,6", "-o", tmp_path / "out")
    assert result.code == 2 and not (tmp_path / "out").exists()
    assert (
        "trained with max-pooling" in result.err and "has no max-pooling" in result.err and "--figures 5" in result.err
    )


def test_a_figure_for_print(allcnn, digits_run, tmp_path) -> None:
    result = allcnn("visualize", digits_run, "--figures", "review-3", "--format", "pdf", "-o", tmp_path)
    assert result.code == 0, result.err
    assert (tmp_path / "figure-review-3.pdf").read_bytes().startswith(b"%PDF")
    result = allcnn("visualize", digits_run, "--format", "svg", "-o", tmp_path)
    assert result.code == 2 and 'unknown format "svg"; expected one of: png, pdf' in result.err


def test_ones_own_images(allcnn, digits_run, picture_folder, tmp_path) -> None:
    image = next((picture_folder / "train" / "dark").iterdir())
    result = allcnn("visualize", digits_run, "--image", image, "--units", "3", "-o", tmp_path / "out", "--json")
    assert result.code == 0, result.err
    (figure,) = result.document["drawn"]
    assert figure["images"][0]["unit"] == 3 and figure["images"][0]["image"] == str(image)
    assert figure["images"][0]["true_class"] is None
    assert_picture(figure["path"])


def test_units_without_a_layer_or_an_image_are_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="--units goes with --layer or --image"):
        draw_saved(tmp_path / "run", tmp_path, units="0-2")


def test_one_path_is_an_image_too(digits_run, tmp_path) -> None:
    """It is looked for by its whole name, not by its first letter."""
    for image in ("photo.jpg", Path("photo.jpg")):
        with pytest.raises(DataError, match="^photo.jpg: "):
            draw_saved(digits_run, tmp_path, images=image)


def test_units_are_numbers_and_ranges() -> None:
    assert parse_units("0-3, 7,2") == [0, 1, 2, 3, 7]
    assert parse_units([4, 2]) == [4, 2]
