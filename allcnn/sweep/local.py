"""The runs of a grid in child processes of this one, so many at a time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from allcnn.runs.lock import holder_of
from allcnn.sweep.child import Child, Work

Ended = tuple[str, str | None]


class Workers(Protocol):
    """What makes runs: here, or a Ray cluster."""

    #: A line on what is waited for, if anything is.
    waiting_for: str | None
    #: How many runs are made at a time; None where that is not known.
    at_a_time: int | None

    @property
    def running(self) -> set[str]:
        """The names of the runs that are being made."""

    @property
    def busy(self) -> bool:
        """Whether anything that was begun, or handed over, has not ended."""

    def begin(self, waiting: list[Work]) -> None:
        """Begin what can be begun now of the works, and take it out of the list."""

    def ended(self) -> Sequence[Ended]:
        """The names of the runs that ended since the last call, and why they failed, None for those that did not."""

    def quiet(self) -> AbstractContextManager:
        """A context in which they say nothing themselves."""

    def stop(self) -> None:
        """Ask the runs to save their state and to end."""

    def close(self) -> None:
        """Leave no process behind."""


class LocalWorkers:
    """Child processes, `jobs` at a time."""

    def __init__(self, jobs: int):
        self.at_a_time: int | None = jobs
        self.jobs = jobs
        self.waiting_for: str | None = None
        self.children: dict[str, Child] = {}
        # Several on one accelerator: none may take all of its memory at the start.
        shared = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        self.environment = {name: value for name, value in shared.items() if jobs > 1 and name not in os.environ}

    @property
    def running(self) -> set[str]:
        return set(self.children)

    @property
    def busy(self) -> bool:
        return bool(self.children)

    def begin(self, waiting: list[Work]) -> None:
        self.waiting_for = None
        for work in list(waiting):
            if len(self.children) >= self.jobs:
                return
            # The run of a sweep that was killed a moment ago is still saving its state, or somebody trains it by hand.
            if holder := holder_of(work.cell.folder):
                self.waiting_for = self.waiting_for or f"{work.cell.name}: waiting for {holder}, who is at work on it"
                continue
            waiting.remove(work)
            self.children[work.cell.name] = Child(work, self.environment)

    def ended(self) -> Sequence[Ended]:
        found = [(name, child.failure) for name, child in self.children.items() if child.ended()]
        for name, _ in found:
            del self.children[name]
        return found

    def quiet(self) -> AbstractContextManager:
        return nullcontext()

    def stop(self) -> None:
        for child in self.children.values():
            child.stop()

    def close(self) -> None:
        for child in self.children.values():
            child.kill()
        self.children.clear()
