"""Run folders read back: what each was, how far it came, how it ended; and what could not be read.

And several runs as one figure, and which of several learning rates is the best.
"""

from __future__ import annotations

import fnmatch
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from allcnn.errors import AllcnnError, RunError, one_line
from allcnn.runs.folder import Row, RunFolder, read_json, read_metrics
from allcnn.runs.recipe import Recipe

#: What becomes of a run, in the words of summary.json; "unfinished" where it tells of no end.
STATUSES = ("finished", "stopped", "interrupted", "diverged", "dead", "unfinished")
#: The statuses of a run that failed; the others after "finished" only lack their end.
FAILED = ("diverged", "dead")


@dataclass(frozen=True)
class CollectedRun:
    """One run folder. summary: None while the run goes on, or after it was killed. rows: its metrics so far.

    The other fields repeat config.json, whole in `config`: spec is the network's canonical text; validation the part of
    the training images that was held out.
    """

    folder: RunFolder
    config: dict[str, Any]
    summary: dict[str, Any] | None
    rows: tuple[Row, ...]
    model: str
    spec: str
    dataset: str
    digest: str
    seed: int
    validation: float
    recipe: Recipe

    @property
    def name(self) -> str:
        return os.path.basename(os.path.abspath(self.folder.path))  # "." has no name of its own

    @property
    def status(self) -> str:
        """One of `STATUSES`."""
        return self.summary["status"] if self.summary else "unfinished"

    @property
    def reason(self) -> str | None:
        """Why it diverged or is dead, in the words that the run itself had for it."""
        reason = self.summary.get("reason") if self.summary else None
        return str(reason).strip() if reason else None

    @property
    def test_error(self) -> float | None:
        """The last epoch's, in percent, of a finished run only: a published result is never another epoch's."""
        return self.rows[-1]["test_error"] if self.status == "finished" else None

    @property
    def validation_error(self) -> float | None:
        """The last epoch's error on the images held out, in percent, of a finished run."""
        return self.rows[-1].get("validation_error") if self.status == "finished" else None

    @property
    def seconds(self) -> float:
        """Seconds of training so far."""
        return sum(row["seconds"] for row in self.rows)


def collect_runs(paths: Sequence[str | Path]) -> tuple[list[CollectedRun], list[str]]:
    """The runs in folders: each path is a run folder, or holds run folders (to any depth).

    Returns:
        The runs, by path, and a line for each that cannot be read, which is left out.

    Raises:
        RunError: a path does not exist, or no run was begun in any of them.
    """
    folders: dict[Path, RunFolder] = {}
    problems: list[str] = []
    for path in map(Path, paths):
        if not path.is_dir():
            raise RunError(f"{path}: no such folder; expected a run's folder, or one that holds runs.")
        for folder, files in _folders_below(path, problems):
            if "config.json" in files:
                folders.setdefault(folder.resolve(), RunFolder(folder))
            elif left := _left_of_a_run(files):
                problems.append(f"{folder}: holds {left} but no config.json; no run can be read without it.")
    if not folders and not problems:
        raise RunError(f"{', '.join(map(str, paths))}: holds no run; a run's folder has a config.json.")
    runs = []
    for _, found in sorted(folders.items()):
        try:
            runs.append(read_run(found))
        except RunError as error:
            problems.append(str(error))
    return runs, problems


def run_of_model(file: Path) -> CollectedRun | None:
    """The run in whose folder a model lies, None where there is none. Raises RunError if it cannot be read."""
    folder = RunFolder(file.parent)
    return read_run(folder) if file == folder.model and folder.holds_run() else None


def read_run(folder: RunFolder) -> CollectedRun:
    """The run in a folder.

    Raises:
        RunError: it cannot be read; the message, a line, names the folder or a file in it.
    """
    try:
        return _read_run(folder)
    except (AllcnnError, KeyError, TypeError, ValueError) as error:
        said = one_line(error) if isinstance(error, AllcnnError) else f"not a run of ours ({error!r:.80})"
        raise RunError(said if str(folder.path) in said else f"{folder.path}: {said}") from None


def _folders_below(path: Path, problems: list[str]) -> Iterator[tuple[Path, list[str]]]:
    """A folder and all below it, by name, links followed, each once with its files; unreadable ones are named."""
    seen: set[Path] = set()

    def unreadable(error: OSError) -> None:
        problems.append(f"{error.filename}: cannot be read ({error.strerror}).")

    for name, inner, files in os.walk(path, onerror=unreadable, followlinks=True):
        folder = Path(name)
        if folder.resolve() in seen:
            inner.clear()  # a link that leads back
            continue
        seen.add(folder.resolve())
        inner.sort()
        yield folder, files


def _left_of_a_run(files: Sequence[str]) -> str | None:
    """What of these files is left of a run without its configuration, or None."""
    if left := next((name for name in ("metrics.csv", "summary.json", "state.h5") if name in files), None):
        return left
    return "a half-written config.json" if fnmatch.filter(files, ".config.*.partial*") else None


def _read_run(folder: RunFolder) -> CollectedRun:
    config = read_json(folder.config)
    summary = read_json(folder.summary) if folder.summary.exists() else None
    digest = summary.get("metrics_sha256") if summary else None
    rows = tuple(read_metrics(folder.metrics, digest)) if folder.metrics.exists() else ()
    # Everything that a report reads, so that a broken file is named here.
    read = {key: config[key] for key in ("model", "spec", "dataset", "digest", "seed", "validation")}
    run = CollectedRun(folder, config, summary, rows, recipe=Recipe.from_dict(config["recipe"]), **read)
    if run.status not in STATUSES:
        raise RunError(f"{folder.summary}: says {run.status!r:.40}; expected one of: {', '.join(STATUSES)}.")
    if run.status == "finished" and (not rows or run.test_error is None):
        raise RunError(f"{folder.summary}: says finished, but the last of {len(rows)} epochs has no test error.")
    texts, numbers = (run.model, run.spec, run.dataset, run.digest), (run.seed, run.validation, run.seconds)
    if not all(isinstance(text, str) for text in texts) or not all(isinstance(n, int | float) for n in numbers):
        raise RunError(f"{folder.config}: not the configuration of a run of this version of allcnn.")
    return run


@dataclass(frozen=True)
class Statistic:
    """n values: their mean and sample standard deviation, which a single value does not have."""

    n: int
    mean: float
    deviation: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Statistic | None:
        """None of no values."""
        return cls(len(values), fmean(values), stdev(values) if len(values) > 1 else None) if values else None


def rate_rank(failed: int, mean: float | None, learning_rate: float) -> tuple[int, float, float]:
    """The key by which learning rates are ranked; the best has the smallest.

    First the number of runs that diverged or died, which a mean over the others would hide. Then the mean error in
    percent; then the rate itself.
    """
    # Means of the same errors in another order may differ in their last bits.
    return failed, math.inf if mean is None else round(mean, 9), learning_rate
