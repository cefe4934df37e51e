"""The model card: what the run's folder says, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import keras
import pytest
import yaml
from run_folders import write_folder

import allcnn
from allcnn.errors import InputError, RunError
from allcnn.models.saved import open_saved, save_model
from allcnn.runs.folder import RunFolder, read_json, write_json


@pytest.fixture
def run(saved, write_run):
    """A finished run of strided-c, 10.19 % in the paper, with a model of fewer weights in it."""
    folder = write_run("strided-c", 10.12, name="run", config={"versions": {"allcnn": "0.1", "keras": "3", "jax": "9"}})
    opened = open_saved(saved)
    save_model(opened.model, replace(opened.card, model="strided-c"), folder / "model.keras")
    summary = read_json(folder / "summary.json")
    write_json(folder / "summary.json", {**summary, "test_images": 10_000})
    return folder


def parts(path) -> tuple[dict, str]:
    _, front, text = path.read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(front), text


def test_a_card_has_the_figures_of_its_run(run) -> None:
    exported = allcnn.export_model(run, "card")
    assert exported.path == run / "README.md" and exported.bytes == exported.path.stat().st_size
    front, text = parts(exported.path)
    assert (front["license"], front["library_name"], front["datasets"]) == ("mit", "keras", ["uoft-cs/cifar10"])
    (model,) = front["model-index"]
    assert model["results"][0]["metrics"] == [{"type": "accuracy", "value": 0.8988}]
    assert "# Strided-CNN-C, trained on CIFAR-10\n" in text
    assert "| test error | **10.12 %** of 10,000 images, after epoch 2, the last |" in text
    assert "| published error (Table 3) | 10.19 %, augmentation: none |" in text
    assert (
        "| recipe | `paper`: 350 epochs, sgd, learning rate 0.05, batches of 200, augmentation: none, seed 0 |" in text
    )
    assert "| trained on | CIFAR-10, 50,000 images; " in text and "| software | allcnn 0.1, keras 3 |" in text
    assert "springenberg2014striving" in text
    assert "somebody" not in text  # the folder of the images is private
    program = text.split("```python\n")[1].split("```")[0].replace("model.keras", str(run / "model.keras"))
    names = {"images": __import__("numpy").zeros((1, 6, 6, 3))}
    exec(program, names)
    assert names["probabilities"].shape == (1, 3)
    with pytest.raises(InputError, match="README.md: is there already"):
        allcnn.export_model(run, "card")


def test_what_is_missing_is_left_out(saved, run, tmp_path) -> None:
    front, text = parts(allcnn.export_model(saved, "card").path)
    assert "model-index" not in front
    assert "test error" not in text and "software" not in text and "published" not in text and "None" not in text
    config = read_json(run / "config.json")
    write_folder(RunFolder(run), config, [50.0], "interrupted")
    front, text = parts(allcnn.export_model(run, "card", tmp_path / "card.md").path)
    assert "model-index" not in front and "| test error | none: the run is interrupted after 1 epoch |" in text
    (run / "config.json").write_text("{}")
    with pytest.raises(RunError, match="config.json"):
        allcnn.export_model(run, "card", tmp_path / "other.md")


def test_a_model_of_others_has_no_card(tmp_path) -> None:
    keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten()]).save(tmp_path / "theirs.keras")
    with pytest.raises(InputError, match="theirs.keras: was not saved by allcnn; expected the .keras file or folder"):
        allcnn.export_model(tmp_path / "theirs.keras", "card")


def test_p_norm_pooling_is_imported_first(saved) -> None:
    opened = open_saved(saved)
    save_model(opened.model, replace(opened.card, spec="4C3-L2P3/2-NC1-GAP"), saved)
    assert "import allcnn.models.layers" in allcnn.export_model(saved, "card").path.read_text()
