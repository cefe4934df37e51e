"""The runs of a grid on a Ray cluster: a task a run, made again on another node when its worker dies.

The task makes the same process as a sweep without Ray, on the folder that all nodes share; made again, it goes on
from the run's own training state there.
"""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import ExitStack, redirect_stdout
from importlib.util import find_spec
from typing import Any

from allcnn.errors import InputError
from allcnn.sweep.grid import Cell
from allcnn.sweep.result import one_line
from allcnn.sweep.workers import make_run, python_path

# A run crashes in its process, which leaves the worker alive: a dead worker means a lost node, and costs at most the
# epoch that was on its way. Nodes that are lent and taken back may be lost often in a run of days.
_RETRIES = 100


class RayPool:
    """Tasks on a cluster; Ray makes as many at a time as there is room for.

    Raises:
        InputError: Ray is not installed, no cluster answers at the address, or no node could ever take a run.
    """

    at_a_time: int | None = None
    waiting_for = "waiting for room on the cluster"

    def __init__(self, address: str | None, gpus_per_run: float, cpus_per_run: float):
        if find_spec("ray") is None:
            raise InputError('Ray is not installed. Install it with: pip install "allcnn[ray]"')
        import ray

        self.ray = ray
        self.tasks: list[Any] = []
        self.connection = ExitStack()
        try:
            # Of every lost node Ray prints a page of its daemon's log to standard output, whatever it was told.
            self.connection.enter_context(redirect_stdout(io.StringIO()))
            if not ray.is_initialized():
                _connect(address)
                self.connection.callback(ray.shutdown)
            _check_room(ray.nodes(), {"CPU": cpus_per_run, "GPU": gpus_per_run})
        except BaseException:
            self.connection.close()
            raise
        needs: dict[str, Any] = {"num_cpus": cpus_per_run, "num_gpus": gpus_per_run, "max_retries": _RETRIES}
        if path := python_path():
            needs["runtime_env"] = {"env_vars": path}
        self.make_run = ray.remote(make_run).options(**needs)

    def submit(self, cell: Cell) -> Future[str | None]:
        # A run may go on on another node than it was begun on. Ray limits OpenMP to a task's CPUs; the number of
        # threads decides bits, so they stay as they are here.
        environment = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS")}
        task = self.make_run.remote(cell, ("machine",), environment)
        self.tasks.append(task)
        return task.future()

    def stop(self) -> None:
        for task in self.tasks:
            self.ray.cancel(task, force=False)

    def close(self) -> None:
        if self.tasks:
            self.stop()
            self.ray.wait(self.tasks, num_returns=len(self.tasks), timeout=30)
        self.connection.close()


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
