"""The run folder: what its files are called, writing them in one step, reading them back."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allcnn.errors import RunError
from allcnn.files import create_text, write_text

#: The columns of metrics.csv; the last only where training images were held out.
METRICS_COLUMNS = (
    "epoch", "learning_rate", "loss", "penalty", "train_error", "test_error", "seconds", "images_per_second",
)  # fmt: skip
VALIDATION_COLUMN = "validation_error"

Row = dict[str, Any]


@dataclass(frozen=True)
class RunFolder:
    """The paths of a run's files."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "config.json"

    @property
    def preprocessing(self) -> Path:
        return self.path / "preprocessing.h5"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.csv"

    @property
    def state(self) -> Path:
        return self.path / "state.h5"

    @property
    def previous_state(self) -> Path:
        return self.path / "state.previous.h5"

    @property
    def model(self) -> Path:
        return self.path / "model.keras"

    @property
    def summary(self) -> Path:
        return self.path / "summary.json"

    @property
    def table(self) -> Path:
        return self.path / "table.md"

    def remove_partial_files(self) -> None:
        """Take away what a killed process left half-written; it never had its final name."""
        for path in self.path.glob(".*.partial*"):
            path.unlink(missing_ok=True)

    def holds_run(self) -> bool:
        """Whether a run was begun here."""
        return self.config.is_file()

    def refuse_other_content(self) -> None:
        """Refuse, for a new run, a path that cannot be written or that holds anything. Raises RunError."""
        existing = next(path for path in (self.path, *self.path.absolute().parents) if path.exists())
        if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
            what = "is not a folder" if not existing.is_dir() else "cannot be written to"
            raise RunError(f"{existing}: {what}; expected a place for the run's folder (--run-dir).")
        if self.holds_run():
            raise RunError(
                f"{self.path}: already holds a run.\n"
                "Continue it with --resume, or choose another folder with --run-dir or another --seed."
            )
        if self.path.is_dir() and any(self.path.iterdir()):
            raise RunError(f"{self.path}: is not empty and holds no run; choose another folder with --run-dir.")


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Replace a JSON file in one step; what JSON cannot hold, a loss that is not a number, becomes null."""
    write_text(path, _json_text(values))


def create_json(path: Path, values: dict[str, Any]) -> None:
    """Write a JSON file that must not be there yet: of two processes only one succeeds. Raises RunError."""
    try:
        create_text(path, _json_text(values))
    except FileExistsError:
        raise RunError(f"{path.parent}: another process began a run here just now; choose another --run-dir.") from None


def _json_text(values: dict[str, Any]) -> str:
    plain = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in values.items()
    }
    return json.dumps(plain, indent=1, allow_nan=False) + "\n"


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object. Raises RunError naming the file."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read ({error}).") from None
    if not isinstance(values, dict):
        raise RunError(f"{path}: expected a JSON object, found {type(values).__name__}.")
    return values


def write_metrics(path: Path, rows: Sequence[Row]) -> None:
    """Write metrics.csv, one row an epoch, in one step; missing figures stay empty."""
    columns = list(METRICS_COLUMNS)
    if any(row.get(VALIDATION_COLUMN) is not None for row in rows):
        columns.append(VALIDATION_COLUMN)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(["" if row.get(column) is None else _figure(row[column]) for column in columns])
    write_text(path, text.getvalue())


def read_metrics(path: Path) -> list[Row]:
    """The rows of a metrics.csv: epoch as int, the other figures as float or None. Raises RunError."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            return [
                {
                    column: (int(value) if column == "epoch" else float(value)) if value else None
                    for column, value in row.items()
                }
                for row in csv.DictReader(file)
            ]
    except (OSError, ValueError, TypeError) as error:
        raise RunError(f"{path}: cannot be read as metrics ({error}).") from None


def _figure(value: float) -> str:
    """The shortest text that reads back as the same number."""
    return str(value) if isinstance(value, int) else repr(float(value))
