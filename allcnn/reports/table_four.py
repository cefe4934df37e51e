"""The paper's Table 4: every row that it prints, and ours beside its own."""

from __future__ import annotations

from collections.abc import Sequence

from allcnn.reports.comparison import (
    MISSING,
    difference,
    error_text,
    figure,
    images_note,
    images_remark,
    left_out,
    measured,
    notes_of,
    rate_text,
    searches_of,
)
from allcnn.reports.structure import Column, Footnotes, Row, Table
from allcnn.reports.summaries import Search
from allcnn.specs import published
from allcnn.specs.published import PublishedRow, Section
from allcnn.specs.shapes import count_parameters

_COLUMNS = (
    Column("method", left=True), Column("paper"), Column("params"), Column("measured"),
    Column("diff."), Column("notes"),
)  # fmt: skip
_CLASSES = {"cifar10": 10, "cifar100": 100}


def table_4(searches: Sequence[Search]) -> Table:
    """The paper's Table 4, the measured errors of all-c and large-all beside the paper's."""
    chosen = {
        (section, row): _search_of(searches, section, row) for section in published.TABLE_4 for row in section.rows
    }
    shown = [search for search in chosen.values() if search]
    footnotes = Footnotes()
    rows = []
    for (section, row), search in chosen.items():
        figures = measured(search)
        apart = difference(figures["measured_error_percent"], row.error_percent)
        own_notes = [*_published_notes(section, row)]
        if search is not None:
            own_notes += [*_seeds_note(search), *notes_of(search, _recipe(row)), *images_note(search, shown)]
        marks = footnotes.mark(own_notes)
        best = search.best if search else None
        cells = (
            row.method,
            figure(row.error_percent),
            row.parameters or MISSING,
            error_text(best.test if best else None, "missing" if row.network else ""),
            figure(apart, "+.2f") if row.network else "",
            ",".join(map(str, marks)),
        )
        network = row.network
        values = {
            "section": section.title,
            "method": row.method,
            "published_error_percent": row.error_percent,
            "published_parameters": row.parameters,
            "network": network.name if network else None,
            "parameters": (
                count_parameters(network.spec, network.input_shape, _CLASSES[section.dataset]) if network else None
            ),
            **figures,
            "difference": apart,
        }
        rows.append(Row(cells, values, marks, section.title))
    where = [(section.dataset, section.augmentation) for section in published.TABLE_4]
    remarks = [
        "Errors in percent; measured: mean ± sample deviation of the seeds, after the last epoch; diff.: to the paper.",
        published.OURS_IS_THE_PAPERS,
        published.LITERATURE,
        *images_remark(shown),
        *left_out(searches, shown, ("all-c", "large-all"), where),
    ]
    return Table("4", published.TABLE_4_TITLE, _COLUMNS, tuple(rows), tuple(footnotes.texts), tuple(remarks))


def _search_of(searches: Sequence[Search], section: Section, row: PublishedRow) -> Search | None:
    if row.network is None:
        return None
    found = searches_of(searches, row.network, section.dataset, section.augmentation, _recipe(row))
    return next(iter(found), None)


def _seeds_note(search: Search) -> list[str]:
    best = search.best
    if best is None:
        return []
    n = len(best.counted)
    return [f"{n} seed{'s' * (n > 1)} at learning rate {rate_text(best.learning_rate)}."]


def _recipe(row: PublishedRow) -> str:
    return "large" if row.network and row.network.name == "large-all" else "paper"


def _published_notes(section: Section, row: PublishedRow) -> list[str]:
    if section.augmentation == "large":
        return [published.LARGE_IS_CIFAR_10]
    if row.network is None:
        return []
    return [published.CIFAR_100_AUGMENTATION] if section.dataset == "cifar100" else published.count_notes(row.network)
