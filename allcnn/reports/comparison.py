"""One row of a comparison: which of the searches stands for a network, its figures, and what is to be said of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from allcnn.reports.summaries import Search, Setting, Statistic, Trial
from allcnn.runs.recipe import LEARNING_RATES, RECIPES, Recipe, recipe_for
from allcnn.specs.zoo import Network

MISSING = "-"
#: CIFAR's training images, of both data sets.
_CIFAR_TRAINING_IMAGES = 50_000
# What `Setting` leaves out, or a column says.
_NOT_COMPARED = ("name", "learning_rate", "augmentation")


def searches_of(
    searches: Sequence[Search], network: Network, dataset: str, augmentation: str, recipe: str
) -> list[Search]:
    """A network's searches on a data set, the one that stands for it first.

    That is one with a result, of the most epochs up to the recipe's, with the fewest other numbers changed, on the
    images that most searches are on, with no images held out, of the most runs.
    """
    found = [
        search
        for search in searches
        if search.setting.spec == network.text and _is_of(search.setting, dataset, augmentation)
    ]
    length = recipe_for(recipe, dataset).length

    images = Counter(search.setting.digest for search in searches)

    def rank(search: Search) -> tuple[bool, int, int, int, bool, int]:
        setting, best = search.setting, search.best
        changed = len(changes(setting.recipe, recipe_for(recipe, dataset)))
        return (
            best is None,
            -min(setting.recipe.length, length),
            changed,
            -images[setting.digest],
            setting.validation > 0,
            -(len(best.counted) if best else 0),
        )

    return sorted(found, key=rank)


def _is_of(setting: Setting, dataset: str, augmentation: str) -> bool:
    return setting.dataset == dataset and setting.augmentation == augmentation


def measured(search: Search | None) -> dict[str, Any]:
    """The figures of a search's best learning rate, under the keys that every table of results has."""
    best = search.best if search else None
    setting = search.setting if search else None
    test = best.test if best else None
    validation = best.validation if best else None
    return {
        "dataset": setting.dataset if setting else None,
        "digest": setting.digest if setting else None,
        "recipe": search.recipe_name if search else None,
        "epochs": len(best.counted[0].rows) if best else None,
        "n": test.n if test else 0,
        "measured_error_percent": test.mean if test else None,
        "deviation": test.deviation if test else None,
        "validation_error_percent": validation.mean if validation else None,
        "learning_rate": best.learning_rate if best else None,
        "chosen_by": search.chosen_by if search and best else None,
        "searched": [trial.learning_rate for trial in search.searched] if search else [],
        "minutes": best.minutes if best else None,
        "seeds": [run.seed for run in best.counted] if best else [],
        "runs": [str(run.folder.path) for run in best.counted] if best else [],
        "not_counted": dict(not_counted([search])) if search else {},
    }


def difference(ours: float | None, published: float | None) -> float | None:
    """Ours above the published error, in percentage points."""
    return None if ours is None or published is None else ours - published


def figure(value: float | None, pattern: str = ".2f") -> str:
    """A number as people read it."""
    return MISSING if value is None else format(value, pattern)


def error_text(statistic: Statistic | None, missing: str = "missing") -> str:
    """10.35 ± 0.21, or 10.35 of a single run."""
    if statistic is None:
        return missing
    deviation = "" if statistic.deviation is None else f" ± {statistic.deviation:.2f}"
    return f"{statistic.mean:.2f}{deviation}"


def rate_text(learning_rate: float | None) -> str:
    """A learning rate as short as it is exact."""
    return MISSING if learning_rate is None else f"{learning_rate:g}"


def notes_of(search: Search | None, recipe: str) -> list[str]:
    """What is to be said of a row: how far from the recipe it was trained, how chosen, and what does not count."""
    if search is None:
        return []
    best = search.best
    notes = []
    if best:
        notes += recipe_notes(search, recipe)
        notes += _image_notes(search, best)
        notes += _choice_notes(search, best)
    for trial in search.trials:
        if trial.failed:
            failures = count_text({status: trial.not_counted[status] for status in ("diverged", "dead")})
            notes.append(f"At learning rate {trial.learning_rate:g}: {failures} of {_runs(len(trial.runs))}.")
    if left := count_text({key: n for key, n in not_counted([search]).items() if key not in ("diverged", "dead")}):
        notes.append(f"Not counted: {left}.")
    return notes


def recipe_notes(search: Search, expected: str) -> list[str]:
    """In what a search's numbers are not those of the recipe that it names, and its name if it is not the expected."""
    name = search.recipe_name if search.recipe_name in RECIPES else expected
    changed = changes(search.setting.recipe, recipe_for(name, search.setting.dataset, (32, 32, 3)))
    if name == expected:
        return [f"{'; '.join(changed)}."] if changed else []
    return [f"Recipe {name}" + (f" with {'; '.join(changed)}." if changed else ".")]


def changes(recipe: Recipe, reference: Recipe) -> list[str]:
    """Where a recipe's numbers are not the reference's: "3 epochs instead of 350"."""
    said = []
    if (recipe.length, recipe.unit) != (reference.length, reference.unit):
        unit = recipe.unit.removesuffix("s") if recipe.length == 1 else recipe.unit
        said.append(f"{recipe.length:,} {unit} instead of {reference.length:,}")
    values, expected = _compared(recipe), _compared(replace(reference, length=recipe.length))
    for name, value in values.items():
        if name not in (*_NOT_COMPARED, "length", "unit", "milestones_of") and value != expected[name]:
            said.append(f"{name.replace('_', ' ')} {_plain(value)} instead of {_plain(expected[name])}")
    return said


