"""Runs -> searches: which runs may be averaged, which learning rates were tried, and which of them is the best."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean

from allcnn.runs.collected import FAILED, CollectedRun, Statistic, rate_rank
from allcnn.runs.recipe import Recipe
from allcnn.specs.published import papers_augmentation
from allcnn.specs.zoo import ZOO, Network

_NETWORK_OF_TEXT = {network.text: network for network in ZOO.values()}


@dataclass(frozen=True)
class Trial:
    """One learning rate of a search.

    counted: the finished runs, one a seed: equal seeds are no independent draws. others: every other run of it.
    """

    learning_rate: float
    counted: tuple[CollectedRun, ...]
    others: tuple[CollectedRun, ...]

    @property
    def runs(self) -> tuple[CollectedRun, ...]:
        return (*self.counted, *self.others)

    @cached_property
    def test(self) -> Statistic | None:
        """The last epochs' test errors, in percent."""
        return Statistic.of([run.test_error for run in self.counted if run.test_error is not None])

    @cached_property
    def validation(self) -> Statistic | None:
        """The last epochs' errors on the images held out, in percent, if every counted run has one."""
        errors = [run.validation_error for run in self.counted]
        known = [error for error in errors if error is not None and math.isfinite(error)]
        return Statistic.of(known) if len(known) == len(errors) else None

    @property
    def minutes(self) -> float | None:
        """Minutes of training, the mean of the counted runs."""
        return fmean(run.seconds for run in self.counted) / 60 if self.counted else None

    @cached_property
    def not_counted(self) -> Counter[str]:
        """How many of the other runs have which status; "repeated" for a finished run of a seed already counted."""
        return Counter("repeated" if run.status == "finished" else run.status for run in self.others)

    @property
    def failed(self) -> int:
        """How many seeds have only failed runs; a run that was begun anew may have finished."""
        failed = {run.seed for run in self.others if run.status in FAILED}
        return len(failed - {run.seed for run in self.counted})


@dataclass(frozen=True)
class Search:
    """All learning rates that were run in one setting, highest first as the paper lists them.

    The fields before `trials` are the setting: all that must be the same for runs to be averaged or compared.
    recipe: without name and learning rate, which may differ.
    """

    spec: str
    dataset: str
    digest: str
    recipe: Recipe
    validation: float
    trials: tuple[Trial, ...]

    @property
    def network(self) -> Network | None:
        """The published network of this text, whether the run named it or wrote it out."""
        return _NETWORK_OF_TEXT.get(self.spec)

    @property
    def augmentation(self) -> str:
        """The augmentation as the paper's tables have it; the run's own is the recipe's."""
        return papers_augmentation(self.recipe.augmentation)

    @property
    def runs(self) -> tuple[CollectedRun, ...]:
        return tuple(run for trial in self.trials for run in trial.runs)

    @property
    def recipe_name(self) -> str:
        return self.runs[0].recipe.name

    @property
    def searched(self) -> tuple[Trial, ...]:
        """The learning rates that gave a result, or failed: those among which there was a choice."""
        return tuple(trial for trial in self.trials if trial.counted or trial.failed)

    @property
    def chosen_by(self) -> str | None:
        """Either "validation_error", if every counted run held images out, or "test_error"; None without a choice."""
        return self._measure if self.best and len(self.searched) > 1 else None

    @cached_property
    def best(self) -> Trial | None:
        """The learning rate of the lowest `rate_rank` among those at which a run finished; None if none did."""
        return min((trial for trial in self.trials if trial.counted), key=self._rank, default=None)

    @property
    def tied(self) -> bool:
        """Whether a larger learning rate is as good as the best."""
        ranks = [self._rank(trial)[:2] for trial in self.trials if trial.counted]
        return len(ranks) > 1 and ranks.count(min(ranks)) > 1

    @cached_property
    def not_counted(self) -> Counter[str]:
        """`Trial.not_counted` of all learning rates."""
        return sum((trial.not_counted for trial in self.trials), Counter())

    @cached_property
    def _measure(self) -> str:
        held_out = all(trial.validation is not None for trial in self.trials if trial.counted)
        return "validation_error" if held_out else "test_error"

    def _rank(self, trial: Trial) -> tuple[int, float, float]:
        error = trial.validation if self._measure == "validation_error" else trial.test
        return rate_rank(trial.failed, error.mean if error else None, trial.learning_rate)


def search_results(runs: Sequence[CollectedRun]) -> list[Search]:
    """The runs by setting and learning rate; every run is in exactly one trial of one search.

    In the order of the published networks, then of the texts.
    """
    settings: dict[tuple[str, str, str, Recipe, float], dict[float, list[CollectedRun]]] = {}
    for run in runs:
        recipe = replace(run.recipe, name="", learning_rate=1.0)
        setting = (run.spec, run.dataset, run.digest, recipe, run.validation)
        settings.setdefault(setting, {}).setdefault(run.recipe.learning_rate, []).append(run)
    searches = [
        Search(*setting, tuple(_trial(rate, trials[rate]) for rate in sorted(trials, reverse=True)))
        for setting, trials in settings.items()
    ]

    def place(search: Search) -> tuple[int | str, ...]:
        network, recipe = search.network, search.recipe
        return (
            list(ZOO).index(network.name) if network else len(ZOO), search.spec, search.dataset, search.digest,
            recipe.augmentation, -recipe.length, f"{search.validation} {recipe}",
        )  # fmt: skip

    return sorted(searches, key=place)


def _trial(learning_rate: float, runs: Sequence[CollectedRun]) -> Trial:
    counted: dict[int, CollectedRun] = {}
    others = []
    for run in sorted(runs, key=lambda run: (run.seed, str(run.folder.path))):
        if run.test_error is not None and run.seed not in counted:
            counted[run.seed] = run
        else:
            others.append(run)
    return Trial(learning_rate, tuple(counted.values()), tuple(others))
