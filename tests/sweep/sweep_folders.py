"""Run folders as `allcnn train` would have left them, made without training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from run_folders import write_folder

from allcnn.runs.config import RunConfig
from allcnn.sweep.grid import Cell, make_grid

OPTIONS: dict[str, Any] = {"dataset": "digits", "epochs": 4}
SPECS = ("8C3/2-NC1-GAP", "D.2-8C3/2-8C3-NC1-GAP")


def small_grid(runs_dir: Path, rates=(0.05, 0.02), seeds=(0,), **options: Any) -> list[Cell]:
    return make_grid(SPECS, rates, seeds, runs_dir, RunConfig().with_options(**{**OPTIONS, **options}))[0]


def leave(cell: Cell, status: str | None, errors: list[float], reason: str | None = None) -> None:
    """A folder in which the cell's run came so far; no status: it was killed there."""
    config = {
        "model": cell.model, "dataset": "digits", "image_shape": [32, 32, 3], "class_names": list("0123456789"),
        "device": {}, "versions": {}, "backend": "tensorflow", "precision": "float32", **cell.identity,
    }  # fmt: skip
    write_folder(cell.folder, config, errors, status, reason, seconds=10.0)
