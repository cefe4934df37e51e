"""How the commands speak: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
import math
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any

#: Characters in a line that every terminal has room for.
WIDTH = 80
# More than any table needs: outside a terminal nothing is folded.
_WIDE = 4000


def complain(text: str) -> None:
    """Write text to standard error. In a terminal the word "error:" at its beginning is red."""
    rest = text.removeprefix("error:")
    if rest == text or not sys.stderr.isatty():
        print(legible(text), file=sys.stderr, flush=True)
        return
    from rich.console import Console
    from rich.text import Text

    Console(stderr=True).print(Text.assemble(("error:", "red"), legible(rest)), soft_wrap=True)


def legible(text: str) -> str:
    """The text with control characters and undecodable bytes escaped: names and reasons come from files of others."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in "\n\t" else repr(one)[1:-1] for one in text)


@contextmanager
def only_results_on_stdout() -> Iterator[None]:
    """Send to standard error whatever a library prints inside the block, so that standard output is ours alone."""
    with redirect_stdout(sys.stderr):
        yield


@contextmanager
def only_python_on_stdout() -> Iterator[None]:
    """Throw away what libraries of C write to file descriptor 1 inside the block.

    Gloo, through which JAX's CPUs talk to each other, writes a line there for every rank.
    """
    import ctypes
    import os

    sys.stdout.flush()
    try:
        saved = os.dup(1)
    except OSError:  # no descriptor 1 to save
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    try:
        yield
    finally:
        ctypes.CDLL(None).fflush(None)  # what C has not written yet belongs there too
        os.dup2(saved, 1)
        os.close(saved)


def show(text: str = "") -> None:
    """Write a line of the result."""
    print(legible(text))


def show_sentence(text: str, mark: str = "") -> None:
    """Write a line of prose after a mark. In a terminal its further lines stand below the first, not below the mark."""
    if sys.stdout.isatty():
        columns = shutil.get_terminal_size().columns
        show(textwrap.fill(text, columns, initial_indent=mark, subsequent_indent=" " * len(mark)))
    else:
        show(mark + text)


def show_json(document: dict[str, Any]) -> None:
    """Write the one JSON document of a command; what JSON cannot hold, such as infinity, becomes null."""
    print(json.dumps(_plain(document), indent=1, allow_nan=False))


def show_table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1, total: bool = False) -> None:
    """Write a table; the first `left` columns are text, the others figures. `total`: the last row is a sum.

    In a terminal that is too narrow texts go over several lines.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for index, heading in enumerate(headings):
        text = index < left
        table.add_column(heading, justify="left" if text else "right", no_wrap=not text, overflow="fold")
    for index, row in enumerate(rows):
        table.add_row(*map(legible, row), end_section=total and index == len(rows) - 2)
    # File names and specs may hold brackets and colons, which would be taken for markup and emoji.
    console = Console(width=None if sys.stdout.isatty() else _WIDE, markup=False, emoji=False, highlight=False)
    with console.capture() as capture:
        console.print(table)
    # Rich fills every line up with spaces.
    print("\n".join(line.rstrip() for line in capture.get().rstrip().splitlines()))


def table_width(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """How many characters a line of `show_table` takes if nothing is folded."""
    from rich.cells import cell_len

    widths = [max(map(cell_len, cells)) for cells in zip(headings, *rows, strict=True)]
    return sum(widths) + 2 * (len(widths) - 1)


def percent(value: float | None) -> str:
    """A percentage with two decimals, "-" where there is none."""
    return "-" if value is None else f"{value:.2f}"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
