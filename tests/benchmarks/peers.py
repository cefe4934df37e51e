"""allcnn against PyTorch: training images/s of the paper's twelve networks, in turn, round after round.

    pip install . torch && python tests/benchmarks/peers.py --json peers.json
    python tests/benchmarks/peers.py --torch ~/torch-2.12/bin/python,~/torch-2.14/bin/python

For each network: `allcnn train` (the real one, live display included), a bare `train_on_batch` loop on tensors
that already lie in memory, PyTorch as a plain script runs it, and PyTorch in its best configuration, which is looked
for among all eight of channels_last, bfloat16 autocast and compile, of every version given: --torch names the Python of
each environment that has one. PyTorch's loops, too, take tensors from memory.
Each is a process of its own and waits while another runs. Every round begins with matrix products: a round in which
they reach less than 80 % of their best is dropped, since another program had the machine, and the count is given.
Figures are medians of rounds; ratios are medians of the rounds' ratios. A network whose process ends is left out and
named. With one version it takes about 40 minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from itertools import product
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent
MODELS = [kind + base for base in "abc" for kind in ("", "strided-", "convpool-", "all-")]
SLOW = 0.8
# PyTorch configurations that reach so much of the best one in the first look are measured in the rounds as well.
CLOSE = 0.8
OPTIONS = ("channels_last", "bfloat16", "compiled")
CONFIGURATIONS = [
    "+".join(name for name, on in zip(OPTIONS, flags, strict=True) if on) or "default"
    for flags in product((False, True), repeat=3)
]


class EndedError(Exception):
    """A contestant's process ended."""


