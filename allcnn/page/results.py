"""The tables of results, ours beside the published ones: those that `allcnn report --table` gives."""

from __future__ import annotations

import re
from collections.abc import Sequence

from allcnn.page.markup import Html, escape, join, paragraph, section, table
from allcnn.reports.report import TABLES, report_table
from allcnn.reports.structure import Table
from allcnn.runs.collected import CollectedRun

# Has no published rows beside ours, so that it is never empty.
_ALWAYS = "lr"


def results(runs: Sequence[CollectedRun]) -> Html:
    """The section of the tables; one in which no run has a row is only named."""
    tables = [report_table(runs, name) for name in TABLES]
    filled = [one for one in tables if one.name == _ALWAYS or any(row.values.get("n") for row in one.rows)]
    empty = [one.title for one in tables if one not in filled]
    without = [paragraph(f"No finished run belongs into: {'; '.join(empty)}.", "quiet")] if empty else []
    return section("results", "Results", *map(_table, filled), *without)


def _table(one: Table) -> Html:
    shown = table(
        [column.heading for column in one.columns],
        [row.cells for row in one.rows],
        text_columns=[index for index, column in enumerate(one.columns) if column.left],
        caption=one.title,
        parts=[row.section for row in one.rows],
    )
    notes = join(Html(f"<li>{_with_code(note)}</li>") for note in one.footnotes)
    below = [Html(f'<ol class="notes">{notes}</ol>')] if one.footnotes else []
    return join([shown, *below, *(paragraph(_with_code(remark), "quiet") for remark in one.remarks)])


def _with_code(text: str) -> Html:
    """A text with what it has between backquotes as code."""
    return Html(re.sub("`([^`]+)`", r"<code>\1</code>", escape(text)))
