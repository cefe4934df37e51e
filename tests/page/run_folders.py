"""Run folders as training leaves them, made up: any number of runs with any names, in a moment."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from allcnn.runs.folder import RunFolder, metrics_digest, write_json, write_metrics
from allcnn.runs.recipe import RECIPES


def write_run(
    path: Path,
    model: str = "all-c",
    *,
    epochs: int = 12,
    of_epochs: int | None = None,
    status: str | None = "finished",
    learning_rate: float = 0.05,
    level: float = 10.0,
    validation: bool = False,
    test_every: int = 1,
    config: dict[str, Any] | None = None,
    summary: dict[str, Any] | None = None,
) -> RunFolder:
    """Write the folder of a run whose test error falls to `level`; status None: it goes on, or was killed."""
    path.mkdir(parents=True)
    folder = RunFolder(path)
    recipe = RECIPES["paper"].with_overrides(length=of_epochs or max(epochs, 1), learning_rate=learning_rate)
    fixed = {
        "model": model, "spec": "8C3/2-NC1-GAP", "recipe": recipe.as_dict(), "dataset": "cifar10", "digest": "0" * 64,
        "class_names": ["a", "b"], "seed": 0, "validation": 0.1 if validation else 0.0, "backend": "tensorflow",
        "precision": "float32", "device": {"kind": "cpu", "name": "some processor"},
    }  # fmt: skip
    write_json(folder.config, {**fixed, **(config or {})})
    rows = []
    for epoch in range(1, epochs + 1):
        error = min(level + (90 - level) * math.exp(-epoch / max(epochs / 6, 1)) + math.sin(epoch * level), 99.0)
        measured = epoch % test_every == 0 or epoch == epochs
        drops = sum(epoch > milestone for milestone in recipe.milestones)
        rows.append(
            {
                "epoch": epoch, "learning_rate": learning_rate * 0.1**drops, "loss": error / 40, "penalty": 0.2,
                "train_error": error * 0.9, "test_error": error if measured else None, "seconds": 40.123456789,
                "images_per_second": 1234.5, "validation_error": error + 0.5 if validation and measured else None,
            }
        )  # fmt: skip
    if rows:
        write_metrics(folder.metrics, rows)
    if status is not None:
        ended = {"status": status, "parameters": 1_369_738, "epochs": epochs, "of_epochs": recipe.length}
        digest = {"metrics_sha256": metrics_digest(folder.metrics)} if rows else {}
        write_json(folder.summary, {**ended, "published_error": None, **digest, **(summary or {})})
    return folder
