"""Whatever a file holds, its reader gives images or a DataError that names it. The long form is a study of its own."""

from __future__ import annotations

import random

import pytest
from foreign_files import REFUSED, Kind, damage, examine, make_kinds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from allcnn.data.pickles import load_pickle
from allcnn.errors import DataError

# The same examples every time; tests/studies/fuzz_readers.py makes new ones.
bounded = settings(derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))

WAYS = st.sampled_from(["bits", "bits", "cut", "overwritten", "put in", "taken out"])
SEEDS = st.integers(0, 2**32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("foreign")


@pytest.fixture(scope="module")
def kinds(folder) -> dict[str, Kind]:
    return make_kinds(folder)


@settings(bounded, max_examples=700)
@given(data=st.data(), way=WAYS, seed=SEEDS)
def test_a_damaged_file(data, way, seed, kinds, folder) -> None:
    name = data.draw(st.sampled_from(sorted(kinds)))
    content = damage(kinds[name].content, random.Random(seed), way)
    found = examine(kinds[name], folder / name, content)
    assert found == REFUSED or not kinds[name].has_checksum or content == kinds[name].content


@settings(bounded, max_examples=300)
@given(data=st.data(), content=st.binary(max_size=200), kept=st.integers(0, 60))
def test_any_bytes(data, content, kept, kinds, folder) -> None:
    """Behind nothing or the first bytes of a sound file."""
    name = data.draw(st.sampled_from(sorted(kinds)))
    examine(kinds[name], folder / name, kinds[name].content[:kept] + content)


# A pickle's instructions in any order reach further than damaged ones do.
def _counted(opcode: bytes, contents: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """An instruction that says in one byte how long what follows is."""
    return contents.map(lambda content: opcode + bytes([len(content)]) + content)


_TEXTS = st.sampled_from([b"", b"data", b"labels", b"a" * 100, b"\xed\xb3\xbf", b"\xff", b"numpy", b"dtype", b"latin1"])
_SHORT = st.binary(max_size=12)
_INSTRUCTIONS = st.one_of(
    # Those that say nothing more: what a batch needs, and what it may not have
    st.sampled_from([bytes([code]) for code in b"()]}tldaesuRbN\x85\x86\x87\x88\x89\x93\x94"]),
    st.sampled_from([bytes([code]) for code in b"012oQ\x81\x92\x8f\x90\x91\x97\x98"]),
    st.tuples(st.sampled_from(b"qh"), st.integers(0, 3)).map(bytes),
    st.integers(-(2**31), 2**31 - 1).map(lambda value: b"J" + value.to_bytes(4, "little", signed=True)),
    st.floats().map(lambda value: b"F" + repr(value).encode() + b"\n"),
    _counted(b"\x8a", _SHORT),
    _counted(b"C", _SHORT),
    _counted(b"U", _TEXTS),
    _counted(b"\x8c", _TEXTS),
    st.sampled_from([b"cnumpy\nndarray\n", b"cnumpy\ndtype\n", b"cnumpy.core.multiarray\n_reconstruct\n",
                     b"cnumpy._core.numeric\n_frombuffer\n", b"c_codecs\nencode\n", b"cos\nsystem\n",
                     # a type of number, its state, and an empty array
                     b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R",
                     b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb",
                     b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"]),
)  # fmt: skip


@settings(bounded, max_examples=800)
@given(instructions=st.lists(_INSTRUCTIONS, max_size=30), whole=st.booleans())
def test_any_instructions(instructions, whole) -> None:
    """`whole`: inside a dict, so that more of them end as a batch."""
    code = b"".join(instructions)
    try:
        found = load_pickle(b"\x80\x02" + (b"}X\x01\x00\x00\x00a" + code + b"s." if whole else code + b"."), "batch")
    except DataError as error:
        assert str(error).startswith("batch: ") and len(str(error).split("\n")) <= 2
    else:
        assert all(type(key) is str for key in found)
