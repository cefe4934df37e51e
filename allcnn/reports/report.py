"""Runs -> the four tables: the paper's Tables 3 and 4, the review's Table 2, and the search for the learning rate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from allcnn.errors import refuse_unknown
from allcnn.reports.comparison import Candidate, PublishedEntry, compare, count_text, images_note, recipe_notes
from allcnn.reports.summaries import Search, Trial, search_results
from allcnn.runs.collected import CollectedRun
from allcnn.specs import published
from allcnn.specs.published import Section
from allcnn.specs.shapes import count_parameters
from allcnn.specs.zoo import ZOO, Network
from allcnn.tables import MISSING, Column, Table, Values, tabulate, value

_LONGEST_NAME = 20


def report_table(runs: Sequence[CollectedRun], table: str = "3") -> Table:
    """A table of the runs that `collect_runs` read: one of `TABLES`.

    Raises:
        InputError: there is no such table.
    """
    refuse_unknown("table", table, TABLES)
    return TABLES[table](search_results(runs))


def table_3(searches: Sequence[Search]) -> Table:
    """The paper's Table 3 with the review's error and the measured one beside it."""
    dataset = _main_dataset(searches, [network.name for network in published.TABLE_3_NETWORKS])
    entries = []
    for network in published.TABLE_3_NETWORKS:
        values = {
            "network": network.name,
            "published_name": network.published_name,
            "published_error_percent": network.published_error_percent,
            "published_parameters": network.published_parameters,
            "parameters": count_parameters(network.spec, network.input_shape, network.classes),
            "review_error_percent": network.review_error_percent,
        }
        error = network.published_error_percent if dataset == "cifar10" else None
        notes = [*published.count_notes(network), *published.review_notes(network, error_only=True)]
        candidates = (Candidate(network, "paper"), Candidate(network, "fast", augmented=True))
        entries.append(PublishedEntry(values, error, dataset, "none", candidates, notes))
    columns = [
        Column("model", value("published_name", ""), left=True),
        Column("paper", value("published_error_percent")),
        Column("params", lambda values: f"≈ {values['published_parameters']}", spare=True),
        Column("review", value("review_error_percent")),
        Column("measured", _error("measured_error_percent", missing="missing")),
        Column("n", _seeds),
        Column("lr", value("learning_rate", "g"), spare=True),
        Column("diff.", value("difference", "+.2f")),
    ]
    found = compare(searches, entries)
    remarks = [
        "Errors in percent; measured: mean ± sample deviation of n seeds, after the last epoch; diff.: to the paper.",
        published.REVIEW_TAKES_THE_LOWEST,
        *found.remarks,
    ]
    return tabulate("3", _title(published.TABLE_3_TITLE, dataset), columns, found.rows, remarks)


def table_4(searches: Sequence[Search]) -> Table:
    """The paper's Table 4, every row that it prints, with the measured errors beside its own networks'."""
    entries = []
    for section in published.TABLE_4:
        for row in section.rows:
            network, classes = row.network, {"cifar10": 10, "cifar100": 100}[section.dataset]
            values = {
                "section": section.title,
                "method": row.method,
                "published_error_percent": row.error_percent,
                "published_parameters": row.parameters,
                "network": network.name if network else None,
                "parameters": count_parameters(network.spec, network.input_shape, classes) if network else None,
            }
            own = (Candidate(network, network.recipe),) if network else ()
            notes = _section_notes(section, network)
            entries.append(PublishedEntry(values, row.error_percent, section.dataset, section.augmentation, own, notes))

    def ours(text: Callable[[Values], str]) -> Callable[[Values], str]:
        return lambda values: text(values) if values["network"] else ""

    columns = [
        Column("method", value("method", ""), left=True),
        Column("paper", value("published_error_percent")),
        Column("params", value("published_parameters", ""), spare=True),
        Column("measured", ours(_error("measured_error_percent", missing="missing"))),
        Column("diff.", ours(value("difference", "+.2f"))),
    ]
    found = compare(searches, entries, notes_seeds=True)
    remarks = [
        "Errors in percent; measured: mean ± sample deviation of the seeds, after the last epoch; diff.: to the paper.",
        published.OURS_IS_THE_PAPERS,
        published.LITERATURE,
        *found.remarks,
    ]
    return tabulate("4", published.TABLE_4_TITLE, columns, found.rows, remarks)


def _section_notes(section: Section, network: Network | None) -> list[str]:
    if section.augmentation == "large":
        return [published.LARGE_IS_CIFAR_10]
    if network is None:
        return []
    return [published.CIFAR_100_AUGMENTATION] if section.dataset == "cifar100" else published.count_notes(network)


def review_table(searches: Sequence[Search]) -> Table:
    """The review's Table 2, error, run time and learning rate, with the measured ones beside it.

    A row is of the review's own network, or of the paper's where only that was run.
    """
    own = {network.name: ZOO[f"review-{network.name}"] for network in published.TABLE_3_NETWORKS}
    dataset = _main_dataset(searches, [*own, *(network.name for network in own.values())])
    papers = "The paper's network and recipe: there is no run of the review's."
    entries = []
    for network in published.TABLE_3_NETWORKS:
        values = {
            "network": own[network.name].name,
            "published_name": network.published_name,
            "review_error_percent": network.review_error_percent,
            "review_minutes": network.review_minutes,
            "review_learning_rate": network.review_learning_rate,
        }
        error = network.review_error_percent if dataset == "cifar10" else None
        candidates = (Candidate(own[network.name], "review"), Candidate(network, "paper", (papers,)))
        entries.append(PublishedEntry(values, error, dataset, "none", candidates, published.review_notes(network)))
    columns = [
        Column("model", value("published_name", ""), left=True),
        Column("review", value("review_error_percent")),
        Column("its min", value("review_minutes"), spare=True),
        Column("its lr", value("review_learning_rate", "g")),
        Column("measured", _error("measured_error_percent", missing="missing")),
        Column("n", _seeds),
        Column("min", value("minutes"), spare=True),
        Column("lr", value("learning_rate", "g")),
    ]
    found = compare(searches, entries)
    remarks = [
        "Errors in percent; measured: mean ± sample deviation of n seeds, after the last epoch.",
        published.REVIEW_TAKES_THE_LOWEST,
        published.REVIEW_LEARNING_RATES,
    ]
    counted = [run for search in found.shown if search.best for run in search.best.counted]
    if machines := sorted({str((run.config.get("device") or {}).get("name")) for run in counted}):
        remarks.append(
            f"Measured minutes: mean of the runs, training alone without test passes, on {', '.join(machines)}."
        )
    title = _title(published.REVIEW_TITLE, dataset)
    return tabulate("review", title, columns, found.rows, [*remarks, *found.remarks])


def search_table(searches: Sequence[Search]) -> Table:
    """Every learning rate of every search, with the errors of its finished runs and a count of the others."""
    columns = [
        Column("network", lambda values: values["network"] or _shortened(values["spec"]), left=True),
        Column("data set", _augmented, left=True, spare=True),
        Column("epochs", _length, spare=True),
        Column("lr", value("learning_rate", "g")),
        Column("n", value("n", "")),
        Column("test %", _error("test_error_percent")),
        Column("held out %", _error("validation_error_percent", "validation_deviation"), optional=True),
        Column("best", lambda values: ("best" if values["chosen_by"] else "only") if values["best"] else ""),
        Column("other runs", lambda values: count_text(values["not_counted"]), left=True, optional=True),
    ]
    rows = [
        (_trial_values(search, trial), _search_notes(search, searches, trial))
        for search in searches
        for trial in search.trials
    ]
    remarks = ["test %: mean ± sample deviation over n seeds of the last epoch's test error."]
    if any(values["validation_error_percent"] is not None for values, _ in rows):
        remarks.append("held out %: of the error on the images held out; the best is chosen by it where all have it.")
    remarks.append("Best: at which the fewest runs diverged or died; of these the lowest mean, then the smaller rate.")
    return tabulate("lr", "The search for the learning rate", columns, rows, remarks)


def measured_only(table: Table) -> Table:
    """The table without the networks that no run has finished for, if they are more than half; a remark counts them.

    A part of the table in which nothing is measured is left out with them.
    """
    ours = [row for row in table.rows if row.values["network"] and "measured_error_percent" in row.values]
    missing = [row for row in ours if not row.values["n"]]
    if 2 * len(missing) <= len(ours):
        return table
    rows = []
    for _, part in table.parts():
        kept = [row for row in part if row.values["n"] or not row.values["network"]]
        rows += kept if any(row.values["n"] for row in part) else []
    columns = [column for column in table.columns if column.heading != "notes"]
    remark = f"No run has finished for {len(missing)} of the {len(ours)} networks; `--table {table.name}` lists them."
    return tabulate(
        table.name, table.title, columns, [(row.values, row.notes) for row in rows], [remark, *table.remarks]
    )


def _trial_values(search: Search, trial: Trial) -> Values:
    test, validation = trial.test, trial.validation
    return {
        "network": search.network.name if search.network else None,
        "spec": search.spec,
        "dataset": search.dataset,
        "digest": search.digest,
        "recipe": {**search.recipe.as_dict(), "name": search.recipe_name, "learning_rate": trial.learning_rate},
        "validation": search.validation,
        "learning_rate": trial.learning_rate,
        "n": len(trial.counted),
        "test_error_percent": test.mean if test else None,
        "deviation": test.deviation if test else None,
        "validation_error_percent": validation.mean if validation else None,
        "validation_deviation": validation.deviation if validation else None,
        "minutes": trial.minutes,
        "best": trial is search.best,
        "chosen_by": search.chosen_by,
        "not_counted": dict(trial.not_counted),
        "runs": [
            {
                "folder": str(run.folder.path),
                "seed": run.seed,
                "status": run.status,
                "reason": run.reason,
                "counted": run in trial.counted,
                "epochs": len(run.rows),
                "test_error_percent": run.test_error,
                "validation_error_percent": run.validation_error,
                "minutes": run.seconds / 60,
            }
            for run in trial.runs
        ],
    }


def _search_notes(search: Search, searches: Sequence[Search], trial: Trial) -> list[str]:
    notes = []
    if search.network is None and len(search.spec) > _LONGEST_NAME:
        notes.append(f"Network: {search.spec}")
    notes += recipe_notes(search, "paper")
    if search.validation:
        notes.append(f"A part of {search.validation:.3g} of the training images held out.")
    notes += [f"{run.name} {run.status}: {run.reason.splitlines()[0]}" for run in trial.others if run.reason]
    return notes + images_note(search, searches)


#: What `allcnn report --table` takes.
TABLES: dict[str, Callable[[Sequence[Search]], Table]] = {
    "3": table_3,
    "4": table_4,
    "review": review_table,
    "lr": search_table,
}


def _main_dataset(searches: Sequence[Search], names: Sequence[str]) -> str:
    """What a table of CIFAR-10 shows: CIFAR-10, or if no run is on it, what most finished runs of its networks are on.

    Unfinished runs count as none, but their data set is better than no data set.
    """
    finished: Counter[str] = Counter()
    for search in searches:
        if search.network is not None and search.network.name in names:
            finished[search.dataset] += sum(len(trial.counted) for trial in search.trials)
    if "cifar10" in finished or not finished:
        return "cifar10"
    return min(finished, key=lambda name: (-finished[name], name))


def _title(title: str, dataset: str) -> str:
    return title if dataset == "cifar10" else f"{title}; measured on {dataset}, which is not comparable"


def _error(key: str, deviation: str = "deviation", missing: str = MISSING) -> Callable[[Values], str]:
    """The cell of a mean error: 10.35 ± 0.21, or 10.35 of a single run."""

    def text(values: Values) -> str:
        if values[key] is None:
            return missing
        return f"{values[key]:.2f}" + ("" if values[deviation] is None else f" ± {values[deviation]:.2f}")

    return text


def _seeds(values: Values) -> str:
    return str(values["n"] or MISSING)


def _shortened(spec: str) -> str:
    return spec if len(spec) <= _LONGEST_NAME else f"{spec[: _LONGEST_NAME - 1]}…"


def _augmented(values: Values) -> str:
    augmentation = values["recipe"]["augmentation"]
    return values["dataset"] + ("" if augmentation == "none" else f", {augmentation}")


def _length(values: Values) -> str:
    length, unit = values["recipe"]["length"], values["recipe"]["unit"]
    return f"{length:,}" + ("" if unit == "epochs" else f" {unit}")
