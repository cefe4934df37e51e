"""Writes the tables of README.md and RESULTS.md that are made of the runs in results/, below comments that name it.

python results/tables.py
"""

from __future__ import annotations

import re
from pathlib import Path

from allcnn.runs.collected import CollectedRun, Statistic, collect_runs
from allcnn.runs.recipe import RECIPES
from allcnn.specs import ZOO, count_parameters
from allcnn.specs.published import TABLE_3_NETWORKS
from allcnn.tables import Column, Table, Values, markdown, tabulate, value

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "RESULTS.md")
EPOCHS = (5, 10, 20, 40)
#: The numbers that differ from today's recipe in the runs of it that are shown: none, or those of the one before.
NEWEST = ([], ["class_bias"])
#: What differs from a published recipe, beside its length, in the runs whose errors are shown by their lengths.
VARIANTS = {
    "fast": ("fast", []),
    "fast, classes' biases at 1": ("fast", ["class_bias"]),
    "paper, flips and shifts": ("paper", ["augmentation"]),
}
#: The preprocessings and learning rates of the study of the review's section 3.1.
REVIEWED, LEARNING_RATES = ("none", "scale", "center", "gcn", "gcn-zca"), (0.25, 0.1, 0.05, 0.01)
#: The paper's side experiments on `strided-c`, by the folders of their runs.
SIDES = {
    "fast-10/strided-c-cifar10-fast-lr0.02-seed0": "as it is",
    "fast-10-sides/fully-connected": "fully connected layers instead of the 1x1 convolutions",
    "fast-10-sides/dropout-1x1": "more dropout: before the first 1x1 convolution",
    "fast-10-sides/dropout-everywhere": "more dropout: before every convolution",
    "fast-10-sides/field-48": "in a field of 48 pixels, augmented as Large-All-CNN",
}
_TABLE = re.compile(r"(<!-- python results/tables\.py: (\w+) -->\n\n)(?:\|.*\n)*")


def runs_on_cifar10() -> list[CollectedRun]:
    """Those of results/. Raises ValueError if one cannot be read."""
    runs, problems = collect_runs([ROOT / "results"])
    if problems:
        raise ValueError(problems[0])
    return [run for run in runs if run.dataset == "cifar10"]


def changed(run: CollectedRun) -> list[str]:
    """The numbers of a run's recipe that are not the published recipe's, but for its length and learning rate."""
    own, published = run.recipe.as_dict(), RECIPES[run.recipe.name].as_dict()
    return [name for name in own if own[name] != published[name] and name not in ("length", "learning_rate")]


def measured(runs: list[CollectedRun], network: str) -> Values:
    """The figures of a network by `fast`, over all seeds: of the most epochs, by today's recipe where there are two."""
    fast = [run for run in runs if (run.model, run.recipe.name) == (network, "fast") and changed(run) in NEWEST]
    if not fast:
        return dict.fromkeys(("error", "n", "epochs", "minutes", "processor"))
    best = max((run.recipe.length, changed(run) == []) for run in fast)
    own = [run for run in fast if (run.recipe.length, changed(run) == []) == best]
    found = Statistic.of([run.test_error for run in own if run.test_error is not None])
    assert found is not None  # noqa: S101  (they have finished)
    deviation = "" if found.deviation is None else f" ± {found.deviation:.2f}"
    return {
        "error": f"{found.mean:.2f}{deviation}" + ("" if best[1] else "*"),
        "n": found.n,
        "epochs": best[0],
        "minutes": sum(run.seconds for run in own) / len(own) / 60,
        "processor": ", ".join(sorted({run.config["device"]["name"] for run in own})),
    }


def errors(runs: list[CollectedRun], only_measured: bool, columns: list[Column]) -> Table:
    """The twelve networks of Table 3, or those measured, beside the paper's and the review's errors."""
    rows: list[Values] = [
        {
            "network": network.name,
            "published": network.published_name,
            "parameters": count_parameters(network.spec, network.input_shape, network.classes),
            "paper": network.published_error_percent,
            "review": network.review_error_percent,
            **measured(runs, network.name),
        }
        for network in TABLE_3_NETWORKS
    ]
    return tabulate("", "", columns, [(row, ()) for row in rows if row["n"] or not only_measured])


