"""Does a step cost the same in a large data set? Images/s of `allcnn train` at 1,000, 10,000 and 50,000 images.

    python tests/benchmarks/sizes.py [--model strided-a] [--rounds 3]

A turn is an epoch of the largest size and several of the smaller ones, the first epoch of each left out. The data set
is noise; the figure is metrics.csv's, that of the training steps without the test pass.
"""

from __future__ import annotations

import argparse
from statistics import median

from peers import Worker

SIZES = {1_000: 10, 10_000: 2, 50_000: 1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="strided-a")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    workers = {images: Worker("train", arguments.model, images, epochs) for images, epochs in SIZES.items()}
    rounds = []
    for number in range(arguments.rounds):
        rounds.append({images: workers[images].turn() for images in list(SIZES)[:: 1 if number % 2 else -1]})
    for images, worker in workers.items():
        worker.close()
        rate = median(row[images] for row in rounds)
        ratio = median(row[images] / row[10_000] for row in rounds)
        print(f"{images:>6,} images: {rate:,.0f} images/s, {ratio:.3f} times that of 10,000")


if __name__ == "__main__":
    main()
