"""A reader never meets half of a file, and a damaged one is noticed."""

from __future__ import annotations

import errno
import hashlib
import json
import os

import h5py
import numpy as np
import pytest

from allcnn import files
from allcnn.errors import CheckpointError
from allcnn.files import atomic_folder, atomic_path, read_arrays, write_arrays, write_text


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_file_appears_under_its_name_when_the_block_ends(tmp_path) -> None:
    path = tmp_path / "deep" / "model.keras"
    with atomic_path(path) as temporary:
        temporary.write_text("new")
        assert temporary.parent == path.parent and temporary.suffix == ".keras"
        assert not path.exists()
    assert path.read_text() == "new" and names(path.parent) == ["model.keras"]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_no_temporary(tmp_path, failure) -> None:
    path = tmp_path / "state.h5"
    path.write_text("old")
    with pytest.raises(failure), atomic_path(path) as temporary:
        temporary.write_text("half of the n")
        raise failure
    assert path.read_text() == "old" and names(tmp_path) == ["state.h5"]


def test_a_block_that_writes_nothing_leaves_the_old_file(tmp_path) -> None:
    path = tmp_path / "state.h5"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), atomic_path(path):
        pass
    assert path.read_text() == "old" and names(tmp_path) == ["state.h5"]


def test_a_folder_appears_under_its_name_when_the_block_ends(tmp_path) -> None:
    path = tmp_path / "deep" / "model"
    with atomic_folder(path) as temporary:
        (temporary / "inside").mkdir(parents=True)
        (temporary / "inside" / "file").write_text("new")
        assert temporary.parent == path.parent and not path.exists()
    assert (path / "inside" / "file").read_text() == "new" and names(path.parent) == ["model"]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_nothing_of_a_folder(tmp_path, failure) -> None:
    with pytest.raises(failure), atomic_folder(tmp_path / "model") as temporary:
        temporary.mkdir()
        (temporary / "file").write_text("half of the n")
        raise failure
    assert names(tmp_path) == []


def test_a_folder_takes_nobodys_place(tmp_path) -> None:
    path = tmp_path / "model"
    path.mkdir()  # an empty one, which a rename alone would replace
    with pytest.raises(FileExistsError) as caught, atomic_folder(path) as temporary:
        temporary.mkdir()
        (temporary / "file").write_text("new")
    assert caught.value.filename == str(path)
    assert names(tmp_path) == ["model"] and names(path) == []


@pytest.fixture(params=["hard links", "no hard links"])
def linking(request, monkeypatch) -> None:
    """With hard links, and as on a file system that has none."""

    def refuse(*_):
        raise PermissionError("no hard links here")

    if request.param == "no hard links":
        monkeypatch.setattr(os, "link", refuse)


def write_kept(folder, text: str) -> None:
    with atomic_path(folder / "state.h5", keep_previous=folder / "state.previous.h5") as temporary:
        temporary.write_text(text)


def contents(folder) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(folder.iterdir())}


@pytest.mark.usefixtures("linking")
def test_the_file_before_is_kept_under_its_second_name(tmp_path) -> None:
    write_kept(tmp_path, "1")
    assert contents(tmp_path) == {"state.h5": "1"}
    write_kept(tmp_path, "2")
    assert contents(tmp_path) == {"state.h5": "2", "state.previous.h5": "1"}
    write_kept(tmp_path, "3")
    assert contents(tmp_path) == {"state.h5": "3", "state.previous.h5": "2"}


@pytest.mark.usefixtures("linking")
def test_a_failed_write_leaves_the_last_file_and_the_one_before(tmp_path) -> None:
    write_kept(tmp_path, "1")
    write_kept(tmp_path, "2")
    with (
        pytest.raises(ValueError),
        atomic_path(tmp_path / "state.h5", keep_previous=tmp_path / "state.previous.h5") as temporary,
    ):
        temporary.write_text("half of the n")
        raise ValueError
    assert contents(tmp_path) == {"state.h5": "2", "state.previous.h5": "1"}


@pytest.mark.usefixtures("linking")
@pytest.mark.parametrize("function", ["fsync", "replace", "link"])
def test_two_different_whole_files_at_every_moment(tmp_path, monkeypatch, function) -> None:
    """Looked at before and after each step of the commit, and each step failing in turn."""
    write_kept(tmp_path, "1")
    write_kept(tmp_path, "2")
    allowed = [("2", "1"), ("3", "1"), ("3", "2")]
    seen, real = [], getattr(os, function)

    def now() -> tuple[str, str]:
        return (tmp_path / "state.h5").read_text(), (tmp_path / "state.previous.h5").read_text()

    def watched(*arguments):
        seen.append(now())
        result = real(*arguments)
        seen.append(now())
        return result

    monkeypatch.setattr(os, function, watched)
    write_kept(tmp_path, "3")
    assert seen and set(seen) <= set(allowed)
    assert contents(tmp_path) == {"state.h5": "3", "state.previous.h5": "2"}


