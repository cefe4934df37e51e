"""One run in a process of its own: its command line, its log, and what is said when it fails."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allcnn.runs.lock import holder_of
from allcnn.runs.recipe import write_settings
from allcnn.sweep.grid import Cell

_IMPORTED_FROM = Path(__file__).resolve().parents[2]
_OPTIONS = {
    "dataset": "--dataset", "data_dir": "--data-dir", "image_size": "--image-size", "mirror": "--mirror",
    "recipe": "--recipe", "epochs": "--epochs", "batch_size": "--batch-size", "augmentation": "--augment",
    "field": "--field", "preprocessing": "--preprocessing", "initializer": "--initializer",
    "weight_decay": "--weight-decay",
    "precision": "--precision", "validation": "--validation", "test_every": "--test-every",
    "save_every": "--save-every", "patience": "--patience", "backend": "--backend",
}  # fmt: skip
_FAILURE = re.compile(r"^(error: |unexpected |Fatal |Traceback )")
_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Work:
    """A cell with all that its process needs, to be handed to another process or node.

    allow: what may differ from the run that is gone on with, as in `train`.
    """

    cell: Cell
    options: dict[str, Any]
    log: Path
    allow: tuple[str, ...] = ()

    @property
    def command(self) -> list[str]:
        """`allcnn train` for this run: to begin it, or to go on where it was begun."""
        cell = self.cell
        command = ["train", "--model", cell.network, "--lr", repr(cell.learning_rate), "--seed", str(cell.seed)]
        for key, option in _OPTIONS.items():
            if self.options.get(key) is not None:
                command += [option, str(self.options[key])]
        numbers = {
            key: value for key, value in self.options.items()
            if value is not None and key not in (*_OPTIONS, "deterministic")
        }  # fmt: skip
        command += [word for text in write_settings(numbers) for word in ("--set", text)]
        command += ["--deterministic"] if self.options.get("deterministic") else []
        command += ["--devices", "1", "--run-dir", str(cell.folder.path)]
        if cell.folder.holds_run():
            command += ["--resume", *(word for key in self.allow for word in ("--allow", key))]
        return command


class Child:
    """A run's process. It hears neither the terminal's Ctrl-C nor its hang-up: whoever began it stops it, once."""

    def __init__(self, work: Work, environment: Mapping[str, str | None] | None = None):
        self.work = work
        work.log.parent.mkdir(parents=True, exist_ok=True)
        with open(work.log, "ab") as log:
            now = time.strftime("%Y-%m-%d %H:%M:%S")
            log.write(f"\n{now} $ {shlex.join(['allcnn', *work.command])}\n".encode())
            log.flush()
            self.begun_at = log.tell()
            launcher = [sys.executable, "-E", "-S", str(Path(__file__).with_name("orphan.py")), str(os.getpid())]
            self.process = subprocess.Popen(
                [*launcher, sys.executable, "-m", "allcnn_cli", *work.command],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                env=child_environment(environment or {}),
            )  # fmt: skip

    def ended(self) -> bool:
        return self.process.poll() is not None

    def stop(self) -> None:
        """Ask it to save its state and leave; asked again, it leaves at once."""
        self.process.terminate()

    def kill(self, patience: float = 10.0) -> None:
        """Ask once more, then do not ask."""
        self.stop()
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    @property
    def failure(self) -> str | None:
        """Why the ended process failed, in a line; None where it did not."""
        code = self.process.returncode
        if code == 0:
            return None
        said = _last_words(self.work.log, self.begun_at)
        if code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
            return f"killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
        return f"exit code {code}: {said}" if said else f"exit code {code}"


def run_to_end(work: Work, environment: Mapping[str, str | None], wait_for_lock: float) -> str | None:
    """Make a run in this process's child and wait for it; gives why it failed, None where it did not.

    wait_for_lock: seconds that another process, the child of a worker that died, may take to let go of the run.
    """
    until = time.monotonic() + wait_for_lock
    while (holder := holder_of(work.cell.folder)) and time.monotonic() < until:
        time.sleep(_POLL_SECONDS)
    if holder:
        return f"{holder} was at work on it, and still is after {wait_for_lock:g} s"
    child = Child(work, environment)
    try:
        while not child.ended():
            time.sleep(_POLL_SECONDS)
    except BaseException:
        child.stop()
        child.process.wait()
        raise
    return child.failure


def child_environment(changes: Mapping[str, str | None]) -> dict[str, str]:
    """This process's environment with changes, None taking a name away; where a child finds this very package."""
    merged = {**os.environ, **python_path(), **changes}
    return {name: value for name, value in merged.items() if value is not None}


def python_path() -> dict[str, str]:
    """PYTHONPATH as it must be for a child to find this package, where it is not installed."""
    if _IMPORTED_FROM.name in ("site-packages", "dist-packages"):
        return {}
    return {"PYTHONPATH": os.pathsep.join(filter(None, (str(_IMPORTED_FROM), os.environ.get("PYTHONPATH"))))}


def _last_words(log: Path, begun_at: int) -> str:
    """The line of a log in which a process says why it failed, else its last; of what it wrote since it began."""
    try:
        with open(log, "rb") as file:
            file.seek(begun_at)
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    failures: Sequence[str] = [line for line in lines if _FAILURE.match(line)]
    said = failures[-1] if failures and not failures[-1].startswith("Traceback") else (lines or [""])[-1]
    return said.removeprefix("error: ")[:300]
