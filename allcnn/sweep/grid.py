"""What a sweep is asked for -> its cells: one run each, with its folder, everything wrong refused before any begins."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import index
from pathlib import Path
from typing import Any

from allcnn.data.load import load_data
from allcnn.data.pipeline import BatchOrder
from allcnn.errors import InputError, RunError
from allcnn.runs.folder import RunFolder, read_json
from allcnn.runs.recipe import LEARNING_RATES, recipe_for
from allcnn.specs import ZOO, Network, Spec, count_multiply_adds, resolve
from allcnn.training.identity import differences
from allcnn.training.plan import RunPlan, default_run_dir, plan_run

#: What `models` may name besides networks: the twelve of Table 3, by the paper and by the review.
GROUPS = {
    "paper": tuple(name for name, network in ZOO.items() if network.source == "Table 3"),
    "review": tuple(name for name in ZOO if name.startswith("review-")),
}


@dataclass(frozen=True)
class Cell:
    """One run of the grid.

    network: what `train` is told, a name or a text; model: the name it gives that.
    identity: what a run in the folder must share with this one to be it.
    """

    model: str
    network: str
    learning_rate: float
    seed: int
    folder: RunFolder
    epochs: int
    multiply_adds: int
    identity: dict[str, Any]

    @property
    def name(self) -> str:
        return self.folder.path.name


@dataclass(frozen=True)
class Grid:
    """The cells in the order in which they are begun, and what was said about their recipe."""

    cells: tuple[Cell, ...]
    learning_rates: tuple[float, ...]
    seeds: tuple[int, ...]
    validation: float
    notes: tuple[str, ...]


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
        raise InputError("no network was given; expected paper, review, or names such as all-c,strided-b (--models).")
    return list(found)


def make_grid(
    models: str | Sequence[str | Spec | Network],
    learning_rates: Sequence[float] | None,
    seeds: Sequence[int],
    runs_dir: Path,
    options: dict[str, Any],
) -> Grid:
    """The grid; `options` are keyword arguments of `train`, `backend` among them.

    Raises:
        InputError: a wrong name or number, broken data, or a folder of that name that holds another run.
    """
    for key in ("dataset", "recipe"):
        if not isinstance(options.get(key), str | None):
            raise InputError(f"a sweep's {key} must be named, since each run is a process of its own; expected a name.")
    if learning_rates is None:
        recipe = recipe_for(options.get("recipe") or "paper", options.get("dataset") or "cifar10")
        sgd = (options.get("optimizer") or recipe.optimizer) == "sgd"
        learning_rates = LEARNING_RATES if sgd else (recipe.learning_rate,)
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
    networks = networks_of(models)
    backend = options.get("backend")
    numbers = {
        key: value for key, value in options.items() if key not in ("dataset", "mirror", "image_size", "backend")
    }
    data = load_data(
        options.get("dataset") or "cifar10", options.get("data_dir"),
        image_size=options.get("image_size"), mirror=options.get("mirror"),
    )  # fmt: skip
    cells: list[Cell] = []
    notes: dict[str, None] = {}
    validation = 0.0
    for network in networks:
        for rate in rates:
            for seed in seeds:
                # Of a folder that does not exist: what a run of that name that is there already may be comes below.
                plan = plan_run(
                    network, **numbers, dataset=data, learning_rate=rate, seed=seed, run_dir=runs_dir / ".new"
                )
                notes.update(dict.fromkeys(plan.notes))
                validation = plan.validation
                cells.append(_cell(plan, network, runs_dir, backend))
    names = [cell.name for cell in cells]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"two runs of the grid would be called {twice}; expected learning rates of six digits.")
    for cell in cells:
        _refuse_other_run(cell)
    return Grid(tuple(cells), rates, seeds, validation, tuple(notes))


def another_runs(grid: Grid, runs_dir: Path, announce: Callable[[str], None]) -> None:
    """Say how many runs in the folder are none of the grid's: they are left alone, and are in no table of it."""
    names = {cell.name for cell in grid.cells}
    others = sorted(
        path.parent.name for path in runs_dir.glob("*/config.json") if path.parent.name not in names
    )  # fmt: skip
    if others:
        shown = ", ".join(others[:2]) + (", ..." if len(others) > 2 else "")
        runs = "1 run that is" if len(others) == 1 else f"{len(others)} runs that are"
        announce(f"{runs_dir}: also holds {runs} not of this grid ({shown}), left alone.")


def _cell(plan: RunPlan, network: str, runs_dir: Path, backend: str | None) -> Cell:
    recipe, data = plan.recipe, plan.data
    order = BatchOrder(images=len(plan.kept), batch_size=recipe.batch_size, seed=plan.seed, shuffle=recipe.shuffle)
    identity = {
        "spec": str(plan.spec),
        "recipe": recipe.as_dict(),
        "digest": data.digest,
        "seed": plan.seed,
        "validation": plan.validation,
        "deterministic": plan.deterministic,
    }
    # What is not asked for is the begun run's own.
    if backend := backend or os.environ.get("KERAS_BACKEND"):
        identity["backend"] = backend
    if plan.precision != "auto":
        identity["precision"] = plan.precision
    return Cell(
        model=plan.model,
        network=network,
        learning_rate=recipe.learning_rate,
        seed=plan.seed,
        folder=RunFolder(runs_dir / default_run_dir(plan.model, data.name, recipe, plan.seed).name),
        epochs=recipe.length if recipe.unit == "epochs" else -(-recipe.length // order.steps_per_epoch),
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
