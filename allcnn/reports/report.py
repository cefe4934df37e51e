"""The tables by their names: run folders, read, in; a table out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from allcnn.errors import InputError
from allcnn.reports.search_table import search_table
from allcnn.reports.structure import Table
from allcnn.reports.summaries import Search, search_results
from allcnn.reports.table_four import table_4
from allcnn.reports.twelve import review_table, table_3
from allcnn.runs.collected import CollectedRun

#: What `allcnn report --table` takes.
TABLES: dict[str, Callable[[Sequence[Search]], Table]] = {
    "3": table_3,
    "4": table_4,
    "review": review_table,
    "lr": search_table,
}


def report_table(runs: Sequence[CollectedRun], table: str = "3") -> Table:
    """A table of the runs that `collect_runs` read: one of `TABLES`.

    Raises:
        InputError: there is no such table.
    """
    if table not in TABLES:
        raise InputError(f'unknown table "{table}"; expected one of: {", ".join(TABLES)}.')
    return TABLES[table](search_results(runs))