def lengths(runs: list[CollectedRun]) -> Table:
    """Errors by the number of epochs, for each network and recipe, and the training error after the most epochs."""
    rows: list[Values] = []
    for network in ZOO:
        for title, variant in VARIANTS.items():
            own = [run for run in runs if run.model == network and (run.recipe.name, changed(run)) == variant]
            if own:
                longest = max(own, key=lambda run: run.recipe.length)
                row = {"network": network, "recipe": title, "train": longest.rows[-1]["train_error"]}
                for epochs in EPOCHS:
                    found = Statistic.of([run.test_error for run in own if run.recipe.length == epochs])
                    row[str(epochs)] = found and found.mean
                rows.append(row)
    columns = [
        NETWORK,
        Column("Recipe", value("recipe", ""), left=True),
        *(Column(f"{epochs} epochs" if epochs == EPOCHS[0] else str(epochs), value(str(epochs))) for epochs in EPOCHS),
        Column("Training error", value("train")),
    ]
    return tabulate("", "", columns, [(row, ()) for row in rows])


def sides(runs: list[CollectedRun]) -> Table:
    """Errors of `strided-c` by `fast` in 10 epochs, changed as the paper tried it."""
    found = {run.folder.path.relative_to(ROOT / "results").as_posix(): run for run in runs}
    rows: list[Values] = []
    for folder, change in SIDES.items():
        if folder in found:
            last = found[folder].rows[-1]
            rows.append({"change": change, "error": last["test_error"], "train": last["train_error"]})
    columns = [Column("Network", value("change", ""), left=True), Column("Test error", value("error"))]
    return tabulate("", "", [*columns, Column("Training error", value("train"))], [(row, ()) for row in rows])


def preprocessings(runs: list[CollectedRun]) -> Table:
    """How `review-a` by the review's recipe ended, for each preprocessing and learning rate."""
    ends: dict[str, Values] = {
        kind: {"preprocessing": kind, **dict.fromkeys(map(str, LEARNING_RATES))} for kind in REVIEWED
    }
    for run in runs:
        if (run.model, run.recipe.name) != ("review-a", "review"):
            continue
        end = f"{run.test_error:.2f}" if run.test_error is not None else run.status
        epoch = re.search(r" in epoch \d+", run.reason or "")
        ends[run.recipe.preprocessing][str(run.recipe.learning_rate)] = end + (epoch[0] if epoch else "")
    columns = [Column(str(rate), value(str(rate), "")) for rate in LEARNING_RATES]
    return tabulate("", "", [PREPROCESSING, *columns], [(row, ()) for row in ends.values()])


PREPROCESSING = Column("Preprocessing", value("preprocessing", ""), left=True)
NETWORK, PAPER = Column("Network", value("network", ""), left=True), Column("Paper", value("paper"))
MEASURED, EPOCHS_COLUMN = Column("Measured", value("error", "")), Column("Epochs", value("epochs", "d"))


def with_tables(page: str) -> str:
    """The text of a page with its tables made anew."""
    runs = runs_on_cifar10()
    finished = [run for run in runs if run.status == "finished"]
    published = [
        Column("Published as", value("published", ""), left=True),
        Column("Parameters", value("parameters", ",d")),
    ]
    cost = [Column("Minutes", value("minutes", ".0f")), Column("Processor", value("processor", ""), left=True)]
    review, n = Column("Review", value("review")), Column("n", value("n", "d"))
    tables = {
        "networks": errors(finished, False, [NETWORK, *published, PAPER, MEASURED, EPOCHS_COLUMN]),
        "errors": errors(finished, True, [NETWORK, PAPER, review, MEASURED, n, EPOCHS_COLUMN, *cost]),
        "lengths": lengths(finished),
        "sides": sides(finished),
        "preprocessings": preprocessings(runs),
    }
    return _TABLE.sub(lambda found: found[1] + markdown(tables[found[2]]), page)


if __name__ == "__main__":
    for name in PAGES:
        path = ROOT / name
        path.write_text(with_tables(path.read_text(encoding="utf-8")), encoding="utf-8")
