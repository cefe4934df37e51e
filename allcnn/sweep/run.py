"""A sweep: the grid's runs, made here or on a Ray cluster, until each has come to its end."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

from allcnn.errors import InputError, Interrupted, is_whole, one_line
from allcnn.ray_cluster import always_heard
from allcnn.runs.config import RunConfig
from allcnn.runs.lock import only_sweep
from allcnn.specs import Network, Spec
from allcnn.sweep.display import Board, SweepDisplay, counts_line, run_line
from allcnn.sweep.grid import Cell, announce_other_runs, make_grid
from allcnn.sweep.result import ENDED, LEFT_ALONE, SweepResult, table_of
from allcnn.sweep.workers import LocalPool, Pool, log_length
from allcnn.training.stopping import StopRequest

_POLL_SECONDS = 0.2


def sweep(
    models: str | Sequence[str | Spec | Network],
    learning_rates: Sequence[float] | None = None,
    seeds: Sequence[int] | None = None,
    *,
    config: str | Path | RunConfig | None = None,
    runs_dir: str | Path = "runs",
    jobs: int = 1,
    ray: str | bool = False,
    gpus_per_run: float = 0,
    cpus_per_run: float = 1,
    workers_per_run: int = 1,
    retry_failed: bool = False,
    progress: bool = False,
    announce: Callable[[str], None] | None = None,
    **options: Any,
) -> SweepResult:
    """Train networks at learning rates and seeds, a run folder each, and choose the best rate of each network.

    A run is a process of its own, with a log in RUNS_DIR/logs. Called again, it keeps what is finished and goes on
    with what is not. A run that diverged or is dead is a result too, and is not made again unless asked for.

    Args:
        models: "paper" (the twelve networks of Table 3), "review", names and texts; a list, or joined by commas.
        learning_rates: by default the one asked for, also by a run's config.json; else the paper's four, or the
            recipe's own where its optimizer is not the paper's.
        seeds: by default the one asked for, else 0.
        options, config: what all runs are asked for, as in `allcnn.train`; the data set and the recipe by name.
        runs_dir: where the runs' folders lie, by the names that `allcnn.train` gives them.
        jobs: how many runs at a time, here.
        ray: hand the runs to a Ray cluster: True for RAY_ADDRESS or the one on this machine, which is started if there
            is none, or an address. `runs_dir` and `data_dir` must then be the same folders on all nodes.
        gpus_per_run, cpus_per_run: what Ray sets aside for a run, or for each of its workers.
        workers_per_run: the workers of each run on Ray, on JAX.
        retry_failed: begin diverged, dead and unreadable runs anew; their folders are moved aside, not deleted.
        progress: show it on standard error.
        announce: called with lines worth telling a person.

    Returns:
        All runs, those that crashed too, and the table. The best rate is chosen by the error on the images held out
        where `validation` holds some out, else by the last epoch's test error, as the paper did.

    Raises:
        InputError: a wrong argument, broken data, a folder of a run that holds another, another sweep in `runs_dir`,
            no Ray; no run was begun.
        Interrupted: stopped by the user; every run has saved its state.
    """
    announce = announce or (lambda line: None)
    if not is_whole(jobs) or jobs < 1:
        raise InputError(f"runs are made 1, 2, ... at a time; got {jobs} (--jobs).")
    if not ray and (cpus_per_run, gpus_per_run) != (1, 0):
        raise InputError("only Ray gives runs CPUs and GPUs; expected --ray beside --cpus-per-run and --gpus-per-run.")
    announce = always_heard(announce)
    runs_dir = Path(runs_dir).expanduser().absolute() if ray else Path(runs_dir).expanduser()
    asked = RunConfig().with_config(config).with_options(**options)
    if asked.data_dir is not None:
        asked = replace(asked, data_dir=Path(asked.data_dir).resolve())  # as the processes find it
    if workers_per_run != 1:
        if not ray or asked.backend not in (None, "jax"):
            raise InputError(f"a run has {workers_per_run} workers on Ray and JAX only; expected --ray --backend jax.")
        asked = asked.with_options(backend="jax")
    cells, notes = make_grid(models, learning_rates, seeds, runs_dir, asked)
    for note in notes:
        announce(note)
    with only_sweep(runs_dir):
        pool = _pool(jobs, ray, gpus_per_run, cpus_per_run, workers_per_run)
        try:
            announce_other_runs(cells, runs_dir, announce)
            board = Board(cells, "validation_error" if asked.validation else "test_error")
            _make(board, _to_do(board, retry_failed, announce), pool, progress)
        finally:
            pool.close()
    runs = tuple(board.runs.values())
    return SweepResult(runs_dir, board.chosen_by, runs, table_of(runs, board.chosen_by))


def _pool(jobs: int, ray: str | bool, gpus_per_run: float, cpus_per_run: float, workers_per_run: int) -> Pool:
    if not ray:
        return LocalPool(jobs)
    from allcnn.sweep.on_ray import RayPool, WorkersPool
    from allcnn.training.on_ray import Workers

    address = ray if isinstance(ray, str) else None
    if workers_per_run == 1:
        return RayPool(address, gpus_per_run, cpus_per_run)
    return WorkersPool(address, Workers(workers_per_run, cpus_per_worker=cpus_per_run, gpus_per_worker=gpus_per_run))


def _to_do(board: Board, retry_failed: bool, announce: Callable[[str], None]) -> list[Cell]:
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
    status = {name: run.status for name, run in board.runs.items()}
    cells = [cell for name, cell in board.cells.items() if status[name] not in (*ENDED, *LEFT_ALONE)]
    if len(cells) < len(board.cells) or "unfinished" in status.values():
        announce(f"{len(board.cells)} runs: {counts_line(list(board.runs.values()))}.")
    return cells


def _make(board: Board, cells: list[Cell], pool: Pool, progress: bool) -> None:
    """Have the runs made. Raises Interrupted after they were stopped."""
    board.at_a_time = pool.at_a_time
    with StopRequest() as stop, SweepDisplay(board, None if progress else io.StringIO()) as display:
        stop.say = display.say_stopping
        try:
            lengths = {cell.name: log_length(cell) for cell in cells}
            futures: dict[Future[str | None], Cell] = {pool.submit(cell): cell for cell in cells}
            told_to_stop = False
            while futures:
                if stop.asked and not told_to_stop:
                    pool.stop()
                    for future in futures:
                        future.cancel()
                    told_to_stop = True
                for future in [future for future in futures if future.done()]:
                    cell = futures.pop(future)
                    if stop.asked:
                        board.look_again(cell.name)
                    else:
                        display.ended(board.end(cell.name, _failure(future)))
                running = {cell.name for cell in futures.values() if log_length(cell) > lengths[cell.name]}
                board.waiting_for = pool.waiting_for if futures and not running else None
                for run in board.follow(running):
                    display.began(run)
                display.update()
                time.sleep(_POLL_SECONDS)
            stop.check()
        except KeyboardInterrupt:
            done = board.count(*ENDED)
            raise Interrupted(
                f"interrupted: {done} of {len(board.runs)} runs are done. The same call goes on."
            ) from None


def _failure(future: Future[str | None]) -> str | None:
    """Why a run's process failed, or what became of the worker that was to make it."""
    error = future.exception()
    return f"{type(error).__name__}: {one_line(error)}" if error else future.result()


def _set_aside(folder: Path) -> Path:
    """Give a folder a name under which no sweep looks for it."""
    number = 1
    while (aside := folder.with_name(f"{folder.name}.failed-{number}")).exists():
        number += 1
    folder.rename(aside)
    return aside
