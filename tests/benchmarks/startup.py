"""How long allcnn takes to answer, and to get from a shell's prompt to its first training step; and how much memory.

    python tests/benchmarks/startup.py --data-dir DIR [--models strided-a,all-c] [--steps 20]

Answers: the median of ten rounds in which the commands take turns, beside a bare `python -c pass`. The first step, of
the first model on CIFAR-10: once with an empty ALLCNN_CACHE, then with what that left in it, the median of three.
Memory: the peak of a run of each model that is stopped after --steps steps and then measures its test error and saves
its model.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ANSWER_ROUNDS = 10
WARM_ROUNDS = 3
INSTALLED = Path(sys.executable).with_name("allcnn")
ALLCNN = [str(INSTALLED)] if INSTALLED.exists() else [sys.executable, "-m", "allcnn_cli"]
ANSWERS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "allcnn --help": [*ALLCNN, "--help"],
    "allcnn params": [*ALLCNN, "params"],
    "allcnn params all-c --layers": [*ALLCNN, "params", "all-c", "--layers"],
}
# Trains for STEPS steps; prints when the first one was done, and at the end the peak of the memory.
CHILD = """
import sys, time
import allcnn
from allcnn.backend import load_keras
from allcnn.benchmark import process_memory_peak

model, data_dir, run_dir, steps = sys.argv[1:]
load_keras()
import keras

class Stop(keras.callbacks.Callback):
    done = 0

    def on_train_batch_end(self, batch, logs=None):
        self.done += 1
        if self.done == 1:
            print(time.time())
        if self.done >= int(steps):
            self.model.stop_training = True

allcnn.train(model, data_dir=data_dir, epochs=1, run_dir=run_dir, callbacks=[Stop()])
print(process_memory_peak())
"""


def measure_answers() -> dict[str, float]:
    """Seconds, medians. The first round, which may read from a cold disk, does not count."""
    times: dict[str, list[float]] = {name: [] for name in ANSWERS}
    for _ in range(ANSWER_ROUNDS + 1):
        for name, command in ANSWERS.items():
            begun = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            times[name].append(time.perf_counter() - begun)
    return {name: median(values[1:]) for name, values in times.items()}


def train(data_dir: str, model: str, cache: str, steps: int) -> tuple[float, int]:
    """Train for so many steps in a process of its own: seconds to the end of the first one, and the peak in bytes."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", CHILD, model, data_dir, f"{folder}/run", str(steps)]
        begun = time.time()
        child = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "ALLCNN_CACHE": cache})
    if child.returncode:
        raise SystemExit(f"training failed:\n{child.stderr}")
    first, peak = child.stdout.split()[-2:]
    return float(first) - begun, int(peak)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True, help="the folder that holds CIFAR-10")
    parser.add_argument("--models", default="strided-a,all-c", help="networks, with commas between them")
    parser.add_argument("--steps", type=int, default=20, help="training steps of the runs whose memory is measured")
    options = parser.parse_args()
    models = options.models.split(",")
    print(f"Answers, seconds, median of {ANSWER_ROUNDS}")
    for name, seconds in measure_answers().items():
        print(f"  {name:<40} {seconds:6.3f}")
    with tempfile.TemporaryDirectory() as cache:
        cold, *warm = (train(options.data_dir, models[0], cache, 1)[0] for _ in range(1 + WARM_ROUNDS))
        print(f"To the end of the first step of {models[0]}, seconds")
        print(f"  empty cache {cold:6.2f}\n  warm cache  {median(warm):6.2f}", flush=True)
        for model in models:
            print(f"Peak memory of {model}: {train(options.data_dir, model, cache, options.steps)[1] / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
