"""Runs killed with SIGKILL at random moments and resumed: do they end in the bits of one that was never stopped?

    python tests/studies/kills.py --runs 50
    python tests/studies/kills.py --runs 10 --backend jax
    python tests/studies/kills.py --runs 10 --recipe fast

Each run trains a small network with dropout, flips and shifts on the digits with the real command, is killed one to
five times, and resumed after each. A moment is drawn by the clock (start-up, training, the test pass, the end), after a
new state with some delay, or as soon as a half-written file is seen, which is in the middle of saving. At the end every
weight and momentum in state.h5, every weight in model.keras, and every column of metrics.csv but the wall-clock ones
must equal the undisturbed run's to the last bit. Exit code 1 if one does not.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from threading import Lock

import h5py
import numpy as np

from allcnn.files import read_arrays
from allcnn.processes import python_path

SPEC = "D.2-12C3/2-D.5-16C3/2-BN-NC1:linear-GAP"
EPOCHS = 5
WALL_CLOCK = ("seconds", "images_per_second")
# Guards against a process that hangs; a slow machine must not meet it.
LONGEST = 1800.0


class Study:
    """The command, and its undisturbed runs, one a seed."""

    def __init__(self, folder: Path, backend: str, recipe: str = "paper"):
        self.folder = folder
        self.recipe = recipe
        self.environment = {
            **os.environ, **python_path(), "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3",
        }  # fmt: skip
        self.lock = Lock()

    def start(self, run: Path, seed: int, save_every: int | None) -> subprocess.Popen:
        """Begin the run, or go on with it where it was begun."""
        command = [sys.executable, "-m", "allcnn_cli", "train", "--run-dir", str(run)]
        if (run / "config.json").exists():
            command += ["--resume"]
        else:
            command += ["--spec", SPEC, "--dataset", "digits", "--epochs", str(EPOCHS), "--augment", "flip-shift"]
            command += ["--recipe", self.recipe, "--seed", str(seed)]
            command += ["--save-every", str(save_every)] if save_every else []
        return subprocess.Popen(
            command, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )

    @cache  # noqa: B019  (one study lives as long as the program)
    def undisturbed(self, seed: int) -> tuple[Path, float]:
        """A run that nothing stops, and how many seconds it takes."""
        run = self.folder / f"whole-{seed}"
        begun = time.monotonic()
        finish(self.start(run, seed, None))
        return run, time.monotonic() - begun


def finish(process: subprocess.Popen) -> None:
    _, errors = process.communicate(timeout=LONGEST)
    if process.returncode != 0:
        raise SystemExit(f"a run ended with {process.returncode}:\n{errors}")


def kill_at_random(process: subprocess.Popen, run: Path, choice: random.Random, duration: float) -> str | None:
    """Kill the process at a moment that is drawn; says when that was, None where it had ended by itself."""
    kind = choice.choice(("clock", "state", "saving", "saving"))
    until = time.monotonic() + choice.uniform(0.0, duration)
    number, delay = choice.randint(1, 8), choice.uniform(0.0, 0.3)
    seen, last = 0, None
    while process.poll() is None:
        if kind == "clock":
            if time.monotonic() >= until:
                break
            time.sleep(0.005)
            continue
        if kind == "saving":
            now = next((path.name for path in _listed(run) if ".partial" in path.name), None)
        else:
            now = _modified(run / "state.h5")
        if now is not None and now != last:
            seen += 1
        last = now
        if seen == number:
            time.sleep(delay if kind == "state" else 0.0)
            break
        time.sleep(0.0002 if kind == "saving" else 0.002)
    if process.poll() is not None:
        return None
    process.send_signal(signal.SIGKILL)
    process.wait()
    if any(".partial" in path.name for path in _listed(run)):
        return "while a file was half-written"
    if not (run / "config.json").exists():
        return "before the run was begun"
    if not (run / "state.h5").exists():
        return "before the first state"
    return "between two states" if not (run / "model.keras").exists() else "at the end"


def _listed(run: Path) -> list[Path]:
    try:
        return list(run.iterdir())
    except OSError:
        return []


def _modified(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def disturbed(study: Study, number: int, kills: int | None = None) -> tuple[list[str], list[str]]:
    """One run, killed and resumed to its end: the moments of its kills, and how it differs from the undisturbed one."""
    choice = random.Random(number)
    seed = number % 3
    with study.lock:
        whole, duration = study.undisturbed(seed)
    run = study.folder / f"killed-{number}"
    save_every = choice.choice((None, 1, 7, 20))
    wanted, moments = kills or choice.randint(1, 5), []
    while len(moments) < wanted:
        if (run / "summary.json").exists():  # it came to its end before it could be killed so often
            if moments and kills is None:
                break
            shutil.rmtree(run)
            moments.clear()
        process = study.start(run, seed, save_every)
        if (moment := kill_at_random(process, run, choice, duration)) is not None:
            moments.append(moment)
        elif process.returncode != 0:
            return moments, [f"resumed, it ended with {process.returncode}: {process.stderr.read()}"]
    finish(study.start(run, seed, save_every))
    return moments, differences(whole, run)


def differences(whole: Path, run: Path) -> list[str]:
    """In which of their results two run folders differ; empty where all bits are the same."""
    found = []
    states = [read_arrays(folder / "state.h5")[0] for folder in (whole, run)]
    models = [saved_weights(folder / "model.keras") for folder in (whole, run)]
    for what, (expected, arrays) in (("state.h5", states), ("model.keras", models)):
        if expected.keys() != arrays.keys():
            found.append(f"{what} holds other arrays")
            continue
        found += [f"{what}: {name}" for name in expected if expected[name].tobytes() != arrays[name].tobytes()]
    if timeless(whole / "metrics.csv") != timeless(run / "metrics.csv"):
        found.append("metrics.csv")
    summaries = [json.loads((folder / "summary.json").read_text()) for folder in (whole, run)]
    if summaries[1]["status"] != "finished" or summaries[0]["loss"] != summaries[1]["loss"]:
        found.append("summary.json")
    return found


def saved_weights(path: Path) -> dict[str, np.ndarray]:
    """Every array in a .keras file, by its path there."""
    arrays: dict[str, np.ndarray] = {}
    with zipfile.ZipFile(path) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
        file.visititems(lambda name, item: arrays.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return arrays


def timeless(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return [{key: value for key, value in row.items() if key not in WALL_CLOCK} for row in csv.DictReader(file)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--backend", default="tensorflow")
    parser.add_argument("--recipe", default="paper")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    arguments = parser.parse_args()
    begun, moments, equal = time.monotonic(), Counter(), 0
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(arguments.jobs) as pool:
        study = Study(Path(folder), arguments.backend, arguments.recipe)
        for number, (kills, odd) in enumerate(pool.map(lambda n: disturbed(study, n), range(arguments.runs))):
            moments.update(kills)
            equal += not odd
            print(f"run {number}: {len(kills)} kills; {'; '.join(odd) or 'the same bits'}", flush=True)
    print(f"\n{arguments.backend}, {arguments.recipe}: {equal} of {arguments.runs} runs ended in the same bits")
    print(f"{sum(moments.values())} kills in {(time.monotonic() - begun) / 60:.0f} minutes:")
    for moment, count in moments.most_common():
        print(f"  {count:4} {moment}")
    sys.exit(equal < arguments.runs)


if __name__ == "__main__":
    main()
