"""The two tables of the twelve networks on CIFAR-10: the paper's Table 3 and the review's Table 2, ours beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from allcnn.reports.comparison import (
    MISSING,
    difference,
    error_text,
    figure,
    images_note,
    images_remark,
    left_out,
    main_dataset,
    measured,
    notes_of,
    rate_text,
    searches_of,
)
from allcnn.reports.structure import Column, Footnotes, Row, Table
from allcnn.reports.summaries import Search
from allcnn.specs import published
from allcnn.specs.shapes import count_parameters
from allcnn.specs.zoo import ZOO, Network

_NAMES = tuple(network.name for network in published.TABLE_3_NETWORKS)
_REVIEW_NAMES = tuple(f"review-{name}" for name in _NAMES)
_NOT_THE_REVIEWS = "The paper's network and recipe: there is no run of the review's."

_TABLE_3_COLUMNS = (
    Column("model", left=True), Column("paper"), Column("params"), Column("review"), Column("measured"),
    Column("n"), Column("lr"), Column("diff."), Column("notes"),
)  # fmt: skip
_REVIEW_COLUMNS = (
    Column("model", left=True), Column("review"), Column("its min"), Column("its lr"), Column("measured"), Column("n"),
    Column("min"), Column("lr"), Column("notes"),
)  # fmt: skip


@dataclass(frozen=True)
class _Chosen:
    """What stands in a network's row: its search, the recipe that it is held against, and what to say first."""

    search: Search | None
    recipe: str
    remark: tuple[str, ...] = ()


def table_3(searches: Sequence[Search]) -> Table:
    """The paper's Table 3 with the review's error and the measured one beside it."""
    dataset = main_dataset(searches, _NAMES)
    chosen = {
        network: _Chosen(next(iter(searches_of(searches, network, dataset, "none", "paper")), None), "paper")
        for network in published.TABLE_3_NETWORKS
    }
    shown = [choice.search for choice in chosen.values() if choice.search]
    footnotes = Footnotes()
    rows = []
    for network, choice in chosen.items():
        figures = measured(choice.search)
        error = network.published_error_percent if dataset == "cifar10" else None
        apart = difference(figures["measured_error_percent"], error)
        marks = footnotes.mark(
            [*published.count_notes(network), *published.review_notes(network, error_only=True), *_notes(choice, shown)]
        )
        best = choice.search.best if choice.search else None
        cells = (
            network.published_name,
            figure(network.published_error_percent),
            f"≈ {network.published_parameters}",
            figure(network.review_error_percent),
            error_text(best.test if best else None),
            str(best.test.n) if best and best.test else MISSING,
            rate_text(figures["learning_rate"]),
            figure(apart, "+.2f"),
            ",".join(map(str, marks)),
        )
        values = {
            "network": network.name,
            "published_name": network.published_name,
            "published_error_percent": network.published_error_percent,
            "published_parameters": network.published_parameters,
            "parameters": count_parameters(network.spec, network.input_shape, network.classes),
            "review_error_percent": network.review_error_percent,
            **figures,
            "difference": apart,
        }
        rows.append(Row(cells, values, marks))
    remarks = [
        "Errors in percent; measured: mean ± sample deviation of n seeds, after the last epoch; diff.: to the paper."
    ]
    remarks += [published.REVIEW_TAKES_THE_LOWEST]
    remarks += images_remark(shown) + left_out(searches, shown, _NAMES, [(dataset, "none")])
    title = _title(published.TABLE_3_TITLE, dataset)
    return Table("3", title, _TABLE_3_COLUMNS, tuple(rows), tuple(footnotes.texts), tuple(remarks))


def review_table(searches: Sequence[Search]) -> Table:
    """The review's Table 2, error, run time and learning rate, with the measured ones beside it.

    A row is of the review's own network, or of the paper's where only that was run.
    """
    dataset = main_dataset(searches, (*_REVIEW_NAMES, *_NAMES))
    chosen = {network: _review_choice(searches, network, dataset) for network in published.TABLE_3_NETWORKS}
    shown = [choice.search for choice in chosen.values() if choice.search]
    footnotes = Footnotes()
    rows = []
    for network, choice in chosen.items():
        figures = measured(choice.search)
        error = network.review_error_percent if dataset == "cifar10" else None
        apart = difference(figures["measured_error_percent"], error)
        marks = footnotes.mark([*published.review_notes(network), *_notes(choice, shown)])
        best = choice.search.best if choice.search else None
        cells = (
            network.published_name,
            figure(network.review_error_percent),
            figure(network.review_minutes),
            rate_text(network.review_learning_rate),
            error_text(best.test if best else None),
            str(best.test.n) if best and best.test else MISSING,
            figure(figures["minutes"]),
            rate_text(figures["learning_rate"]),
            ",".join(map(str, marks)),
        )
        ours = choice.search.setting.network if choice.search else None
        values = {
            "network": ours.name if ours else f"review-{network.name}",
            "published_name": network.published_name,
            "review_error_percent": network.review_error_percent,
            "review_minutes": network.review_minutes,
            "review_learning_rate": network.review_learning_rate,
            **figures,
            "difference": apart,
        }
        rows.append(Row(cells, values, marks))
    remarks = ["Errors in percent; measured: mean ± sample deviation of n seeds, after the last epoch."]
    remarks += [published.REVIEW_TAKES_THE_LOWEST, published.REVIEW_LEARNING_RATES]
    remarks += _machines(shown) + images_remark(shown)
    remarks += left_out(searches, shown, (*_REVIEW_NAMES, *_NAMES), [(dataset, "none")])
    title = _title(published.REVIEW_TITLE, dataset)
    return Table("review", title, _REVIEW_COLUMNS, tuple(rows), tuple(footnotes.texts), tuple(remarks))


def _review_choice(searches: Sequence[Search], network: Network, dataset: str) -> _Chosen:
    own = searches_of(searches, ZOO[f"review-{network.name}"], dataset, "none", "review")
    papers = searches_of(searches, network, dataset, "none", "paper")
    if papers and not (own and own[0].best) and (papers[0].best or not own):
        return _Chosen(papers[0], "paper", (_NOT_THE_REVIEWS,))
    return _Chosen(own[0] if own else None, "review")


def _notes(choice: _Chosen, shown: Sequence[Search]) -> list[str]:
    return [*choice.remark, *notes_of(choice.search, choice.recipe), *images_note(choice.search, shown)]


def _title(title: str, dataset: str) -> str:
    return title if dataset == "cifar10" else f"{title}; measured on {dataset}, which is not comparable"


def _machines(shown: Sequence[Search]) -> list[str]:
    """What the measured minutes were measured on."""
    names = {
        str((run.config.get("device") or {}).get("name"))
        for search in shown
        if search.best
        for run in search.best.counted
    }
    if not names:
        return []
    return [f"Measured minutes: mean of the runs, training alone without test passes, on {', '.join(sorted(names))}."]
