"""The few exceptions people meet, and what the checks that raise them share.

Every message says what came, what was expected and what to do. The shell prints the message without a
traceback and leaves with `exit_code`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeGuard


class AllcnnError(Exception):
    """Something failed while running (exit code 1)."""

    exit_code = 1


class InputError(AllcnnError, ValueError):
    """The call or its input was wrong (exit code 2)."""

    exit_code = 2


class SpecError(InputError):
    """A network's text could not be understood; the message names the token and its position."""


class DataError(InputError):
    """Images or labels are missing, broken or not what the call needs; the message names the file."""


class CheckpointError(InputError):
    """A file that should hold a model or a training state does not; the message names it."""


class RunError(InputError):
    """A run folder cannot be used as asked, for example because it holds another run."""


class TrainingError(AllcnnError):
    """Training itself failed, for example by diverging."""


class Interrupted(AllcnnError):
    """The user stopped a run (exit code 130); the message says how to go on."""

    exit_code = 130


class HostError(AllcnnError):
    """Hosts that share a run did not find each other, or one of them was lost (exit code 1)."""


def one_of(name: object, known: Iterable[str]) -> str:
    """For the message about a wrong name: all known names, and the nearest ones."""
    names = list(known)
    return f"expected one of: {', '.join(names)}.{did_you_mean(nearest(name, names))}"


def refuse_unknown(what: str, name: object, known: Iterable[str]) -> None:
    """Raise InputError for a name that is not among the known ones."""
    names = tuple(known)
    if name not in names:
        raise InputError(f'unknown {what} "{name}"; {one_of(name, names)}')


def nearest(name: object, known: Iterable[str]) -> list[str]:
    """At most three known names: those that a wrong one begins, else those spelled like it."""
    from difflib import get_close_matches

    typed, names = str(name).strip().lower()[:100], list(known)
    begun = [each for each in names if each.startswith(typed)] if typed else []
    return begun[:3] or get_close_matches(typed, names, cutoff=0.8) or get_close_matches(typed, names)


def did_you_mean(names: Sequence[str]) -> str:
    """` Did you mean a, b or c?`, with a space before it; nothing for no names."""
    *others, last = names or [""]
    return f" Did you mean {', '.join(others)}{' or ' if others else ''}{last}?" if last else ""


def first_of(names: Sequence[str], most: int) -> str:
    """The first names, joined by commas, with an ellipsis for more."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def install_hint(extra: str) -> str:
    """How to install the packages of an extra of allcnn, or one that it requires, wherever allcnn came from."""
    import re
    from importlib.metadata import PackageNotFoundError, requires

    try:
        pairs = [line.partition(";")[::2] for line in requires("allcnn") or ()]
    except PackageNotFoundError:
        pairs = []
    packages = [
        package.strip()
        for package, marker in pairs
        if re.search(rf"""extra == ['"]{extra}['"]""", marker) or (not marker and re.match(rf"{extra}\b", package))
    ]
    # A copy of the repository that was never installed has its extras only.
    wanted = " ".join(f'"{package}"' for package in packages) or f'".[{extra}]"'
    return f"Install it with: pip install {wanted}"


def installed_versions(packages: Iterable[str]) -> dict[str, str]:
    """The versions of those packages that are installed."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def is_whole(value: object) -> TypeGuard[int]:
    """Whether a value is a whole number. True and False, which Python counts among them, are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def printable(name: str | Path) -> str:
    """A name that others chose, for a message of one line: control characters and undecodable bytes are escaped."""
    text = str(name)
    return text if text.isprintable() else repr(text)[1:-1]


def one_line(error: object) -> str:
    """The first line of a message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
