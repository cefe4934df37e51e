"""The run folder: the names of its files, and its JSON and CSV files written in one step and read back."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allcnn.errors import RunError
from allcnn.files import JSON_SEAL, check_seal, read_file, seal_of, write_text

#: The columns of metrics.csv.
METRICS_COLUMNS = (
    "epoch", "learning_rate", "loss", "penalty", "train_error", "test_error", "seconds", "images_per_second",
)  # fmt: skip
#: Further columns, in this order: if training images are held out; if there are more than ten classes.
MORE_COLUMNS = ("validation_error", "test_top5_error")

Row = dict[str, Any]

# How `allcnn.files` names an unfinished file.
_PARTIAL = ".*.partial*"
# A loss may be any number that a network gives.
_ANY_NUMBER = ("loss", "penalty")


class _File:
    """A file of a run folder, as an attribute that is its path."""

    def __init__(self, name: str):
        self.name = name

    def __get__(self, folder: RunFolder, owner: type) -> Path:
        return folder.path / self.name


@dataclass(frozen=True)
class RunFolder:
    """The paths of a run's files."""

    path: Path

    config = _File("config.json")
    preprocessing = _File("preprocessing.h5")
    metrics = _File("metrics.csv")
    state = _File("state.h5")
    previous_state = _File("state.previous.h5")
    model = _File("model.keras")
    summary = _File("summary.json")
    table = _File("table.md")
    tensorboard = _File("tensorboard")
    damaged = _File("damaged.txt")
    lock = _File(".lock")

    def remove_partial_files(self) -> None:
        """Remove the half-written files of a killed process; they never had their final names."""
        for path in self.path.glob(_PARTIAL):
            path.unlink(missing_ok=True)

    def holds_run(self) -> bool:
        """Whether a run was begun here."""
        return self.config.is_file()

    def refuse_other_content(self) -> None:
        """Refuse a path that cannot be written or that holds anything, for a new run. Raises RunError."""
        existing = next(path for path in (self.path, *self.path.absolute().parents) if path.exists())
        if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
            what = "is not a folder" if not existing.is_dir() else "cannot be written to"
            raise RunError(f"{existing}: {what}; expected a place for the run's folder (--run-dir).")
        if self.holds_run():
            raise RunError(
                f"{self.path}: already holds a run.\n"
                "Continue it with --resume (in Python resume=True), or choose another folder with --run-dir (run_dir)."
            )
        # A process that was killed while it began a run leaves its lock and a half-written configuration.
        left = {self.lock, *self.path.glob(_PARTIAL)} if self.path.is_dir() else set()
        if self.path.is_dir() and any(path not in left for path in self.path.iterdir()):
            raise RunError(f"{self.path}: is not empty and holds no run; choose another folder with --run-dir.")


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Replace a JSON file in one step. A number that JSON cannot hold, such as a loss of NaN, becomes null.

    Its last member, "sha256", is the SHA-256 of the text before it. Any JSON program can read the file.
    """
    plain = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in values.items()
    }
    text = json.dumps({**plain, "sha256": ""}, indent=1, allow_nan=False).removesuffix('"sha256": ""\n}')
    write_text(path, text + seal_of(text.encode(), JSON_SEAL).decode())


def create_json(path: Path, values: dict[str, Any]) -> None:
    """Write the first file of a run, whose lock this process holds. Raises RunError if another process wrote it."""
    if path.exists():
        raise RunError(f"{path.parent}: another process began a run here just now; choose another --run-dir.")
    write_json(path, values)


def read_json(path: Path) -> dict[str, Any]:
    """Read back the values that `write_json` wrote, without "sha256".

    Raises:
        RunError: the file is missing, damaged or edited, or not such a file.
    """
    content = read_file(path, RunError)
    check_seal(path, content, JSON_SEAL, RunError)
    try:
        values = json.loads(content, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError) as error:  # a SHA-256 does not show who wrote a file
        raise RunError(f"{path}: cannot be read as JSON ({error}).") from None
    if not isinstance(values, dict):
        raise RunError(f"{path}: expected a JSON object, found {type(values).__name__}.")
    values.pop("sha256", None)
    return values


def _finite(text: str) -> float:
    """A number in JSON. Raises ValueError for NaN, which is not JSON, and for a number that is too large."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is no finite number")
    return value


def write_metrics(path: Path, rows: Sequence[Row]) -> None:
    """Write metrics.csv, one row an epoch, in one step; missing figures stay empty."""
    more = [column for column in MORE_COLUMNS if any(row.get(column) is not None for row in rows)]
    columns = [*METRICS_COLUMNS, *more]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(["" if row.get(column) is None else _figure(row[column]) for column in columns])
    write_text(path, text.getvalue())


def _figure(value: float) -> str:
    """The shortest text that reads back as the same number."""
    return str(value) if isinstance(value, int) else repr(float(value))


def metrics_digest(path: Path) -> str:
    """The SHA-256 of a metrics.csv in hexadecimal, for summary.json: a CSV file has no place for it.

    Raises:
        RunError: the file cannot be read.
    """
    return hashlib.sha256(read_file(path, RunError)).hexdigest()


def read_metrics(path: Path, sha256: str | None = None) -> list[Row]:
    """The rows of a metrics.csv: epoch as int, from 1, the other figures as float or None.

    sha256: the digest that `metrics_digest` gave. Without it, only a file is refused that does not hold plausible
    figures of every epoch in order.

    Raises:
        RunError: the file is missing, damaged, edited, or not a metrics.csv.
    """
    content = read_file(path, RunError)
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise RunError(
            f"{path}: damaged or edited: its {len(content):,} bytes do not have the SHA-256 in summary.json. "
            "Use a whole copy of it."
        )
    try:
        text = content.decode("ascii")
        if not text.endswith("\n"):
            raise ValueError("its last line has no end, the file is cut short")
        header, *lines = text.splitlines()
        columns = header.split(",")
        if columns != [*METRICS_COLUMNS, *(column for column in MORE_COLUMNS if column in columns)]:
            raise ValueError(f"line 1 is not the names of its columns, {','.join(METRICS_COLUMNS)}")
        return [_row(columns, line.split(","), epoch) for epoch, line in enumerate(lines, start=1)]
    except ValueError as error:
        raise RunError(f"{path}: cannot be read as metrics: {error}.") from None


def _row(columns: list[str], texts: list[str], epoch: int) -> Row:
    """The figures of an epoch. Raises ValueError with the line and what is wrong with it."""
    line = f"line {epoch + 1} has"
    if len(texts) != len(columns):
        raise ValueError(f"{line} {len(texts)} values, expected {len(columns)}")
    row: Row = {}
    for name, text in zip(columns, texts, strict=True):
        try:
            value = row[name] = float(text) if text else None
        except ValueError:
            raise ValueError(f"{line} {text[:40]!r} as its {name}, expected a number") from None
        percent = name.endswith("_error")
        if value is None or name in _ANY_NUMBER or (0 <= value <= 100 if percent else 0 <= value < math.inf):
            continue
        raise ValueError(f"{line} {value} as its {name}, expected {'0 to 100' if percent else 'a number of 0 or more'}")
    if row["epoch"] != epoch:
        raise ValueError(f"{line} epoch {texts[0][:40]!r}, expected {epoch}")
    return {**row, "epoch": epoch}
