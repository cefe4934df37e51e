"""A table as data: columns, rows and footnotes, which `allcnn.reports.render` writes in any form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Column:
    """A column as people read it; `left` for text, which is not aligned as figures are."""

    heading: str
    left: bool = False


@dataclass(frozen=True)
class Row:
    """cells: as people read them, one a column. values: as programs do, more than is shown, under stable keys.

    notes: numbers of the table's footnotes. section: the heading under which the row stands.
    """

    cells: tuple[str, ...]
    values: dict[str, Any]
    notes: tuple[int, ...] = ()
    section: str | None = None


@dataclass(frozen=True)
class Table:
    """footnotes: number n at place n - 1. remarks: what is said of the whole table."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    footnotes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def notes_of(self, row: Row) -> list[str]:
        """The texts of a row's footnotes."""
        return [self.footnotes[number - 1] for number in row.notes]


@dataclass
class Footnotes:
    """Numbers texts in the order in which they are met; the same text keeps its number."""

    texts: dict[str, int] = field(default_factory=dict)

    def mark(self, notes: Sequence[str]) -> tuple[int, ...]:
        """The numbers of a row's footnotes, rising."""
        return tuple(sorted(self.texts.setdefault(note, len(self.texts) + 1) for note in notes))
