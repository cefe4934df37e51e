"""How one run is shared by the devices of a machine or, through jax.distributed, of several hosts."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allcnn.backend import hold_standard_error
from allcnn.device import Device, find_device
from allcnn.errors import AllcnnError, HostError, InputError, RunError, one_line
from allcnn.runs.folder import RunFolder
from allcnn.runs.lock import only_process
from allcnn.training.identity import IDENTITY
from allcnn.training.outcome import resume_line
from allcnn.training.plan import RunPlan

# In seconds: how far apart hosts may start; how long without a heartbeat, until JAX ends a run; how long a host that
# fails alone waits for the others.
_JOIN_SECONDS, _HEARTBEAT_SECONDS, _LEAVE_SECONDS = 60, 20, 20
# How long a host looks for what host 0 wrote: a network's file system may show it late.
_FOLDER_SECONDS = 10.0
#: How a host's message begins if it lost another.
LOST = "a host was lost, or failed"


def find_hosts(hosts: str | None, index: int | None = None, count: int | None = None) -> dict[str, Any] | None:
    """How `jax.distributed.initialize` finds the hosts of a run; None for a run of this process alone.

    Args:
        hosts: "name:port" of host 0, or "auto".
        index, count: this host's number, from 0, and how many there are; only beside an address.

    Raises:
        InputError: a wrong address; a number that is out of range, missing, or given without an address.
    """
    if hosts is None or hosts == "auto":
        for option, given in (("--host-index", index), ("--host-count", count)):
            if given is not None:
                where = "without --hosts" if hosts is None else "beside --hosts auto"
                raise InputError(f"{option} was given {where}; expected it beside --hosts ADDRESS:PORT of host 0.")
        return {} if hosts else None
    match = re.fullmatch(r"(?:\[[^\[\]\s]+\]|[^\[\]\s:/]+):([0-9]{1,5})", hosts)
    if not match or not 0 < int(match[1]) < 65536:
        raise InputError(f'"{hosts}" is no address; expected host 0\'s name or number and a free port: node1:29400.')
    if index is None or count is None or not 0 <= index < count:
        raise InputError(
            f"--hosts {hosts} was given with --host-index {index} and --host-count {count}; "
            "expected both, with indices from 0 to the count less 1."
        )
    settings = {
        "coordinator_address": hosts, "process_id": index, "num_processes": count,
        "cluster_detection_method": "deactivate",
    }  # fmt: skip
    if re.match("localhost:|127[.]", hosts):  # else it listens to other machines too
        settings["coordinator_bind_address"] = hosts
    return settings if count > 1 else None


def refuse_backend(plan: RunPlan, several_hosts: bool, backend: str) -> None:
    """Refuse more than one device or host where the backend trains on one. Raises InputError."""
    if backend != "jax" and (several_hosts or plan.asked.devices not in (None, 1)):
        asked = "several hosts (--hosts)" if several_hosts else f"{plan.asked.devices} devices (--devices)"
        raise InputError(f"got {asked}; on {backend} a run trains on one device. Spread it with --backend jax.")


def connect(settings: dict[str, Any], devices: int | None) -> None:
    """Let JAX find the other hosts, as `find_hosts` says. Comes before anything looks for devices.

    devices: how many each process takes where a scheduler starts several on a machine; one if None.

    Raises:
        InputError: there is no scheduler; HostError: the hosts do not find each other.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read when JAX is first imported
    import jax

    if jax.distributed.is_initialized():
        return
    if settings.get("process_id") == 0:
        port = int(settings["coordinator_address"].rpartition(":")[2])
        try:  # JAX crashes where it is taken
            socket.create_server(("", port)).close()
        except OSError as error:
            raise HostError(
                f"port {port} cannot be opened ({error.strerror}); expected a free one in --hosts."
            ) from None
    if not settings and devices:
        place = int(os.environ.get("SLURM_LOCALID") or os.environ.get("OMPI_COMM_WORLD_LOCAL_RANK") or 0)
        settings = {"local_device_ids": list(range(place * devices, (place + 1) * devices))}
    failures: list[Exception] = []

    def initialize() -> None:
        try:
            jax.distributed.initialize(
                **settings, initialization_timeout=10 * _JOIN_SECONDS, heartbeat_timeout_seconds=_HEARTBEAT_SECONDS,
                shutdown_timeout_seconds=_LEAVE_SECONDS,
            )  # fmt: skip
        except Exception as error:
            failures.append(error)

    # JAX ends the process when its own time is up, and does not hear Ctrl-C before.
    waiting = threading.Thread(target=initialize, daemon=True)
    with hold_standard_error():
        waiting.start()
        waiting.join(_JOIN_SECONDS)
    if failures and isinstance(failures[0], ValueError):
        raise InputError(
            f"--hosts auto: JAX finds no SLURM, Open MPI or other scheduler here ({failures[0]})\n"
            "Expected --hosts ADDRESS:PORT --host-index I --host-count N."
        )
    if failures or waiting.is_alive():
        why = f" ({_shortened(failures[0])})" if failures else ""
        raise HostError(
            f"the hosts did not find each other within {_JOIN_SECONDS} s{why}.\n"
            "Start the same command on every host within that time, each with its own --host-index; "
            "host 0's port must be open to the others."
        )


