"""Published rows and searches -> rows of both: which of our searches stands beside a network, and the notes on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from allcnn.reports.summaries import Search, Trial
from allcnn.runs.collected import FAILED
from allcnn.runs.recipe import LEARNING_RATES, RECIPES, Recipe, recipe_for
from allcnn.specs.zoo import Network
from allcnn.tables import Values

#: CIFAR's training images, of both data sets.
_CIFAR_TRAINING_IMAGES = 50_000
# A row or a column says these already; the milestones are compared as they are for the run's own length.
_NOT_COMPARED = ("name", "learning_rate", "augmentation", "length", "unit", "milestones_of")


class Candidate(NamedTuple):
    """A network whose runs may stand in a row, the recipe that they are compared with, and the notes on its choice.

    augmented: of runs with an augmentation other than the row's.
    """

    network: Network
    recipe: str
    notes: tuple[str, ...] = ()
    augmented: bool = False


@dataclass(frozen=True)
class PublishedEntry:
    """A row of a published table, and which of our runs belong beside it.

    values: what is published, first in the row's values. error_percent: what ours is compared with; None: with nothing.
    candidates: the first of the best rank stands in the row. Best are finished runs of the candidate's recipe, changed
        or not, or of another recipe unchanged; then other finished runs; then unfinished ones.
    """

    values: Values
    error_percent: float | None
    dataset: str
    augmentation: str
    candidates: tuple[Candidate, ...]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Comparison:
    """rows: the values and notes of each entry. shown: their searches. remarks: on the images, and runs left out."""

    rows: list[tuple[Values, list[str]]]
    shown: list[Search]
    remarks: list[str]


def compare(searches: Sequence[Search], entries: Sequence[PublishedEntry], *, notes_seeds: bool = False) -> Comparison:
    """Put our searches beside published entries.

    notes_seeds: whether a note gives the number of seeds and the learning rate, for a table without such columns.
    """
    chosen = [_choose(searches, entry) for entry in entries]
    shown = [search for _, search in chosen if search]
    rows = []
    for entry, (candidate, search) in zip(entries, chosen, strict=True):
        values, notes = {**entry.values, **_measured(search)}, list(entry.notes)
        ours = values["measured_error_percent"]
        values["difference"] = None if ours is None or entry.error_percent is None else ours - entry.error_percent
        if candidate and search:
            values["network"] = candidate.network.name
            if notes_seeds and search.best:
                n = values["n"]
                notes.append(f"{n} seed{'s' * (n > 1)} at learning rate {search.best.learning_rate:g}.")
            if candidate.augmented:
                notes.append(f"Recipe {search.recipe_name} with {search.recipe.augmentation}; published without.")
            notes += [*candidate.notes, *_notes(search, candidate.recipe), *images_note(search, shown)]
        rows.append((values, notes))
    digests = sorted({f"{search.dataset} {search.digest[:12]}" for search in shown})
    # Nothing here knows the official images, so nothing claims them.
    remarks = [f"Images, by their digest (see `allcnn data`): {', '.join(digests)}."] if digests else []
    return Comparison(rows, shown, remarks + _left_out(searches, shown, entries))


def _choose(searches: Sequence[Search], entry: PublishedEntry) -> tuple[Candidate | None, Search | None]:
    """The candidate and the search that stand in the entry's row."""
    found = [(one, search) for one in entry.candidates if (search := _search_of(searches, one, entry))]

    def rank(pair: tuple[Candidate, Search]) -> tuple[bool, bool]:
        candidate, search = pair
        _, changed = _named_recipe(search, candidate.recipe)
        return search.best is None, search.recipe_name != candidate.recipe and bool(changed)

    return min(found, key=rank, default=(None, None))


def _search_of(searches: Sequence[Search], candidate: Candidate, entry: PublishedEntry) -> Search | None:
    """The search that stands for a candidate on the entry's data set.

    What counts, in this order: a result, the most epochs up to the recipe's, the fewest other numbers changed, the
    images that most searches have, no images held out, the most runs.
    """
    recipe = recipe_for(candidate.recipe, entry.dataset)
    images = Counter(search.digest for search in searches)

    def rank(search: Search) -> tuple[float, ...]:
        return (
            search.best is None,
            -min(search.recipe.length, recipe.length),
            len(changes(search.recipe, recipe)),
            -images[search.digest],
            search.validation > 0,
            -len(search.best.counted) if search.best else 0,
        )

    asked = (candidate.network.text, entry.dataset, candidate.augmented)
    found = [one for one in searches if (one.spec, one.dataset, one.augmentation != entry.augmentation) == asked]
    return min(found, key=rank, default=None)


def _measured(search: Search | None) -> Values:
    """The results at a search's best learning rate, under the keys that every compared row has."""
    best = search.best if search else None
    test = best.test if best else None
    validation = best.validation if best else None
    return {
        "dataset": search.dataset if search else None,
        "digest": search.digest if search else None,
        "recipe": search.recipe_name if search else None,
        "epochs": len(best.counted[0].rows) if best else None,
        "n": test.n if test else 0,
        "measured_error_percent": test.mean if test else None,
        "deviation": test.deviation if test else None,
        "validation_error_percent": validation.mean if validation else None,
        "learning_rate": best.learning_rate if best else None,
        "chosen_by": search.chosen_by if search else None,
        "searched": [trial.learning_rate for trial in search.searched] if search else [],
        "minutes": best.minutes if best else None,
        "seeds": [run.seed for run in best.counted] if best else [],
        "runs": [str(run.folder.path) for run in best.counted] if best else [],
        "not_counted": dict(search.not_counted) if search else {},
    }


