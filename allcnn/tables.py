"""A table as data, and the same table as text: lines for a terminal, markdown, LaTeX, CSV, JSON, HTML of a notebook.

The page's HTML is made by `allcnn/page/parts.html`. A duration as text is here too.
"""

from __future__ import annotations

import csv
import io
import json
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from typing import Any

#: What a cell shows where there is no value.
MISSING = "-"
Values = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """A column as people read it.

    text: a row's values -> the text of the cell. left: aligned as text, not as figures. optional: left out of a table
    in which no row has anything in it. spare: left out of a terminal that is too narrow for all.
    """

    heading: str
    text: Callable[[Values], str]
    left: bool = False
    optional: bool = False
    spare: bool = False


def value(key: str, pattern: str = ".2f") -> Callable[[Values], str]:
    """The text of a column that shows one value: formatted, or "-" where it is None."""
    return lambda values: MISSING if values[key] is None else format(values[key], pattern)


@dataclass(frozen=True)
class Row:
    """cells: for people, one a column. values: for programs, under stable keys, more than the cells. notes: its own."""

    cells: tuple[str, ...]
    values: Values
    notes: tuple[str, ...] = ()

    @property
    def section(self) -> str | None:
        """The heading under which the row stands, if the table has parts."""
        return self.values.get("section")


@dataclass(frozen=True)
class Table:
    """footnotes: the notes of all rows, number n at place n - 1. remarks: what is said of the whole table."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    footnotes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def parts(self) -> Iterator[tuple[str | None, list[Row]]]:
        """Each section and its rows."""
        for section, rows in groupby(self.rows, key=lambda row: row.section):
            yield section, list(rows)

    def __repr__(self) -> str:
        columns = ", ".join(column.heading for column in self.columns)
        return f"Table({self.name!r}: {len(self.rows)} rows of {columns})"

    def __str__(self) -> str:
        return terminal(self)

    def _repr_html_(self) -> str:
        return html(self)


def tabulate(
    name: str,
    title: str,
    columns: Sequence[Column],
    rows: Sequence[tuple[Values, Sequence[str]]],
    remarks: Sequence[str] = (),
) -> Table:
    """Make a table of the values and the notes of each row.

    Notes are numbered in the order in which they come; the same text keeps its number. A last column shows the numbers.
    """
    footnotes = list(dict.fromkeys(note for _, notes in rows for note in notes))
    ordered = [tuple(sorted(set(notes), key=footnotes.index)) for _, notes in rows]
    marks = [",".join(str(footnotes.index(note) + 1) for note in notes) for notes in ordered]
    filled = [(column, [column.text(values) for values, _ in rows]) for column in columns]
    filled.append((Column("notes", str, optional=True), marks))
    shown = [
        (column, cells)
        for column, cells in filled
        if not column.optional or any(cell not in ("", MISSING) for cell in cells)
    ]
    lines = zip(*(cells for _, cells in shown), strict=True)
    return Table(
        name,
        title,
        tuple(column for column, _ in shown),
        tuple(Row(cells, values, notes) for cells, (values, _), notes in zip(lines, rows, ordered, strict=True)),
        tuple(footnotes),
        tuple(remarks),
    )


def terminal(table: Table, width: int | None = None, columns_width: int | None = None) -> str:
    """Lines of text; columns stand two spaces apart.

    width: sentences are wrapped there. columns_width: spare columns are left out, from the right, until all fit in it.
    """
    from rich.cells import cell_len

    headings = tuple(column.heading for column in table.columns)
    columns = zip(headings, *(row.cells for row in table.rows), strict=True)
    widths = [max(map(cell_len, cells)) for cells in columns]
    shown = list(range(len(widths)))
    for index in reversed(range(len(widths))):
        if columns_width and table.columns[index].spare and _total(widths, shown) > columns_width:
            shown.remove(index)

    def line(cells: Sequence[str]) -> str:
        padded = []
        for index in shown:
            space = " " * (widths[index] - cell_len(cells[index]))
            padded.append(cells[index] + space if table.columns[index].left else space + cells[index])
        return "  ".join(padded).rstrip()

    def wrapped(text: str, mark: str = "") -> list[str]:
        indent = " " * len(mark)
        return textwrap.wrap(text, width, initial_indent=mark, subsequent_indent=indent) if width else [mark + text]

    lines = [*wrapped(table.title), "", line(headings), "─" * _total(widths, shown)]
    for index, (section, rows) in enumerate(table.parts()):
        if index:
            lines.append("")
        if section:
            lines.append(section)
        lines += [line(row.cells) for row in rows]
    lines.append("")
    for number, note in enumerate(table.footnotes, start=1):
        lines += wrapped(note, f"{number:>3}  ")
    remarks = table.remarks
    if len(shown) < len(headings):
        left_out = ", ".join(heading for index, heading in enumerate(headings) if index not in shown)
        remarks = (*remarks, f"Left out for their width: {left_out}. --wide shows them.")
    for remark in remarks:
        lines += wrapped(remark)
    return "\n".join(lines) + "\n"


def _total(widths: Sequence[int], shown: Sequence[int]) -> int:
    return sum(widths[index] for index in shown) + 2 * (len(shown) - 1)


def markdown(table: Table) -> str:
    """GitHub's markdown: the title, the table, its footnotes as a numbered list, its remarks."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(map(_markdown, cells)) + " |"

    lines = [f"**{_markdown(table.title)}**", ""] if table.title else []
    lines.append(line([column.heading for column in table.columns]))
    lines.append("|" + "|".join("---" if column.left else "---:" for column in table.columns) + "|")
    for section, rows in table.parts():
        if section:
            lines.append(f"| **{_markdown(section)}** |" + "  |" * (len(table.columns) - 1))
        lines += [line(row.cells) for row in rows]
    if table.footnotes:
        lines += ["", *(f"{number}. {_markdown(note)}" for number, note in enumerate(table.footnotes, start=1))]
    for remark in table.remarks:
        lines += ["", _markdown(remark)]
    return "\n".join(lines) + "\n"


