"""The files of a run: names, metrics that read back, and folders that are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from allcnn.errors import RunError
from allcnn.runs.folder import RunFolder, read_json, read_metrics, write_json, write_metrics


def test_names() -> None:
    folder = RunFolder(Path("runs/mine"))
    names = [
        folder.config, folder.preprocessing, folder.metrics, folder.state, folder.model, folder.summary, folder.table,
    ]  # fmt: skip
    assert [str(name) for name in names] == [
        "runs/mine/config.json",
        "runs/mine/preprocessing.h5",
        "runs/mine/metrics.csv",
        "runs/mine/state.h5",
        "runs/mine/model.keras",
        "runs/mine/summary.json",
        "runs/mine/table.md",
    ]


def test_a_new_or_empty_folder_is_accepted(tmp_path) -> None:
    RunFolder(tmp_path / "new").refuse_other_content()
    RunFolder(tmp_path).refuse_other_content()
    assert not RunFolder(tmp_path).holds_run()


def test_another_run_is_refused(tmp_path) -> None:
    write_json(tmp_path / "config.json", {})
    assert RunFolder(tmp_path).holds_run()
    with pytest.raises(RunError) as caught:
        RunFolder(tmp_path).refuse_other_content()
    assert str(caught.value) == (
        f"{tmp_path}: already holds a run.\n"
        "Continue it with --resume, or choose another folder with --run-dir or another --seed."
    )


def test_other_content_is_refused(tmp_path) -> None:
    (tmp_path / "thesis.tex").write_text("my only copy")
    with pytest.raises(RunError) as caught:
        RunFolder(tmp_path).refuse_other_content()
    assert str(caught.value) == (f"{tmp_path}: is not empty and holds no run; choose another folder with --run-dir.")
    with pytest.raises(RunError) as caught:
        RunFolder(tmp_path / "thesis.tex").refuse_other_content()
    assert str(caught.value) == (
        f"{tmp_path / 'thesis.tex'}: is not a folder; expected a place for the run's folder (--run-dir)."
    )


ROW = {
    "epoch": 1, "learning_rate": 0.05, "loss": 2.302585, "penalty": 0.25, "train_error": 90.0, "test_error": 100 / 3,
    "seconds": 12.5, "images_per_second": 80.0,
}  # fmt: skip


def test_metrics_text(tmp_path) -> None:
    write_metrics(tmp_path / "metrics.csv", [ROW, {"epoch": 2, "learning_rate": 5e-05}])
    assert (tmp_path / "metrics.csv").read_text() == (
        "epoch,learning_rate,loss,penalty,train_error,test_error,seconds,images_per_second\n"
        "1,0.05,2.302585,0.25,90.0,33.333333333333336,12.5,80.0\n"
        "2,5e-05,,,,,,\n"
    )


def test_metrics_read_back_to_the_last_digit(tmp_path) -> None:
    rows = [ROW, {**ROW, "epoch": 2, "test_error": 0.1 + 0.2, "penalty": None}]
    write_metrics(tmp_path / "metrics.csv", rows)
    assert read_metrics(tmp_path / "metrics.csv") == rows
    held_out = [{**ROW, "validation_error": 40.0}, {**ROW, "epoch": 2, "validation_error": None}]
    write_metrics(tmp_path / "metrics.csv", held_out)
    assert read_metrics(tmp_path / "metrics.csv") == held_out


def test_metrics_that_cannot_be_read(tmp_path) -> None:
    path = tmp_path / "metrics.csv"
    with pytest.raises(RunError, match=f"^{path}: cannot be read as metrics"):
        read_metrics(path)
    path.write_text("epoch,loss\none,2.3\n")
    with pytest.raises(RunError, match=f"^{path}: cannot be read as metrics"):
        read_metrics(path)
    path.write_text("epoch,loss\n1,2.3,4,5\n")
    with pytest.raises(RunError, match=f"^{path}: cannot be read as metrics"):
        read_metrics(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RunError, match=f"^{path}: cannot be read as metrics"):
        read_metrics(path)


def test_json(tmp_path) -> None:
    path = tmp_path / "config.json"
    write_json(path, {"seed": 0, "recipe": {"name": "paper"}})
    assert read_json(path) == {"seed": 0, "recipe": {"name": "paper"}}
    path.write_text("[1]")
    with pytest.raises(RunError) as caught:
        read_json(path)
    assert str(caught.value) == f"{path}: expected a JSON object, found list."
    path.write_text("{")
    with pytest.raises(RunError, match=f"^{path}: cannot be read"):
        read_json(path)
    with pytest.raises(RunError, match="cannot be read"):
        read_json(tmp_path / "missing.json")
