"""Made-up run folders, written with the writers that real runs use."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from allcnn.reports.collected import CollectedRun, collect_runs
from allcnn.runs.folder import RunFolder, metrics_digest, write_json, write_metrics
from allcnn.runs.recipe import RECIPES
from allcnn.specs import resolve

Write = Callable[..., Path]


@pytest.fixture
def write_run(tmp_path: Path) -> Write:
    """write_run("all-c", 9.1, lr=0.05, seed=1): a run folder of two epochs, the last with that test error.

    error=None: it came to no end. status, validation_error, dataset, and any number of the recipe by its name.
    """

    def write(
        model: str = "all-c", error: float | None = 10.0, *, lr: float = 0.05, seed: int = 0,
        status: str = "finished", reason: str | None = None, validation: float = 0.0,
        validation_error: float | None = None, dataset: str = "cifar10", images: str = "official",
        name: str | None = None, under: str = "runs", recipe: str = "paper", **numbers: Any,
    ) -> Path:  # fmt: skip
        spec, network = resolve(model)
        folder = RunFolder(tmp_path / under / (name or f"{len(list(tmp_path.rglob('config.json'))):03}"))
        folder.path.mkdir(parents=True)
        values = replace(RECIPES[recipe], learning_rate=lr, **numbers)
        config = {
            "model": network.name if network else str(spec),
            "spec": str(spec),
            "recipe": values.as_dict(),
            "dataset": dataset,
            "digest": hashlib.sha256(f"{dataset} {images}".encode()).hexdigest(),
            "seed": seed,
            "validation": validation,
            "training_images": round(50_000 * (1 - validation)),
            "source": "cifar-10-batches-py",
            "backend": "tensorflow",
            "precision": "float32",
            "device": {"name": "a machine"},
        }
        write_json(folder.config, config)
        ended = status == "finished"
        rows = [_row(1, 90.0, validation_error), _row(2, error if ended else 80.0, validation_error)]
        write_metrics(folder.metrics, rows)
        if status != "unfinished":
            summary = {"status": status, "metrics_sha256": metrics_digest(folder.metrics)}
            write_json(folder.summary, {**summary, **({"reason": reason} if reason else {})})
        return folder.path

    return write


def _row(epoch: int, error: float | None, validation_error: float | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "epoch": epoch, "learning_rate": 0.05, "loss": 1.0, "penalty": 0.1, "train_error": 50.0, "test_error": error,
        "seconds": 90.0, "images_per_second": 100.0,
    }  # fmt: skip
    return row if validation_error is None else {**row, "validation_error": validation_error}


@pytest.fixture
def runs_below(tmp_path: Path) -> Callable[[], list[CollectedRun]]:
    """The runs written so far, read back; all of them must be whole."""

    def read() -> list[CollectedRun]:
        runs, problems = collect_runs([tmp_path / "runs"])
        assert problems == []
        return runs

    return read


@pytest.fixture
def copy_run() -> Callable[[Path, Path], Path]:
    """Copy a run folder."""
    return lambda source, target: Path(shutil.copytree(source, target))
