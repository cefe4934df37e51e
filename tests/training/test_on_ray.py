"""The short form of tests/studies/ray_workers.py: a real cluster, a run of two workers, one of them killed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from allcnn.errors import InputError
from allcnn.training.on_ray import Workers, _lost
from allcnn_cli.main import main

sys.path.append(str(Path(__file__).resolve().parents[1] / "studies"))


@pytest.mark.slow
def test_a_run_that_lost_a_worker_goes_on_by_itself(tmp_path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install ray")
    pytest.importorskip("jax", reason="JAX is not installed: pip install jax")
    import ray_workers
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        seconds, said = ray_workers.disturbed(cluster, tmp_path / "run", "killed", 0, epochs=6)
    finally:
        cluster.shutdown()
    assert "worker 1 (node " in said and ") was lost; going on from step " in said
    assert "resuming after " in said and "  6/6  " in said and "{" not in said
    assert (tmp_path / "run" / "model.keras").exists()


def test_which_worker_was_lost() -> None:
    assert _lost({0: 1, 1: -9}, []) == 1
    assert _lost({0: -6, 2: None}, [1]) == 2
    # JAX ended the others, because the one that still runs was silent.
    assert _lost({0: -6, 2: -6}, [1]) == 1
    assert _lost({0: 0, 1: -11}, []) == 1


def test_wrong_numbers_are_refused() -> None:
    for count, least in ((0, 0), (2, 3), (2, 0)):
        with pytest.raises(InputError, match=f"got --workers {count} and --min-workers {least}"):
            Workers(count, least)
    for cpus, gpus in ((0, 0), (-1, 1), (1, -1)):
        with pytest.raises(InputError, match=f"got --cpus-per-worker {cpus} and --gpus-per-worker {gpus}"):
            Workers(cpus_per_worker=cpus, gpus_per_worker=gpus)
    with pytest.raises(InputError, match="got --max-restarts -1"):
        Workers(max_restarts=-1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--hosts", "here:1", "--host-index", "0", "--host-count", "2", "--ray"], "both --ray and --hosts were given"),
        (["--workers", "2"], "--workers was given without --ray; expected --ray beside it."),
        (["--gpus-per-worker", "0"], "--gpus-per-worker was given without --ray"),
        (["--ray", "--backend", "tensorflow", "--dataset", "digits"], "on tensorflow a run trains on one device."),
    ],
)
def test_wrong_calls_are_refused(options, said, capsys, tmp_path) -> None:
    assert main(["train", "--model", "a", "--run-dir", str(tmp_path / "run"), *options]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
