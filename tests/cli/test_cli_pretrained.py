"""The model that comes with the package: what it is, what it knows, and that it is at hand at once."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from allcnn.errors import CheckpointError, DataError
from allcnn.evaluation import evaluate
from allcnn.hub_card import model_readme
from allcnn.models.saved import MODEL_FILE, PRETRAINED_RUN, load_model, read_card
from allcnn.runs.collected import run_of_model
from allcnn.specs import ZOO, count_parameters

FILE = PRETRAINED_RUN / MODEL_FILE
RESULTS = Path(__file__).resolve().parents[2] / "results"


@pytest.fixture
def nowhere(monkeypatch) -> None:
    """No data set is on this machine, and the internet cannot be reached."""

    def fail(name, mirror=None):
        raise DataError(f"{name} cannot be downloaded")

    monkeypatch.setattr("allcnn.data.load.find_or_download", fail)


def test_it_is_all_c_of_a_finished_run_of_fast_in_less_than_3_mb():
    assert FILE.stat().st_size < 3e6
    card, run = read_card(FILE), run_of_model(FILE)
    assert (card.model, card.dataset, run.recipe.name, run.status) == ("all-c", "cifar10", "fast", "finished")
    assert card.parameters == count_parameters(ZOO["all-c"].spec, (32, 32, 3), 10)
    assert run.summary["test_error"] == run.test_error
    assert (PRETRAINED_RUN / "README.md").read_text().startswith(model_readme(FILE, card))


@pytest.mark.parametrize("name", ["pretrained", "all-c"])
def test_its_names_load_it(name):
    assert load_model(name).count_params() >= read_card(FILE).parameters


def test_a_file_of_its_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "all-c").write_text("no model")
    with pytest.raises(CheckpointError, match="^all-c: not a saved model"):
        load_model("all-c")


def test_its_error_on_official_images_is_the_recorded_one(photographs):
    """Of the first 1,017 test images; rounding may turn the closest two."""
    with np.load(photographs / "cifar10-head.npz") as arrays:
        found = evaluate("pretrained", arrays["x_test"], arrays["y_test"].ravel())
    with open(RESULTS / "measured.csv", newline="") as file:
        (recorded,) = (row["value"] for row in csv.DictReader(file) if row["what"] == "all-c: error on official images")
    assert found.images == 1017 and abs(found.error_percent - float(recorded)) < 0.2


def test_it_predicts_where_no_model_is_named(allcnn, tmp_path, nowhere):
    Image.fromarray(np.full((50, 40, 3), 200, np.uint8)).save(tmp_path / "grey.png")
    result = allcnn("predict", tmp_path / "grey.png", "--json")
    assert result.code == 0 and result.document["model"] == "all-c"
    assert len(result.document["predictions"][0]["classes"]) == 5
    two = allcnn("predict", tmp_path, tmp_path, "--json")
    assert two.code == 0 and len(two.document["predictions"]) == 2


def test_it_is_drawn_without_any_image(allcnn, tmp_path, nowhere):
    result = allcnn("visualize", "-o", tmp_path)
    assert result.code == 0 and "figures 3, 4, 5, review-3 show test images" in result.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figure-2.png", "figure-review-4.png"]
