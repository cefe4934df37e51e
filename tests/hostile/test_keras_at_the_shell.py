"""Hostile model files at the shell: exit code 2, a line or two, no traceback, nothing made."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import h5py
import pytest
from keras_forgery import KERNEL, layer_with, weights_with, write_keras

from allcnn.models.archive import seal_archive
from allcnn.models.saved import CARD_MEMBER
from allcnn_cli.main import main


def link(file: h5py.File) -> None:
    del file[KERNEL]
    file[KERNEL] = h5py.ExternalLink("/etc/passwd", "/kernel")


@pytest.fixture(params=["strange", "with a card"])
def dress(request, saved_by_allcnn):
    """A hostile file as a stranger's, or with a card of allcnn's and a good SHA-256."""

    def dress(path: Path) -> Path:
        if request.param == "with a card":
            with zipfile.ZipFile(path, "a") as archive:
                archive.writestr(CARD_MEMBER, saved_by_allcnn)
            seal_archive(path)
        return path

    return dress


@pytest.mark.parametrize(
    "make",
    [
        lambda path: write_keras(path, {"config.json": layer_with("conv1", module="os", class_name="system")}),
        lambda path: write_keras(path, {"config.json": layer_with("fc", config={"units": 10**12})}),
        lambda path: write_keras(path, {"config.json": b"[" * 100_000}),
        lambda path: write_keras(path, more=[("../evil", b"")]),
        lambda path: write_keras(path, {"model.weights.h5": b""}),
        lambda path: write_keras(path, {"model.weights.h5": weights_with(link)}),
    ],
    ids=["os.system", "units", "nested", "path", "weights", "link"],
)
def test_eval(tmp_path, capsys, dress, make) -> None:
    path = tmp_path / "model.keras"
    make(path)
    dress(path)
    assert main(["eval", str(path), "--dataset", "digits"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"error: {path}: ") and 1 <= err.count("\n") <= 2
    assert os.listdir(tmp_path) == ["model.keras"]


def test_predict(tmp_path, capsys, dress) -> None:
    from PIL import Image

    Image.new("RGB", (6, 6)).save(image := tmp_path / "image.png")
    path = dress(write_keras(tmp_path / "model.keras", {"config.json": layer_with("fc", class_name="Lambda")}))
    assert main(["predict", str(path), str(image)]) == 2
    assert capsys.readouterr().err == (
        f"error: {path}: holds a Lambda, which runs code that comes with the file; refused.\n"
    )
