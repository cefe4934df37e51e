"""The short form of tests/studies/ray_node_loss.py: a real cluster of two nodes, one of them killed."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="Ray is not installed: pip install ray")
sys.path.append(str(Path(__file__).resolve().parents[1] / "studies"))

import ray_node_loss

pytestmark = pytest.mark.slow


def test_a_run_of_a_killed_node_goes_on_on_the_other(tmp_path) -> None:
    arguments = Namespace(models="8C3/2-8C3-NC1:linear-GAP", lrs="0.05,0.02", epochs=30)
    document, kill = ray_node_loss.on_two_nodes(tmp_path / "runs", arguments, before="state.h5")
    assert [(run["status"], run["epochs"]) for run in document["runs"]] == [("finished", 30)] * 2
    assert len(kill["half done"]) == 2 and len(kill["resumed"]) == 1
    log = (tmp_path / "runs" / "logs" / f"{kill['resumed'][0]}.log").read_text()
    assert "--resume --allow machine" in log and "resuming after" in log


def test_what_no_node_could_ever_run_is_refused_at_once(tmp_path) -> None:
    from allcnn.errors import InputError
    from allcnn.ray_cluster import check_room

    nodes = [{"Alive": True, "Resources": {"CPU": 4.0}}, {"Alive": False, "Resources": {"CPU": 4.0, "GPU": 8.0}}]
    check_room(nodes, {"CPU": 1, "GPU": 0}, "")
    with pytest.raises(
        InputError, match="no node of the Ray cluster has 1 CPUs and 1 GPUs; the most on one are 4 CPUs"
    ):
        check_room(nodes, {"CPU": 1, "GPU": 1}, "--gpus-per-run")
