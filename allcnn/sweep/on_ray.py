"""The runs of a grid on a Ray cluster: a task a run, or several workers a run.

A task makes the same process as a sweep without Ray, on the folder that all nodes share. When its node is lost it is
made again on another, and goes on from the run's own training state. A run of several workers is `allcnn train --ray`,
in a process here.
"""

from __future__ import annotations

import os
from concurrent.futures import Future
from contextlib import ExitStack
from typing import Any

from allcnn.errors import InputError
from allcnn.processes import python_path
from allcnn.ray_cluster import check_room, connected, count_rooms
from allcnn.sweep.grid import Cell
from allcnn.sweep.workers import LocalPool, make_run
from allcnn.training.on_ray import Workers

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
        self.tasks: list[Any] = []
        with ExitStack() as connection:
            self.ray = ray = connection.enter_context(connected(address))
            check_room(ray.nodes(), {"CPU": cpus_per_run, "GPU": gpus_per_run}, "--cpus-per-run, --gpus-per-run")
            self.connection = connection.pop_all()  # kept until `close`
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


class WorkersPool(LocalPool):
    """A process of `allcnn train --ray` a run, as many at a time as the cluster has room for at the start.

    Raises:
        InputError: Ray is not installed, no cluster answers at the address, or it has no room for the workers of a run.
    """

    waiting_for = RayPool.waiting_for

    def __init__(self, address: str | None, workers: Workers):
        with ExitStack() as connection:
            ray = connection.enter_context(connected(address))
            rooms = count_rooms(ray.nodes(), workers.needs)
            if rooms < workers.workers:
                raise InputError(
                    f"the Ray cluster has room for {rooms} workers, and a run needs {workers.workers} "
                    "(--workers-per-run, --cpus-per-run, --gpus-per-run)."
                )
            where = ray.get_runtime_context().gcs_address
            self.connection = connection.pop_all()
        super().__init__(rooms // workers.workers)
        self.where = [
            "--ray", where, "--workers", f"{workers.workers}", "--cpus-per-worker", f"{workers.cpus_per_worker:g}",
            "--gpus-per-worker", f"{workers.gpus_per_worker:g}",
        ]  # fmt: skip

    def submit(self, cell: Cell) -> Future[str | None]:
        return self.threads.submit(make_run, cell, ("machine",), {}, lambda: self.stops, self.where)

    def close(self) -> None:
        super().close()
        self.connection.close()
