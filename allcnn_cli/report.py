"""`allcnn report`: run folders as tables and as a page. Tables load neither Keras nor TensorFlow."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from allcnn.errors import InputError, RunError, one_of
from allcnn.waiting import waiting
from allcnn_cli import options
from allcnn_cli.output import WIDTH, complain, show

if TYPE_CHECKING:
    from allcnn.tables import Table

_SUFFIXES = {".md": "markdown", ".tex": "latex", ".csv": "csv", ".json": "json"}


def report(
    paths: Annotated[list[Path], typer.Argument(metavar="RUNS", help="Run folders, or folders that hold them.")],
    table: Annotated[
        str | None,
        options.option(
            "NAME", "3 or 4 of the paper, review, or lr.", default="3", complete="allcnn.reports.report:TABLES"
        ),
    ] = None,
    form: Annotated[
        str | None,
        options.option(
            "NAME",
            "terminal, markdown, latex, csv or json.",
            "--format",
            default="by --output, else terminal",
            complete="allcnn.tables:FORMATS",
        ),
    ] = None,
    output: Annotated[
        Path | None, options.option("FILE", "Write the table here: .md, .tex, .csv, .json.", "--output", "-o")
    ] = None,
    html: Annotated[Path | None, options.option("FILE", "Write a page with tables, curves and pictures.")] = None,
    wide: options.Wide = False,
    as_json: options.Json = False,
) -> None:
    """Put runs beside the published results.

    Tables 3 and 4 are the paper's, "review" is the review's, and "lr" has
    the whole search for the learning rate.

    Examples:
      allcnn report runs/ --table 3
      allcnn report runs/ --table 4 --format latex -o table4.tex
      allcnn report runs/ --table lr --json
      allcnn report runs/ --html report.html
    """
    form = _form(form, output, as_json)
    from allcnn.reports.report import TABLES, report_table
    from allcnn.runs.collected import collect_runs

    if table is not None and table not in TABLES:
        raise InputError(f'--table "{table}"; {one_of(table, TABLES)}')
    runs, problems = collect_runs(paths)
    for problem in problems:
        complain(f"left out: {problem}")
    if not runs:
        raise RunError("none of the runs found can be read; nothing to report.")
    if table is not None or html is None or output is not None or as_json:
        _write(report_table(runs, table or "3"), form, output, wide)
    if html is not None:
        from allcnn.page import write_page

        with waiting("drawing the page"):
            write_page(runs, html, announce=complain, folders=paths)
        complain(f"{html}: written.")


def _form(form: str | None, output: Path | None, as_json: bool) -> str:
    from allcnn.tables import FORMATS

    if form is not None and form not in FORMATS:
        raise InputError(f'--format "{form}"; {one_of(form, FORMATS)}')
    if as_json and form not in (None, "json"):
        raise InputError(f"--json and --format {form} contradict each other; expected one of them.")
    if as_json:
        return "json"
    if form is not None or output is None:
        return form or "terminal"
    if output.suffix.lower() not in _SUFFIXES:
        expected = ", ".join(_SUFFIXES)
        raise InputError(f"{output}: its form is not known by its name; expected {expected}, or --format beside it.")
    return _SUFFIXES[output.suffix.lower()]


def _write(table: Table, form: str, output: Path | None, wide: bool) -> None:
    from allcnn.tables import FORMATS, terminal

    if form == "terminal" and output is None:
        columns = max(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns)
        text = terminal(table, columns if sys.stdout.isatty() else None, None if wide else columns)
    else:
        text = FORMATS[form](table)
    if output is None:
        show(text.removesuffix("\n"))
        return
    from allcnn.files import write_text

    write_text(output, text)
    complain(f"{output}: written.")