def is_first() -> bool:
    """Whether this is host 0, which alone writes and shows."""
    import jax

    return jax.process_index() == 0


@contextmanager
def shared(plan: RunPlan) -> Iterator[None]:
    """A run of several hosts: they agree, then host 0 holds its folder during the block.

    Raises:
        InputError: on every host, where two differ or do not see one folder; HostError: a host was lost.
    """
    import jax

    hosts = Spread(host=jax.process_index(), hosts=jax.process_count())
    try:
        _agree(hosts, plan)
        with ExitStack() as held:
            with hosts.in_turn():
                if hosts.host == 0:
                    held.enter_context(only_process(plan.folder))
            hosts.see(plan.folder, plan.folder.lock)
            yield
    except jax.errors.JaxRuntimeError as error:
        raise HostError(
            f"{LOST}: {_shortened(error)}\n"
            f"What was saved stays good. Go on, on as many hosts as there are, with: {resume_line(plan.folder)}"
        ) from error


def _agree(hosts: Spread, plan: RunPlan) -> None:
    """Compare what the hosts were told, and what they are. Raises InputError, on all of them, where it differs."""
    import jax

    counts = Counter(device.process_index for device in jax.devices())
    if len(set(counts.values())) > 1:  # JAX's own calls need as many on each
        said = ", ".join(f"{counts[host]} on host {host}" for host in sorted(counts))
        raise InputError(f"the hosts must have as many devices each; got {said} (CUDA_VISIBLE_DEVICES).")
    told: dict[str, Any] = {"devices": plan.asked.devices, "stored run": _digest(plan.folder.config)}
    for key, value in plan.config(find_device(), plan.asked.precision, False).items():
        told |= {f"{key}'s {part}": value[part] for part in value} if isinstance(value, dict) else {key: value}
    first, *others = hosts.gather({key: value for key, value in told.items() if key not in ("data_dir", "source")})
    for host, other in enumerate(others, start=1):
        for what in {**first, **other}:
            if first.get(what) != other.get(what):
                raise InputError(
                    f"the hosts were not told the same: {IDENTITY.get(what, what)} is {first.get(what)} on host 0 and "
                    f"{other.get(what)} on host {host}.\n"
                    "Give every host the same command, but for --host-index, the same data, and alike machines."
                )


