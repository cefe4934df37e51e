"""A sweep killed with SIGKILL in the middle and begun again: does it end with the table of one that was left alone?

    python tests/studies/sweep_kill.py
    python tests/studies/sweep_kill.py --models strided-a,strided-c --epochs 2 --kills 3

The real command makes the twelve networks at two learning rates on the digits, once undisturbed, and once killed so
many times at moments spread over its runs, and begun again by the same command. Everything in the two `--json`
documents but the wall-clock must be equal, with ==, and no process of a killed sweep may live on. Exit code 1 if not.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from allcnn.processes import python_path

LONGEST = 3600.0
# A run that was told to stop does so after its step, once its libraries are loaded.
ORPHAN_SECONDS = 30.0


def environment() -> dict[str, str]:
    return {**os.environ, **python_path(), "TF_CPP_MIN_LOG_LEVEL": "3"}


def command(runs: Path, arguments: argparse.Namespace) -> list[str]:
    return [
        sys.executable, "-m", "allcnn_cli", "sweep", "--models", arguments.models, "--lrs", arguments.lrs,
        "--dataset", "digits", "--epochs", str(arguments.epochs), "--runs-dir", str(runs), "--json",
    ]  # fmt: skip


def start(runs: Path, arguments: argparse.Namespace) -> subprocess.Popen:
    return subprocess.Popen(
        command(runs, arguments), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen) -> dict[str, Any]:
    out, errors = process.communicate(timeout=LONGEST)
    if process.returncode != 0:
        raise SystemExit(f"a sweep ended with {process.returncode}:\n{errors}")
    return json.loads(out)


def timeless(document: dict[str, Any]) -> dict[str, Any]:
    """All of a sweep's document that must not depend on when, where and how often it was begun."""
    runs = [
        {**{key: value for key, value in run.items() if key != "seconds"}, "run_dir": Path(run["run_dir"]).name}
        for run in document["runs"]
    ]
    return {"table": document["table"], "chosen_by": document["chosen_by"], "runs": runs}


def finished(runs: Path) -> int:
    return len(list(runs.glob("*/summary.json")))


def training(runs: Path) -> list[int]:
    """The processes that train in a folder of runs."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"train" in words and any(word.startswith(str(runs).encode()) for word in words):
            found.append(int(path.parent.name))
    return found


def half_done(runs: Path) -> list[str]:
    """The runs that were begun and have not ended."""
    begun = {path.parent.name for path in runs.glob("*/config.json")}
    return sorted(begun - {path.parent.name for path in runs.glob("*/summary.json")})


def kill_in_the_middle(
    process: subprocess.Popen, runs: Path, after: int, delay: float, in_training: bool
) -> str | None:
    """SIGKILL once so many runs are done, and some seconds later; says when that was, None if it had ended before.

    in_training: once the next run is begun, else wherever the clock finds it, which is often while libraries load.
    """
    while process.poll() is None and finished(runs) < after:
        time.sleep(0.05)
    while process.poll() is None and in_training and not half_done(runs):
        time.sleep(0.005)
    time.sleep(delay)
    if process.poll() is not None:
        return None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return f"{finished(runs)} done, {len(half_done(runs))} half done"


def orphans_end(runs: Path) -> float | None:
    """Seconds until nothing trains in the folder any more; None where something still does."""
    begun = time.monotonic()
    while training(runs):
        if time.monotonic() - begun > ORPHAN_SECONDS:
            return None
        time.sleep(0.05)
    return time.monotonic() - begun


def _left_behind(seconds: float | None, number: int) -> str:
    if number % 2:
        return "begun again at once"
    return "a process lives on" if seconds is None else f"its run's process ended {seconds:.2f} s later"


def undisturbed(folder: Path, arguments: argparse.Namespace) -> dict:
    """The document of a sweep that nothing stops: read where an earlier study wrote it, else made."""
    if arguments.reference and arguments.reference.exists():
        return json.loads(arguments.reference.read_text())
    whole = finish(start(folder / "whole", arguments))
    if arguments.reference:
        arguments.reference.write_text(json.dumps(whole))
    return whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default="paper")
    parser.add_argument("--lrs", default="0.05,0.02")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--reference", type=Path, help="the JSON of the undisturbed sweep: read, or else written")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        begun = time.monotonic()
        whole = undisturbed(Path(folder), arguments)
        print(f"undisturbed: {len(whole['runs'])} runs in {(time.monotonic() - begun) / 60:.1f} minutes", flush=True)
        runs, choice, wrong = Path(folder) / "killed", random.Random(0), []
        begun = time.monotonic()
        for number in range(arguments.kills):
            after = (number + 1) * len(whole["runs"]) // (arguments.kills + 1)
            in_training = number % 3 != 2
            delay = choice.uniform(0.0, 1.0 if in_training else 12.0)
            moment = kill_in_the_middle(start(runs, arguments), runs, after, delay, in_training)
            orphaned = orphans_end(runs) if number % 2 == 0 else 0.0  # the others are met by the next sweep
            print(f"kill {number + 1}: {moment}; {_left_behind(orphaned, number)}", flush=True)
            wrong += ["a process lived on"] if orphaned is None else []
            wrong += ["a sweep had ended before its kill"] if moment is None else []
        document = finish(start(runs, arguments))
        print(f"killed and begun again: {(time.monotonic() - begun) / 60:.1f} minutes", flush=True)
        if timeless(document) != timeless(whole):
            wrong.append("the tables differ")
            print(json.dumps([timeless(whole), timeless(document)], indent=1))
    print("; ".join(wrong) or "the same table")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
