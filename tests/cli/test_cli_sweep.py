"""`allcnn sweep` with the real runs: to its end, stopped, killed, crashed, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "studies"))

import sweep_kill

from allcnn.errors import install_hint
from allcnn.runs.lock import only_sweep
from allcnn.sweep.result import GridRun, SweepResult, table_of
from allcnn_cli.sweep import _show as show

SPEC = "8C3/2-NC1-GAP"
RUNS = ("lr0.05-seed0", "lr1e+30-seed0")


def call(runs: Path, *more: str, rates: str = "0.05,1e30") -> list[str]:
    return ["sweep", "--models", SPEC, "--lrs", rates, "--dataset", "digits", "--epochs", "1", "--runs-dir", str(runs),
            "--json", *more]  # fmt: skip


def start(arguments: list[str]) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "allcnn_cli", *arguments], env=sweep_kill.environment(), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_until(condition, seconds: float = 600.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.fixture(scope="module")
def swept(tmp_path_factory) -> tuple[Path, dict]:
    """A sweep of one run that comes to its end and one that diverges, stopped, killed and begun again on the way."""
    runs = tmp_path_factory.mktemp("sweep") / "runs"
    process = start(call(runs))
    wait_until(lambda: sweep_kill.training(runs))
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 130
    assert "interrupted: 0 of 2 runs are done. The same call goes on.\nallcnn sweep --models" in errors, errors
    assert sweep_kill.training(runs) == []
    process = start(call(runs))
    wait_until(lambda: list(runs.glob("*/config.json")))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    process = start(call(runs, "--jobs", "2"))  # at once: the killed one's child may still save its state
    out, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    return runs, json.loads(out)


@pytest.mark.slow
def test_stopped_and_killed_and_begun_again_it_comes_to_its_end(swept) -> None:
    runs, document = swept
    finished, diverged = document["runs"]
    assert finished["status"] == "finished" and finished["epochs"] == 1 and finished["test_error"] > 0
    assert diverged["status"] == "diverged" and "the run diverged" in diverged["reason"]
    (row,) = document["table"]
    assert row["best_learning_rate"] == 0.05 and document["chosen_by"] == "test_error"
    assert row["rates"][0]["test_error"] == finished["test_error"]
    assert sweep_kill.training(runs) == [] and len(list((runs / "logs").iterdir())) == 2


@pytest.mark.slow
def test_what_has_ended_is_kept_and_a_failed_run_not_repeated(swept, allcnn) -> None:
    runs, document = swept
    before = {path: path.stat().st_mtime_ns for path in runs.rglob("*") if path.is_file() and "lock" not in path.name}
    again = allcnn(*call(runs))
    assert again.code == 0 and again.document == document
    assert "2 runs: 1 finished, 1 diverged." in again.err and "--retry-failed begins them anew" in again.err
    assert before == {path: path.stat().st_mtime_ns for path in before}
    plain = allcnn(*[word for word in call(runs) if word != "--json"])
    assert "*: the best learning rate by these errors, as in the paper." in plain.out
    assert "lr1e+30-seed0: diverged: the loss became" in plain.out


@pytest.mark.slow
def test_a_crash_does_not_end_the_sweep_and_a_damaged_run_is_named(swept, allcnn, tmp_path) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(swept[0], runs)
    crashing, damaged = (next(runs.glob(f"*{name}")) for name in RUNS)
    (crashing / "summary.json").unlink()
    for state in crashing.glob("state*.h5"):
        state.write_bytes(b"not a state")
    (damaged / "config.json").write_text("{}")
    found = allcnn(*call(runs))
    assert found.code == 1
    assert [run["status"] for run in found.document["runs"]] == ["crashed", "unreadable"]
    assert "error: 2 of 2 runs have no result; the same command tries them again (logs: " in found.err
    assert f"{crashing.name}: crashed: exit code 2: " in found.err and "state.h5" in found.err
    assert f"{damaged.name}: unreadable: " in found.err


@pytest.mark.slow
def test_failed_runs_are_begun_anew_if_asked_and_their_folders_kept(swept, allcnn, tmp_path) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(swept[0], runs)
    found = allcnn(*call(runs, "--retry-failed"))
    failed = next(runs.glob(f"*{RUNS[1]}"))
    assert f"{failed.name}: diverged; moved to {failed.name}.failed-1, begun anew." in found.err
    assert found.code == 0 and found.document["runs"][1]["status"] == "diverged"
    assert (runs / f"{failed.name}.failed-1" / "summary.json").exists() and (failed / "summary.json").exists()


def test_two_sweeps_in_one_folder(allcnn, tmp_path) -> None:
    with only_sweep(tmp_path / "runs"):
        (tmp_path / "runs" / "something").mkdir()
        found = allcnn(*call(tmp_path / "runs"))
    assert found.code == 2 and found.out == ""
    assert f"runs: process {os.getpid()} on " in found.err
    assert "is sweeping this folder.\nWait for its end, stop it, or choose another folder with --runs-dir." in found.err


def test_a_sweep_that_begins_nothing_leaves_nothing(tmp_path) -> None:
    with only_sweep(tmp_path / "runs"):
        assert (tmp_path / "runs").is_dir()
    assert list(tmp_path.iterdir()) == []


def test_without_ray_it_says_what_to_install(allcnn, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("allcnn.ray_cluster.find_spec", lambda name: None)
    found = allcnn("sweep", "--models", "a", "--dataset", "digits", "--runs-dir", tmp_path / "runs", "--ray")
    # In what order the metadata names the packages is the build tool's choice.
    assert (found.code, found.err) == (2, f"error: Ray is not installed. {install_hint('ray')}\n")
    assert ' "ray' in found.err
    assert list(tmp_path.iterdir()) == []


def test_the_table_has_means_deviations_what_failed_and_how_the_best_was_chosen(capsys, tmp_path) -> None:
    def run_of(rate: float, seed: int, error: float | None, status: str = "finished", reason=None) -> GridRun:
        folder = tmp_path / f"all-c-lr{rate:g}-seed{seed}"
        return GridRun("all-c", rate, seed, folder, status, reason, 4, 4, 1.0, error, error and error + 1, 40.0)

    runs = (
        run_of(0.1, 0, 9.0), run_of(0.1, 1, None, "dead", "nothing was learned"),
        run_of(0.05, 0, 10.0), run_of(0.05, 1, 12.0), run_of(0.01, 0, None, "dead"), run_of(0.01, 1, None, "dead"),
    )  # fmt: skip
    show(SweepResult(tmp_path, "validation_error", runs, table_of(runs, "validation_error")))
    heading, _, row, *rest = capsys.readouterr().out.splitlines()
    assert heading.split() == ["network", "lr", "0.1", "lr", "0.05", "lr", "0.01", "best", "lr", "test", "error"]
    assert " ".join(row.split()) == "all-c 10.00 (1 dead) 12.00 ± 1.41 * 2 dead 0.05 11.00"
    assert rest == [
        "Errors in percent on the images held out, means over 2 seeds. *: the best learning rate by these errors.",
        "all-c-lr0.1-seed1: dead: nothing was learned",
        "all-c-lr0.01-seed0: dead: None",
        "all-c-lr0.01-seed1: dead: None",
    ]


def test_a_table_that_is_too_wide_leaves_out_deviations(tmp_path, capsys) -> None:
    rates = (0.25, 0.1, 0.05, 0.01)

    def run_of(rate: float, seed: int) -> GridRun:
        folder, lost = tmp_path / f"lr{rate:g}-seed{seed}", (rate, seed) == (0.25, 0)
        end = ("diverged", "no number", 1, 1, 1.0, None) if lost else ("finished", None, 1, 1, 1.0, 100 * rate + seed)
        return GridRun("review-convpool-a", rate, seed, folder, *end, None, 40.0)

    runs = tuple(run_of(rate, seed) for rate in rates for seed in (0, 1))
    show(SweepResult(tmp_path, "test_error", runs, table_of(runs, "test_error")))
    heading, _, row, *rest = capsys.readouterr().out.splitlines()
    assert heading.split()[-2:] == ["lr", "0.01"] and max(len(heading), len(row)) <= 80
    assert row.split() == ["review-convpool-a", "26.00", "(1/2)", "10.50", "5.50", "1.50", "*"]
    assert rest[1] == f"(n/m): n of m runs finished. `allcnn report {tmp_path} --table lr` shows deviations."
