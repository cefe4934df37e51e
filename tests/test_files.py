"""A reader never meets half of a file, and a damaged one is noticed."""

from __future__ import annotations

import json
import os

import h5py
import numpy as np
import pytest

from allcnn.errors import CheckpointError
from allcnn.files import atomic_path, read_arrays, write_arrays, write_text


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


def test_a_flipped_bit_in_an_array_is_noticed(tmp_path) -> None:
    path = tmp_path / "state.h5"
    write_arrays(path, ARRAYS, ATTRIBUTES)
    content = bytearray(path.read_bytes())
    content[content.index(ARRAYS["model/conv1/kernel"].tobytes()) + 40] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        read_arrays(path)
    assert str(caught.value) == f"{path}: damaged; its content does not fit the checksum inside it."


def test_changed_attributes_and_missing_arrays_are_noticed(tmp_path) -> None:
    path = tmp_path / "state.h5"
    write_arrays(path, ARRAYS, ATTRIBUTES)
    with h5py.File(path, "r+") as file:
        file.attrs["attributes"] = json.dumps({**ATTRIBUTES, "epochs_done": 4})
    with pytest.raises(CheckpointError, match="damaged; its content does not fit the checksum inside it"):
        read_arrays(path)
    write_arrays(path, ARRAYS, ATTRIBUTES)
    with h5py.File(path, "r+") as file:
        del file["empty"]
    with pytest.raises(CheckpointError, match="damaged; its content does not fit the checksum inside it"):
        read_arrays(path)


def test_what_is_no_such_file_is_named(tmp_path) -> None:
    path = tmp_path / "state.h5"
    with pytest.raises(CheckpointError) as caught:
        read_arrays(path)
    assert str(caught.value) == f"{path}: no such file."
    path.write_bytes(b"plain text")
    with pytest.raises(CheckpointError) as caught:
        read_arrays(path)
    assert str(caught.value).startswith(f"{path}: not a readable file of allcnn (")
    assert "\n" not in str(caught.value)
    with h5py.File(path, "w") as file:  # somebody else's HDF5
        file["weights"] = np.zeros(3)
    with pytest.raises(CheckpointError, match=r"not a readable file of allcnn \("):
        read_arrays(path)


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.7, 0.99])
def test_a_truncated_file_is_noticed(tmp_path, kept) -> None:
    path = tmp_path / "state.h5"
    write_arrays(path, {"weights": np.random.default_rng(0).normal(size=5000)}, {})
    os.truncate(path, int(path.stat().st_size * kept))
    with pytest.raises(CheckpointError, match="not a readable file of allcnn|damaged"):
        read_arrays(path)
