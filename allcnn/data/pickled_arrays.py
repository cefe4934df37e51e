"""The closed list of names in a pickle, those by which numpy writes an array, and what each of them stands for here.

None of numpy's own functions sees what a file says before it has been checked: an array comes from a type of number,
a shape and exactly as many bytes as they need.
"""

from __future__ import annotations

import math
import re
from enum import Enum

import numpy as np

from allcnn.data.printable import printable

#: Booleans, whole numbers and floating-point numbers; no objects, no records, no text.
_NUMBER_TYPE = re.compile(r"[|<>=]?(b1|[iu][1248]|f[248])")
_MOST_DIMENSIONS = 8


class Forbidden(Exception):
    """The pickle asks for something outside the closed list."""


class Name(Enum):
    """What a pickle may name."""

    ARRAY_TYPE = "numpy.ndarray"
    NUMBER_TYPE = "numpy.dtype"
    RECONSTRUCT = "numpy.core.multiarray._reconstruct"
    FROM_BUFFER = "numpy.core.numeric._frombuffer"
    ENCODE = "_codecs.encode"


class NumberType:
    """numpy.dtype of a number."""

    def __init__(self, text: str) -> None:
        self.set(text)

    def set(self, text: str) -> None:
        """Take another type or byte order."""
        if not _NUMBER_TYPE.fullmatch(text):
            raise Forbidden(f"an array of type {text[:20]!r}")
        self.dtype = np.dtype(text)


class Array:
    """An array while it is being made: numpy's pickles first make it empty and then fill it."""

    def __init__(self) -> None:
        self.array: np.ndarray | None = None

    def fill(self, content: object, number_type: object, shape: object, order: str) -> None:
        """Take the pixels or labels, if they are as many as type and shape need."""
        if isinstance(content, str):
            content = content.encode("latin1")
        if not isinstance(number_type, NumberType) or not isinstance(content, bytes | bytearray):
            raise ValueError("a numpy array of an unknown form")
        if type(shape) is not tuple or not all(type(n) is int and n >= 0 for n in shape):
            raise ValueError("a numpy array of an unknown shape")
        if len(shape) > _MOST_DIMENSIONS:
            raise ValueError(f"a numpy array of {len(shape)} dimensions")
        expected = math.prod(shape) * number_type.dtype.itemsize
        if len(content) != expected:
            raise ValueError(f"a numpy array of {len(content)} bytes where its shape needs {expected}")
        array = np.frombuffer(content, number_type.dtype).reshape(shape, order="F" if order == "F" else "C")
        array.flags.writeable = False
        self.array = array


def name_of(module: str, name: str) -> Name:
    """The name, if it is one of the closed list; nothing is imported. Raises Forbidden."""
    # numpy 2 says numpy._core where numpy 1 said numpy.core.
    found = _NAMES.get(f"{module.replace('numpy._core.', 'numpy.core.', 1)}.{name}")
    if found is None:
        raise Forbidden(printable(f"{module}.{name}"[:200]))
    return found


def make(name: Name, arguments: tuple[object, ...]) -> object:
    """What a call of the name gives. Raises Forbidden or ValueError."""
    match name, arguments:
        case Name.RECONSTRUCT, (subtype, _, _):
            if subtype is not Name.ARRAY_TYPE:
                raise Forbidden("an array of another class")
            return Array()
        case Name.FROM_BUFFER, (content, number_type, shape, str(order)):
            array = Array()
            array.fill(content, number_type, shape, order)
            return array
        case Name.NUMBER_TYPE, (str() | bytes() as text, *_):
            return NumberType(_text(text))
        case Name.ENCODE, (str(text),) | (str(text), "latin1" | "latin-1" | b"latin1"):
            # By which Python 3 writes bytes for Python 2.
            return text.encode("latin1")
        case Name.ENCODE, _:
            raise Forbidden("_codecs.encode with an unexpected argument")
        case Name.ARRAY_TYPE, _:
            raise Forbidden("numpy.ndarray by a call of its own")
    raise ValueError(f"{name.value} with {len(arguments)} unexpected arguments")


def change(target: object, state: object) -> None:
    """Give an array its content, or a type of number its byte order. Raises Forbidden or ValueError."""
    match target, state:
        case Array(), (_, shape, number_type, fortran_order, content):
            target.fill(content, number_type, shape, "F" if fortran_order else "C")
        case NumberType(), (_, str() | bytes() as byte_order, None, None, None, _, _, _):
            target.set(_text(byte_order) + target.dtype.str[1:])
        case NumberType(), _:
            raise Forbidden("an array of records")
        case _:
            raise ValueError(f"a state for a {type(target).__name__}")


_NAMES = {name.value: name for name in Name}


def _text(value: str | bytes) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else value
