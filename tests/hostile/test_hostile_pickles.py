"""Pickles cannot run code, nor end the process."""

from __future__ import annotations

import pickle

import pytest
from cifar_writers import array, cifar10_files, pickled, random_images, write
from hostile_pickles import HOSTILE, in_batch, text
from refusals import refused, refused_by_shell, snapshot

from allcnn.data import load_data
from allcnn.data.pickles import load_pickle

IMAGES, LABELS = random_images(12), [3, 8, 8, 0, 6, 6, 1, 6, 3, 1, 0, 9]
FILES = cifar10_files(False, IMAGES, LABELS)
FOLDER = "cifar-10-batches-py"


@pytest.fixture(params=HOSTILE)
def hostile(request, tmp_path):
    """Refused or not, the code must not have run; and it is real code, which runs in Python's own unpickler."""
    place = tmp_path / "place"
    place.mkdir()
    made = HOSTILE[request.param](place)
    assert not made.has_run()
    yield made
    assert not made.has_run()
    try:
        pickle.loads(made.content)
    except Exception as error:  # what it makes need not be a dict that pickle can finish
        assert made.has_run(), error
    assert made.has_run()
    made.clean()


def test_code_in_a_pickle_does_not_run(hostile):
    message = refused(lambda: load_pickle(hostile.content, "batch"), "batch: ")
    assert "refused, because the pickle asks for" in message and "Nothing of it was run" in message


@pytest.mark.parametrize("hostile", ["GLOBAL and REDUCE"], indirect=True)
@pytest.mark.parametrize("name", ["data_batch_3", "batches.meta"])
def test_nor_does_it_from_a_folder_at_the_shell(hostile, name, tmp_path, capfd):
    folder = write(tmp_path / FOLDER, FILES | {name: hostile.content})
    before = snapshot(tmp_path)
    refused_by_shell(capfd, ["data", "--data-dir", tmp_path], f"{folder / name}: refused, because the pickle asks for")
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("opcode", ["EXT1", "EXT2", "EXT4", "NEXT_BUFFER", "BINPERSID"])
def test_objects_from_elsewhere(opcode):
    """Those of a registry, of buffers that lie beside the file, of a store."""
    code = getattr(pickle, opcode) + (b"\x01\x00\x00\x00" if opcode.startswith("EXT") else b"")
    refused(lambda: load_pickle(b"\x80\x05}" + text("data") + code + b"s.", "batch"), "batch: ")


def test_an_object_of_the_registry_that_was_found_before(tmp_path):
    """Python's unpickler gives it again without asking for its name."""
    hostile = HOSTILE["by EXT1"](tmp_path)
    pickle.loads(hostile.content)
    (tmp_path / "made-by-the-pickle").rmdir()
    refused(lambda: load_pickle(hostile.content, "batch"), "asks for the instruction EXT1")
    assert not hostile.has_run()
    (tmp_path / "made-by-the-pickle").mkdir()
    hostile.clean()


#: Small files with which pickle or numpy could end the process, or raise what is no DataError.
ODD = {
    "a dict key of nested tuples": b"\x80\x02})" + b"\x85" * 200_000 + b"K\x01s.",
    "nested lists": in_batch(b"]" * 200_000 + b"a" * 199_999),
    "bytes that say they are 2^60": b"\x80\x04}\x8e" + (2**60).to_bytes(8, "little") + b"s.",
    "a text of -1 bytes": b"\x80\x02}T\xff\xff\xff\xffs.",
    "a label of a million digits": pickled(
        {"data": array(IMAGES[:1].reshape(1, -1)),
         "labels": b"](\x8b" + (400_000).to_bytes(4, "little") + b"\x7f" * 400_000 + b"e"}),
    "a number of a million digits": in_batch(b"L" + b"9" * 1_000_000 + b"L\n"),
    "a shape of eight huge numbers": pickled({"data": array(IMAGES[0, :1, :, 0]).replace(
        b"(" + b"J\x01\x00\x00\x00J\x20\x00\x00\x00t", b"(" + b"J\xff\xff\xff\x7f" * 8 + b"t")}),
    "an array of 100 dimensions": pickled({"data": array(IMAGES[0, :1, :, 0]).replace(
        b"(" + b"J\x01\x00\x00\x00J\x20\x00\x00\x00t", b"(" + b"J\x01\x00\x00\x00" * 100 + b"t")}),
    "a list that holds itself": in_batch(b"]q\x00h\x00a"),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_an_odd_pickle(name, tmp_path):
    folder = write(tmp_path, FILES | {"data_batch_2": ODD[name]})
    refused(lambda: load_data(data_dir=folder), f"{folder / 'data_batch_2'}: ")


def test_labels_of_any_number_are_checked(tmp_path):
    folder = write(tmp_path, FILES)
    for label in (-1, 10, 2**63, -(2**63)):
        batch = pickle.dumps({"data": IMAGES[:1].reshape(1, -1), "labels": [label]}, 2)
        (folder / "data_batch_2").write_bytes(batch)
        refused(lambda: load_data(data_dir=folder), f"data_batch_2: label {label} among the labels; expected 0 to 9")


def test_a_message_quotes_no_control_characters():
    hostile = b"\x80\x04" + text("\x1b[2J\nos") + text("sys\u202etem") + b"\x93."
    message = refused(lambda: load_pickle(hostile, "batch"), "asks for \\x1b[2J\\nos.sys\\u202etem")
    assert "\x1b" not in message
