"""What the tests of the page share: making one of run folders, and runs that were really trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from read_page import ReadPage

import allcnn
from allcnn.page import write_page
from allcnn.runs.collected import collect_runs


@pytest.fixture
def make_page(tmp_path: Path) -> Callable[..., ReadPage]:
    """Make a page of the runs in some folders and read it back: make_page(folder, ..., said=lines)."""

    def make(*paths: Path, said: list[str] | None = None) -> ReadPage:
        runs, problems = collect_runs(paths)
        assert problems == []
        file = tmp_path / "page.html"
        write_page(runs, file, announce=(said if said is not None else []).append)
        return ReadPage(file.read_text(encoding="utf-8"))

    return make


@pytest.fixture(scope="session")
def trained_runs(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Path]:
    """The folders of two short runs on the digits: one that is worse than the other, of the same network."""
    folder = tmp_path_factory.mktemp("trained")
    spec = "8C3/2-16C3/2-16C3-NC1:linear-GAP"
    for epochs in (1, 3):
        allcnn.train(spec, dataset="digits", epochs=epochs, run_dir=folder / f"{epochs}-epochs")
    return sorted(folder.iterdir())
