from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
from cifar_writers import array, pickled, sequence, short_text

from allcnn.data.pickles import load_pickle
from allcnn.errors import DataError


class Runs:
    """Pickles as a call: what a hostile file does."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def refused(content: bytes) -> str:
    with pytest.raises(DataError) as error:
        load_pickle(content, "batch")
    assert len(str(error.value).splitlines()) <= 2
    return str(error.value)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("dtype", ["uint8", "int64", ">i4", "float32", "bool"])
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


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_code_in_a_pickle_does_not_run(tmp_path, protocol):
    target = tmp_path / "created"
    content = pickle.dumps({"data": Runs(open, str(target), "w")}, protocol)
    message = refused(content)
    assert not target.exists()
    assert message.startswith("batch: refused, because the pickle asks for ")
    assert "io.open" in message or "_io.open" in message
    assert "Nothing of it was run" in message
    # The pickle is a working one: without the guard it does create the file.
    pickle.loads(content)["data"].close()
    assert target.exists()


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"cos\nsystem\n(S'true'\ntR.", "os.system"),
        (b"cposix\nsystem\n(S'true'\ntR.", "posix.system"),
        (b"c__builtin__\neval\n(S'1'\ntR.", "__builtin__.eval"),
        (b"(S'true'\nios\nsystem\n.", "os.system"),
        (b"cnumpy\nload\n(S'x'\ntR.", "numpy.load"),
        (b"cnumpy.core.multiarray\nscalar\n.", "numpy.core.multiarray.scalar"),
        (b"\x80\x04\x8c\x05numpy\x8c\x11ndarray.__class__\x93.", "numpy.ndarray.__class__"),
        (b"Psomewhere\n.", "a persistent object"),
        (pickle.dumps({"data": np.array([{}], object)}, 2), "an array of type 'O8'"),
        (pickle.dumps({"data": np.zeros(2, "u1,u1")}, 2), "an array of type 'V2'"),
        (pickle.dumps({"data": np.array(["text"])}, 2), "an array of type 'U4'"),
        (pickle.dumps({"data": np.zeros(2, "M8[s]")}, 2), "an array of type 'M8'"),
        (b"cnumpy\nndarray\n(K\x01tR.", "an array of another class, or by a call of its own"),
        (b"c_codecs\nencode\n(V1\nVzip\ntR.", "_codecs.encode with an unexpected argument"),
    ],
)
def test_closed_list(content, name):
    assert f"asks for {name}" in refused(content)


def test_array_larger_than_its_content():
    rows = np.zeros((2, 3), np.uint8)
    claimed = array(rows).replace(b"(J\x02\x00\x00\x00", b"(J\xff\xff\xff\x7f")
    assert "6 bytes where its shape needs 6442450941" in refused(pickled({"data": claimed}))


def test_a_memo_place_far_away_takes_no_memory():
    """Python's own unpickler would make room for all places before it: 32 GiB."""
    assert "place 4,294,967,280 of the memo" in refused(b"\x80\x02}r\xf0\xff\xff\xff.")


def test_stand_ins_cannot_be_altered():
    """BUILD on a name of the closed list would otherwise set its attributes, for good."""
    refused(b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n}U\x01aK\x01sb.")
    refused(b"\x80\x02cnumpy\ndtype\nN}U\x0b__defaults__)s\x86b.")
    assert load_pickle(pickled({"data": array(np.ones((1, 1), np.uint8))}), "batch")["data"].tolist() == [[1]]


def test_every_truncation_and_changed_byte_is_a_data_error():
    content = pickled({"data": array(np.arange(6, dtype=np.uint8).reshape(2, 3)), "labels": sequence([b"K\x01"])})
    for end in range(len(content)):
        refused(content[:end])
    draws = np.random.default_rng(0)
    for _ in range(3000):
        changed = bytearray(content)
        for place in draws.integers(0, len(content), 2):
            changed[place] = draws.integers(0, 256)
        try:
            load_pickle(bytes(changed), "batch")
        except DataError:
            pass
