"""Damaged files of every kind that allcnn writes, through the functions that read them: a table of what became of them.

    python tests/studies/corruption.py [--corruptions 200] [--seed 0]

A fifth each: one bit turned over, several, a run of bytes overwritten, the file cut short, its end lost to zeros. Every
one must be refused by an error of allcnn of one or two lines that names the file, with nothing changed. Ends with 1 and
what happened, where one was not.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "hostile"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corruptions", type=int, default=200, help="of each kind of file (200)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ALLCNN_CACHE"] = str(Path(folder) / "cache")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        return study(Path(folder), options.corruptions, options.seed)


def study(folder: Path, corruptions: int, seed: int) -> int:
    import allcnn

    allcnn.train("4C3/2-NC1:linear-GAP", dataset="digits", epochs=2, run_dir=folder / "run")

    from our_files import ACCEPTED, FAULT, REFUSED, corrupt, examine, make_kinds

    print(f"{'':28}{'bytes':>10}{'tried':>8}{'refused':>9}{'accepted':>10}{'faults':>8}{'s each':>9}")
    failures, said = [], {}
    for kind in make_kinds(folder / "run"):
        good = kind.path.read_bytes()
        draw = random.Random(f"{seed} {kind.name}")
        outcomes: Counter[str] = Counter()
        begun = time.perf_counter()
        for number in range(corruptions):
            outcome, message = examine(kind, corrupt(kind, good, number, draw), folder / "damaged")
            outcomes[outcome] += 1
            if outcome != REFUSED:
                failures.append(f"{kind.name}, corruption {number}: {outcome} {message}")
            said.setdefault(kind.path.name, Counter())[re.sub(r"[0-9][0-9,]+", "N", message.split("\n")[0])] += 1
        seconds = (time.perf_counter() - begun) / corruptions
        counts = f"{outcomes[REFUSED]:>9}{outcomes[ACCEPTED]:>10}{outcomes[FAULT]:>8}"
        print(f"{kind.name:28}{len(good[slice(*kind.part)]):>10,}{corruptions:>8}{counts}{seconds:>9.4f}", flush=True)
    print("\nWhat was said (numbers as N):")
    for messages in said.values():
        for message, count in messages.most_common():
            print(f"{count:>6}  {message}")
    print("\n".join(failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
