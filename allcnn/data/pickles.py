"""Reads the pickles of CIFAR without running anything that they ask for.

A pickle is a program: it may name any function and have it called. The unpickler here knows four names, all
of them parts of a numpy array, and answers each with a stand-in of its own, so that not even numpy's code
runs on what the file says before it has been checked.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import re
import warnings

import numpy as np

from allcnn.errors import DataError

#: Booleans, whole numbers and floating-point numbers; no objects, no records, no text.
_NUMBER_TYPE = re.compile(r"[|<>=]?(b1|[iu][1248]|f[248])")

_MEMO_OPCODES = {"PUT", "BINPUT", "LONG_BINPUT"}

#: What a damaged or hostile pickle makes the standard unpickler, or the stand-ins below, raise.
_FAILURES = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)


class _Forbidden(Exception):
    """The pickle asks for something outside the closed list."""


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
            _check_opcodes(content)
            value = _Unpickler(io.BytesIO(content), encoding="bytes").load()
    except _Forbidden as error:
        raise DataError(
            f"{source}: refused, because the pickle asks for {error}. A CIFAR batch holds only numpy arrays, "
            "lists, strings and numbers.\nNothing of it was run; fetch the file again from a source you trust."
        ) from None
    except _FAILURES as error:
        detail = " ".join(str(error).split())[:100] or type(error).__name__
        raise DataError(
            f"{source}: truncated or corrupt ({detail}); expected a pickled CIFAR batch.\n"
            "Copy or unpack the file again."
        ) from None
    if not isinstance(value, dict):
        raise DataError(f"{source}: holds a {type(value).__name__}; expected a pickled dict, as in CIFAR's batches.")
    return {_text(key): _finished(item) for key, item in value.items()}


def _check_opcodes(content: bytes) -> None:
    """Refuse memo places that no pickler writes: the standard unpickler would allocate up to the place named."""
    for number, (opcode, argument, _) in enumerate(pickletools.genops(content)):
        if opcode.name in _MEMO_OPCODES and isinstance(argument, int) and argument > number:
            raise ValueError(f"memo place {argument} at opcode {number}")


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type:
        try:
            return _STAND_INS[module, name]
        except KeyError:
            raise _Forbidden(f"{module}.{name}") from None

    def persistent_load(self, pid: object) -> object:
        raise _Forbidden("a persistent object")


class _StandIn:
    """A class that a pickle may call, but not alter: pickle's BUILD would otherwise set its attributes."""

    def __setstate__(self, state: object) -> None:
        raise TypeError(f"unexpected state for {type(self).__name__}")


class _ArrayType(_StandIn):
    """numpy.ndarray, which appears only as the first argument of `_reconstruct`."""

    def __init__(self, *arguments: object) -> None:
        raise _Forbidden("numpy.ndarray by a call of its own")


class _NumberType(_StandIn):
    """numpy.dtype of a number."""

    def __init__(self, text: object, align: object = False, copy: object = True) -> None:
        self._set(_text(text))

    def __setstate__(self, state: object) -> None:
        # (version, byte order, subdtype, names, fields, itemsize, alignment, flags)
        if not isinstance(state, tuple) or len(state) != 8 or state[2:5] != (None, None, None):
            raise _Forbidden("an array of records")
        self._set(_text(state[1]) + self.dtype.str[1:])

    def _set(self, text: str) -> None:
        if not _NUMBER_TYPE.fullmatch(text):
            raise _Forbidden(f"an array of type {text!r}")
        self.dtype = np.dtype(text)


class _Array(_StandIn):
    """What numpy's `_reconstruct` returns: an empty array that its state then fills."""

    def __init__(self, subtype: object, shape: object, code: object) -> None:
        if subtype is not _ArrayType:
            raise _Forbidden("an array of another class")
        self.array: np.ndarray | None = None

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise ValueError("a numpy array of an unknown form")
        _, shape, number_type, fortran_order, content = state
        self._fill(content, number_type, shape, "F" if fortran_order else "C")

    def _fill(self, content: object, number_type: object, shape: object, order: object) -> None:
        if isinstance(content, str):
            content = content.encode("latin1")
        if not isinstance(number_type, _NumberType) or not isinstance(content, bytes | bytearray):
            raise ValueError("a numpy array of an unknown form")
        if not isinstance(shape, tuple) or not all(isinstance(n, int) and n >= 0 for n in shape) or len(shape) > 8:
            raise ValueError(f"a numpy array of shape {str(shape)[:40]}")
        expected = math.prod(shape) * number_type.dtype.itemsize
        if len(content) != expected:
            raise ValueError(f"a numpy array of {len(content)} bytes where its shape needs {expected}")
        array = np.frombuffer(content, number_type.dtype).reshape(shape, order="F" if order == "F" else "C")
        array.flags.writeable = False
        self.array = array


class _ArrayFromBuffer(_Array):
    """numpy's `_frombuffer`, by which pickles of protocol 5 make arrays."""

    def __init__(self, content: object, number_type: object, shape: object, order: object) -> None:
        self._fill(content, number_type, shape, order)


class _Encoded(_StandIn):
    """_codecs.encode(text, "latin1"), by which Python 3 writes bytes for Python 2."""

    def __new__(cls, text: object, encoding: object = "latin1") -> bytes:  # type: ignore[misc]
        if not isinstance(text, str) or encoding not in ("latin1", "latin-1", b"latin1"):
            raise _Forbidden("_codecs.encode with an unexpected argument")
        return text.encode("latin1")


_STAND_INS: dict[tuple[str, str], type] = {
    ("numpy", "ndarray"): _ArrayType,
    ("numpy", "dtype"): _NumberType,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.numeric", "_frombuffer"): _ArrayFromBuffer,
    ("numpy._core.numeric", "_frombuffer"): _ArrayFromBuffer,
    ("_codecs", "encode"): _Encoded,
}


def _text(value: object) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else str(value)


def _finished(value: object) -> object:
    return value.array if isinstance(value, _Array) else value
