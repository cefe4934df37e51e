"""How long allcnn takes to answer, and to get from a shell's prompt to its first training step; and how much memory.

    python tests/benchmarks/startup.py --data-dir DIR [--models strided-a,all-c] [--steps 20] [--json FILE]

Answers: the median of ten rounds in which the commands take turns, beside a bare `python -c pass`. The first step, of
the first model on CIFAR-10: once with an empty ALLCNN_CACHE, then with what that left in it, the median of three;
traced_train.py charges the time to the parts. Memory: the peak of a run of each model that is stopped after --steps
steps and then measures its test error and saves its model.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ANSWER_ROUNDS = 10
WARM_ROUNDS = 3
TRACED_TRAIN = Path(__file__).with_name("traced_train.py")
INSTALLED = Path(sys.executable).with_name("allcnn")
ALLCNN = [str(INSTALLED)] if INSTALLED.exists() else [sys.executable, "-m", "allcnn_cli"]
ANSWERS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "allcnn --help": [*ALLCNN, "--help"],
    "allcnn params": [*ALLCNN, "params"],
    "allcnn params all-c --layers": [*ALLCNN, "params", "all-c", "--layers"],
}


def measure_answers() -> dict[str, float]:
    """Seconds, medians. The first round, which may read from a cold disk, does not count."""
    times: dict[str, list[float]] = {name: [] for name in ANSWERS}
    for _ in range(ANSWER_ROUNDS + 1):
        for name, command in ANSWERS.items():
            begun = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            times[name].append(time.perf_counter() - begun)
    return {name: statistics.median(values[1:]) for name, values in times.items()}


def traced_run(data_dir: str, model: str, cache: str, steps: int) -> dict[str, Any]:
    """What traced_train.py says of one run of `allcnn train` in a process and a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        run = ["train", "--model", model, "--epochs", "1", "--data-dir", data_dir, "--run-dir", f"{folder}/run"]
        command = [sys.executable, str(TRACED_TRAIN), repr(time.time()), str(steps), *run]
        environment = {**os.environ, "ALLCNN_CACHE": cache}
        child = subprocess.run(command, capture_output=True, text=True, env=environment)
    if child.returncode:
        raise SystemExit(f"allcnn train failed:\n{child.stderr}")
    return json.loads(child.stdout.splitlines()[-1])


def measure_first_step(data_dir: str, model: str, cache: str) -> dict[str, dict[str, float]]:
    """Seconds of each part up to the end of the first step, {"cold": ..., "warm": ...}; the cache is empty at first."""
    cold = traced_run(data_dir, model, cache, 0)["seconds"]
    warm = [traced_run(data_dir, model, cache, 0)["seconds"] for _ in range(WARM_ROUNDS)]
    return {"cold": cold, "warm": {part: statistics.median(run[part] for run in warm) for part in cold}}


def show_memory(model: str, traced: dict[str, Any]) -> None:
    """Where the peak rose, part by part."""
    print(f"\nPeak memory of allcnn train --model {model}: {traced['peak'] / 1e9:.2f} GB")
    reached = 0
    for part, peak in sorted(traced["peak_bytes"].items(), key=lambda item: item[1]):
        if peak > reached:
            print(f"  {peak / 1e9:5.2f} GB after: {part}")
        reached = peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True, help="the folder that holds CIFAR-10")
    parser.add_argument("--models", default="strided-a,all-c", help="networks, with commas between them")
    parser.add_argument("--steps", type=int, default=20, help="training steps of the runs whose memory is measured")
    parser.add_argument("--json", help="write the figures to this file")
    options = parser.parse_args()
    models = options.models.split(",")

    figures: dict[str, Any] = {"answers": measure_answers()}
    print(f"Answers, seconds, median of {ANSWER_ROUNDS}")
    for name, seconds in figures["answers"].items():
        print(f"  {name:<40} {seconds:6.3f}")
    with tempfile.TemporaryDirectory() as cache:
        first = figures["first_step"] = measure_first_step(options.data_dir, models[0], cache)
        print(f"\nTo the end of the first step of allcnn train --model {models[0]}, seconds: empty cache, warm cache")
        for part in first["cold"]:
            print(f"  {part:<40} {first['cold'][part]:6.2f} {first['warm'][part]:6.2f}")
        print(f"  {'in all':<40} {sum(first['cold'].values()):6.2f} {sum(first['warm'].values()):6.2f}", flush=True)
        figures["memory"] = {}
        for model in models:
            figures["memory"][model] = traced_run(options.data_dir, model, cache, options.steps)
            show_memory(model, figures["memory"][model])
    if options.json:
        Path(options.json).write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
