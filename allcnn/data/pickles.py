"""Reads the pickles of CIFAR without running anything that they ask for.

A pickle is a program for a small stack machine, one that may name any function and have it called. The machine here is
our own, not Python's. It knows the instructions that put numbers, texts, lists, tuples and dicts together, and the few
names by which numpy writes an array (`pickled_arrays`); any other instruction or name ends the reading. No class or
function of the file's choice is ever looked up, and what a file can make us hold is bounded by its size.
"""

from __future__ import annotations

import pickletools
import warnings
from collections.abc import Callable
from typing import Any

from allcnn.data.pickled_arrays import Array, Forbidden, Name, change, make, name_of
from allcnn.data.printable import printable
from allcnn.errors import DataError

#: The largest official file has some 200,000. A byte is enough to ask for an object of a hundred.
_MOST_INSTRUCTIONS = 2_000_000

#: What a damaged or hostile pickle makes `pickletools`, or the machine below, raise.
_FAILURES = (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError)


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
            value = _Machine().run(content)
    except Forbidden as error:
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
    if not isinstance(value, dict):
        raise DataError(f"{source}: holds a {type(value).__name__}; expected a pickled dict, as in CIFAR's batches.")
    return {_text(key): item.array if isinstance(item, Array) else item for key, item in value.items()}


class _Machine:
    """The stack, the places where lists and the like begin on it, and the memo of what was made before."""

    def __init__(self) -> None:
        self.stack: list[object] = []
        self.marks: list[int] = []
        self.memo: dict[int, object] = {}

    def run(self, content: bytes) -> object:
        for number, (opcode, argument, _) in enumerate(pickletools.genops(content)):
            if number == _MOST_INSTRUCTIONS:
                raise ValueError(f"more than {_MOST_INSTRUCTIONS:,} instructions")
            if opcode.name == "STOP":
                break
            step = _STEPS.get(opcode.name)
            if step is None:
                raise Forbidden(f"the instruction {opcode.name}")
            step(self, argument)
        if len(self.stack) != 1 or self.marks:
            raise ValueError(f"{len(self.stack)} objects where one should be left")
        return self.stack[0]

    def pop(self) -> object:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise ValueError("an instruction lacks its object")
        return self.stack.pop()

    def pop_to_mark(self) -> list[object]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    # The instructions

    def push(self, argument: object) -> None:
        self.stack.append(argument)

    def push_number(self, argument: int) -> None:
        # Longer ones cost time to multiply and cannot even be printed.
        if not -(2**64) < argument < 2**64:
            raise ValueError("a whole number of more than 64 bits")
        self.stack.append(argument)

    def push_bytes(self, argument: str) -> None:
        self.stack.append(argument.encode("latin1"))

    def mark(self, _: object) -> None:
        self.marks.append(len(self.stack))

    def make_tuple(self, length: int) -> None:
        items = [self.pop() for _ in range(length)]
        self.stack.append(tuple(reversed(items)))

    def extend_list(self, items: list[object]) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            raise ValueError(f"items for a {type(target).__name__}; expected a list")
        target.extend(items)

    def extend_dict(self, items: list[object]) -> None:
        target = self.stack[-1]
        if type(target) is not dict or len(items) % 2:
            raise ValueError(f"{len(items)} keys and values for a {type(target).__name__}; expected a dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Texts only: to find the place of a deeply nested tuple would take all of the processor's stack.
            if type(key) not in (str, bytes):
                raise ValueError(f"a key that is a {type(key).__name__}; expected a text")
            target[key] = value

    def make_dict(self, _: object) -> None:
        items = self.pop_to_mark()
        self.stack.append({})
        self.extend_dict(items)

    def set_item(self, _: object) -> None:
        value, key = self.pop(), self.pop()
        self.extend_dict([key, value])

    def get(self, place: int) -> None:
        self.stack.append(self.memo[place])

    def put(self, place: int) -> None:
        self.memo[place] = self.stack[-1]

    def push_name(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self.stack.append(name_of(module, name))

    def push_name_from_stack(self, _: object) -> None:
        name, module = self.pop(), self.pop()
        if type(module) is not str or type(name) is not str:
            raise ValueError("a name that is no text")
        self.stack.append(name_of(module, name))

    def call(self, _: object) -> None:
        arguments, name = self.pop(), self.pop()
        if not isinstance(name, Name) or type(arguments) is not tuple:
            raise ValueError(f"a call of a {type(name).__name__}")
        self.stack.append(make(name, arguments))

    def build(self, _: object) -> None:
        state = self.pop()
        change(self.stack[-1], state)


def _check_protocol(_: _Machine, version: int) -> None:
    if version > 5:
        raise ValueError(f"pickle protocol {version}")


def _refuse_instance(_: _Machine, argument: str) -> None:
    raise Forbidden(printable(argument.replace(" ", ".", 1)[:200]))


def _refuse_persistent(_: _Machine, argument: object) -> None:
    raise Forbidden("a persistent object")


_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": _check_protocol,
    # Says how much may be read ahead; everything has been read.
    "FRAME": lambda machine, length: None,
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    **dict.fromkeys(("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"), _Machine.push_number),
    **dict.fromkeys(("FLOAT", "BINFLOAT"), _Machine.push),
    **dict.fromkeys(("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"), _Machine.push),
    **dict.fromkeys(("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"), _Machine.push),
    **dict.fromkeys(("STRING", "BINSTRING", "SHORT_BINSTRING"), _Machine.push_bytes),
    "MARK": _Machine.mark,
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_to_mark())),
    "TUPLE1": lambda machine, _: machine.make_tuple(1),
    "TUPLE2": lambda machine, _: machine.make_tuple(2),
    "TUPLE3": lambda machine, _: machine.make_tuple(3),
    "LIST": lambda machine, _: machine.push(machine.pop_to_mark()),
    "APPEND": lambda machine, _: machine.extend_list([machine.pop()]),
    "APPENDS": lambda machine, _: machine.extend_list(machine.pop_to_mark()),
    "DICT": _Machine.make_dict,
    "SETITEM": _Machine.set_item,
    "SETITEMS": lambda machine, _: machine.extend_dict(machine.pop_to_mark()),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Machine.get),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _Machine.put),
    "MEMOIZE": lambda machine, _: machine.put(len(machine.memo)),
    "GLOBAL": _Machine.push_name,
    "STACK_GLOBAL": _Machine.push_name_from_stack,
    "REDUCE": _Machine.call,
    "BUILD": _Machine.build,
    # Known only to say what they are.
    "INST": _refuse_instance,
    "PERSID": _refuse_persistent,
    "BINPERSID": _refuse_persistent,
}


def _text(key: str | bytes) -> str:
    return key.decode("latin1") if isinstance(key, bytes) else key
