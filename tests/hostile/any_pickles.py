"""Pickles of any instructions in any order, which reach further into their reader than damaged ones do."""

from __future__ import annotations

from hypothesis import strategies as st

from allcnn.data.pickles import load_pickle
from allcnn.errors import DataError


def _counted(opcode: bytes, contents: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """An instruction that says in one byte how long what follows is."""
    return contents.map(lambda content: opcode + bytes([len(content)]) + content)


_TEXTS = st.sampled_from([b"", b"data", b"labels", b"a" * 100, b"\xed\xb3\xbf", b"\xff", b"numpy", b"dtype", b"latin1"])
_SHORT = st.binary(max_size=12)
_INSTRUCTION = st.one_of(
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

INSTRUCTIONS = st.lists(_INSTRUCTION, max_size=30)


def read_instructions(instructions: list[bytes], whole: bool) -> bool:
    """Whether they are read as a batch may be; `whole`: inside a dict, so that more of them are."""
    code = b"".join(instructions)
    try:
        found = load_pickle(b"\x80\x02" + (b"}X\x01\x00\x00\x00a" + code + b"s." if whole else code + b"."), "batch")
    except DataError as error:
        lines = str(error).split("\n")
        assert lines[0].startswith("batch: ") and len(lines) <= 2 and all(line.isprintable() for line in lines)
        return False
    assert all(type(key) is str for key in found)
    return True
