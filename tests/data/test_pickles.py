"""Pickles: what numpy and CIFAR write is read; everything outside a closed list is refused.

`tests/hostile/test_hostile_pickles.py` has pickles that would run code.
"""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
from cifar_writers import array, pickled, sequence, short_text

from allcnn.data.pickles import load_pickle
from allcnn.errors import DataError


def refused(content: bytes) -> str:
    with pytest.raises(DataError) as error:
        load_pickle(content, "batch")
    assert len(str(error.value).splitlines()) <= 2
    return str(error.value)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "bool"])
def test_reads_what_numpy_pickles(protocol, dtype):
    rows = np.arange(6).reshape(2, 3).astype(dtype)
    value = {"data": rows, "columns first": np.asfortranarray(rows), "labels": [1, 2.5, None, "a"]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = load_pickle(pickle.dumps(value, protocol), "batch")
    assert found["labels"] == value["labels"]
    for key in ("data", "columns first"):
        assert found[key].dtype == rows.dtype
        np.testing.assert_array_equal(found[key], rows)


def test_reads_python_2():
    rows = np.array([[1, 2, 255]], np.uint8)
    found = load_pickle(pickled({"data": array(rows), "names": sequence([short_text("cat")])}), "batch")
    np.testing.assert_array_equal(found["data"], rows)
    assert found["names"] == [b"cat"]
    assert load_pickle(b"(dp0\nS'a'\np1\nI7\ns.", "batch") == {"a": 7}


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"cos\nsystem\n(S'true'\ntR.", "os.system"),
        (b"cnumpy\nload\n(S'x'\ntR.", "numpy.load"),
        (b"cnumpy.core.multiarray\nscalar\n.", "numpy.core.multiarray.scalar"),
        (b"\x80\x04\x8c\x05numpy\x8c\x11ndarray.__class__\x93.", "numpy.ndarray.__class__"),
        (b"Psomewhere\n.", "a persistent object"),
        (pickle.dumps({"data": np.array([{}], object)}, 2), "an array of type 'O8'"),
        (pickle.dumps({"data": np.zeros(2, "u1,u1")}, 2), "an array of type 'V2'"),
        (pickle.dumps({"data": np.array(["text"])}, 2), "an array of type 'U4'"),
        (pickle.dumps({"data": np.zeros(2, "M8[s]")}, 2), "an array of type 'M8'"),
        (b"cnumpy\nndarray\n(K\x01tR.", "an array by a call of its own"),
        (b"cnumpy.core.multiarray\n_reconstruct\n(K\x01tR.", "an array of another class"),
        (b"c_codecs\nencode\n(V1\nVzip\ntR.", "_codecs.encode with an unexpected argument"),
    ],
)
def test_closed_list(content, name):
    assert f"asks for {name}" in refused(content)


def test_an_array_larger_than_its_content():
    rows = np.zeros((2, 3), np.uint8)
    claimed = array(rows).replace(b"(J\x02\x00\x00\x00", b"(J\xff\xff\xff\x7f")
    assert "buffer size does not match array size" in refused(pickled({"data": claimed}))


def test_an_array_over_the_memory_of_another():
    """The other's state may be set again, which frees its memory."""
    other = array(np.ones((1, 1), np.uint8))
    code = b"cnumpy.core.numeric\n_frombuffer\n(" + other + b"cnumpy\ndtype\nU\x02u1\x85RK\x01\x85U\x01CtR"
    assert "a numpy array of an unknown form" in refused(pickled({"data": code}))


def test_types_and_functions_cannot_be_altered():
    """BUILD on a name of the closed list would otherwise set its attributes, and on a type those of all its arrays."""
    refused(b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n}U\x01aK\x01sb.")
    refused(b"\x80\x02cnumpy\ndtype\nN}U\x0b__defaults__)s\x86b.")
    # Flags by which every array of this type would hold objects, and another byte order.
    state = b"(K\x03U\x01>NNNK\x64K\x64K\x3ftb"
    load_pickle(pickled({"data": b"cnumpy\ndtype\nU\x02i8\x85R" + state}), "batch")
    assert (np.dtype("i8").flags, np.dtype("i8").itemsize, np.dtype("i8").isnative) == (0, 8, True)
    assert load_pickle(pickled({"data": array(np.ones((1, 1), np.uint8))}), "batch")["data"].tolist() == [[1]]


def test_every_truncation_is_a_data_error():
    """`tests/hostile/test_fuzzed_readers.py` damages files in other ways."""
    content = pickled({"data": array(np.arange(6, dtype=np.uint8).reshape(2, 3)), "labels": sequence([b"K\x01"])})
    for end in range(len(content)):
        refused(content[:end])