def _notes(search: Search, recipe: str) -> list[str]:
    """How a search differs from the recipe, how its learning rate was chosen, and which of its runs do not count."""
    notes = []
    if best := search.best:
        notes += [*recipe_notes(search, recipe), *_image_notes(search, best), *_choice_notes(search, best)]
    for trial in search.trials:
        if failures := count_text({status: trial.not_counted[status] for status in FAILED}):
            notes.append(f"At learning rate {trial.learning_rate:g}: {failures} of {_runs(len(trial.runs))}.")
    if left := count_text({key: n for key, n in search.not_counted.items() if key not in FAILED}):
        notes.append(f"Not counted: {left}.")
    return notes


def recipe_notes(search: Search, expected: str) -> list[str]:
    """A search's recipe, if it is not the expected one, and which of its numbers are changed."""
    name, differences = _named_recipe(search, expected)
    changed = "; ".join(differences)
    if name == expected:
        return [f"{changed}."] if changed else []
    return [f"Recipe {name} with {changed}." if changed else f"Recipe {name}."]


def _named_recipe(search: Search, expected: str) -> tuple[str, list[str]]:
    """The name of a search's recipe, the expected one's if it is unknown, and the search's `changes` from it."""
    name = search.recipe_name if search.recipe_name in RECIPES else expected
    return name, changes(search.recipe, recipe_for(name, search.dataset))


def changes(recipe: Recipe, reference: Recipe) -> list[str]:
    """Where a recipe's numbers are not the reference's: "3 epochs instead of 350"."""

    def compared(one: Recipe) -> dict[str, Any]:
        return {**asdict(one), "milestones": one.drops}

    def plain(value: Any) -> str:
        return "(" + ", ".join(map(str, value)) + ")" if isinstance(value, tuple) else str(value)

    said = []
    if (recipe.length, recipe.unit) != (reference.length, reference.unit):
        unit = recipe.unit.removesuffix("s") if recipe.length == 1 else recipe.unit
        said.append(f"{recipe.length:,} {unit} instead of {reference.length:,}")
    expected = compared(replace(reference, length=recipe.length))
    for name, value in compared(recipe).items():
        if name not in _NOT_COMPARED and value != expected[name]:
            said.append(f"{name.replace('_', ' ')} {plain(value)} instead of {plain(expected[name])}")
    return said


def _image_notes(search: Search, best: Trial) -> list[str]:
    run, validation = best.counted[0], search.validation
    notes = []
    if validation:
        notes.append(f"Trained without the {validation:.3g} of the training images that were held out.")
    images = run.config.get("training_images")
    if search.dataset in ("cifar10", "cifar100"):
        if isinstance(images, int) and abs(images - _CIFAR_TRAINING_IMAGES * (1 - validation)) > 1:
            notes.append(f"Trained on {images:,} images; the official training set has {_CIFAR_TRAINING_IMAGES:,}.")
        if str(run.config.get("source", "")).endswith(("(train/ and test/)", "(train/ and val/)")):
            notes.append("Images read from a folder of image files, not from CIFAR's official files.")
    return notes


def _choice_notes(search: Search, best: Trial) -> list[str]:
    notes = {
        None: ["Only one learning rate was run."],
        "validation_error": ["Learning rate chosen by the last epoch's error on the images held out."],
        "test_error": ["Learning rate chosen by the last epoch's test error, as in the paper."],
    }[search.chosen_by]
    if search.tied:
        notes.append("Two learning rates have the same mean; of these the smaller.")
    searched = search.recipe.optimizer == "sgd" and search.dataset != "digits"
    if searched and best.learning_rate not in LEARNING_RATES:
        notes.append("The learning rate is none of the paper's four (0.25, 0.1, 0.05, 0.01).")
    if len({(run.config.get("backend"), run.config.get("precision")) for run in best.counted}) > 1:
        notes.append("Its runs differ in backend or precision.")
    return notes


def images_note(search: Search, shown: Sequence[Search]) -> list[str]:
    """Which images a row is of, if the rows of its data set are of several."""
    digests = {other.digest for other in shown if other.dataset == search.dataset}
    return [f"Images with the digest {search.digest[:12]}."] if len(digests) > 1 else []


def count_text(counts: dict[str, int]) -> str:
    """{"unfinished": 2, "dead": 1} -> "1 dead, 2 unfinished"."""
    words = {"repeated": "of a seed already counted"}
    return ", ".join(f"{n} {words.get(key, key)}" for key, n in sorted(counts.items()) if n)


def _runs(n: int) -> str:
    return "1 run" if n == 1 else f"{n} runs"


def _left_out(searches: Sequence[Search], shown: Sequence[Search], entries: Sequence[PublishedEntry]) -> list[str]:
    """The remark on the runs that no row shows, and why."""
    names = {candidate.network.name for entry in entries for candidate in entry.candidates}
    where = {(entry.dataset, entry.augmentation) for entry in entries}
    augmented = any(candidate.augmented for entry in entries for candidate in entry.candidates)

    def why(search: Search) -> str:
        if search.network is None or search.network.name not in names:
            return "of other networks"
        if search.dataset not in {dataset for dataset, _ in where}:
            return f"on {search.dataset}"
        if not augmented and (search.dataset, search.augmentation) not in where:
            return f"on {search.dataset} with augmentation {search.recipe.augmentation}"
        return "of the same networks in other settings or on other images"

    counts: Counter[str] = Counter()
    for search in searches:
        if search not in shown:
            counts[why(search)] += len(search.runs)
    if not counts:
        return []
    said = "; ".join(f"{_runs(n)} {reason}" for reason, n in counts.items())
    return [f"Not in this table: {said}. `--table lr` shows them."]
