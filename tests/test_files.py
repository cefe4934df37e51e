"""A reader never meets half of a file, and notices a damaged one."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from allcnn import files
from allcnn.errors import CheckpointError
from allcnn.files import atomic_folder, atomic_path, read_arrays, read_file, seal_of, write_arrays, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(folder.iterdir())}


def test_a_file_appears_under_its_name_when_the_block_ends(tmp_path) -> None:
    path = tmp_path / "deep" / "model.keras"
    with atomic_path(path) as temporary:
        temporary.write_text("new")
        assert temporary.parent == path.parent and temporary.suffix == ".keras"
        assert not path.exists()
    assert contents(path.parent) == {"model.keras": "new"}


def test_text_is_replaced_and_is_utf8(tmp_path) -> None:
    write_text(tmp_path / "table.md", "a longer text than the second")
    write_text(tmp_path / "table.md", "\N{MULTIPLICATION SIGN} 2\n")
    assert (tmp_path / "table.md").read_bytes() == b"\xc3\x97 2\n"


def test_a_folder_appears_under_its_name_when_the_block_ends(tmp_path) -> None:
    path = tmp_path / "deep" / "model"
    with atomic_folder(path) as temporary:
        (temporary / "inside").mkdir(parents=True)
        (temporary / "inside" / "file").write_text("new")
        assert temporary.parent == path.parent and not path.exists()
    assert contents(path / "inside") == {"file": "new"} and names(path.parent) == ["model"]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_what_was_there(tmp_path, failure) -> None:
    (tmp_path / "state.h5").write_text("old")
    with pytest.raises(failure), atomic_path(tmp_path / "state.h5", tmp_path / "state.previous.h5") as temporary:
        temporary.write_text("half of the n")
        raise failure
    with pytest.raises(failure), atomic_folder(tmp_path / "model") as temporary:
        temporary.mkdir()
        (temporary / "file").write_text("half of the n")
        raise failure
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "state.h5"):
        pass  # nothing is written
    assert contents(tmp_path) == {"state.h5": "old"}


def test_a_folder_replaces_nothing(tmp_path) -> None:
    path = tmp_path / "model"
    path.mkdir()  # an empty one, which a rename alone would replace
    with pytest.raises(FileExistsError) as caught, atomic_folder(path) as temporary:
        temporary.mkdir()
        (temporary / "file").write_text("new")
    assert caught.value.filename == str(path)
    assert names(tmp_path) == ["model"] and names(path) == []


def write_kept(folder: Path, text: str) -> None:
    with atomic_path(folder / "state.h5", keep_previous=folder / "state.previous.h5") as temporary:
        temporary.write_text(text)


def test_the_file_before_is_kept_under_its_second_name(tmp_path) -> None:
    write_kept(tmp_path, "1")
    assert contents(tmp_path) == {"state.h5": "1"}
    write_kept(tmp_path, "2")
    write_kept(tmp_path, "3")
    assert contents(tmp_path) == {"state.h5": "3", "state.previous.h5": "2"}


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_the_last_whole_file_is_there_at_every_moment(tmp_path, monkeypatch, failing) -> None:
    """Looked at before and after each rename, which all succeed, or the first or the second fails."""
    write_kept(tmp_path, "1")
    write_kept(tmp_path, "2")
    real, seen = os.replace, []

    def last() -> str:
        path = tmp_path / "state.h5"
        return (path if path.exists() else tmp_path / "state.previous.h5").read_text()

    def replace(*arguments) -> None:
        seen.append(last())
        if len(seen) == failing:
            raise OSError("the disk is gone")
        real(*arguments)

    monkeypatch.setattr(os, "replace", replace)
    if failing == 3:
        write_kept(tmp_path, "3")
    else:
        with pytest.raises(OSError, match="the disk is gone"):
            write_kept(tmp_path, "3")
    assert seen == ["2", "2"][:failing] and last() == ("3" if failing == 3 else "2")
    assert set(names(tmp_path)) <= {"state.h5", "state.previous.h5"}


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_is_a_plain_error_that_names_the_file(tmp_path, monkeypatch) -> None:
    path = tmp_path / "state.h5"
    write_arrays(path, ARRAYS, ATTRIBUTES)
    before = path.read_bytes()
    monkeypatch.setattr(files, "_temporary_name", lambda path: path.with_name("temporary"))
    (tmp_path / "temporary").symlink_to("/dev/full")
    with pytest.raises(OSError) as caught:
        write_arrays(path, ARRAYS, ATTRIBUTES)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path))
    assert path.read_bytes() == before and names(tmp_path) == ["state.h5"]


ARRAYS = {
    "model/conv1/kernel": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "optimizer/000": np.array(7, np.int64),
    "empty": np.zeros((0, 3)),
}
ATTRIBUTES = {"epochs_done": 3, "rows": [{"loss": 0.1, "test_error": None}] * 1000}


def same(found: tuple[dict, dict]) -> bool:
    arrays, attributes = found
    assert attributes == ATTRIBUTES and arrays.keys() == ARRAYS.keys()
    return all(array.dtype == ARRAYS[name].dtype and array.tobytes() == ARRAYS[name].tobytes()
               for name, array in arrays.items())  # fmt: skip


def test_arrays_come_back(tmp_path) -> None:
    write_arrays(tmp_path / "state.h5", ARRAYS, ATTRIBUTES)
    assert same(read_arrays(tmp_path / "state.h5"))
    assert names(tmp_path) == ["state.h5"]


def test_the_sha256_is_at_the_end_and_any_hdf5_program_reads_the_file(tmp_path) -> None:
    write_arrays(tmp_path / "state.h5", ARRAYS, ATTRIBUTES)
    with h5py.File(tmp_path / "state.h5") as file:
        assert np.array_equal(file["model/conv1/kernel"], ARRAYS["model/conv1/kernel"])
    content = (tmp_path / "state.h5").read_bytes()
    assert content[-78:] == f"allcnn sha256 {hashlib.sha256(content[:-78]).hexdigest()}".encode()


def write_former(path: Path) -> None:
    """As an earlier version wrote them: the SHA-256 in front, in a user block of 512 bytes."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in ARRAYS.items():
            file.create_dataset(name, data=array)
        file.attrs["attributes"] = json.dumps(ATTRIBUTES)
    content = path.read_bytes()[512:]
    path.write_bytes((seal_of(content) + b"\n").ljust(512, b"\0") + content)


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_arrays(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize("former", [False, True])
def test_a_flipped_bit_anywhere_is_noticed_before_hdf5_sees_the_file(tmp_path, monkeypatch, damaged, former) -> None:
    path = tmp_path / "state.h5"
    write_former(path) if former else write_arrays(path, ARRAYS, ATTRIBUTES)
    assert same(read_arrays(path))
    good = path.read_bytes()

    def parse(*_, **__):
        raise AssertionError("HDF5 saw a damaged file")

    monkeypatch.setattr(h5py, "File", parse)
    size = len(good)
    for index in (*range(520), *range(520, size - 80, 997), *range(size - 80, size)):
        content = bytearray(good)
        content[index] ^= 1 << index % 8
        path.write_bytes(content)
        assert refusal(path) == damaged(size)
    for cut in (*range(0, size, 997), size - 1):
        path.write_bytes(good[:cut])
        assert refusal(path) == damaged(cut)
    path.write_bytes(good + b"\0")
    assert refusal(path) == damaged(size + 1)


def test_what_is_no_such_file_is_named(tmp_path, damaged) -> None:
    path = tmp_path / "state.h5"
    assert refusal(path) == "no such file."
    assert refusal(tmp_path) == "cannot be read (Is a directory)."
    for content in (b"", b"plain text", b"\0" * 2000, b"PK\x03\x04"):
        path.write_bytes(content)
        assert refusal(path) == damaged(len(content))
    write_arrays(path, ARRAYS, ATTRIBUTES)
    with h5py.File(path, "r+") as file:  # another program
        file.attrs["attributes"] = json.dumps({**ATTRIBUTES, "epochs_done": 4})
    assert refusal(path).startswith("damaged or edited, ")


def test_a_pipe_is_not_waited_for(tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match=r"pipe: cannot be read \(not a file\).$"):
        read_file(tmp_path / "pipe")
