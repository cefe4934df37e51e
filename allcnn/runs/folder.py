"""The run folder: what its files are called, writing them in one step, reading them back."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allcnn.errors import RunError
from allcnn.files import create_text, open_file, write_text

#: The columns of metrics.csv.
METRICS_COLUMNS = (
    "epoch", "learning_rate", "loss", "penalty", "train_error", "test_error", "seconds", "images_per_second",
)  # fmt: skip
#: Further ones, in this order: where training images were held out; where there are more than ten classes.
MORE_COLUMNS = ("validation_error", "test_top5_error")

Row = dict[str, Any]

# What `allcnn.files` calls a file that it has not finished.
_PARTIAL = ".*.partial*"

# The last member of a JSON file: what precedes it has this SHA-256.
_JSON_END = re.compile(rb'"sha256": "[0-9a-f]{64}"\n}\n')
_JSON_END_BYTES = 79
_NUMBER = re.compile(r"-?[0-9]+([.][0-9]+)?(e[-+]?[0-9]+)?|nan|-?inf")
# A run's largest, the metrics of thousands of epochs, takes less than one.
_LARGEST = 16 << 20


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

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @property
    def damaged(self) -> Path:
        return self.path / "damaged.txt"

    @property
    def lock(self) -> Path:
        return self.path / ".lock"

    def remove_partial_files(self) -> None:
        """Take away what a killed process left half-written; it never had its final name."""
        for path in self.path.glob(_PARTIAL):
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
        # A process that was killed while it began leaves its lock, and a half-written configuration.
        left = {self.lock, *self.path.glob(_PARTIAL)} if self.path.is_dir() else set()
        if self.path.is_dir() and any(path not in left for path in self.path.iterdir()):
            raise RunError(f"{self.path}: is not empty and holds no run; choose another folder with --run-dir.")


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Replace a JSON file in one step; what JSON cannot hold, a loss that is not a number, becomes null.

    Its last member, "sha256", is that of the text before it: any JSON program reads the file, and `read_json` knows
    it from a damaged one.
    """
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
    if "sha256" in plain:
        raise ValueError("sha256 is the member that allcnn adds itself")
    # An empty object has no line of its own for the last member to follow.
    text = json.dumps(plain, indent=1, allow_nan=False).removesuffix("\n}") + ",\n " if plain else "{\n "
    return text + _json_end(text.encode())


def _json_end(text: bytes) -> str:
    return f'"sha256": "{hashlib.sha256(text).hexdigest()}"\n}}\n'


def read_json(path: Path) -> dict[str, Any]:
    """Read back what `write_json` wrote, its "sha256" left out. It is parsed only after that was found to be right.

    Raises:
        RunError: the file is missing, is not such a file, or was damaged or edited.
    """
    content = _read_bytes(path)
    text, end = content[:-_JSON_END_BYTES], content[-_JSON_END_BYTES:]
    if not _JSON_END.fullmatch(end):
        raise RunError(
            f"{path}: does not end in a SHA-256 of allcnn: "
            "damaged, cut short, written by another version of allcnn, or not by allcnn."
        )
    if end != _json_end(text).encode():
        raise RunError(f"{path}: damaged or edited; its {len(content):,} bytes do not fit the SHA-256 at their end.")
    try:
        values = json.loads(content, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError) as error:  # a SHA-256 shows that a file is whole, not who made it
        raise RunError(f"{path}: cannot be read as JSON ({error}).") from None
    if not isinstance(values, dict):
        raise RunError(f"{path}: expected a JSON object, found {type(values).__name__}.")
    values.pop("sha256", None)
    return values


def _finite(text: str) -> float:
    """A number of a JSON text. Raises ValueError for one that JSON itself does not know, or that is too large."""
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


def metrics_digest(path: Path) -> str:
    """The SHA-256 of a metrics.csv, as hexadecimal text, to lie in another file: its own columns are plain.

    Raises:
        RunError: the file cannot be read.
    """
    return hashlib.sha256(_read_bytes(path)).hexdigest()


def read_metrics(path: Path, sha256: str | None = None) -> list[Row]:
    """The rows of a metrics.csv: epoch as int, from 1 on, the other figures as float or None.

    With the digest that `metrics_digest` gave, any change is noticed before the file is parsed; without it, whatever
    is not whole rows of numbers, one for every epoch in order.

    Raises:
        RunError: the file is missing, damaged or not a metrics.csv; the message names the line.
    """
    content = _read_bytes(path)
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise RunError(
            f"{path}: damaged or edited; its {len(content):,} bytes do not fit the SHA-256 that the run noted of it."
        )
    try:
        return _rows(content)
    except ValueError as error:
        raise RunError(f"{path}: cannot be read as metrics: {error}.") from None


def _rows(content: bytes) -> list[Row]:
    """Parse a metrics.csv. Raises ValueError with the line and what is wrong with it."""
    *lines, rest = content.split(b"\n")
    if rest:
        raise ValueError(f"line {len(lines) + 1} has no end, the file is cut short")
    columns = lines[0].decode("latin1").rstrip("\r").split(",") if lines else []
    more = [column for column in MORE_COLUMNS if column in columns]
    if columns != [*METRICS_COLUMNS, *more]:
        raise ValueError(f"line 1 is not the names of its columns, {','.join(METRICS_COLUMNS)}")
    rows: list[Row] = []
    for number, line in enumerate(lines[1:], start=2):
        values = line.decode("latin1").rstrip("\r").split(",")
        if len(values) != len(columns):
            raise ValueError(f"line {number} has {len(values)} values, expected {len(columns)}")
        if odd := [value for value in values if value and not _NUMBER.fullmatch(value)]:
            raise ValueError(f"line {number} has {odd[0][:40]!r}, expected a number")
        epoch, *figures = values
        if epoch != str(number - 1):
            raise ValueError(f"line {number} has epoch {epoch[:40]!r}, expected {number - 1}")
        row: Row = {"epoch": int(epoch)}
        row.update((name, float(value) if value else None) for name, value in zip(columns[1:], figures, strict=True))
        for name, value in row.items():
            if value is None or name in ("loss", "penalty"):  # a loss may be whatever a network makes of it
                continue
            percent = name.endswith("_error")
            if not 0 <= value <= (100 if percent else sys.float_info.max):
                expected = "0 to 100" if percent else "a number of 0 or more"
                raise ValueError(f"line {number} has {value} as its {name}, expected {expected}")
        rows.append(row)
    return rows


def _figure(value: float) -> str:
    """The shortest text that reads back as the same number."""
    return str(value) if isinstance(value, int) else repr(float(value))


def _read_bytes(path: Path) -> bytes:
    """The whole of a file that should be a few pages of text. Raises RunError."""
    try:
        with open_file(path) as file:
            content = file.read(_LARGEST + 1)
    except FileNotFoundError:
        raise RunError(f"{path}: no such file.") from None
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror}).") from None
    if len(content) > _LARGEST:
        raise RunError(f"{path}: more than {_LARGEST >> 20} MiB; no such file of a run is that large.")
    return content
