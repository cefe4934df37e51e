"""A run of two workers on Ray, one of them killed, frozen, or its node killed: does it go on, and end in the same bits?

    python tests/studies/ray_workers.py [--kills 10]

The cluster is a real one on this machine (`ray.cluster_utils.Cluster`): a head that takes no workers, and three nodes
of one CPU each. The real command trains the digits on two of them, undisturbed and then with the worker that is not the
first, or its node, lost at a random moment after the first state was saved. The seconds until the run moves on, and the
files in which the two runs differ, are printed. Exit code 1 where a run does not go on within 60 s or differs.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from kills import differences
from many_devices import environment

SPEC = "D.2-8C3/2-D.5-8C3-NC1:linear-GAP"
WAYS = ("killed", "frozen", "node killed")
LONGEST = 60.0


def command(address: str, run: Path, *more: str, epochs: int = 12, least: int = 2) -> list[str]:
    return [
        sys.executable, "-m", "allcnn_cli", "train", "--spec", SPEC, "--dataset", "digits", "--epochs", str(epochs),
        "--batch-size", "24", "--run-dir", str(run), "--save-every", "10", "--ray", address, "--workers", "2",
        "--min-workers", str(least), *more,
    ]  # fmt: skip


def worker_process(index: int, run: Path) -> int:
    """The process of a worker of this run."""
    for folder in Path("/proc").iterdir():
        try:
            words = (folder / "cmdline").read_bytes().decode().split("\0")
        except (OSError, UnicodeDecodeError):
            continue
        if folder.name.isdigit() and str(run) in words and "--host-index" in words and "orphan" not in words[1]:
            if words[words.index("--host-index") + 1] == str(index):
                return int(folder.name)
    raise SystemExit(f"no process of worker {index}")


def saved_at(run: Path) -> float:
    """When the last state was saved."""
    return (run / "state.h5").stat().st_mtime if (run / "state.h5").exists() else 0.0


def disturbed(cluster: Any, run: Path, way: str, seed: int, least: int = 2, epochs: int = 12) -> tuple[float, str]:
    """Lose worker 1 once; gives the seconds until the next state was saved, and what was said."""
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2 if least == 1 or way != "node killed" else 3)]
    try:
        process = subprocess.Popen(
            command(cluster.address, run, epochs=epochs, least=least), stderr=subprocess.PIPE, text=True,
            env=environment(1, run.parent / "compiled"),
        )  # fmt: skip
        until = time.monotonic() + 300
        while not saved_at(run) and process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(random.Random(seed).uniform(0, 2))
        victim = worker_process(1, run)
        before = time.time()
        if way == "node killed":
            node = next(node for node in nodes if _runs_on(victim, node))
            cluster.remove_node(node, allow_graceful=False)
            nodes.remove(node)
        else:
            os.kill(victim, signal.SIGKILL if way == "killed" else signal.SIGSTOP)
        while saved_at(run) < before + 1 and process.poll() is None and time.time() < before + 300:
            time.sleep(0.05)
        seconds = time.time() - before
        _, said = process.communicate(timeout=600)
        if process.returncode:
            raise SystemExit(f"{way}: exit code {process.returncode}\n{said[-3000:]}")
        return seconds, said
    finally:
        for node in nodes:
            cluster.remove_node(node)


def _runs_on(pid: int, node: Any) -> bool:
    """Whether a process descends from one of a node's."""
    raylet = next(info.process.pid for info in node.all_processes["raylet"])
    while pid > 1:
        if pid == raylet:
            return True
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return False


def main() -> None:
    from ray.cluster_utils import Cluster

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=3)
    arguments = parser.parse_args()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    wrong = False
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole"
        nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
        subprocess.run(command(cluster.address, whole), check=True, env=environment(1, Path(folder) / "compiled"))
        for node in nodes:
            cluster.remove_node(node)
        for number in range(arguments.kills):
            way, run = WAYS[number % len(WAYS)], Path(folder) / f"run-{number}"
            seconds, said = disturbed(cluster, run, way, number)
            found = differences(whole, run)
            lost = [line for line in said.splitlines() if "was lost" in line]
            print(f"{way}: went on after {seconds:.0f} s; {lost}; differs in {found or 'nothing'}", flush=True)
            wrong |= seconds > LONGEST or bool(found)
    cluster.shutdown()
    raise SystemExit(wrong)


if __name__ == "__main__":
    main()
