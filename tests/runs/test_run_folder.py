"""The files of a run: their names, JSON and metrics that read back, and folders and files that are refused."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from allcnn.errors import RunError
from allcnn.files import JSON_SEAL, seal_of
from allcnn.runs.folder import (
    RunFolder,
    create_json,
    metrics_digest,
    read_json,
    read_metrics,
    write_json,
    write_metrics,
)


def test_names() -> None:
    folder = RunFolder(Path("runs/mine"))
    found = {name: str(getattr(folder, name)).removeprefix("runs/mine/") for name in dir(RunFolder(Path()))
             if isinstance(getattr(folder, name), Path) and name != "path"}  # fmt: skip
    assert found == {
        "config": "config.json", "preprocessing": "preprocessing.h5", "metrics": "metrics.csv", "state": "state.h5",
        "previous_state": "state.previous.h5", "model": "model.keras", "summary": "summary.json", "table": "table.md",
        "tensorboard": "tensorboard", "damaged": "damaged.txt", "lock": ".lock",
    }  # fmt: skip


def test_a_new_or_empty_folder_is_accepted(tmp_path) -> None:
    RunFolder(tmp_path / "new").refuse_other_content()
    folder = RunFolder(tmp_path)
    # A process that is killed at the beginning leaves these.
    folder.lock.write_text("process 12 on a machine")
    (tmp_path / ".config.12.partial.json").write_text("{")
    folder.refuse_other_content()
    folder.remove_partial_files()
    assert list(tmp_path.iterdir()) == [folder.lock] and not folder.holds_run()


def folder_refusal(path: Path) -> str:
    with pytest.raises(RunError) as caught:
        RunFolder(path).refuse_other_content()
    return str(caught.value).removeprefix(f"{path}: ")


def test_other_content_is_refused(tmp_path) -> None:
    (tmp_path / "thesis.tex").write_text("my only copy")
    assert folder_refusal(tmp_path) == "is not empty and holds no run; choose another folder with --run-dir."
    assert folder_refusal(tmp_path / "thesis.tex") == (
        "is not a folder; expected a place for the run's folder (--run-dir)."
    )
    write_json(tmp_path / "config.json", {})
    assert folder_refusal(tmp_path) == (
        "already holds a run.\nContinue it with --resume (in Python resume=True), or choose another folder with "
        "--run-dir (run_dir)."
    )


def test_only_one_process_begins_a_run(tmp_path) -> None:
    create_json(tmp_path / "config.json", {"seed": 0})
    with pytest.raises(RunError, match="another process began a run here just now"):
        create_json(tmp_path / "config.json", {"seed": 1})
    assert read_json(tmp_path / "config.json") == {"seed": 0}


def refusal(read, path: Path, content: bytes | None = None) -> str:
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RunError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize("read", [read_json, read_metrics, metrics_digest])
def test_what_is_no_file(tmp_path, read) -> None:
    assert refusal(read, tmp_path / "config.json") == "no such file."
    assert refusal(read, tmp_path) == "cannot be read (Is a directory)."
    os.mkfifo(tmp_path / "pipe")  # nobody writes to it
    assert refusal(read, tmp_path / "pipe") == "cannot be read (not a file)."


ROW = {
    "epoch": 1, "learning_rate": 0.05, "loss": 2.302585, "penalty": 0.25, "train_error": 90.0, "test_error": 100 / 3,
    "seconds": 12.5, "images_per_second": 80.0,
}  # fmt: skip
COLUMNS = "epoch,learning_rate,loss,penalty,train_error,test_error,seconds,images_per_second"
LINE = "0.05,2.3,0.25,90.0,,12.5,80.0"


def test_metrics_text(tmp_path) -> None:
    write_metrics(tmp_path / "metrics.csv", [ROW, {"epoch": 2, "learning_rate": 5e-05}])
    assert (tmp_path / "metrics.csv").read_text() == (
        f"{COLUMNS}\n1,0.05,2.302585,0.25,90.0,33.333333333333336,12.5,80.0\n2,5e-05,,,,,,\n"
    )


@pytest.mark.parametrize(
    "rows",
    [
        [ROW, {**ROW, "epoch": 2, "test_error": 0.1 + 0.2, "penalty": None}],
        [{**ROW, "validation_error": 40.0}, {**ROW, "epoch": 2, "validation_error": None}],
        [{**ROW, "loss": float("inf"), "test_top5_error": 0.0}],
    ],
)
def test_metrics_read_back_to_the_last_digit(tmp_path, rows) -> None:
    write_metrics(tmp_path / "metrics.csv", rows)
    assert read_metrics(tmp_path / "metrics.csv") == rows


def test_metrics_that_a_spreadsheet_saved_are_read(tmp_path) -> None:
    (tmp_path / "metrics.csv").write_bytes(f"{COLUMNS}\r\n1,{LINE}\r\n2,1e-05,nan,inf,,,,\r\n".encode())
    first, second = read_metrics(tmp_path / "metrics.csv")
    assert (first["epoch"], first["test_error"], first["images_per_second"]) == (1, None, 80.0)
    assert (second["epoch"], second["learning_rate"], second["penalty"]) == (2, 1e-05, float("inf"))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "its last line has no end, the file is cut short"),
        (f"{COLUMNS}\n1,{LINE}\n2,0.05,2.3", "its last line has no end, the file is cut short"),
        ("\n", f"line 1 is not the names of its columns, {COLUMNS}"),
        ("epoch,loss\n1,2.3\n", f"line 1 is not the names of its columns, {COLUMNS}"),
        (f"{COLUMNS},colour\n", f"line 1 is not the names of its columns, {COLUMNS}"),
        ("\N{DIGIT ONE}\N{FULLWIDTH DIGIT TWO}\n", "'ascii' codec"),
        (f"{COLUMNS}\n1,{LINE}\n2,0.05,2.3\n", "line 3 has 3 values, expected 8"),
        (f"{COLUMNS}\n1,{LINE},7\n", "line 2 has 9 values, expected 8"),
        (f"{COLUMNS}\n\n1,{LINE}\n", "line 2 has 1 values, expected 8"),
        (f"{COLUMNS}\n1,{LINE}\n1,{LINE}\n", "line 3 has epoch '1', expected 2"),
        (f"{COLUMNS}\n,{LINE}\n", "line 2 has epoch '', expected 1"),
        (f"{COLUMNS}\none,{LINE}\n", "line 2 has 'one' as its epoch, expected a number"),
        (f"{COLUMNS}\n1,{LINE}\n".replace("80.0", "80\0"), r"line 2 has '80\x00' as its images_per_second, expected"),
        (f"{COLUMNS}\n1,{LINE}\n".replace("90.0", "1e308"), "line 2 has 1e+308 as its train_error, expected 0 to 100"),
        (f"{COLUMNS}\n1,{LINE}\n".replace("90.0", "nan"), "line 2 has nan as its train_error, expected 0 to 100"),
        (f"{COLUMNS}\n1,{LINE}\n".replace("12.5", "inf"), "line 2 has inf as its seconds, expected a number of 0"),
        (f"{COLUMNS}\n1,{LINE}\n".replace("12.5", "-1.0"), "line 2 has -1.0 as its seconds, expected a number of 0"),
    ],
)
def test_metrics_that_cannot_be_read(tmp_path, content, why) -> None:
    message = refusal(read_metrics, tmp_path / "metrics.csv", content.encode())
    assert message.startswith(f"cannot be read as metrics: {why}")


def test_metrics_are_compared_with_their_digest(tmp_path) -> None:
    path = tmp_path / "metrics.csv"
    write_metrics(path, [ROW])
    digest = metrics_digest(path)
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert read_metrics(path, digest) == [ROW]
    edited = path.read_bytes().replace(b"90.0", b"80.0")
    assert refusal(lambda path: read_metrics(path, digest), path, edited) == (
        f"damaged or edited: its {len(edited)} bytes do not have the SHA-256 in summary.json. Use a whole copy of it."
    )
    assert read_metrics(path) == [{**ROW, "train_error": 80.0}]  # nothing but the digest shows this


VALUES = {"seed": 0, "loss": float("nan"), "recipe": {"name": "paper\N{MULTIPLICATION SIGN}", "milestones": []}}


def test_json_comes_back_and_is_text_to_read(tmp_path) -> None:
    path = tmp_path / "config.json"
    for values in ({}, {"a": {}}, VALUES):
        plain = {**values, "loss": None} if "loss" in values else values  # JSON has no NaN
        write_json(path, values)
        assert read_json(path) == plain
        text, _ = path.read_text().split('"sha256": ')
        assert json.loads(path.read_text()) == {**plain, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    lines = path.read_text().splitlines()
    assert lines[:4] == ["{", ' "seed": 0,', ' "loss": null,', ' "recipe": {']
    assert lines[-2].startswith(' "sha256": "') and lines[-1] == "}"


def test_a_flipped_bit_anywhere_is_noticed_before_json_is_parsed(tmp_path, monkeypatch, damaged) -> None:
    path = tmp_path / "config.json"
    write_json(path, VALUES)
    good = path.read_bytes()

    def parse(*_):
        raise AssertionError("a damaged file was parsed")

    monkeypatch.setattr(json, "loads", parse)
    for index in range(len(good)):
        content = bytearray(good)
        content[index] ^= 1 << index % 8
        assert refusal(read_json, path, content) == damaged(len(good))
        assert refusal(read_json, path, good[:index]) == damaged(index)
    assert refusal(read_json, path, good.replace(b'"seed": 0', b'"seed": 1')) == damaged(len(good))
    assert refusal(read_json, path, good + b"\n") == damaged(len(good) + 1)
    assert refusal(read_json, path, b'{"seed": 0}') == damaged(11)


@pytest.mark.parametrize(
    "text",
    [
        '{"a": ' + "[" * 100_000 + "]" * 100_000 + ",\n ", '{"a":' * 100_000, "{\n 7,\n ", '{"a": NaN,\n ',
        '{"a": -Infinity,\n ', '{"a": 1e999,\n ', '{"name": "\udce9",\n ',
    ],
    ids=range(7),
)  # fmt: skip
def test_json_with_a_good_sha256_that_is_not_ours(tmp_path, text) -> None:
    """Anyone can compute a SHA-256."""
    content = text.encode(errors="surrogateescape")
    message = refusal(read_json, tmp_path / "config.json", content + seal_of(content, JSON_SEAL))
    assert message.startswith("cannot be read as JSON (")