class Worker:
    """A contestant's process; `turn` lets it run once and gives its figure."""

    def __init__(self, kind: str, model: str, *numbers: float, python: str = sys.executable):
        path = os.pathsep.join(filter(None, (str(HERE.parents[1]), os.environ.get("PYTHONPATH"))))
        self.process = subprocess.Popen(
            [python, str(HERE / "worker.py"), kind, model, *map(str, numbers)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )  # fmt: skip
        self.name = f"{kind} {model}"
        self.warm_up = self._read()

    def turn(self) -> float:
        try:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # it ended between turns, which reading tells
        return self._read()

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()

    def _read(self) -> float:
        line = self.process.stdout.readline()
        if not line:
            raise EndedError(f"{self.name}: its process ended with {self.process.wait()}")
        return json.loads(line)


def best_configurations(model: str, seconds: float, torches: dict[str, str], configurations: list[str]) -> list[str]:
    """PyTorch's fastest versions and configurations for a network, by one turn each."""
    rates = {}
    for version, python in torches.items():
        for configuration in configurations:
            worker = Worker(configuration, model, seconds / 2, python=python)
            rates[f"{version} {configuration}"] = worker.turn()
            worker.close()
    print(f"  {model}: " + ", ".join(f"{name} {rate:.0f}" for name, rate in rates.items()), file=sys.stderr, flush=True)
    return [name for name, rate in rates.items() if rate >= CLOSE * max(rates.values())]


def measure(
    model: str, rounds: int, seconds: float, ceiling: Worker, torches: dict[str, str], configurations: list[str]
) -> list[dict[str, float]]:
    """A row of figures for each round. Raises EndedError."""
    plain = f"{next(iter(torches))} default"
    torch = dict.fromkeys([plain, *best_configurations(model, seconds, torches, configurations)])
    workers = {"bare": Worker("bare", model, seconds)}
    # As many images as make an epoch of about that many seconds.
    images = max(round(workers["bare"].warm_up * seconds / 200), 5) * 200
    workers["train"] = Worker("train", model, images)
    for name in torch:
        version, configuration = name.split()
        workers[name] = Worker(configuration, model, seconds, python=torches[version])
    rows = []
    try:
        for round_number in range(rounds):
            row = {"ceiling": ceiling.turn()}
            # Forth and back, so that nobody always runs on what another left behind.
            for name in list(workers)[:: 1 if round_number % 2 else -1]:
                row["torch default" if name == plain else name] = workers[name].turn()
            rows.append(row)
    finally:
        for worker in workers.values():
            worker.close()
    return rows


def summary(model: str, rows: list[dict[str, float]], ceiling: float) -> dict:
    """Medians and ratios over the rounds in which the machine was ours."""
    kept = [row for row in rows if row["ceiling"] >= SLOW * ceiling]
    if not kept:
        return {"model": model, "rounds": 0, "dropped": len(rows)}
    torch = [name for name in rows[0] if name not in ("ceiling", "bare", "train")]
    best = max(torch, key=lambda name: median(row[name] for row in kept))
    return {
        "model": model,
        "train": median(row["train"] for row in kept),
        "bare": median(row["bare"] for row in kept),
        "torch_default": median(row["torch default"] for row in kept),
        "torch_best": median(row[best] for row in kept),
        "best": best,
        "train_to_bare": median(row["train"] / row["bare"] for row in kept),
        "train_to_best": median(row["train"] / row[best] for row in kept),
        "train_to_default": median(row["train"] / row["torch default"] for row in kept),
        "rounds": len(kept),
        "dropped": len(rows) - len(kept),
    }


def table(results: list[dict]) -> str:
    """The results as a markdown table, and the medians over the networks."""
    lines = [
        "| Network | `allcnn train` | Bare loop | PyTorch default | PyTorch best | its configuration | train / bare "
        "| train / best | train / default | Rounds (dropped) |",
        "|---|---:|---:|---:|---:|---|---:|---:|---:|---:|",
    ]
    for row in results:
        if not row["rounds"]:
            lines.append(f"| `{row['model']}` | {'| ' * 8}| 0 ({row['dropped']}) |")
            continue
        lines.append(
            f"| `{row['model']}` | {row['train']:,.0f} | {row['bare']:,.0f} | {row['torch_default']:,.0f} "
            f"| {row['torch_best']:,.0f} | {row['best'].replace('+', ', ')} | {row['train_to_bare']:.2f} "
            f"| {row['train_to_best']:.2f} | {row['train_to_default']:.2f} | {row['rounds']} ({row['dropped']}) |"
        )
    counted = [row for row in results if row["rounds"]]
    ratios = {key: [row[key] for row in counted] for key in ("train_to_bare", "train_to_best", "train_to_default")}
    for key, values in ratios.items():
        lines.append(f"{key.replace('_', ' ')}: median {median(values):.2f}, least {min(values):.2f}")
    return "\n".join(lines)


def _said(python: str, program: str) -> str:
    return subprocess.run([python, "-c", program], check=True, capture_output=True, text=True).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(MODELS), help="names, joined by commas")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4, help="of one turn")
    parser.add_argument("--torch", default=sys.executable, help="Pythons that have PyTorch, joined by commas")
    parser.add_argument("--configurations", default=",".join(CONFIGURATIONS), help="of PyTorch, joined by commas")
    parser.add_argument("--json", type=Path, help="every round's figures")
    arguments = parser.parse_args()
    torches = {_said(python, "import torch; print(torch.__version__)"): python for python in arguments.torch.split(",")}
    device = _said(sys.executable, "from allcnn.device import find_device; print(find_device().name)")
    ceiling = Worker("ceiling", "-", 2)
    rounds = {}
    for model in arguments.models.split(","):
        try:
            rounds[model] = measure(
                model, arguments.rounds, arguments.seconds, ceiling, torches, arguments.configurations.split(",")
            )
        except EndedError as error:
            print(f"left out: {error}", flush=True)
            continue
        top = max(row["ceiling"] for rows in rounds.values() for row in rows)
        print(json.dumps(summary(model, rounds[model], top)), file=sys.stderr, flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps(rounds, indent=1))
    if not rounds:
        raise SystemExit("every network was left out")
    results = [summary(model, rows, top) for model, rows in rounds.items()]
    print(table(results))
    print(f"{device}; PyTorch {', '.join(torches)}")
    print(f"best rate of matrix products: {top / 1e9:,.0f} GFLOP/s; rounds under {SLOW:.0%} of it were dropped")


if __name__ == "__main__":
    main()
