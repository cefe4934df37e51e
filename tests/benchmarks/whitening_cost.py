"""What fitting the whitening of CIFAR-10 costs, beside numpy alone, and what reading the fit back costs.

    python tests/benchmarks/whitening_cost.py --data-dir DIR [--rounds 5] [--json FILE]

`fit` is `ZCAWhitening.adapt` on the 50,000 training images, uint8. `bare` is what no fit can do without: numpy's
X^T X of the 50,000 x 3072 float32 matrix of the normalised images, which it is given for nothing and in memory, and
`numpy.linalg.eigh` of the float64 covariance. The two take turns, in one process; other work on the machine disturbs
either by a factor of up to five, so the least disturbed round of each is shown beside the medians. `cached` is
`fit_preprocessing` with a warm cache, `read` is `load_preprocessing` of the same file. The memory is that of a process
of its own: how far its peak rises over what it held before the fit.
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
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from traced_train import peak_memory

from allcnn.data.load import load_data
from allcnn.preprocessing import ZCAWhitening, whitening
from allcnn.preprocessing.contrast import contrast_normalize
from allcnn.preprocessing.store import cache_folder, fit_preprocessing, load_preprocessing

MEGABYTE = 1e6


def clock(function: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    """Seconds that a call takes, and what it returns."""
    begun = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - begun, result


def normalized(images: np.ndarray) -> np.ndarray:
    """All images, (n, height, width, 3) uint8, as contrast-normalised rows (n, values) float32."""
    rows = np.empty((len(images), images[0].size), np.float32)
    for start in range(0, len(images), 1000):
        rows[start : start + 1000] = contrast_normalize(images[start : start + 1000].reshape(-1, images[0].size))
    return rows


def bare(rows: np.ndarray) -> tuple[float, float]:
    """Seconds of the product and of the decomposition."""
    product, products = clock(lambda: rows.T @ rows)
    covariance = products.astype(np.float64) / len(rows)
    covariance.flat[:: len(covariance) + 1] += whitening.REGULARIZATION
    decomposition, _ = clock(np.linalg.eigh, covariance)
    return product, decomposition


def fit_memory(data_dir: str) -> float:
    """How far the peak memory of this process rises while it fits, in MB."""
    images = load_data("cifar10", data_dir).train_images
    ZCAWhitening().adapt(images[:100])  # what numpy's libraries take once is not the fit's
    held = resident_memory()
    ZCAWhitening().adapt(images)
    return (peak_memory() - held) / MEGABYTE  # reading the files has a lower peak


def resident_memory() -> int:
    """What this process holds now, in bytes (Linux; elsewhere its peak so far)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return peak_memory()
    return pages * os.sysconf("SC_PAGE_SIZE")


def measure(data_dir: str, rounds: int) -> dict[str, Any]:
    """The figures, seconds and MB; every time is a median over the rounds."""
    images = load_data("cifar10", data_dir).train_images
    rows = normalized(images)
    times: dict[str, list[float]] = {"fit": [], "product": [], "decomposition": [], "bare": [], "ratio": []}
    for number in range(rounds):
        product, decomposition = bare(rows)
        fit, _ = clock(ZCAWhitening().adapt, images)
        both = product + decomposition
        for name, value in zip(times, (fit, product, decomposition, both, fit / both), strict=True):
            times[name].append(value)
        print(f"round {number + 1}: fit {fit:.2f} s, bare {product:.2f} + {decomposition:.2f} s", file=sys.stderr)
    del rows
    times |= {"cached": [], "read": []}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ALLCNN_CACHE"] = folder
        fit_preprocessing("gcn-zca", images)
        (path,) = (cache_folder() / "preprocessing").iterdir()
        for _ in range(max(rounds, 5)):
            times["cached"].append(clock(fit_preprocessing, "gcn-zca", images)[0])
            times["read"].append(clock(load_preprocessing, path)[0])
    command = [sys.executable, __file__, "--data-dir", data_dir, "--memory-only"]
    child = subprocess.run(command, check=True, capture_output=True, text=True)
    figures: dict[str, Any] = {name: statistics.median(values) for name, values in times.items()}
    least_disturbed = min(times["fit"]) / (min(times["product"]) + min(times["decomposition"]))
    return {
        **figures,
        "ratio_of_the_fastest": least_disturbed,
        "rounds": {name: times[name] for name in ("fit", "product", "decomposition")},
        "fit_megabytes": float(child.stdout),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True, help="the folder that holds CIFAR-10")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", help="write the figures to this file")
    parser.add_argument("--memory-only", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_only:
        print(fit_memory(options.data_dir))
        return
    figures = measure(options.data_dir, options.rounds)
    print(f"fit                  {figures['fit']:7.2f} s, memory +{figures['fit_megabytes']:.0f} MB")
    print(
        f"bare numpy           {figures['bare']:7.2f} s  "
        f"(X^T X {figures['product']:.2f} s, eigh {figures['decomposition']:.2f} s)"
    )
    fastest = f"fastest round of each {figures['ratio_of_the_fastest']:.2f}"
    print(f"fit / bare           {figures['ratio']:7.2f}    ({fastest}; at most 1.5)")
    print(f"from the cache       {figures['cached']:7.2f} s  (with the images' digest; under 1)")
    print(f"read alone           {figures['read']:7.2f} s")
    if options.json:
        Path(options.json).write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