def _markdown(text: str) -> str:
    return re.sub(r"[\\`*_<|]|](?=\()", r"\\\g<0>", text)


def latex(table: Table) -> str:
    r"""A `table` environment in the style of booktabs; it needs `\usepackage{booktabs}` alone."""

    def line(cells: Sequence[str]) -> str:
        # A row that begins with a bracket would be read as an option of the line break before it.
        texts = (f"{{}}{_latex(cell)}" if cell.startswith("[") else _latex(cell) for cell in cells)
        return " & ".join(texts) + r" \\"

    lines = [
        r"% \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_latex(table.title)}}}",
        r"\small",
        r"\setlength{\tabcolsep}{4pt}",  # with the usual 6pt Table 3 is wider than an article's column
        rf"\begin{{tabular}}{{{''.join('l' if column.left else 'r' for column in table.columns)}}}",
        r"\toprule",
        line([column.heading for column in table.columns]),
    ]
    for section, rows in table.parts():
        lines.append(r"\midrule")
        if section:
            lines.append(rf"\multicolumn{{{len(table.columns)}}}{{l}}{{\textit{{{_latex(section)}}}}} \\")
        lines += [line(row.cells) for row in rows]
    lines += [r"\bottomrule", r"\end{tabular}"]
    below = [rf"\textsuperscript{{{number}}} {_latex(note)}" for number, note in enumerate(table.footnotes, start=1)]
    below += map(_latex, table.remarks)
    if below:
        lines += [r"\par\medskip", r"\begin{minipage}{\linewidth}\footnotesize\raggedright"]
        lines += [*(rf"{text}\par" for text in below), r"\end{minipage}"]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


_LATEX: dict[str, str | int | None] = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"$<$", ">": r"$>$", "|": r"$|$",
    "±": r"$\pm$", "≈": r"$\approx$", "…": r"\dots{}", "`": r"\textasciigrave{}",
}  # fmt: skip


def _latex(text: str) -> str:
    # A sign is a minus in mathematics; elsewhere a hyphen stays one.
    if re.fullmatch(r"[-+]\d+(\.\d+)?", text):
        return f"${text}$"
    if text == MISSING:
        return "--"
    return re.sub('"([^"]*)"', r"``\1''", text.translate(str.maketrans(_LATEX)))


def csv_text(table: Table) -> str:
    """The values of every row, and its notes, under their keys; what is missing stays empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if table.rows:
        writer.writerow([*table.rows[0].values, "notes"])
    for row in table.rows:
        writer.writerow([*map(_csv_value, row.values.values()), " ".join(row.notes)])
    return text.getvalue()


def _csv_value(value: Any) -> Any:
    if isinstance(value, dict) or (isinstance(value, list) and any(isinstance(item, dict) for item in value)):
        return json.dumps(value)
    return " ".join(map(str, value)) if isinstance(value, list) else value


def json_text(table: Table) -> str:
    """One document: table, title, rows (each row's values, and its notes), remarks."""
    rows = [{**row.values, "notes": list(row.notes)} for row in table.rows]
    document = {"table": table.name, "title": table.title, "rows": rows, "remarks": list(table.remarks)}
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def html(table: Table) -> str:
    """A table in a notebook, in the notebook's own colours: the title, the rows, footnotes, remarks."""

    def line(cells: Sequence[str], tag: str) -> str:
        sides = ("left" if column.left else "right" for column in table.columns)
        return "".join(
            f'<{tag} style="text-align:{side}">{escape(cell)}</{tag}>' for cell, side in zip(cells, sides, strict=True)
        )

    headings = [column.heading for column in table.columns]
    lines = ["<table>", f'<caption style="text-align:left; white-space:nowrap">{escape(table.title)}</caption>']
    if any(headings):
        lines.append(f"<thead><tr>{line(headings, 'th')}</tr></thead>")
    for section, rows in table.parts():
        if section:
            lines.append(f'<tr><th colspan="{len(headings)}" style="text-align:left">{escape(section)}</th></tr>')
        lines += [f"<tr>{line(row.cells, 'td')}</tr>" for row in rows]
    lines.append("</table>")
    below = [f"{number}. {note}" for number, note in enumerate(table.footnotes, start=1)] + list(table.remarks)
    lines += [f"<div><small>{escape(text)}</small></div>" for text in below]
    return "\n".join(lines)


def facts_html(title: str, facts: Mapping[str, object]) -> str:
    """A few facts in a notebook, a name and a value in a line; those that are None are left out."""
    rows = [({"name": name, "value": str(fact)}, ()) for name, fact in facts.items() if fact is not None]
    return html(
        tabulate("", title, [Column("", value("name", ""), left=True), Column("", value("value", ""), left=True)], rows)
    )


#: The forms by the names that `allcnn report --format` has for them.
FORMATS: dict[str, Callable[[Table], str]] = {
    "terminal": terminal, "markdown": markdown, "latex": latex, "csv": csv_text, "json": json_text,
}  # fmt: skip


def duration(seconds: float) -> str:
    """Seconds as people write them: 42 s, 3:05 min, 1:02:33 h."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}:{rest:02d} min"
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d} h"
