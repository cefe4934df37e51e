"""A sweep on a Ray cluster of two nodes, one of them killed in the middle: is its table that of an undisturbed sweep?

    python tests/studies/ray_node_loss.py
    python tests/studies/ray_node_loss.py --models strided-a,strided-c --epochs 2

The cluster is a real one on this machine (`ray.cluster_utils.Cluster`): a head that takes no runs and two nodes that
take one each. The real command makes the twelve networks at two learning rates on the digits there; once a third of
them is done, a node's daemon is killed while a run is on its way on it. Everything in the `--json` document but the
wall-clock must equal, with ==, that of a sweep without Ray. Exit code 1 if it does not.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import sweep_kill


def on_two_nodes(
    runs: Path, arguments: argparse.Namespace, before: str = "config.json"
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A sweep on two nodes, one of them killed; gives its document, and what is worth knowing about the kill.

    before: the file that the run on each node has written when that happens.
    """
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    try:
        process = subprocess.Popen(
            [*sweep_kill.command(runs, arguments), "--ray", cluster.address], env=sweep_kill.environment(),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        total = len(arguments.models.split(",")) if arguments.models != "paper" else 12
        after = total * len(arguments.lrs.split(",")) // 3
        while process.poll() is None and sweep_kill.finished(runs) < after:
            time.sleep(0.05)
        begun: list[str] = []
        while process.poll() is None and len(begun := on_their_way(runs, before)) < 2:
            time.sleep(0.02)
        cluster.remove_node(nodes[0], allow_graceful=False)
        document = sweep_kill.finish(process)
        return document, {"half done": begun, "resumed": resumed(runs)}
    finally:
        cluster.shutdown()


def on_their_way(runs: Path, file: str) -> list[str]:
    """The runs that have not ended and have written that file."""
    return [name for name in sweep_kill.half_done(runs) if (runs / name / file).exists()]


def resumed(runs: Path) -> list[str]:
    """The runs whose log shows that they were begun twice."""
    logs = sorted((runs / "logs").glob("*.log"))
    return [path.stem for path in logs if path.read_text(errors="replace").count(" $ allcnn train ") > 1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default="paper")
    parser.add_argument("--lrs", default="0.05,0.02")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--reference", type=Path, help="the JSON of the undisturbed sweep: read, or else written")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        begun = time.monotonic()
        whole = sweep_kill.undisturbed(Path(folder), arguments)
        print(f"without Ray: {len(whole['runs'])} runs in {(time.monotonic() - begun) / 60:.1f} minutes", flush=True)
        begun = time.monotonic()
        document, kill = on_two_nodes(Path(folder) / "on-ray", arguments)
        print(f"on two nodes, one killed: {(time.monotonic() - begun) / 60:.1f} minutes; {kill}", flush=True)
        same = sweep_kill.timeless(document) == sweep_kill.timeless(whole)
        if not same:
            print(json.dumps([sweep_kill.timeless(whole), sweep_kill.timeless(document)], indent=1))
    wrong = [] if same else ["the tables differ"]
    wrong += [] if kill["resumed"] else ["no run was on its way on the node that was killed"]
    print("; ".join(wrong) or "the same table")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
