"""What the tests of hostile and damaged files share: one small finished run, and its card."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the shortest run on the digits. Not to be changed: copy it."""
    import allcnn

    folder = tmp_path_factory.mktemp("runs") / "digits"
    allcnn.train("4C3/2-NC1:linear-GAP", dataset="digits", epochs=2, run_dir=folder)
    return folder


@pytest.fixture(scope="session")
def saved_by_allcnn(small_run: Path) -> bytes:
    """The card of a model that allcnn saved."""
    with zipfile.ZipFile(small_run / "model.keras") as archive:
        return archive.read("allcnn.json")


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """A folder of images in the layout train/CLASS/*, test/CLASS/*, one image each."""
    from image_bytes import encoded

    folder = tmp_path / "pets"
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            (folder / split / name).mkdir(parents=True)
            (folder / split / name / "a.png").write_bytes(encoded("PNG"))
    return folder
