"""How long to an error: the recipe `fast` of `allcnn train`, and in PyTorch with its optimizer, schedule and batches.

    python tests/benchmarks/to_error.py strided-c DATA_DIR OUT --torch ~/torch-2.13/bin/python

Both take turns, an epoch each; each is a process of its own and waits while the other trains. PyTorch has channels_last
and bfloat16 autocast, the best of its configurations in `peers.py`. It sees the same images in the same order, mirrored
and shifted the same; its first weights come from the same distribution. OUT/epochs.csv has, for every epoch, the
seconds of training and the test error of both. The same command goes on after an interruption.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

from peers import Worker

COLUMNS = ("epoch", "seconds", "test_error", "torch_seconds", "torch_test_error")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data_dir")
    parser.add_argument("out", type=Path)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--torch", default=sys.executable, help="a Python that has PyTorch")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    numbers = (asked.data_dir, asked.out, asked.epochs, asked.seed)
    workers = [Worker("fast", asked.model, *numbers), Worker("fast-torch", asked.model, *numbers, python=asked.torch)]
    table = asked.out / "epochs.csv"
    done = len(table.read_text().splitlines()) - 1 if table.exists() else 0
    with table.open("a", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        if not done:
            rows.writerow(COLUMNS)
        for epoch in range(done + 1, asked.epochs + 1):
            rows.writerow([epoch, *workers[0].turn(), *workers[1].turn()])
            file.flush()
            print(table.read_text().splitlines()[-1], flush=True)
    for worker in workers:
        worker.close()


if __name__ == "__main__":
    main()
