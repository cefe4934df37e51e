"""100,000 generated texts through the parser and the arithmetic; some of the accepted networks built in Keras.

    python tests/studies/fuzz_specs.py [--texts 100000] [--builds 300] [--seed 0]

The texts are Hypothesis's: by the grammar, nearly by it, good ones with changes, and anything at all. Every one must
be a network, whose text reads back and whose shapes, parameters, multiply-adds and receptive fields are computed or
refused, or a SpecError of one line. The networks to build are drawn from all accepted ones that fit their images (at
most 64x64) and have at most 2,000,000 parameters; every layer's parameters and output shape are compared. Ends with 1,
and the text, where something else comes out.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "specs"))
from generated_specs import EDITED, GOOD, NEARLY, RAW, SETTINGS, compare_with_keras, examine, examine_derived  # noqa: E402

from allcnn.specs.language import parse  # noqa: E402

MOST_PARAMETERS = 2_000_000
#: No text may take longer, in seconds of the processor. A tenth is usual at most; what went wrong once took a minute.
MOST_SECONDS = 2.0
KINDS = {"by the grammar": (GOOD, 0.4), "nearly": (NEARLY, 0.2), "edited": (EDITED, 0.25), "anything": (RAW, 0.15)}


def run(strategy, count: int, number: int, accepted: dict[str, tuple]) -> tuple[int, int, int, int, float]:
    """-> (texts, accepted, of these fitting their images, networks derived from them, the slowest's seconds)"""
    texts = specs = fitting = derived = 0
    slowest = 0.0

    @seed(number)
    @settings(
        max_examples=count, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(strategy, SETTINGS)
    def each(text, images) -> None:
        nonlocal texts, specs, fitting, derived, slowest
        started = time.process_time()
        outcome = examine(text, *images)
        seconds = time.process_time() - started
        assert seconds < MOST_SECONDS, f"{seconds:.2f} s for {text!r:.200}"
        slowest = max(slowest, seconds)
        texts += 1
        if outcome.spec is not None:
            specs += 1
            derived += examine_derived(outcome.spec)
        if outcome.parameters is not None:
            fitting += 1
            if outcome.parameters <= MOST_PARAMETERS:
                accepted.setdefault(str(outcome.spec), images)

    each()
    return texts, specs, fitting, derived, slowest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("--builds", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    accepted: dict[str, tuple] = {}
    started = time.perf_counter()
    total = 0
    print(f"{'':<16}{'texts':>9}{'accepted':>10}{'fitting':>9}{'derived':>9}{'slowest':>11}")
    for number, (name, (strategy, share)) in enumerate(KINDS.items()):
        texts, specs, fitting, derived, slowest = run(strategy, int(args.texts * share), args.seed + number, accepted)
        total += texts
        print(f"{name:<16}{texts:>9,}{specs:>10,}{fitting:>9,}{derived:>9,}{1000 * slowest:>8.1f} ms", flush=True)
    print(f"{total:,} texts in {time.perf_counter() - started:.0f} s; none gave anything but a network or a SpecError")
    chosen = random.Random(args.seed).sample(sorted(accepted.items()), min(args.builds, len(accepted)))
    started = time.perf_counter()
    layers = []
    for text, images in chosen:
        spec = parse(text)
        layers.append(len(spec))
        try:
            compare_with_keras(spec, *images)
        except Exception:
            print(f"differs from the arithmetic: {text} for images {images[0]} and {images[1]} classes")
            raise
    print(
        f"{len(chosen)} of {len(accepted):,} different networks built, of 1 to {max(layers)} layers (median "
        f"{sorted(layers)[len(layers) // 2]}), in {time.perf_counter() - started:.0f} s; all as counted"
    )


if __name__ == "__main__":
    main()
