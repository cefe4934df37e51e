"""Damaged files of every kind that others make, through the functions that read them: a table of what became of them.

    python tests/studies/fuzz_readers.py [--corruptions 200] [--pickles 100000] [--seed 0]

Half of the corruptions turn bits over, half cut the file short; as many again overwrite, put in or take out bytes. A
file may still be well-formed (a pixel of another colour), or be refused by a DataError of one or two lines that names
it. Anything else, a warning, a line on standard error or more than a minute count as a fault. Where an official
checksum is known (here: the sound archive's takes its place) every corruption must be refused. Then pickles of any
instructions in any order, from Hypothesis. Ends with 1 and what happened, where there was a fault.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import random
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

for folder in ("hostile", "data"):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / folder))
from any_pickles import INSTRUCTIONS, read_instructions  # noqa: E402
from foreign_files import REFUSED, WELL_FORMED, Kind, damage, examine, make_kinds  # noqa: E402

FAULT = "faults"
# An image of nearly as many pixels as Pillow reads takes some seconds.
SLOWEST = 60.0
GROUPS = (("bits", "cut"), ("overwritten", "put in", "taken out"))


def try_one(kind: Kind, folder: Path, content: bytes, errors: int) -> str:
    """What became of the content; standard error, whose file descriptor leads to `errors`, must stay empty."""
    started = time.perf_counter()
    try:
        found = examine(kind, folder, content)
    except BaseException:
        traceback.print_exc(file=sys.stdout)
        return FAULT
    said = os.pread(errors, 1000, 0)
    if said:
        os.ftruncate(errors, 0)
        os.lseek(errors, 0, os.SEEK_SET)
    if said or time.perf_counter() - started > SLOWEST:
        print(f"{said!r} on standard error, {time.perf_counter() - started:.1f} s")
        return FAULT
    if kind.has_checksum and found == WELL_FORMED:
        print("accepted in spite of its checksum")
        return FAULT
    return found


def try_instructions(count: int, number: int) -> tuple[int, int]:
    """-> (pickles, of these read as a batch may be)"""
    pickles = read = 0

    @seed(number)
    @settings(
        max_examples=count, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(INSTRUCTIONS, st.booleans())
    def each(instructions: list[bytes], whole: bool) -> None:
        nonlocal pickles, read
        pickles += 1
        read += read_instructions(instructions, whole)

    each()
    return pickles, read


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corruptions", type=int, default=200, help="of bits and lengths; as many of the others")
    parser.add_argument("--pickles", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    warnings.simplefilter("error")
    draw = random.Random(args.seed)
    faulthandler.enable(sys.stdout)
    started, faults, total = time.perf_counter(), 0, Counter()
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryFile() as errors:
        os.dup2(errors.fileno(), sys.stderr.fileno())
        kinds = make_kinds(Path(name))
        print(f"{'':<28}{'bits, lengths':^32}{'other damage':^32}")
        print(f"{'':<28}" + 2 * f"{WELL_FORMED:>18}{REFUSED:>8}{FAULT:>7}")
        for title, kind in kinds.items():
            cells = []
            for ways in GROUPS:
                counts: Counter[str] = Counter()
                for number in range(args.corruptions):
                    content = kind.content
                    while content == kind.content:
                        content = damage(kind.content, draw, ways[number % len(ways)])
                    counts[try_one(kind, Path(name, title), content, errors.fileno())] += 1
                cells.append(f"{counts[WELL_FORMED]:>18,}{counts[REFUSED]:>8,}{counts[FAULT]:>7,}")
                total += counts
                faults += counts[FAULT]
            print(f"{title:<28}{''.join(cells)}", flush=True)
    print(
        f"{sum(total.values()):,} damaged files of {len(kinds)} kinds in {time.perf_counter() - started:.0f} s: "
        f"{total[WELL_FORMED]:,} still well-formed, {total[REFUSED]:,} refused, {faults} faults"
    )
    started = time.perf_counter()
    pickles, read = try_instructions(args.pickles, args.seed)
    print(f"{pickles:,} pickles of any instructions in {time.perf_counter() - started:.0f} s: {read:,} read, no fault")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
