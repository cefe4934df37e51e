"""What the strongest patches of every unit of a layer cost, beside predicting the same images.

    python tests/benchmarks/patches.py --data-dir DIR [--model all-c] [--layer conv6] [--rounds 3] [--json FILE]

`predict` is `allcnn.evaluation.probabilities`, as `allcnn eval` calls it, and `keras predict` is `model.predict` in the
same batches; both were compiled before. `pass` is `strongest_patches` without reconstructions, `patches` with guided
backpropagation of all winners; each call compiles what it needs, and that counts. All take turns in one process on the
10,000 test images of CIFAR-10, through a network with random weights and fitted whitening: what it has learned does
not change what it costs. Every ratio is the median over the rounds of one round's. Other work on the machine disturbs
any of them, so that the ratio of the fastest rounds, and that of the processor's seconds, stand beside it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from allcnn import build_model
from allcnn.data.load import load_data
from allcnn.evaluation import BATCH_SIZE, probabilities
from allcnn.preprocessing.store import fit_preprocessing
from allcnn.visualize.patches import strongest_patches


def measure(data_dir: str, name: str, layer: str, rounds: int, count: int) -> dict[str, Any]:
    """Seconds of each contestant in each round, and how often the reconstructions were made."""
    data = load_data("cifar10", data_dir)
    images = data.test_images[:count]
    model = build_model(name, preprocessing=fit_preprocessing("gcn-zca", data.train_images), seed=0)
    contestants: dict[str, Callable[[], Any]] = {
        "predict": lambda: probabilities(model, images),
        "keras predict": lambda: model.predict(images, batch_size=BATCH_SIZE, verbose=0),
        "pass": lambda: strongest_patches(model, images, layer, method=None),
        "patches": lambda: strongest_patches(model, images, layer),
    }
    probabilities(model, images[:BATCH_SIZE])
    model.predict(images[:BATCH_SIZE], batch_size=BATCH_SIZE, verbose=0)
    seconds: dict[str, list[float]] = {contestant: [] for contestant in contestants}
    cpu_seconds: dict[str, list[float]] = {contestant: [] for contestant in contestants}
    found = None
    for number in range(rounds):
        for contestant, run in contestants.items():
            begun, cpu_begun = time.perf_counter(), time.process_time()
            found = run()
            seconds[contestant].append(time.perf_counter() - begun)
            cpu_seconds[contestant].append(time.process_time() - cpu_begun)
        line = ", ".join(f"{contestant} {times[-1]:.2f} s" for contestant, times in seconds.items())
        print(f"round {number + 1}: {line}", file=sys.stderr)
    assert found is not None
    return {
        "model": name,
        "layer": layer,
        "images": len(images),
        "units": len(found.units),
        "winners": found.images.size,
        "field": found.field.size,
        "seconds": {contestant: statistics.median(times) for contestant, times in seconds.items()},
        "ratios": {
            contestant: {
                "wall": statistics.median(_ratios(seconds, contestant)),
                "fastest": min(seconds[contestant]) / min(seconds["predict"] + seconds["keras predict"]),
                "cpu": statistics.median(_ratios(cpu_seconds, contestant)),
            }
            for contestant in ("pass", "patches")
        },
        "cpu_rounds": cpu_seconds,
        "rounds": seconds,
    }


def _ratios(seconds: dict[str, list[float]], contestant: str) -> list[float]:
    """Of each round: this contestant's seconds by those of the faster prediction."""
    rounds = zip(seconds[contestant], seconds["predict"], seconds["keras predict"], strict=True)
    return [mine / min(ours, theirs) for mine, ours, theirs in rounds]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True, help="the folder that holds CIFAR-10")
    parser.add_argument("--model", default="all-c")
    parser.add_argument("--layer", default="conv6")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=10_000, help="how many of the test images")
    parser.add_argument("--json", help="write the figures to this file")
    options = parser.parse_args()
    figures = measure(options.data_dir, options.model, options.layer, options.rounds, options.images)
    seconds, ratios = figures["seconds"], figures["ratios"]
    height, width = figures["field"]
    print(f"{options.model} {options.layer}: {figures['units']} units, fields of {height} x {width}")
    print(f"{figures['images']:,} images, {figures['winners']:,} winners")
    for contestant, median in seconds.items():
        ratio = ""
        if contestant in ratios:
            wall, fastest, cpu = (ratios[contestant][kind] for kind in ("wall", "fastest", "cpu"))
            ratio = (
                f"  {wall:.2f} times the faster prediction, at most 1.5 (fastest rounds {fastest:.2f}, CPU {cpu:.2f})"
            )
        print(f"{contestant:16s} {median:7.2f} s{ratio}")
    print(f"reconstructions  {seconds['patches'] - seconds['pass']:7.2f} s  (the difference)")
    if options.json:
        Path(options.json).write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
