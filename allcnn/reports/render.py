"""A table as text: markdown, LaTeX, CSV and JSON. The terminal's form is the command line's own."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any

from allcnn.reports.structure import Row, Table

_MARKDOWN = re.compile(r"[\\`*_<|]|](?=\()")
_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"$<$", ">": r"$>$", "|": r"$|$",
    "±": r"$\pm$", "≈": r"$\approx$", "…": r"\dots{}", "`": r"\textasciigrave{}",
}  # fmt: skip
_A_NUMBER = re.compile(r"[-+]\d+(\.\d+)?")


def markdown(table: Table) -> str:
    """GitHub's markdown: the title, the table, its footnotes as a numbered list, its remarks."""
    headings = [_md(column.heading) for column in table.columns]
    lines = [f"**{_md(table.title)}**", "", _md_row(headings)]
    lines.append("|" + "|".join("---" if column.left else "---:" for column in table.columns) + "|")
    for section, rows in _sections(table):
        if section:
            lines.append(_md_row([f"**{_md(section)}**", *[""] * (len(headings) - 1)]))
        lines += [_md_row([_md(cell) for cell in row.cells]) for row in rows]
    if table.footnotes:
        lines += ["", *(f"{number}. {_md(note)}" for number, note in enumerate(table.footnotes, start=1))]
    for remark in table.remarks:
        lines += ["", _md(remark)]
    return "\n".join(lines) + "\n"


def latex(table: Table) -> str:
    r"""A `table` environment in the manner of booktabs; it needs `\usepackage{booktabs}` alone."""
    alignment = "".join("l" if column.left else "r" for column in table.columns)
    lines = [
        r"% \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_tex(table.title)}}}",
        r"\small",
        r"\setlength{\tabcolsep}{4pt}",  # with the usual 6pt Table 3 is wider than an article's column
        rf"\begin{{tabular}}{{{alignment}}}",
        r"\toprule",
        _tex_row([column.heading for column in table.columns]),
    ]
    for section, rows in _sections(table):
        lines.append(r"\midrule")
        if section:
            lines.append(rf"\multicolumn{{{len(table.columns)}}}{{l}}{{\textit{{{_tex(section)}}}}} \\")
        lines += [_tex_row(row.cells) for row in rows]
    lines += [r"\bottomrule", r"\end{tabular}"]
    below = [rf"\textsuperscript{{{number}}} {_tex(note)}" for number, note in enumerate(table.footnotes, start=1)]
    below += [_tex(remark) for remark in table.remarks]
    if below:
        lines += [r"\par\medskip", r"\begin{minipage}{\linewidth}\footnotesize\raggedright"]
        lines += [rf"{line}\par" for line in below]
        lines.append(r"\end{minipage}")
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def csv_text(table: Table) -> str:
    """The values of every row, and the texts of its footnotes, under their keys; what is missing stays empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if table.rows:
        writer.writerow([*table.rows[0].values, "notes"])
    for row in table.rows:
        writer.writerow([*map(_csv_value, row.values.values()), " ".join(table.notes_of(row))])
    return text.getvalue()


def json_document(table: Table) -> dict[str, Any]:
    """The same as plain values: table, title, rows (each with its notes), remarks."""
    return {
        "table": table.name,
        "title": table.title,
        "rows": [{**row.values, "notes": table.notes_of(row)} for row in table.rows],
        "remarks": list(table.remarks),
    }


def json_text(table: Table) -> str:
    """`json_document` as text."""
    return json.dumps(json_document(table), indent=1, allow_nan=False) + "\n"


#: The forms that are text alone, by what `allcnn report --format` calls them.
FORMATS: dict[str, Callable[[Table], str]] = {
    "markdown": markdown,
    "latex": latex,
    "csv": csv_text,
    "json": json_text,
}


def _sections(table: Table) -> Iterator[tuple[str | None, list[Row]]]:
    for section, rows in groupby(table.rows, key=lambda row: row.section):
        yield section, list(rows)


def _md(text: str) -> str:
    return _MARKDOWN.sub(lambda match: "\\" + match[0], text)


def _md_row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _tex(text: str) -> str:
    # A sign is a minus in mathematics; elsewhere a hyphen stays one.
    if _A_NUMBER.fullmatch(text):
        return f"${text}$"
    if text == "-":
        return "--"
    escaped = "".join(_LATEX.get(character, character) for character in text)
    return re.sub('"([^"]*)"', r"``\1''", escaped)


def _tex_row(cells: tuple[str, ...] | list[str]) -> str:
    # A row that begins with a bracket would be read as an option of the line break before it.
    return " & ".join(f"{{}}{_tex(cell)}" if cell.startswith("[") else _tex(cell) for cell in cells) + r" \\"


def _csv_value(value: Any) -> Any:
    if isinstance(value, dict) or (isinstance(value, list) and any(isinstance(item, dict) for item in value)):
        return json.dumps(value)
    return " ".join(map(str, value)) if isinstance(value, list) else value
