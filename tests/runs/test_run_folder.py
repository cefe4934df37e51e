"""The files of a run: names, metrics that read back, and folders that are refused."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from allcnn.errors import RunError
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


def test_what_a_process_killed_at_the_beginning_leaves_is_no_content(tmp_path) -> None:
    folder = RunFolder(tmp_path)
    folder.lock.write_text("process 12 on a machine")
    (tmp_path / ".config.12.partial.json").write_text("{")
    folder.refuse_other_content()
    folder.remove_partial_files()
    assert list(tmp_path.iterdir()) == [folder.lock]


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


COLUMNS = "epoch,learning_rate,loss,penalty,train_error,test_error,seconds,images_per_second"
LINE = "0.05,2.3,0.25,90.0,,12.5,80.0"


def metrics_refusal(path, content: bytes, sha256: str | None = None) -> str:
    path.write_bytes(content)
    with pytest.raises(RunError) as caught:
        read_metrics(path, sha256)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", f"line 1 is not the names of its columns, {COLUMNS}"),
        (b"\n", f"line 1 is not the names of its columns, {COLUMNS}"),
        (b"epoch,loss\n1,2.3\n", f"line 1 is not the names of its columns, {COLUMNS}"),
        (f"{COLUMNS},colour\n".encode(), f"line 1 is not the names of its columns, {COLUMNS}"),
        (b"\xff\xfe\x00\n", f"line 1 is not the names of its columns, {COLUMNS}"),
        (f"{COLUMNS}\n1,{LINE}\n2,0.05,2.3".encode(), "line 3 has no end, the file is cut short"),
        (f"{COLUMNS}\n1,{LINE}\n2,0.05,2.3\n".encode(), "line 3 has 3 values, expected 8"),
        (f"{COLUMNS}\n1,{LINE},7\n".encode(), "line 2 has 9 values, expected 8"),
        (f"{COLUMNS}\n\n1,{LINE}\n".encode(), "line 2 has 1 values, expected 8"),
        (f"{COLUMNS}\n1,{LINE}\n1,{LINE}\n".encode(), "line 3 has epoch '1', expected 2"),
        (f"{COLUMNS}\n1,{LINE}\n3,{LINE}\n".encode(), "line 3 has epoch '3', expected 2"),
        (f"{COLUMNS}\n,{LINE}\n".encode(), "line 2 has epoch '', expected 1"),
        (f"{COLUMNS}\n2,{LINE}\n".encode(), "line 2 has epoch '2', expected 1"),
        (f"{COLUMNS}\none,{LINE}\n".encode(), "line 2 has 'one', expected a number"),
        (f"{COLUMNS}\n1,{LINE}\n".replace("90.0", "1e308").encode(), "line 2 has 1e+308 as its train_error, expected"),
        (f"{COLUMNS}\n1,{LINE}\n".replace("90.0", "nan").encode(), "line 2 has nan as its train_error, expected 0 to"),
        (f"{COLUMNS}\n1,{LINE}\n".replace("12.5", "inf").encode(), "line 2 has inf as its seconds, expected a number"),
        (f"{COLUMNS}\n1,{LINE}\n".replace("12.5", "-1.0").encode(), "line 2 has -1.0 as its seconds, expected a num"),
        (f"{COLUMNS}\n1,{LINE}\n".replace("80.0", "8_0.0").encode(), "line 2 has '8_0.0', expected a number"),
        (f"{COLUMNS}\n1,{LINE}\n".replace("80.0", "80\0").encode(), r"line 2 has '80\x00', expected a number"),
        (f"{COLUMNS}\n1,{LINE}\n".replace("80.0", "\N{DIGIT ONE}\N{FULLWIDTH DIGIT TWO}").encode(), "line 2 has '1"),
    ],
)
def test_metrics_that_cannot_be_read(tmp_path, content, why) -> None:
    assert metrics_refusal(tmp_path / "metrics.csv", content).startswith(f"cannot be read as metrics: {why}")


def test_metrics_that_are_not_there(tmp_path) -> None:
    for function in (read_metrics, metrics_digest):
        with pytest.raises(RunError, match=f"^{tmp_path / 'metrics.csv'}: no such file.$"):
            function(tmp_path / "metrics.csv")
        with pytest.raises(RunError, match=r": cannot be read \(Is a directory\).$"):
            function(tmp_path)


def test_metrics_that_an_editor_of_tables_saved_are_read(tmp_path) -> None:
    (tmp_path / "metrics.csv").write_bytes(f"{COLUMNS}\r\n1,{LINE}\r\n2,1e-05,nan,inf,,,,\r\n".encode())
    first, second = read_metrics(tmp_path / "metrics.csv")
    assert (first["epoch"], first["test_error"], first["images_per_second"]) == (1, None, 80.0)
    assert (second["epoch"], second["learning_rate"], second["penalty"]) == (2, 1e-05, float("inf"))


def test_metrics_are_held_against_their_digest(tmp_path) -> None:
    path = tmp_path / "metrics.csv"
    write_metrics(path, [ROW])
    digest = metrics_digest(path)
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert read_metrics(path, digest) == [ROW]
    edited = path.read_bytes().replace(b"90.0", b"80.0")
    assert metrics_refusal(path, edited, digest) == (
        f"damaged or edited; its {len(edited)} bytes do not fit the SHA-256 that the run noted of it."
    )
    assert read_metrics(path) == [{**ROW, "train_error": 80.0}]  # nothing but the digest shows this


VALUES = {"seed": 0, "loss": float("nan"), "recipe": {"name": "paper\N{MULTIPLICATION SIGN}", "milestones": []}}


def test_json_comes_back(tmp_path) -> None:
    path = tmp_path / "config.json"
    for values in ({}, {"a": {}}, {**VALUES, "loss": None}):
        write_json(path, values)
        assert read_json(path) == values
        path.unlink()
        create_json(path, values)
        assert read_json(path) == values
        (text, digest) = path.read_text().split('"sha256": ')
        assert json.loads(path.read_text()) == {**values, "sha256": hashlib.sha256(text.encode()).hexdigest()}
        assert digest.endswith('"\n}\n')
    write_json(path, VALUES)
    assert read_json(path)["loss"] is None
    with pytest.raises(ValueError, match="the member that allcnn adds itself"):
        write_json(path, {"sha256": "mine"})


def test_json_is_text_to_read(tmp_path) -> None:
    write_json(tmp_path / "config.json", {"seed": 0, "recipe": {"name": "paper"}})
    lines = (tmp_path / "config.json").read_text().splitlines()
    assert lines[:5] == ["{", ' "seed": 0,', ' "recipe": {', '  "name": "paper"', " },"]
    assert len(lines) == 7 and lines[5].startswith(' "sha256": "') and lines[6] == "}"


def json_refusal(path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(RunError) as caught:
        read_json(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message.removeprefix(f"{path}: ")


NO_DIGEST = (
    "does not end in a SHA-256 of allcnn: damaged, cut short, written by another version of allcnn, or not by allcnn."
)


def seal(text: str, encoding: str = "utf-8") -> bytes:
    """Add the member with the SHA-256, as whoever means harm can do too."""
    content = text.encode(encoding)
    return content + f'"sha256": "{hashlib.sha256(content).hexdigest()}"\n}}\n'.encode()


def test_a_flipped_bit_anywhere_is_noticed_before_json_is_parsed(tmp_path, monkeypatch) -> None:
    path = tmp_path / "config.json"
    write_json(path, VALUES)
    good = path.read_bytes()

    def parse(*_):
        raise AssertionError("a damaged file was parsed")

    monkeypatch.setattr(json, "loads", parse)
    damaged = f"damaged or edited; its {len(good)} bytes do not fit the SHA-256 at their end."
    for index in range(len(good)):
        for bit in range(8):
            content = bytearray(good)
            content[index] ^= 1 << bit
            assert json_refusal(path, content) in (damaged, NO_DIGEST)
    for size in range(len(good)):
        assert json_refusal(path, good[:size]) == NO_DIGEST
    assert json_refusal(path, good.replace(b'"seed": 0', b'"seed": 1')) == damaged
    assert json_refusal(path, good + b"\n") == NO_DIGEST


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[1]", b'{"seed": 0}', b"\xff\xfe{\0}\0", b"\0" * 500, b"[" * 100_000, b'{"a":' * 100_000,
        '{\n "seed": 0\n}\n'.encode("utf-16"),
    ],
)  # fmt: skip
def test_json_that_is_not_ours(tmp_path, content) -> None:
    assert json_refusal(tmp_path / "config.json", content) == NO_DIGEST


@pytest.mark.parametrize(
    "content",
    [
        seal('{"a": ' + "[" * 100_000 + "]" * 100_000 + ",\n "), seal('{"a":' * 100_000), seal("{\n 7,\n "),
        seal('{"name": "caf\N{LATIN SMALL LETTER E WITH ACUTE}",\n ', "latin1"), seal('{"a": ,\n ', "utf-16"),
        seal('{"a": NaN,\n '), seal('{"a": -Infinity,\n '), seal('{"a": 1e999,\n '),
    ],
)  # fmt: skip
def test_json_with_a_good_digest_that_is_not_ours(tmp_path, content) -> None:
    assert json_refusal(tmp_path / "config.json", content).startswith("cannot be read as JSON (")


def test_json_that_is_not_there_or_too_large(tmp_path) -> None:
    path = tmp_path / "config.json"
    with pytest.raises(RunError, match=f"^{path}: no such file.$"):
        read_json(path)
    with pytest.raises(RunError, match=r": cannot be read \(Is a directory\).$"):
        read_json(tmp_path)
    with open(path, "wb") as file:
        file.truncate(1 << 40)  # a hole: it takes no place on the disk
    with pytest.raises(RunError, match=f"^{path}: more than 16 MiB; no such file of a run is that large.$"):
        read_json(path)


def test_a_pipe_is_not_waited_for(tmp_path) -> None:
    for name, read in (("summary.json", read_json), ("metrics.csv", read_metrics)):
        os.mkfifo(tmp_path / name)
        with pytest.raises(RunError, match=rf"{name}: cannot be read \(not a file\).$"):
            read(tmp_path / name)


def test_of_two_only_one_creates(tmp_path) -> None:
    create_json(tmp_path / "config.json", {"seed": 0})
    with pytest.raises(RunError, match="another process began a run here just now"):
        create_json(tmp_path / "config.json", {"seed": 1})
    assert read_json(tmp_path / "config.json") == {"seed": 0}