@pytest.mark.parametrize("failing", [1, 2])
def test_a_rename_that_fails_leaves_two_good_files(tmp_path, monkeypatch, failing) -> None:
    write_kept(tmp_path, "1")
    write_kept(tmp_path, "2")
    real, calls = os.replace, []

    def replace(*arguments):
        calls.append(arguments)
        if len(calls) == failing:
            raise OSError("the disk is gone")
        real(*arguments)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(OSError, match="the disk is gone"):
        write_kept(tmp_path, "3")
    last = "2" if failing == 1 else "3"
    assert contents(tmp_path) == {"state.h5": last, "state.previous.h5": "1"}


def test_text_is_replaced_and_is_utf8(tmp_path) -> None:
    write_text(tmp_path / "table.md", "a longer text than the second")
    write_text(tmp_path / "table.md", "\N{MULTIPLICATION SIGN} 2\n")
    assert (tmp_path / "table.md").read_bytes() == b"\xc3\x97 2\n"


ARRAYS = {
    "model/conv1/kernel": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "optimizer/000": np.array(7, np.int64),
    "empty": np.zeros((0, 3)),
}
ATTRIBUTES = {"epochs_done": 3, "rows": [{"loss": 0.1, "test_error": None}]}


def test_arrays_come_back(tmp_path) -> None:
    write_arrays(tmp_path / "state.h5", ARRAYS, ATTRIBUTES)
    arrays, attributes = read_arrays(tmp_path / "state.h5")
    assert attributes == ATTRIBUTES
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype and arrays[name].shape == array.shape
        assert np.array_equal(arrays[name], array)
    assert names(tmp_path) == ["state.h5"]


def test_any_hdf5_program_reads_them(tmp_path) -> None:
    write_arrays(tmp_path / "state.h5", ARRAYS, ATTRIBUTES)
    with h5py.File(tmp_path / "state.h5") as file:
        assert np.array_equal(file["model/conv1/kernel"], ARRAYS["model/conv1/kernel"])
    content = (tmp_path / "state.h5").read_bytes()
    assert content[:512] == f"allcnn sha256 {hashlib.sha256(content[512:]).hexdigest()}\n".encode().ljust(512, b"\0")


def test_the_rows_of_a_thousand_epochs_fit(tmp_path) -> None:
    rows = [{"epoch": epoch, "loss": 1 / epoch, "seconds": epoch / 7, "test_error": None} for epoch in range(1, 1001)]
    write_arrays(tmp_path / "state.h5", {}, {"rows": rows})
    assert read_arrays(tmp_path / "state.h5") == ({}, {"rows": rows})


def refusal(path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_arrays(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message.removeprefix(f"{path}: ")


def test_a_flipped_bit_anywhere_is_noticed_before_hdf5_sees_the_file(tmp_path, monkeypatch) -> None:
    path = tmp_path / "state.h5"
    write_arrays(path, {"weights": np.arange(3.0)}, {})
    good = path.read_bytes()

    def parse(*_, **__):
        raise AssertionError("HDF5 saw a damaged file")

    monkeypatch.setattr(h5py, "File", parse)
    damaged = f"damaged or cut short; its {len(good):,} bytes do not fit the SHA-256 in front of them."
    start = "not a file of allcnn, or damaged in its first 512 bytes."
    for index in (*range(0, 520), *range(520, len(good), 7)):
        content = bytearray(good)
        content[index] ^= 1 << index % 8
        path.write_bytes(content)
        assert refusal(path) in (damaged, start)
    for size in range(0, len(good), 31):
        path.write_bytes(good[:size])
        assert refusal(path) in (damaged.replace(f"{len(good):,}", f"{size:,}"), start)
    path.write_bytes(good + b"\0")
    assert refusal(path) == damaged.replace(f"{len(good):,}", f"{len(good) + 1:,}")


def test_a_changed_file_is_noticed(tmp_path) -> None:
    path = tmp_path / "state.h5"
    write_arrays(path, ARRAYS, ATTRIBUTES)
    with h5py.File(path, "r+") as file:  # HDF5 leaves its user block as it is
        file.attrs["attributes"] = json.dumps({**ATTRIBUTES, "epochs_done": 4})
    assert refusal(path).startswith("damaged or cut short; ")


def test_what_is_no_such_file_is_named(tmp_path) -> None:
    path = tmp_path / "state.h5"
    assert refusal(path) == "no such file."
    assert refusal(tmp_path) == "cannot be read (Is a directory)."
    for content in (b"", b"plain text", b"\0" * 2000, b"PK\x03\x04"):
        path.write_bytes(content)
        assert refusal(path) == "not a file of allcnn, or damaged in its first 512 bytes."
    with h5py.File(path, "w") as file:  # somebody else's HDF5, or ours of before
        file["weights"] = np.zeros(3)
    assert refusal(path) == (
        "HDF5 without the SHA-256 of allcnn in front; written by another version of allcnn, or by another program."
    )


def test_a_huge_file_is_not_read(tmp_path, monkeypatch) -> None:
    path = tmp_path / "state.h5"
    write_arrays(path, ARRAYS, ATTRIBUTES)
    os.truncate(path, 1 << 40)  # a hole: it takes no place on the disk
    assert refusal(path) == "1,099,511,627,776 bytes; allcnn reads no such file above 16 GiB."


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
    assert path.read_bytes() == before
    assert names(tmp_path) == ["state.h5"]
