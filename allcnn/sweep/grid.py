"""What a sweep is asked for -> its cells: one run each, with its folder, everything wrong refused before any begins."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import index
from pathlib import Path
from typing import Any

from allcnn.data.dataset import Dataset
from allcnn.data.pipeline import BatchOrder
from allcnn.errors import InputError, RunError, first_of
from allcnn.runs.config import RunConfig
from allcnn.runs.folder import RunFolder, read_json
from allcnn.runs.recipe import LEARNING_RATES, Recipe
from allcnn.specs import ZOO, Network, Spec, count_multiply_adds, resolve
from allcnn.training.identity import differences
from allcnn.training.plan import RunPlan, default_run_dir, image_sizes, load_images, plan_run

#: What a run of a sweep trains on, unless several workers share it.
ONE_DEVICE = ("--devices", "1")
#: What `models` may name besides networks: the twelve of Table 3, by the paper and by the review.
GROUPS = {
    "paper": tuple(name for name, network in ZOO.items() if network.source == "Table 3"),
    "review": tuple(name for name in ZOO if name.startswith("review-")),
}


@dataclass(frozen=True)
class Cell:
    """One run of the grid.

    asked: its configuration; model: the name that `train` gives the network.
    epochs, multiply_adds: its length, and what an image costs (for the time left).
    identity: what a run in the folder must share with this one to be it.
    """

    asked: RunConfig
    model: str
    learning_rate: float
    folder: RunFolder
    epochs: int
    multiply_adds: int
    identity: dict[str, Any]

    @property
    def name(self) -> str:
        return self.folder.path.name

    @property
    def log(self) -> Path:
        """Where its process writes what it says."""
        return self.folder.path.parent / "logs" / f"{self.name}.log"

    def command(self, allow: Sequence[str] = (), where: Sequence[str] = ONE_DEVICE) -> list[str]:
        """`allcnn train` for this run: to begin it, or to go on where it was begun.

        allow: as in `train`; where: options that say on what it trains.
        """
        command = ["train", *self.asked.as_command_line(), *where, "--run-dir", str(self.folder.path)]
        if self.folder.holds_run():
            command += ["--resume", *(word for key in allow for word in ("--allow", key))]
        return command


def networks_of(models: str | Sequence[str | Spec | Network]) -> list[str]:
    """The networks named: "paper", "review", names and texts, as a list or joined by commas, each once.

    Raises:
        InputError, SpecError: an unknown name, a wrong text, or none at all.
    """
    given = models.split(",") if isinstance(models, str) else list(models)
    named = [model.name if isinstance(model, Network) else str(model) for model in given]
    found: dict[str, str] = {}
    for name in (name.strip() for name in named if name.strip()):
        for model in GROUPS.get(name.lower(), (name,)):
            spec, network = resolve(model)
            found.setdefault(network.name if network else str(spec), model)
    if not found:
        raise InputError("no network was given; expected --models paper, review, or names such as all-c,strided-b.")
    return list(found)


def make_grid(
    models: str | Sequence[str | Spec | Network],
    learning_rates: Sequence[float] | None,
    seeds: Sequence[int] | None,
    runs_dir: Path,
    asked: RunConfig,
) -> tuple[list[Cell], list[str]]:
    """The cells in the order in which they are begun, and the notes of their plans. `asked`: what all of them share.

    Raises:
        InputError: a wrong name or number, broken data, or a folder of that name that holds another run.
    """
    asked.as_command_line()  # refuses what a process of its own cannot be told
    networks = networks_of(models)
    if learning_rates is None:
        _, recipe = asked.with_options(model=networks[0]).settle_recipe(str(asked.dataset))
        of_a_run = isinstance(asked.recipe, Recipe)  # whose rate was chosen
        searched = recipe.optimizer == "sgd" and not of_a_run and "learning_rate" not in asked.numbers
        learning_rates = LEARNING_RATES if searched else (recipe.learning_rate,)
    seeds = (asked.seed,) if seeds is None else seeds
    try:  # NumPy's numbers too, which would not be read back from a command line
        rates = tuple(dict.fromkeys(float(rate) for rate in learning_rates))
        seeds = tuple(dict.fromkeys(index(seed) for seed in seeds))
    except (TypeError, ValueError):
        raise InputError(
            f"learning rates must be numbers and seeds whole numbers; got {learning_rates} and {seeds}."
        ) from None
    for what, values, example in (("learning rate", rates, "0.1,0.05"), ("seed", seeds, "0,1,2")):
        if not values:
            raise InputError(f"no {what} was given; expected some, such as {example}.")

    cells: list[Cell] = []
    notes: dict[str, None] = {}
    loaded: dict[tuple[int | None, int | None], Dataset] = {}  # a network's own recipe may want other sizes
    for network in networks:
        mine = asked.with_options(model=network)
        if (sizes := image_sizes(mine)) not in loaded:
            loaded[sizes] = load_images(mine)
        for rate in rates:
            for seed in seeds:
                cell = mine.with_options(learning_rate=rate, seed=seed)
                # Planned as a new run, in a folder that does not exist. A run that is there is compared below.
                plan = plan_run(config=cell, dataset=loaded[sizes], run_dir=runs_dir / ".new")
                notes.update(dict.fromkeys(plan.notes))
                cells.append(_cell(cell, plan, runs_dir))
    names = [cell.name for cell in cells]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"two runs of the grid would be called {twice}; expected learning rates of six digits.")
    for found in cells:
        _refuse_other_run(found)
    return cells, list(notes)


def announce_other_runs(cells: Sequence[Cell], runs_dir: Path, announce: Callable[[str], None]) -> None:
    """Say how many runs in the folder are none of the grid's: they are left alone, and are in no table of it."""
    names = {cell.name for cell in cells}
    others = sorted(path.parent.name for path in runs_dir.glob("*/config.json") if path.parent.name not in names)
    if others:
        shown = first_of(others, 2)
        runs = "1 run that is" if len(others) == 1 else f"{len(others)} runs that are"
        announce(f"{runs_dir}: also holds {runs} not of this grid ({shown}), left alone.")


