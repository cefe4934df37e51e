"""Run folders read back: what is whole is read, what is not is named, nothing vanishes."""

from __future__ import annotations

import os

import pytest

from allcnn.errors import RunError
from allcnn.runs.collected import collect_runs
from allcnn.runs.folder import write_json


def test_an_empty_folder(tmp_path) -> None:
    with pytest.raises(RunError, match="holds no run; a run's folder has a config.json"):
        collect_runs([tmp_path])


def test_no_folder(tmp_path) -> None:
    with pytest.raises(RunError, match="no such folder"):
        collect_runs([tmp_path / "runs"])


def test_a_run_is_read_once_however_it_is_named(write_run, tmp_path) -> None:
    run = write_run("all-c", 9.0)
    os.symlink(run, tmp_path / "runs" / "again")
    os.symlink(tmp_path / "runs", tmp_path / "runs" / "round")  # a circle
    runs, problems = collect_runs([run, tmp_path / "runs", tmp_path])
    assert ([found.test_error for found in runs], problems) == ([9.0], [])


def test_links_are_followed(write_run, tmp_path) -> None:
    write_run("all-c", 9.0, under="elsewhere")
    (tmp_path / "runs").mkdir()
    os.symlink(tmp_path / "elsewhere", tmp_path / "runs" / "linked")
    assert len(collect_runs([tmp_path / "runs"])[0]) == 1


def test_an_unfinished_run_is_read(write_run, tmp_path) -> None:
    run = write_run("all-c", None, status="unfinished")
    (run / "metrics.csv").unlink()
    runs, problems = collect_runs([tmp_path])
    assert ([(found.status, found.rows, found.test_error) for found in runs], problems) == (
        [("unfinished", (), None)],
        [],
    )


@pytest.mark.parametrize("file", ["config.json", "summary.json", "metrics.csv"])
def test_a_damaged_run_is_named_and_the_others_are_read(write_run, tmp_path, file) -> None:
    broken, whole = write_run("all-c", 9.0), write_run("all-c", 9.5, seed=1)
    content = bytearray((broken / file).read_bytes())
    content[20] ^= 1
    (broken / file).write_bytes(content)
    runs, problems = collect_runs([tmp_path])
    assert [run.folder.path for run in runs] == [whole]
    (problem,) = problems
    assert str(broken / file) in problem and "damaged or edited" in problem
    assert "\n" not in problem


@pytest.mark.parametrize("left", ["metrics.csv", "summary.json"])
def test_a_run_without_its_configuration_is_named(write_run, tmp_path, left) -> None:
    broken = write_run("all-c", 9.0)
    for file in broken.iterdir():
        if file.name != left:
            file.unlink()
    runs, problems = collect_runs([tmp_path])
    assert (runs, problems) == ([], [f"{broken}: holds {left} but no config.json; no run can be read without it."])


def test_a_run_killed_while_it_began_is_named(tmp_path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / ".config.123.partial.json").write_text("{")
    runs, problems = collect_runs([tmp_path])
    assert runs == [] and "holds a half-written config.json" in problems[0]


def test_a_configuration_that_cannot_be_opened_is_named(tmp_path) -> None:
    (tmp_path / "config.json").symlink_to("elsewhere")  # or one in a folder that may only be listed
    assert collect_runs([tmp_path]) == ([], [f"{tmp_path / 'config.json'}: no such file."])


def test_someone_elses_config_is_named(tmp_path) -> None:
    (tmp_path / "config.json").write_text('{"architectures": ["ResNet"]}')
    runs, (problem,) = collect_runs([tmp_path])
    assert runs == [] and "not by allcnn" in problem


@pytest.mark.parametrize(
    "config",
    [{"model": "all-c"}, {"model": "all-c", "spec": [], "dataset": "x", "digest": "y", "seed": 0, "validation": 0}],
)
def test_a_whole_file_that_is_no_configuration_is_named(tmp_path, config) -> None:
    write_json(tmp_path / "config.json", config)
    runs, (problem,) = collect_runs([tmp_path])
    assert runs == [] and str(tmp_path) in problem


def test_a_finished_run_needs_its_last_test_error(write_run, tmp_path) -> None:
    run = write_run("all-c", 9.0)
    write_json(run / "summary.json", {"status": "finished"})
    lines = (run / "metrics.csv").read_text().splitlines()
    (run / "metrics.csv").write_text("\n".join([lines[0], lines[1].replace(",90.0,90.0,", ",,90.0,"), ""]))
    runs, (problem,) = collect_runs([tmp_path])
    assert runs == [] and "has no test error" in problem


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="permissions do not bind this user")
def test_a_folder_that_cannot_be_read_is_named(write_run, tmp_path) -> None:
    write_run("all-c", 9.0)
    closed = tmp_path / "runs" / "closed"
    closed.mkdir(mode=0)
    try:
        runs, problems = collect_runs([tmp_path])
    finally:
        closed.chmod(0o700)
    assert len(runs) == 1 and str(closed) in problems[0]
