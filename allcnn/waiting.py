"""A spinner on standard error that says what takes so long, in a terminal only."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.status import Status

_wanted = False
_status: Status | None = None


def show_waiting() -> None:
    """Let `waiting` show its spinner in this process; for programs that are all ours."""
    global _wanted
    _wanted = True


@contextmanager
def waiting(doing: str) -> Iterator[None]:
    """Show a spinner while the block lasts; inside another one, change its text until the block ends.

    Lines that Python writes meanwhile stand above it. The block must not draw anything that moves by itself. Nothing is
    shown where `show_waiting` was not called or standard error is no terminal.
    """
    global _status
    if not (_wanted and sys.stderr.isatty()):
        yield
        return
    if _status is not None:
        before = _status.status
        _status.update(f"{doing} ...")
        try:
            yield
        finally:
            _status.update(before)
        return
    from rich.console import Console

    # A descriptor of its own: `hold_standard_error` turns descriptor 2 away.
    with os.fdopen(os.dup(2), "w", encoding=sys.stderr.encoding, errors="replace") as terminal:
        _status = Console(file=terminal, highlight=False).status(f"{doing} ...")
        try:
            with _status:
                yield
        finally:
            _status = None
