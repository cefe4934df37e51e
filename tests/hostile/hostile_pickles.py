"""Pickles that run code when Python's own unpickler reads them, each with a sign that it did."""

from __future__ import annotations

import copyreg
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from allcnn.data import Dataset

_VARIABLE = "ALLCNN_HOSTILE_PICKLE"
_EXTENSION = 200


class Hostile(NamedTuple):
    """A pickle, whether its code has run, and what takes the traces away."""

    content: bytes
    has_run: Callable[[], bool]
    clean: Callable[[], object]


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function: Callable, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple:
        return self.call


def text(value: object) -> bytes:
    encoded = str(value).encode()
    return b"X" + len(encoded).to_bytes(4, "little") + encoded


def in_batch(code: bytes, protocol: int = 2) -> bytes:
    """A dict, as a batch is, with the object that `code` leaves as its data."""
    return b"\x80" + bytes([protocol]) + b"}" + text("data") + code + b"s."


def _makes_folder(code: Callable[[bytes], bytes]) -> Callable[[Path], Hostile]:
    """`code` gets the pickled name of a folder and should make it by os.mkdir."""

    def hostile(place: Path) -> Hostile:
        target = place / "made-by-the-pickle"
        return Hostile(in_batch(code(text(target)), 4), target.exists, target.rmdir)

    return hostile


def _through_numpy_array(place: Path) -> Hostile:
    target = place / "made-by-the-pickle"
    content = pickle.dumps({"data": np.array([Calls(os.mkdir, str(target))], object)}, 2)
    return Hostile(content, target.exists, target.rmdir)


def _imports_a_module(place: Path) -> Hostile:
    (place / "hostile_module.py").write_text(f"import os\nos.mkdir({str(place / 'made-by-the-pickle')!r})\nvalue = 1\n")
    sys.path.insert(0, str(place))

    def clean() -> None:
        sys.path.remove(str(place))
        if sys.modules.pop("hostile_module", None):
            (place / "made-by-the-pickle").rmdir()

    return Hostile(in_batch(b"chostile_module\nvalue\n"), (place / "made-by-the-pickle").exists, clean)


def _sets_an_item(_: Path) -> Hostile:
    """No call at all: an item of os.environ."""
    content = in_batch(b"cos\nenviron\n" + text(_VARIABLE) + text("1") + b"s")
    return Hostile(content, lambda: _VARIABLE in os.environ, lambda: os.environ.pop(_VARIABLE, None))


def _builds(_: Path) -> Hostile:
    """No call at all: an attribute of a class of ours."""
    state = b"N}" + text("altered") + b"K\x01s\x86"
    content = in_batch(b"callcnn.data.dataset\nDataset\n" + state + b"b")
    return Hostile(content, lambda: hasattr(Dataset, "altered"), lambda: delattr(Dataset, "altered"))


def _extension(place: Path) -> Hostile:
    """A name by its number in copyreg's registry."""
    copyreg.add_extension("os", "mkdir", _EXTENSION)
    target = place / "made-by-the-pickle"

    def clean() -> None:
        copyreg.remove_extension("os", "mkdir", _EXTENSION)
        copyreg.clear_extension_cache()
        target.rmdir()

    return Hostile(in_batch(b"\x82" + bytes([_EXTENSION]) + text(target) + b"\x85R"), target.exists, clean)


_MKDIR = b"cos\nmkdir\n"

#: What a file may try, by name; each takes a folder to make its mark in.
HOSTILE: dict[str, Callable[[Path], Hostile]] = {
    "GLOBAL and REDUCE": _makes_folder(lambda name: _MKDIR + name + b"\x85R"),
    "STACK_GLOBAL and REDUCE": _makes_folder(lambda name: text("os") + text("mkdir") + b"\x93" + name + b"\x85R"),
    "INST": _makes_folder(lambda name: b"(" + name + b"ios\nmkdir\n"),
    "OBJ": _makes_folder(lambda name: b"(" + _MKDIR + name + b"o"),
    "NEWOBJ": _makes_folder(
        lambda name: b"cbuiltins\ntuple\ncbuiltins\nmap\n" + _MKDIR + name + b"\x85\x86\x81\x85\x81"
    ),
    "NEWOBJ_EX": _makes_folder(
        lambda name: b"cbuiltins\ntuple\ncbuiltins\nmap\n" + _MKDIR + name + b"\x85\x86\x81\x85}\x92"
    ),
    "in an array of objects": _through_numpy_array,
    "by an import": _imports_a_module,
    "by SETITEM": _sets_an_item,
    "by BUILD": _builds,
    "by EXT1": _extension,
}  # fmt: skip
