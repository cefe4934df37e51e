"""The short form of tests/studies/ray_workers.py: a real cluster, a run of two workers, one of them killed."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from photo_files import write_photographs

from allcnn.errors import HostError, InputError
from allcnn.ray_cluster import always_heard, connected
from allcnn.training import on_ray
from allcnn.training.on_ray import Workers, _command, _lost, _show
from allcnn.training.plan import plan_run
from allcnn_cli.main import main


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


def test_workers_are_told_where_the_folder_and_the_images_are_wherever_they_begin(tmp_path, monkeypatch) -> None:
    """A worker begins in a folder of Ray's, where "run" and "photos" are nowhere."""
    write_photographs(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    plan = plan_run("8C3/2-NC1-GAP", data_dir="photos", run_dir="run", epochs=1, batch_size=2)
    found = []
    monkeypatch.setattr(on_ray, "connected", lambda address: nullcontext(SimpleNamespace(nodes=list)))
    monkeypatch.setattr(on_ray, "check_room", lambda *arguments: None)

    def group(ray, workers, plan):
        found.append(plan)
        raise HostError("no room")

    monkeypatch.setattr(on_ray, "_Group", group)
    with pytest.raises(HostError, match="no room"):
        on_ray.train_on_ray(plan, None, Workers(), print)
    words = _command(found[0])
    assert words[words.index("--run-dir") + 1] == str(found[0].folder.path) == str(tmp_path / "run")
    assert words[words.index("--data-dir") + 1] == str(tmp_path / "photos")
    assert words[words.index("--backend") + 1] == "jax" and "--resume" not in words


def test_what_ray_prints_is_not_heard_and_what_is_announced_is(capsys, monkeypatch) -> None:
    monkeypatch.setattr("allcnn.ray_cluster.find_spec", lambda name: True)
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: True))
    announce = always_heard(print)
    with connected(None):
        print("a page of a daemon's log")
        announce("one run was set aside.")
    assert capsys.readouterr().out == "one run was set aside.\n"


def test_which_worker_was_lost() -> None:
    assert _lost({0: 1, 1: -9}, []) == 1
    assert _lost({0: -6, 2: None}, [1]) == 2
    # JAX ended the others, because the one that still runs was silent.
    assert _lost({0: -6, 2: -6}, [1]) == 1
    assert _lost({0: 0, 1: -11}, []) == 1


@pytest.mark.parametrize("last", ['{\n "run_dir": "run"\n}\n', "error: another run.\nExpected this one.\n"])
def test_what_came_of_the_run_is_not_shown_twice(last, tmp_path, capsys) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    begun = log.stat().st_size
    said = "epoch 1/2 {\nno error: none\n"
    for text in ("epoch 1", "/2 {\nno error: none\n", last[:3], last[3:], ""):
        with open(log, "a") as file:
            file.write(text)
        begun = _show(log, begun)
    assert capsys.readouterr().err == said


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
