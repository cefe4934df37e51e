"""Reads the pickles of CIFAR without running anything that they ask for.

Python's own unpickler reads them. It finds only the names by which numpy writes an array, and gives a function of ours
for each. From a file numpy takes only a shape, a type of number that is on a list, and as many bytes as these need.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import re
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from allcnn.errors import DataError, printable

#: Booleans, whole numbers and floating-point numbers; no objects, no records, no text.
_NUMBER_TYPE = re.compile(r"[|<=]?(b1|[iu][1248]|f[248])")
#: numpy needs a few tuples an array. A key made of very many, one in the other, would take the processor's whole stack.
_MOST_TUPLES = 1000


def load_pickle(content: bytes, source: str) -> dict[str, object]:
    """Read a pickled dict of numpy arrays, lists, strings and numbers.

    `content` is the whole file, of any pickle protocol and from Python 2 or 3; `source` names it in
    messages. Keys come back as str, Python 2 strings as bytes. Numbers of more than a byte are taken to be in this
    machine's byte order.
    Raises DataError for anything else that the pickle asks for, and for a damaged file.
    """
    try:
        with warnings.catch_warnings():
            # A damaged text is told of below, not by a warning about its escapes.
            warnings.simplefilter("ignore")
            _check_instructions(content)
            value = _Unpickler(io.BytesIO(content), encoding="bytes").load()
            if isinstance(value, dict):
                return {_text(key): item for key, item in value.items()}
    except _Forbidden as error:
        raise DataError(
            f"{source}: refused, because the pickle asks for {error}. A CIFAR batch holds only numpy arrays, "
            "lists, strings and numbers.\nNothing of it was run; fetch the file again from a source you trust."
        ) from None
    except Exception as error:  # pickle, pickletools and numpy raise nearly anything for a damaged file
        detail = printable(" ".join(str(error).split())[:100]) or type(error).__name__
        raise DataError(
            f"{source}: truncated or corrupt ({detail}); expected a pickled CIFAR batch.\n"
            "Copy or unpack the file again."
        ) from None
    raise DataError(f"{source}: holds a {type(value).__name__}; expected a pickled dict, as in CIFAR's batches.")


def _check_instructions(content: bytes) -> None:
    """Refuse what the unpickler would not ask about: objects of Python's registry, and tuples deep enough to crash it.

    Raises:
        ValueError, _Forbidden
    """
    names = Counter(opcode.name for opcode, _, _ in pickletools.genops(content))
    for name in ("EXT1", "EXT2", "EXT4"):
        if names[name]:
            raise _Forbidden(f"the instruction {name}")
    tuples = sum(names[name] for name in ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"))
    if tuples > _MOST_TUPLES:
        raise ValueError(f"{tuples:,} tuples")


class _Forbidden(Exception):
    """The pickle asks for something outside the closed list."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        # numpy 2 says numpy._core where numpy 1 said numpy.core.
        found = _NAMES.get(f"{module.replace('numpy._core.', 'numpy.core.', 1)}.{name}")
        if found is None:
            raise _Forbidden(printable(f"{module}.{name}"[:200]))
        return found

    def persistent_load(self, _: object) -> Any:
        raise _Forbidden("a persistent object")


class _Name:
    """A name on the closed list: a pickle may call it, and do nothing else to it."""

    def __init__(self, function: Callable[..., Any]):
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, _: Any) -> None:
        raise ValueError("a state for a function")


def _ndarray(*_: Any) -> None:
    """numpy.ndarray, which is only ever named: a call could give it any memory as its content."""
    raise _Forbidden("an array by a call of its own")


def _reconstruct(subtype: Any, *_: Any) -> np.ndarray:
    """An array without content. numpy checks what comes then as its state: shape, type and bytes fit each other."""
    if subtype is not _NAMES["numpy.ndarray"]:
        raise _Forbidden("an array of another class")
    return np.empty(0, np.uint8)


def _dtype(text: str | bytes, *_: Any) -> np.dtype:
    """The one type of its name that numpy has. It takes no state, and so no byte order, from a file."""
    text = _text(text)
    if not _NUMBER_TYPE.fullmatch(text):
        raise _Forbidden(f"an array of type {text[:20]!r}")
    return np.dtype(text)


def _frombuffer(content: Any, number_type: Any, shape: Any, order: Any) -> np.ndarray:
    """An array in one piece, as pickle protocol 5 has it."""
    # Not over another array, whose memory a later state would free.
    if not isinstance(number_type, np.dtype) or not isinstance(content, bytes | bytearray):
        raise ValueError("a numpy array of an unknown form")
    return np.frombuffer(content, number_type).reshape(shape, order=order)


def _encode(text: str, encoding: str | bytes = "latin1") -> bytes:
    """_codecs.encode, by which Python 3 writes bytes for Python 2."""
    if encoding not in ("latin1", "latin-1", b"latin1"):
        raise _Forbidden("_codecs.encode with an unexpected argument")
    return text.encode("latin1")


_NAMES = {
    "numpy.ndarray": _Name(_ndarray),
    "numpy.core.multiarray._reconstruct": _Name(_reconstruct),
    "numpy.core.numeric._frombuffer": _Name(_frombuffer),
    "numpy.dtype": _Name(_dtype),
    "_codecs.encode": _Name(_encode),
}


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin1")
    if not isinstance(value, str):
        raise ValueError(f"a {type(value).__name__} where a text should be")
    return value
