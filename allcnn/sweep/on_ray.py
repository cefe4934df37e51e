"""The runs of a grid on a Ray cluster: a task a run, made again on another node when its worker dies.

The task runs the same child process as a sweep without Ray, on the folder that all nodes share; made again, it goes on
from the run's own training state there.
"""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, redirect_stdout
from importlib.util import find_spec
from typing import Any

from allcnn.errors import InputError
from allcnn.sweep.child import Work, python_path, run_to_end
from allcnn.sweep.local import Ended
from allcnn.sweep.result import one_line

# A run crashes in its child, which leaves the worker alive: a dead worker means a lost node, and costs at most the
# epoch that was on its way. Nodes that are lent and taken back may be lost often in a run of days.
_RETRIES = 100
# What the child of a dead worker may take to save its state and let go of the run, XLA's compilation included.
_LOCK_SECONDS = 300.0


class RayWorkers:
    """Tasks on a cluster, all handed over at once; Ray makes as many at a time as there is room for.

    Raises:
        InputError: Ray is not installed, no cluster answers at the address, or no node could ever take a run.
    """

    def __init__(self, address: str | None, gpus_per_run: float, cpus_per_run: float):
        if find_spec("ray") is None:
            raise InputError('Ray is not installed. Install it with: pip install "allcnn[ray]"')
        import ray

        self.ray = ray
        self.at_a_time: int | None = None
        self.waiting_for: str | None = None
        self.tasks: dict[Any, Work] = {}
        self.lengths: dict[str, int] = {}
        self.connected_here = not ray.is_initialized()
        if self.connected_here:
            _connect(address)
        try:
            _check_room(ray.nodes(), {"CPU": cpus_per_run, "GPU": gpus_per_run})
        except InputError:
            self.close()
            raise
        needs: dict[str, Any] = {"num_cpus": cpus_per_run, "num_gpus": gpus_per_run, "max_retries": _RETRIES}
        if path := python_path():
            needs["runtime_env"] = {"env_vars": path}
        self.make_run = ray.remote(_make_run).options(**needs)

    @property
    def running(self) -> set[str]:
        """Those that began to write their log; before that Ray has not found room for them."""
        works = self.tasks.values()
        return {work.cell.name for work in works if _length(work) > self.lengths[work.cell.name]}

    @property
    def busy(self) -> bool:
        return bool(self.tasks)

    def begin(self, waiting: list[Work]) -> None:
        # Ray limits OpenMP to a task's CPUs. The number of threads decides bits: they stay as they are here.
        environment = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS")}
        for work in waiting:
            self.lengths[work.cell.name] = _length(work)
            self.tasks[self.make_run.remote(work, environment)] = work
        waiting.clear()
        running = len(self.running)
        self.waiting_for = None if running or not self.tasks else "waiting for room on the cluster"

    def ended(self) -> Sequence[Ended]:
        done, _ = self.ray.wait(list(self.tasks), num_returns=len(self.tasks), timeout=0) if self.tasks else ([], [])
        return [(self.tasks.pop(task).cell.name, self._failure(task)) for task in done]

    def quiet(self) -> AbstractContextManager:
        """Of every lost node Ray prints a page of its daemon's log to standard output, whatever it was told."""
        return redirect_stdout(_Nowhere())

    def stop(self) -> None:
        for task in self.tasks:
            self.ray.cancel(task, force=False)

    def close(self) -> None:
        if self.tasks:
            self.stop()
            self.ray.wait(list(self.tasks), num_returns=len(self.tasks), timeout=30)
        if self.connected_here:
            self.ray.shutdown()

    def _failure(self, task: Any) -> str | None:
        try:
            return self.ray.get(task)
        except self.ray.exceptions.RayError as error:
            return f"{type(error).__name__}: {one_line(error)}"


class _Nowhere(io.TextIOBase):
    """What is written here is gone."""

    def write(self, text: str) -> int:
        return len(text)


def _make_run(work: Work, environment: dict[str, str | None]) -> str | None:
    """What a worker does: the run in a child of its own, which the system stops when the worker dies."""
    return run_to_end(work, environment, _LOCK_SECONDS)


def _connect(address: str | None) -> None:
    import ray

    try:
        ray.init(
            address=address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=True,
            **({} if address else {"include_dashboard": False}),
        )  # fmt: skip
    except (ConnectionError, ValueError, RuntimeError) as error:
        where = f"at {address}" if address else "on this machine"
        raise InputError(f"no Ray cluster {where} could be used ({one_line(error)[:200]}).") from None


def _check_room(nodes: Sequence[dict[str, Any]], needed: dict[str, float]) -> None:
    """Refuse what no node has: Ray itself would wait for such a node for ever."""
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    if not any(all(node.get(kind, 0) >= amount for kind, amount in needed.items()) for node in alive):
        most = ", ".join(f"{max((node.get(kind, 0) for node in alive), default=0):g} {kind}s" for kind in needed)
        asked = " and ".join(f"{amount:g} {kind}s" for kind, amount in needed.items())
        raise InputError(
            f"no node of the Ray cluster has {asked}; the most on one are {most} (--cpus-per-run, --gpus-per-run)."
        )


def _length(work: Work) -> int:
    try:
        return work.log.stat().st_size
    except OSError:
        return 0