@dataclass(frozen=True)
class Spread:
    """The devices that share every batch: `devices` of each of `hosts` hosts, of which this one is `host`.

    distribution: Keras's; None where one device has everything to itself, and nothing is spread.
    """

    devices: int = 1
    host: int = 0
    hosts: int = 1
    distribution: Any = None

    def scope(self) -> AbstractContextManager[None]:
        """Inside, what Keras makes and trains is spread."""
        return self.distribution.scope() if self.distribution else nullcontext()

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Inside, also within `scope`, nothing is spread: this host's first device does all."""
        if self.distribution is None:
            yield
            return
        import keras

        keras.distribution.set_distribution(None)
        try:
            yield
        finally:
            keras.distribution.set_distribution(self.distribution)

    def gather(self, value: Any = None) -> list[Any]:
        """Wait for all hosts; gives every host's value, which JSON must hold, in their order."""
        if self.hosts == 1:
            return [value]
        import numpy as np
        from jax.experimental.multihost_utils import process_allgather

        own = np.frombuffer(json.dumps(value).encode(), np.uint8)
        lengths = process_allgather(np.int32(len(own)))
        padded = np.zeros(-(-max(lengths) // 4096) * 4096, np.uint8)  # each length is compiled
        padded[: len(own)] = own
        rows = process_allgather(padded)
        return [json.loads(row[:length].tobytes()) for row, length in zip(rows, lengths, strict=True)]

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """Host 0 first: the others enter the block once it has left it, or raise its error."""
        if self.host > 0 and (failure := self.gather()[0]):
            raise (InputError if failure["code"] == 2 else HostError)(f"host 0: {failure['message']}")
        try:
            yield
        except AllcnnError as error:
            if self.host == 0:
                self.gather({"code": error.exit_code, "message": str(error)})
            raise
        if self.host == 0:
            self.gather()

    def see(self, folder: RunFolder, *files: Path, steps_done: int = 0) -> None:
        """Wait until every host sees in the run folder what host 0 does. Raises RunError, on all of them."""
        if self.hosts == 1:
            return
        until = time.monotonic() + _FOLDER_SECONDS
        shown = self.gather([*map(_digest, files), steps_done])[0]
        while not (seen := [*map(_digest, files), steps_done] == shown) and time.monotonic() < until:
            time.sleep(0.5)
        for host, path in enumerate(self.gather(None if seen else str(folder.path))):
            if path:
                raise RunError(
                    f"host {host}: {path}: does not hold what host 0 wrote into its run folder; "
                    "expected the same --run-dir on every host, on a file system that they share."
                )

    def stop_here(self, step: int) -> bool:
        """Whether all hosts stop before this step, counted from 1, because one was asked to. Asked before each."""
        from jax.experimental.multihost_utils import reached_preemption_sync_point

        return reached_preemption_sync_point(step)


def settle(plan: RunPlan, together: bool, device: Device, images_per_batch: int) -> Spread:
    """How the run is spread over the devices of this machine, or of all hosts. Comes after the backend is loaded.

    Raises:
        InputError: more devices than there are, or a batch that does not divide.
    """
    if device.backend != "jax":
        return Spread()
    import jax
    import keras

    there = jax.local_device_count()
    if plan.asked.devices is not None:
        devices = plan.asked.devices
    else:  # a resumed run keeps its number of devices, up to what is there
        devices = there if plan.stored is None else min(int(plan.stored.get("devices", 1)), there)
    if devices > there:
        are = "is 1" if there == 1 else f"are {there}"
        raise InputError(f"got --devices {devices}, but there {are} here; expected 1 to {there}.")
    host, hosts = (jax.process_index(), jax.process_count()) if together else (0, 1)
    if images_per_batch % (hosts * devices):
        raise InputError(_does_not_divide(images_per_batch, hosts, devices))
    if hosts * devices == 1:
        return Spread()
    names: dict[int, list[str]] = {}
    for each in sorted(jax.devices(), key=lambda each: (each.process_index, each.id)):
        names.setdefault(each.process_index, []).append(f"{each.platform}:{each.id}")
    chosen = [name for of_host in names.values() for name in of_host[:devices]]
    distribution = keras.distribution.DataParallel(devices=chosen, auto_shard_dataset=False)
    return Spread(devices, host, hosts, distribution)


def _does_not_divide(images: int, hosts: int, devices: int) -> str:
    among = f"{hosts} hosts of {devices} device{'s' * (devices > 1)} each" if hosts > 1 else f"{devices} devices"
    total = hosts * devices
    sizes = [size for size in (images // total * total, (images // total + 1) * total) if size]
    fewer = [count for count in range(devices, 0, -1) if images % (hosts * count) == 0]
    advice = f"--batch-size {' or '.join(map(str, sizes))}" + (f", or --devices {fewer[0]}" if fewer else "")
    return f"a batch of {images} images does not divide among {among}; expected {advice}."


def _shortened(error: BaseException) -> str:
    """JAX's message, which says of every device the same."""
    return one_line(error).replace("Error dispatching computation: ", "")[:200]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""
