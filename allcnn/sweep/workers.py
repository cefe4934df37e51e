"""A run in a process of its own, and the processes here that make so many at a time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from allcnn.processes import failure_of, spawn
from allcnn.runs.lock import holder_of
from allcnn.sweep.grid import ONE_DEVICE, Cell

_POLL_SECONDS = 0.2
# How long the process of a killed sweep may take to save its state and release the run, compiling included.
_LOCK_SECONDS = 300.0
_KILL_SECONDS = 10.0


class Pool(Protocol):
    """Where runs are made: here, or on a Ray cluster.

    at_a_time: how many, None where that is not known; waiting_for: why none of those handed over runs yet.
    """

    at_a_time: int | None
    waiting_for: str

    def submit(self, cell: Cell) -> Future[str | None]:
        """Have a run made. The future gives why its process failed, None where it did not."""

    def stop(self) -> None:
        """Ask the runs to save their state and to end; asked again, they leave at once."""

    def close(self) -> None:
        """Leave no process behind."""


class LocalPool:
    """Processes of this machine, `jobs` at a time, each waited for by a thread."""

    waiting_for = "waiting for another process that is at work on the next run"

    def __init__(self, jobs: int):
        self.at_a_time: int | None = jobs
        self.threads = ThreadPoolExecutor(jobs)
        self.stops = 0
        # Several on one accelerator: none may take all of its memory at the start.
        shared = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        self.environment = {name: value for name, value in shared.items() if jobs > 1 and name not in os.environ}

    def submit(self, cell: Cell) -> Future[str | None]:
        return self.threads.submit(make_run, cell, (), self.environment, lambda: self.stops)

    def stop(self) -> None:
        self.stops += 1

    def close(self) -> None:
        self.stops += 2
        self.threads.shutdown(cancel_futures=True)


def make_run(
    cell: Cell,
    allow: Sequence[str],
    environment: Mapping[str, str | None],
    stops: Callable[[], int] = lambda: 0,
    where: Sequence[str] = ONE_DEVICE,
) -> str | None:
    """Make a run in a process and wait for it; gives why it failed, None where it did not.

    Args:
        allow, where: as in `Cell.command`.
        environment: changes to this process's own, None taking a name away.
        stops: how often the run was asked to end. After the first time it saves its state and ends, after the second
            it ends at once, or is killed some seconds later.
    """
    until = time.monotonic() + _LOCK_SECONDS
    while (holder := holder_of(cell.folder)) and time.monotonic() < until and not stops():
        time.sleep(_POLL_SECONDS)
    if holder or stops():
        return f"{holder} was at work on it, and still is after {_LOCK_SECONDS:g} s" if holder else "it was stopped"
    process, begun_at = spawn(cell.command(allow, where), cell.log, environment)
    heard, kill_at = 0, float("inf")
    try:
        while process.poll() is None:
            if stops() > heard:
                heard = stops()
                process.terminate()
                kill_at = time.monotonic() + _KILL_SECONDS if heard > 1 else kill_at
            if time.monotonic() > kill_at:
                process.kill()
            time.sleep(_POLL_SECONDS)
    except BaseException:
        process.terminate()
        process.wait()
        raise
    return failure_of(process.returncode, cell.log, begun_at)


def log_length(cell: Cell) -> int:
    """The bytes in a run's log; more than before once it was begun."""
    try:
        return cell.log.stat().st_size
    except OSError:
        return 0
