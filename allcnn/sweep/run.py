"""A sweep: the grid's runs, made by workers here or on a Ray cluster, until each has come to its end."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from allcnn.backend import BACKENDS
from allcnn.errors import InputError, Interrupted
from allcnn.runs.lock import only_sweep
from allcnn.specs import Network, Spec
from allcnn.sweep.board import Board, counts_line, run_line
from allcnn.sweep.child import Work
from allcnn.sweep.display import SweepDisplay
from allcnn.sweep.grid import another_runs, make_grid
from allcnn.sweep.local import LocalWorkers, Workers
from allcnn.sweep.result import ENDED, LEFT_ALONE, SweepResult, table_of
from allcnn.training.stopping import StopRequest

_POLL_SECONDS = 0.2


def sweep(
    models: str | Sequence[str | Spec | Network],
    learning_rates: Sequence[float] | None = None,
    seeds: Sequence[int] = (0,),
    *,
    runs_dir: str | Path = "runs",
    dataset: str | None = None,
    data_dir: str | Path | None = None,
    image_size: int | None = None,
    mirror: str | None = None,
    recipe: str | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    augmentation: str | None = None,
    field: int | None = None,
    preprocessing: str | None = None,
    initializer: str | None = None,
    weight_decay: float | None = None,
    precision: str | None = None,
    validation: float | None = None,
    test_every: int | None = None,
    save_every: int | None = None,
    patience: int | None = None,
    deterministic: bool = False,
    backend: str | None = None,
    jobs: int = 1,
    ray: str | bool = False,
    gpus_per_run: float = 0,
    cpus_per_run: float = 1,
    retry_failed: bool = False,
    progress: bool = False,
    announce: Callable[[str], None] | None = None,
    **numbers: Any,
) -> SweepResult:
    """Train networks at learning rates and seeds, a run folder each, and choose the best rate of each network.

    A run is a process of its own, with a log in RUNS_DIR/logs. Called again, it keeps what is finished and goes on
    with what is not. A run that diverged or is dead is a result too, and is not made again unless asked for.

    Args:
        models: "paper" (the twelve networks of Table 3), "review", names and texts; a list, or joined by commas.
        learning_rates: by default the paper's four, or the recipe's own where its optimizer is not the paper's.
        runs_dir: where the runs' folders lie, by the names that `allcnn.train` gives them.
        dataset ... deterministic: as in `allcnn.train`.
        backend: "tensorflow" or "jax"; KERAS_BACKEND by default.
        jobs: how many runs at a time, here.
        ray: hand the runs to a Ray cluster: True for RAY_ADDRESS or the one on this machine, which is started if there
            is none, or an address. `runs_dir` and `data_dir` must then be the same folders on all nodes.
        gpus_per_run, cpus_per_run: what Ray sets aside for a run.
        retry_failed: begin diverged, dead and unreadable runs anew; their folders are moved aside, not deleted.
        progress: show it on standard error.
        announce: called with lines worth telling a person.
        numbers: any other number of the recipe, as in `allcnn.train`.

    Returns:
        All runs, those that crashed too, and the table. The best rate is chosen by the error on the images held out
        where `validation` holds some out, else by the last epoch's test error, as the paper did.

    Raises:
        InputError: a wrong argument, broken data, a folder of a run that holds another, another sweep in `runs_dir`,
            no Ray; no run was begun.
        Interrupted: stopped by the user; every run has saved its state.
    """
    announce = announce or (lambda line: None)
    if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1:
        raise InputError(f"runs are made 1, 2, ... at a time; got {jobs} (--jobs).")
    if backend is not None and backend not in BACKENDS:
        raise InputError(f'unknown backend "{backend}"; expected one of: {", ".join(BACKENDS)}.')
    runs_dir = Path(runs_dir).expanduser().absolute() if ray else Path(runs_dir).expanduser()
    options: dict[str, Any] = {
        "dataset": dataset, "data_dir": Path(data_dir).expanduser().resolve() if data_dir else None,
        "image_size": image_size, "mirror": mirror, "recipe": recipe, "epochs": epochs, "batch_size": batch_size,
        "augmentation": augmentation, "field": field, "preprocessing": preprocessing, "initializer": initializer,
        "weight_decay": weight_decay, "precision": precision, "validation": validation, "test_every": test_every,
        "save_every": save_every, "patience": patience, "deterministic": deterministic, "backend": backend,
        **numbers,
    }  # fmt: skip
    grid = make_grid(models, learning_rates, seeds, runs_dir, options)
    for note in grid.notes:
        announce(note)
    with only_sweep(runs_dir):
        workers = _workers(jobs, ray, gpus_per_run, cpus_per_run)
        try:
            another_runs(grid, runs_dir, announce)
            board = Board(grid, "validation_error" if grid.validation else "test_error")
            works = _to_do(board, options, runs_dir, retry_failed, announce, bool(ray))
            _make(board, works, workers, progress)
        finally:
            workers.close()
    runs = tuple(board.runs.values())
    return SweepResult(runs_dir, board.chosen_by, runs, table_of(runs, board.chosen_by))


def _workers(jobs: int, ray: str | bool, gpus_per_run: float, cpus_per_run: float) -> Workers:
    if not ray:
        return LocalWorkers(jobs)
    from allcnn.sweep.on_ray import RayWorkers

    return RayWorkers(ray if isinstance(ray, str) else None, gpus_per_run, cpus_per_run)


def _to_do(
    board: Board,
    options: dict[str, Any],
    runs_dir: Path,
    retry_failed: bool,
    announce: Callable[[str], None],
    moves: bool,
) -> list[Work]:
    """What is still to be made; failed runs are moved aside first where they are to be made again."""
    failed = [run for run in board.runs.values() if run.status in LEFT_ALONE]
    for run in failed:
        if retry_failed:
            aside = _set_aside(run.run_dir)
            announce(f"{run.name}: {run.status}; moved to {aside.name}, begun anew.")
            board.look_again(run.name)
        else:
            announce(run_line(run, board.chosen_by))
    if failed and not retry_failed:
        announce("--retry-failed begins them anew, with their folders moved aside.")
    # A run may go on on another node than it was begun on.
    allow = ("machine",) if moves else ()
    works = [
        Work(cell, options, runs_dir / "logs" / f"{name}.log", allow)
        for name, cell in board.cells.items()
        if board.runs[name].status not in (*ENDED, *LEFT_ALONE)
    ]
    if len(works) < len(board.cells) or any(board.runs[work.cell.name].status == "unfinished" for work in works):
        announce(f"{len(board.cells)} runs: {counts_line(list(board.runs.values()))}.")
    return works


def _make(board: Board, waiting: list[Work], workers: Workers, progress: bool) -> None:
    """Have the runs made. Raises Interrupted after they were stopped."""
    board.at_a_time = workers.at_a_time
    total = len(board.runs)
    with workers.quiet(), StopRequest() as stop, SweepDisplay(board, None if progress else io.StringIO()) as display:
        stop.say = display.say_stopping
        told_to_stop = False
        try:
            while waiting or workers.busy:
                if stop.asked and not told_to_stop:
                    workers.stop()
                    waiting, told_to_stop = [], True
                    continue
                workers.begin(waiting)
                board.waiting_for = workers.waiting_for
                for run in board.follow(workers.running):
                    display.began(run)
                for name, failure in workers.ended():
                    if stop.asked:
                        board.look_again(name)
                    else:
                        display.ended(board.end(name, failure))
                display.update()
                time.sleep(_POLL_SECONDS)
            stop.check()
        except KeyboardInterrupt:
            done = board.count(*ENDED)
            raise Interrupted(f"interrupted: {done} of {total} runs are done; the same call goes on.") from None


def _set_aside(folder: Path) -> Path:
    """Give a folder a name under which no sweep looks for it."""
    number = 1
    while (aside := folder.with_name(f"{folder.name}.failed-{number}")).exists():
        number += 1
    folder.rename(aside)
    return aside
