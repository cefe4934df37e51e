"""Run folders as training leaves them, made without training."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from allcnn.runs.folder import RunFolder, metrics_digest, write_json, write_metrics
from allcnn.runs.recipe import RECIPES
from allcnn.specs import resolve


def write_folder(
    folder: RunFolder,
    config: dict[str, Any],
    errors: Sequence[float | None],
    status: str | None,
    reason: str | None = None,
    validation_error: float | None = None,
    seconds: float = 90.0,
) -> None:
    """Write a run's folder: an epoch for each test error. status None or "unfinished": it goes on, or was killed."""
    folder.path.mkdir(parents=True, exist_ok=True)
    write_json(folder.config, config)
    rows: list[dict[str, Any]] = [
        {
            "epoch": epoch, "learning_rate": config["recipe"]["learning_rate"], "loss": 1.0, "penalty": 0.1,
            "train_error": 50.0, "test_error": error, "seconds": seconds, "images_per_second": 100.0,
            **({} if validation_error is None else {"validation_error": validation_error}),
        }
        for epoch, error in enumerate(errors, start=1)
    ]  # fmt: skip
    if rows:
        write_metrics(folder.metrics, rows)
    if status not in (None, "unfinished"):
        digest = {"metrics_sha256": metrics_digest(folder.metrics)} if rows else {}
        write_json(folder.summary, {"status": status, **({"reason": reason} if reason else {}), **digest})


def write_run(
    path: Path,
    model: str = "all-c",
    error: float | None = 10.0,
    *,
    epochs: int = 2,
    lr: float = 0.05,
    seed: int = 0,
    status: str = "finished",
    reason: str | None = None,
    validation: float = 0.0,
    validation_error: float | None = None,
    dataset: str = "cifar10",
    images: str = "official",
    recipe: str = "paper",
    config: dict[str, Any] | None = None,
    **numbers: Any,
) -> Path:
    """Write the folder of a run whose test error falls from 90 % to `error`, or to 80 % if it did not finish.

    images: the same text gives the same digest. config: what config.json has otherwise. numbers: of the recipe.
    """
    spec, network = resolve(model)
    fixed = {
        "model": network.name if network else str(spec),
        "spec": str(spec),
        "recipe": replace(RECIPES[recipe], learning_rate=lr, **numbers).as_dict(),
        "dataset": dataset,
        "digest": hashlib.sha256(f"{dataset} {images}".encode()).hexdigest(),
        "class_names": ["a", "b"],
        "seed": seed,
        "validation": validation,
        "training_images": round(50_000 * (1 - validation)),
        "source": "cifar-10-batches-py",
        "backend": "tensorflow",
        "precision": "float32",
        "device": {"name": "a machine"},
    }
    last = error if error is not None and status == "finished" else 80.0
    errors = [last + (90 - last) * (1 - epoch / max(epochs - 1, 1)) ** 3 for epoch in range(epochs)]
    write_folder(RunFolder(path), {**fixed, **(config or {})}, errors, status, reason, validation_error)
    return path
