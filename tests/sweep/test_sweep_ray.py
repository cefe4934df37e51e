"""The short form of tests/studies/ray_node_loss.py: a real cluster of two nodes, one of them killed."""

from __future__ import annotations

import json
from argparse import Namespace

import pytest
import ray_node_loss

from allcnn.errors import InputError
from allcnn.ray_cluster import check_room
from allcnn_cli.main import main


@pytest.fixture
def ray() -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install ray")


@pytest.mark.slow
def test_a_run_of_a_killed_node_goes_on_on_the_other(ray, tmp_path) -> None:
    arguments = Namespace(models="8C3/2-8C3-NC1:linear-GAP", lrs="0.05,0.02", epochs=30)
    document, kill = ray_node_loss.on_two_nodes(tmp_path / "runs", arguments, before="state.h5")
    assert [(run["status"], run["epochs"]) for run in document["runs"]] == [("finished", 30)] * 2
    assert len(kill["half done"]) == 2 and len(kill["resumed"]) == 1
    log = (tmp_path / "runs" / "logs" / f"{kill['resumed'][0]}.log").read_text()
    assert "--resume --allow machine" in log and "resuming after" in log


@pytest.mark.slow
def test_a_run_of_two_workers(ray, tmp_path) -> None:
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1)
        command = ["sweep", "--models", "8C3/2-NC1:linear-GAP", "--lrs", "0.05", "--dataset", "digits"]
        command += ["--epochs", "1", "--batch-size", "40", "--runs-dir", str(tmp_path), "--ray", cluster.address]
        assert main([*command, "--workers-per-run", "2"]) == 0
        assert main([*command, "--workers-per-run", "3"]) == 2
    finally:
        cluster.shutdown()
    (folder,) = tmp_path.glob("*-lr0.05-seed0")
    config = json.loads((folder / "config.json").read_text())
    assert (config["hosts"], config["devices"], config["backend"]) == (2, 1, "jax")
    assert json.loads((folder / "summary.json").read_text())["status"] == "finished"


def test_several_workers_need_ray_and_jax(capsys) -> None:
    for more in ([], ["--ray", "--backend", "tensorflow"]):
        assert main(["sweep", "--models", "a", "--dataset", "digits", "--workers-per-run", "2", *more]) == 2
        assert "a run has 2 workers on Ray and JAX only" in capsys.readouterr().err


def test_what_no_node_could_ever_run_is_refused_at_once() -> None:
    nodes = [{"Alive": True, "Resources": {"CPU": 4.0}}, {"Alive": False, "Resources": {"CPU": 4.0, "GPU": 8.0}}]
    check_room(nodes, {"CPU": 1, "GPU": 0}, "")
    with pytest.raises(
        InputError, match="no node of the Ray cluster has 1 CPUs and 1 GPUs; the most on one are 4 CPUs"
    ):
        check_room(nodes, {"CPU": 1, "GPU": 1}, "--gpus-per-run")
