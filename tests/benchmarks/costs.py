"""What two calls cost beside the least that they could: fitting the whitening, and finding every unit's patches.

    python tests/benchmarks/costs.py whitening --data-dir DIR [--rounds 5]
    python tests/benchmarks/costs.py patches --data-dir DIR [--rounds 3] [--model all-c] [--layer conv6]

DIR holds CIFAR-10. All contestants take turns in one process. Other work on the machine disturbs any of them, so the
fastest round of each, and the processor's seconds, stand beside the medians.

whitening: `fit` is `ZCAWhitening.adapt` on the 50,000 training images. No fit can do without `product` and `eigh`:
numpy's X^T X of the 50,000 x 3072 float32 matrix of the normalised images, which it is given in memory, and the
decomposition of the float64 covariance. `cached` is `fit_preprocessing` with a warm cache.

patches: `predict` is `allcnn.evaluation.probabilities` over the 10,000 test images and `keras predict` is
`model.predict` in the same batches. `pass` is `strongest_patches` without reconstructions, `patches` with guided
backpropagation of all winners. The network has random weights: what it has learned does not change what it costs.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from allcnn import build_model
from allcnn.benchmark import process_memory_peak
from allcnn.data.load import load_data
from allcnn.evaluation import BATCH_SIZE, probabilities
from allcnn.preprocessing import ZCAWhitening, whitening
from allcnn.preprocessing.store import fit_preprocessing
from allcnn.visualize.patches import strongest_patches


def in_turn(contestants: dict[str, Callable[[], Any]], rounds: int) -> None:
    """Print what each contestant takes: the median of the rounds, the fastest, and the processor's seconds."""
    wall: dict[str, list[float]] = {name: [] for name in contestants}
    processor: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            begun, processor_begun = time.perf_counter(), time.process_time()
            run()
            wall[name].append(time.perf_counter() - begun)
            processor[name].append(time.process_time() - processor_begun)
    print(f"{'seconds, ' + str(rounds) + ' rounds':20}{'median':>10}{'fastest':>10}{'processor':>10}")
    for name in contestants:
        print(f"{name:20}{median(wall[name]):>10.2f}{min(wall[name]):>10.2f}{median(processor[name]):>10.2f}")


def measure_whitening(data_dir: str, rounds: int) -> None:
    images = load_data("cifar10", data_dir).train_images
    ZCAWhitening().adapt(images[:100])  # what numpy's libraries take once is not the fit's
    held = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    ZCAWhitening().adapt(images)
    print(f"a fit raises the memory by {((process_memory_peak() or held) - held) / 1e6:.0f} MB")
    values = images[0].size
    rows = np.empty((len(images), values), np.float32)
    for start in range(0, len(images), 1000):
        rows[start : start + 1000] = whitening.contrast_normalize(images[start : start + 1000].reshape(-1, values))
    covariance = (rows.T @ rows).astype(np.float64) / len(rows)
    covariance.flat[:: len(covariance) + 1] += whitening.REGULARIZATION
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ALLCNN_CACHE"] = folder
        fit_preprocessing("gcn-zca", images)
        contestants = {
            "fit": lambda: ZCAWhitening().adapt(images),
            "product": lambda: rows.T @ rows,
            "eigh": lambda: np.linalg.eigh(covariance),
            "cached": lambda: fit_preprocessing("gcn-zca", images),
        }
        in_turn(contestants, rounds)


def measure_patches(data_dir: str, rounds: int, name: str, layer: str) -> None:
    data = load_data("cifar10", data_dir)
    model = build_model(name, preprocessing=fit_preprocessing("gcn-zca", data.train_images), seed=0)
    images = data.test_images
    contestants = {
        "predict": lambda: probabilities(model, images),
        "keras predict": lambda: model.predict(images, batch_size=BATCH_SIZE, verbose=0),
        "pass": lambda: strongest_patches(model, images, layer, method=None),
        "patches": lambda: strongest_patches(model, images, layer),
    }
    probabilities(model, images[:BATCH_SIZE])  # compiles; so does the next, and what the others compile counts
    model.predict(images[:BATCH_SIZE], batch_size=BATCH_SIZE, verbose=0)
    in_turn(contestants, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["whitening", "patches"])
    parser.add_argument("--data-dir", required=True, help="the folder that holds CIFAR-10")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", default="all-c")
    parser.add_argument("--layer", default="conv6")
    options = parser.parse_args()
    if options.what == "whitening":
        measure_whitening(options.data_dir, options.rounds)
    else:
        measure_patches(options.data_dir, options.rounds, options.model, options.layer)


if __name__ == "__main__":
    main()
