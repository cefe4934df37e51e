"""One run on workers of a Ray cluster: placed there, watched, and made again where one of them is lost.

Ray places the processes; the arithmetic between them is jax.distributed's. Each worker is a process of `allcnn train
--hosts`. Where one ends that should not, all are ended, and as many as there is room for go on from the run's last
saved state.
"""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from allcnn.errors import AllcnnError, HostError, InputError, Interrupted
from allcnn.processes import last_words, python_path, spawn
from allcnn.ray_cluster import check_room, connected
from allcnn.runs.checkpoint import load_state
from allcnn.runs.folder import RunFolder
from allcnn.runs.lock import holder_of
from allcnn.training.outcome import TrainingResult, resume_line
from allcnn.training.plan import RunPlan
from allcnn.training.spread import LOST, refuse_backend
from allcnn.training.stopping import StopRequest

# How long to wait for room for all workers. Ray forgets a lost node within this time.
_ROOM_SECONDS = 30.0
# JAX ends the neighbours of a silent worker within this time of each other.
_TOGETHER_SECONDS = 5.0
_END_SECONDS = 60.0
# After so many restarts without a new state it is the run that fails, not a worker.
_IN_VAIN = 3
_POLL_SECONDS = 0.2
# How the result, or the reason why there is none, begins in a worker's log.
_LAST = re.compile(rb"^(?:\{$|error: )", re.MULTILINE)
# What is raised where a worker ended by itself, by its exit code.
_FAILURES = {error.exit_code: error for error in (AllcnnError, InputError, Interrupted)}


@dataclass(frozen=True)
class Workers:
    """What a run asks of the cluster, by the names of the shell's options.

    min_workers: go on with as few where there is no room for more; by default with no fewer.
    max_restarts: how often lost workers are made again.

    Raises:
        InputError: a number that makes no sense.
    """

    workers: int = 1
    min_workers: int | None = None
    cpus_per_worker: float = 1
    gpus_per_worker: float = 0
    max_restarts: int = 100

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.workers:
            raise InputError(
                f"a run has 1, 2, ... workers; got --workers {self.workers} and --min-workers {self.least}, "
                "of which the second is expected to be from 1 to the first."
            )
        if min(self.needs.values()) < 0 or not any(self.needs.values()):
            said = f"--cpus-per-worker {self.cpus_per_worker:g} and --gpus-per-worker {self.gpus_per_worker:g}"
            raise InputError(f"a worker takes CPUs or GPUs; got {said}, of which one is expected to be above 0.")
        if self.max_restarts < 0:
            raise InputError(f"workers are made again 0, 1, ... times; got --max-restarts {self.max_restarts}.")

    @property
    def least(self) -> int:
        return self.workers if self.min_workers is None else self.min_workers

    @property
    def needs(self) -> dict[str, float]:
        """What Ray sets aside for a worker."""
        return {"CPU": self.cpus_per_worker, "GPU": self.gpus_per_worker}


class Process:
    """An actor: one worker's process, on the node where Ray placed it."""

    def __init__(self) -> None:
        import ray

        self.address = ray.util.get_node_ip_address()
        self.process: subprocess.Popen[bytes] | None = None

    def free_port(self) -> str:
        """An address of this node on which nothing listens."""
        with socket.create_server((self.address, 0)) as listener:
            return f"{self.address}:{listener.getsockname()[1]}"

    def begin(self, command: Sequence[str], log: str) -> int:
        """Make the process; gives where in its log what it says begins."""
        self.process, begun_at = spawn(command, Path(log), {}, at_death=signal.SIGKILL)
        return begun_at

    def wait(self) -> int:
        """The process's exit code, negative after a signal."""
        assert self.process is not None  # noqa: S101
        return self.process.wait()

    def end(self, forced: bool) -> None:
        """Let it save its state and end; `forced`: end it at once, frozen or not."""
        if self.process is not None:
            (self.process.kill if forced else self.process.terminate)()


def train_on_ray(
    plan: RunPlan, address: str | None, workers: Workers, announce: Callable[[str], None]
) -> TrainingResult:
    """Train on workers of a Ray cluster, to the end or until no more restarts are allowed.

    address: of the cluster; None: $RAY_ADDRESS, else one on this machine. All workers see the folder and the data.

    Raises:
        InputError: no cluster, no room there, or another backend than JAX; what the run itself refuses.
        HostError: workers were lost too often; Interrupted: Ctrl-C or SIGTERM, once the state is saved everywhere.
    """
    refuse_backend(plan, True, plan.asked.backend or "jax")
    plan = replace(plan, folder=RunFolder(plan.folder.path.absolute()))  # workers begin elsewhere
    folder = plan.folder
    with connected(address) as ray, StopRequest() as stop:
        check_room(ray.nodes(), workers.needs, "--cpus-per-worker, --gpus-per-worker")
        steps, in_vain = -1, 0
        for _ in range(workers.max_restarts + 1):
            group = _Group(ray, workers, plan)
            try:
                if group.count < workers.workers:
                    announce(f"there is room for {group.count} of {workers.workers} workers.")
                lost = group.run(stop)
            finally:
                group.close()
            if lost is None:
                return _result(folder, group.logs[0])
            state = load_state(folder) if folder.holds_run() else None
            before, steps = steps, state.steps_done if state else 0
            in_vain = in_vain + 1 if steps == before else 0
            if in_vain == _IN_VAIN:
                break
            announce(f"{lost} was lost; going on from step {steps}.")
    again = (
        f"{_IN_VAIN + 1} times at step {steps}" if in_vain == _IN_VAIN else "after the last restart (--max-restarts)"
    )
    raise HostError(
        f"{lost} was lost {again}; what the workers said is in {group.logs[0].parent}.\n"
        f"What was saved stays good. Go on with: {resume_line(folder)}"
    )