def _cell(asked: RunConfig, plan: RunPlan, runs_dir: Path) -> Cell:
    recipe, data = plan.recipe, plan.data
    order = BatchOrder(images=len(plan.kept), batch_size=recipe.batch_size, seed=asked.seed, shuffle=recipe.shuffle)
    identity = {
        "spec": str(plan.spec),
        "recipe": recipe.as_dict(),
        "digest": data.digest,
        "seed": asked.seed,
        "validation": asked.validation,
        "deterministic": asked.deterministic,
    }
    # What is not asked for is the begun run's own.
    if backend := asked.backend or os.environ.get("KERAS_BACKEND"):
        identity["backend"] = backend
    if asked.precision != "auto":
        identity["precision"] = asked.precision
    return Cell(
        asked=asked,
        model=plan.model,
        learning_rate=recipe.learning_rate,
        folder=RunFolder(runs_dir / default_run_dir(plan.model, data.name, recipe, asked.seed).name),
        epochs=-(-recipe.total_steps(order.steps_per_epoch) // order.steps_per_epoch),
        multiply_adds=count_multiply_adds(plan.spec, plan.network_shape, data.classes),
        identity=identity,
    )


def _refuse_other_run(cell: Cell) -> None:
    """Refuse a folder of the cell's name that holds another run; a damaged one is the cell's own failure, later."""
    try:
        if not cell.folder.holds_run():
            return
        stored = read_json(cell.folder.config)
    except (RunError, OSError):
        return
    if found := differences(stored, {**stored, **cell.identity}):
        raise RunError(
            f"{cell.folder.path}: is another run: {'; '.join(map(str, found))}.\n"
            "Sweep with the options that it was begun with, or choose another folder with --runs-dir."
        )
