"""Reads the pickles of CIFAR without running anything that they ask for.

Python's own unpickler reads them, but the only names it finds are those by which numpy writes an array, and each of
these stands for a class of ours. So numpy sees nothing of a file before it has been checked: an array comes from a type
of number, a shape and exactly as many bytes as they need.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import re
import warnings
from typing import Any

import numpy as np

from allcnn.data.printable import printable
from allcnn.errors import DataError

#: Booleans, whole numbers and floating-point numbers; no objects, no records, no text.
_NUMBER_TYPE = re.compile(r"[|<>=]?(b1|[iu][1248]|f[248])")
_MOST_DIMENSIONS = 8
#: The largest official file has some 200,000. A byte is enough to ask for an object of a hundred.
_MOST_INSTRUCTIONS = 2_000_000
#: numpy needs a few tuples an array. A key made of very many, one in the other, would take the processor's whole stack.
_MOST_TUPLES = 1000
#: What a damaged or hostile pickle makes `pickle`, `pickletools` or the classes below raise.
_FAILURES = (
    ArithmeticError, AttributeError, EOFError, ImportError, LookupError, MemoryError, RecursionError, TypeError,
    ValueError, pickle.UnpicklingError,
)  # fmt: skip


def load_pickle(content: bytes, source: str) -> dict[str, object]:
    """Read a pickled dict of numpy arrays, lists, strings and numbers.

    `content` is the whole file, of any pickle protocol and from Python 2 or 3; `source` names it in
    messages. Keys come back as str, Python 2 strings as bytes, arrays as read-only numpy arrays.
    Raises DataError for anything else that the pickle asks for, and for a damaged file.
    """
    try:
        with warnings.catch_warnings():
            # A damaged text is told of below, not by a warning about its escapes.
            warnings.simplefilter("ignore")
            _refuse_excess(content)
            value = _Unpickler(io.BytesIO(content), encoding="bytes").load()
            if isinstance(value, dict):
                return {_text(key): item.array if isinstance(item, _Array) else item for key, item in value.items()}
    except _Forbidden as error:
        raise DataError(
            f"{source}: refused, because the pickle asks for {error}. A CIFAR batch holds only numpy arrays, "
            "lists, strings and numbers.\nNothing of it was run; fetch the file again from a source you trust."
        ) from None
    except _FAILURES as error:
        detail = printable(" ".join(str(error).split())[:100]) or type(error).__name__
        raise DataError(
            f"{source}: truncated or corrupt ({detail}); expected a pickled CIFAR batch.\n"
            "Copy or unpack the file again."
        ) from None
    raise DataError(f"{source}: holds a {type(value).__name__}; expected a pickled dict, as in CIFAR's batches.")


def _refuse_excess(content: bytes) -> None:
    """Refuse what a small file can ask much by, and objects of a registry, which may be found without their name.

    Raises:
        ValueError, _Forbidden
    """
    tuples = 0
    for number, (opcode, argument, _) in enumerate(pickletools.genops(content)):
        if number == _MOST_INSTRUCTIONS:
            raise ValueError(f"more than {_MOST_INSTRUCTIONS:,} instructions")
        if type(argument) is int:
            if opcode.name.startswith("EXT"):
                raise _Forbidden(f"the instruction {opcode.name}")
            if not -(2**64) < argument < 2**64:
                raise ValueError("a whole number of more than 64 bits")
            if argument > len(content) and opcode.name.endswith("PUT"):
                raise ValueError(f"place {argument:,} of the memo")  # room would be made for all before it
        elif argument is None and opcode.name.startswith("TUPLE"):
            tuples += 1
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


# A pickle can set the state not only of objects but of the classes themselves: then `__setstate__` lacks an argument.


class _NumberType:
    """numpy.dtype of a number."""

    def __init__(self, text: str | bytes, *_: object):
        self._set(_text(text))

    def __setstate__(self, state: Any) -> None:
        """Take numpy's byte order."""
        _, byte_order, *record = state
        if record[:3] != [None] * 3:
            raise _Forbidden("an array of records")
        self._set(_text(byte_order) + self.dtype.str[1:])

    def _set(self, text: str) -> None:
        if not _NUMBER_TYPE.fullmatch(text):
            raise _Forbidden(f"an array of type {text[:20]!r}")
        self.dtype = np.dtype(text)


class _Array:
    """numpy.ndarray, and what reconstructs it: an empty one first, then its content as a state."""

    array: np.ndarray | None = None

    def __init__(self, subtype: object, *_: object):
        if subtype is not _Array:
            raise _Forbidden("an array of another class, or by a call of its own")

    def __setstate__(self, state: Any) -> None:
        _, shape, number_type, fortran_order, content = state
        self._fill(content, number_type, shape, "F" if fortran_order else "C")

    def _fill(self, content: Any, number_type: Any, shape: Any, order: str) -> None:
        if isinstance(content, str):
            content = content.encode("latin1")
        if not isinstance(number_type, _NumberType) or not isinstance(content, bytes | bytearray):
            raise ValueError("a numpy array of an unknown form")
        if type(shape) is not tuple or not all(type(n) is int and n >= 0 for n in shape):
            raise ValueError("a numpy array of an unknown shape")
        if len(shape) > _MOST_DIMENSIONS:
            raise ValueError(f"a numpy array of {len(shape)} dimensions")
        expected = math.prod(shape) * number_type.dtype.itemsize
        if len(content) != expected:
            raise ValueError(f"a numpy array of {len(content)} bytes where its shape needs {expected}")
        self.array = np.frombuffer(content, number_type.dtype).reshape(shape, order="F" if order == "F" else "C")
        self.array.flags.writeable = False


class _FromBuffer(_Array):
    """An array in one piece, as pickle protocol 5 has it."""

    def __init__(self, content: Any, number_type: Any, shape: Any, order: str):
        self._fill(content, number_type, shape, order)


class _Encoded:
    """_codecs.encode, by which Python 3 writes bytes for Python 2."""

    def __new__(cls, text: str, encoding: str | bytes = "latin1") -> Any:
        if encoding not in ("latin1", "latin-1", b"latin1"):
            raise _Forbidden("_codecs.encode with an unexpected argument")
        return text.encode("latin1")

    def __setstate__(self, _: Any) -> None:
        raise ValueError("a state for bytes")


_NAMES = {
    "numpy.ndarray": _Array,
    "numpy.core.multiarray._reconstruct": _Array,
    "numpy.core.numeric._frombuffer": _FromBuffer,
    "numpy.dtype": _NumberType,
    "_codecs.encode": _Encoded,
}


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin1")
    if not isinstance(value, str):
        raise ValueError(f"a {type(value).__name__} where a text should be")
    return value