class _Group:
    """The workers of one attempt. Raises HostError where there is no room for the least."""

    def __init__(self, ray: Any, workers: Workers, plan: RunPlan):
        from ray.util.placement_group import placement_group
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        self.ray = ray
        self.folder = folder = plan.folder
        bundle = {kind: amount for kind, amount in workers.needs.items() if amount}
        for self.count in range(workers.workers, workers.least - 1, -1):
            self.group = placement_group([bundle] * self.count, strategy="SPREAD")
            if self.group.wait(_ROOM_SECONDS if self.count == workers.workers else 1):
                break
            ray.util.remove_placement_group(self.group)
        else:
            raise HostError(f"the Ray cluster has no room for {workers.least} workers (--min-workers).")
        self.actors = [
            ray.remote(Process).options(
                num_cpus=workers.cpus_per_worker, num_gpus=workers.gpus_per_worker, max_concurrency=2,
                runtime_env={"env_vars": python_path()},
                scheduling_strategy=PlacementGroupSchedulingStrategy(self.group, placement_group_bundle_index=index),
            ).remote()
            for index in range(self.count)
        ]  # fmt: skip
        places = ray.util.placement_group_table(self.group)["bundles_to_node_id"]
        self.nodes = [places[index] for index in range(self.count)]
        self.logs = [
            folder.path.parent / "logs" / f"{folder.path.name}-worker{index}.log" for index in range(self.count)
        ]
        self.command = _command(plan)

    def run(self, stop: StopRequest) -> str | None:
        """Run to the end; gives which worker was lost, None where none was.

        Raises what a worker refused, and Interrupted where a stop was asked for.
        """
        begun = []
        for index, actor in enumerate(self.actors):
            try:
                if index == 0:
                    where = self.ray.get(actor.free_port.remote())
                hosts = ["--hosts", where, "--host-index", str(index), "--host-count", str(self.count)]
                begun.append(self.ray.get(actor.begin.remote([*self.command, *hosts], str(self.logs[index]))))
            except self.ray.exceptions.RayError:
                return self._named(index)
        running = {actor.wait.remote(): index for index, actor in enumerate(self.actors)}
        shown = begun[0]
        codes: dict[int, int | None] = {}
        until = float("inf")
        while running and time.monotonic() < until:
            done, _ = self.ray.wait(list(running), timeout=_POLL_SECONDS)
            shown = _show(self.logs[0], shown)
            for task in done:
                codes[running[task]] = self._code(task)
                del running[task]
            if until == float("inf") and any(code != 0 for code in codes.values()):
                until = time.monotonic() + _TOGETHER_SECONDS
            if stop.asked:
                self.actors[0].end.remote(False)
                self.ray.wait(list(running), num_returns=len(running), timeout=_END_SECONDS)
                raise Interrupted(f"interrupted. Go on with:\n{resume_line(self.folder)}")
        if not running and set(codes.values()) == {0}:
            return None
        for index, code in codes.items():
            said = last_words(self.logs[index], begun[index])
            if code in _FAILURES and not said.startswith(LOST):  # by itself, and the others by JAX
                raise _FAILURES[code](said)
        return self._named(_lost(codes, list(running.values())))

    def close(self) -> None:
        """End what is left, and give the room back; the run's folder is free afterwards."""
        for actor in self.actors:
            actor.end.remote(True)
        until = time.monotonic() + _END_SECONDS
        while holder_of(self.folder) and time.monotonic() < until:
            time.sleep(_POLL_SECONDS)
        for actor in self.actors:
            self.ray.kill(actor)
        self.ray.util.remove_placement_group(self.group)

    def _code(self, task: Any) -> int | None:
        try:
            return self.ray.get(task)
        except self.ray.exceptions.RayError:
            return None

    def _named(self, index: int) -> str:
        return f"worker {index} (node {self.nodes[index][:8]})"


def _command(plan: RunPlan) -> list[str]:
    """`allcnn train` for each worker, wherever it begins; which of the workers it is comes behind."""
    data_dir = plan.asked.data_dir and Path(plan.asked.data_dir).resolve()
    asked = replace(plan.asked, data_dir=data_dir, backend="jax")
    command = ["train", *asked.as_command_line(), "--run-dir", str(plan.folder.path), "--json"]
    if plan.folder.holds_run():
        allowed = dict.fromkeys([*plan.allow, "machine"])  # another node may be another machine
        command += ["--resume", *(word for key in allowed for word in ("--allow", key))]
    return command


def _lost(codes: dict[int, int | None], running: Sequence[int]) -> int:
    """Which worker was lost: one that is gone or was killed; else one that said nothing while JAX ended the others."""
    gone = [index for index, code in codes.items() if code in (None, -signal.SIGKILL)]
    return (gone or list(running) or [index for index, code in codes.items() if code])[0]


def _show(log: Path, position: int) -> int:
    """Pass what the first worker says on to standard error, from a position in its log; gives the next.

    Its last lines, the result or why it failed, are told by the command itself.
    """
    with open(log, "rb") as file:
        file.seek(position)
        text = file.read()
    text = _LAST.split(text, maxsplit=1)[0]
    whole = text[: text.rfind(b"\n") + 1]
    for line in whole.decode("utf-8", "replace").splitlines():
        print(line, file=sys.stderr, flush=True)
    return position + len(whole)


def _result(folder: RunFolder, log: Path) -> TrainingResult:
    """What the first worker's process showed at the end."""
    with open(log, encoding="utf-8", errors="replace") as file:
        document = file.read().rpartition("\n{")[2]
    values = json.loads("{" + document)
    return TrainingResult(**{**values, "run_dir": folder.path})