def _compared(recipe: Recipe) -> dict[str, Any]:
    """The numbers, the milestones as they are for the recipe's own length."""
    return {**asdict(recipe), "milestones": recipe.drops}


def _plain(value: Any) -> str:
    return "(" + ", ".join(map(str, value)) + ")" if isinstance(value, tuple) else str(value)


def _image_notes(search: Search, best: Trial) -> list[str]:
    run, validation = best.counted[0], search.setting.validation
    notes = []
    if validation:
        notes.append(f"Trained without the {validation:.3g} of the training images that were held out.")
    images = run.config.get("training_images")
    if search.setting.dataset in ("cifar10", "cifar100"):
        if isinstance(images, int) and abs(images - _CIFAR_TRAINING_IMAGES * (1 - validation)) > 1:
            notes.append(f"Trained on {images:,} images; the official training set has {_CIFAR_TRAINING_IMAGES:,}.")
        if str(run.config.get("source", "")).endswith(("(train/ and test/)", "(train/ and val/)")):
            notes.append("Images read from a folder of image files, not from CIFAR's official files.")
    return notes


def _choice_notes(search: Search, best: Trial) -> list[str]:
    notes = []
    if search.chosen_by is None:
        notes.append("Only one learning rate was run.")
    elif search.chosen_by == "validation_error":
        notes.append("Learning rate chosen by the last epoch's error on the images held out.")
    else:
        notes.append("Learning rate chosen by the last epoch's test error, as in the paper.")
    if search.tied:
        notes.append("Two learning rates have the same mean; of these the smaller.")
    searched = search.setting.recipe.optimizer == "sgd" and search.setting.dataset != "digits"
    if searched and best.learning_rate not in LEARNING_RATES:
        notes.append("The learning rate is none of the paper's four (0.25, 0.1, 0.05, 0.01).")
    if len({(run.config.get("backend"), run.config.get("precision")) for run in best.counted}) > 1:
        notes.append("Its runs differ in backend or precision.")
    return notes


def not_counted(searches: Sequence[Search]) -> Counter[str]:
    """How many runs of the searches do not count, by why."""
    total: Counter[str] = Counter()
    for search in searches:
        for trial in search.trials:
            total += trial.not_counted
    return total


def count_text(counts: dict[str, int]) -> str:
    """{"unfinished": 2, "dead": 1} -> "2 unfinished, 1 dead"."""
    words = {"repeated": "of a seed already counted"}
    return ", ".join(f"{n} {words.get(key, key)}" for key, n in sorted(counts.items()) if n)


def _runs(n: int) -> str:
    return "1 run" if n == 1 else f"{n} runs"


def left_out(
    searches: Sequence[Search], shown: Sequence[Search], network_names: Sequence[str], where: Sequence[tuple[str, str]]
) -> list[str]:
    """The remark on the runs that a table does not show, and why.

    network_names: those that the table has rows for; where: the data sets and augmentations it has rows for.
    """
    counts: Counter[str] = Counter()
    for search in searches:
        if not any(search is other for other in shown):
            counts[_why_not_shown(search.setting, network_names, where)] += len(search.runs)
    if not counts:
        return []
    said = "; ".join(f"{_runs(n)} {why}" for why, n in counts.items())
    return [f"Not in this table: {said}. `--table lr` shows them."]


def _why_not_shown(setting: Setting, network_names: Sequence[str], where: Sequence[tuple[str, str]]) -> str:
    if setting.network is None or setting.network.name not in network_names:
        return "of other networks"
    if setting.dataset not in [dataset for dataset, _ in where]:
        return f"on {setting.dataset}"
    if (setting.dataset, setting.augmentation) not in where:
        return f"on {setting.dataset} with augmentation {setting.augmentation}"
    return "of the same networks in other settings or on other images"


def main_dataset(searches: Sequence[Search], network_names: Sequence[str]) -> str:
    """What a table of CIFAR-10 shows: CIFAR-10, or where no run is on it, what most finished runs are on."""
    counts: Counter[str] = Counter()
    for search in searches:
        network = search.setting.network
        if network is not None and network.name in network_names and search.setting.augmentation == "none":
            # A data set whose runs came to no end still comes before none.
            counts[search.setting.dataset] += 1000 * sum(len(trial.counted) for trial in search.trials) + 1
    if "cifar10" in counts or not counts:
        return "cifar10"
    return min(counts, key=lambda name: (-counts[name], name))


def images_note(search: Search | None, shown: Sequence[Search]) -> list[str]:
    """Which images a row is of, where the rows of its data set are not all of the same."""
    if search is None or len({other.setting.digest for other in shown if _same_name(other, search)}) < 2:
        return []
    return [f"Images with the digest {search.setting.digest[:12]}."]


def _same_name(one: Search, other: Search) -> bool:
    return one.setting.dataset == other.setting.dataset


def images_remark(shown: Sequence[Search]) -> list[str]:
    """What the images of a table are known by. Nothing here knows the official ones, so nothing claims them."""
    digests = sorted({f"{search.setting.dataset} {search.setting.digest[:12]}" for search in shown})
    return [f"Images, by their digest (see `allcnn data`): {', '.join(digests)}."] if digests else []
