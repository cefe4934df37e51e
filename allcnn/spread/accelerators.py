"""JAX's part in spreading a run: who the processes are, which devices there are, and Keras's DataParallel over them."""

from __future__ import annotations

import ctypes
import os
from typing import Any

from allcnn.backend import hold_standard_error
from allcnn.spread.channel import Channel
from allcnn.spread.tunnel import free_port, open_tunnel

# Longer than our own watch over the hosts, which ends a run with a line that can be read; JAX's ends it without one.
_HEARTBEAT_SECONDS = 100
# Of the beginning and of the end; only a hang takes so long, on a busy machine too.
_BARRIER_SECONDS = 120
#: Whether this process left others behind, which may leave a step of its own without an end.
abandoned = False


def connect(channel: Channel, devices: int | None) -> None:
    """Tell JAX of the other hosts. Comes before anything makes it look for devices.

    devices: how many each process is to take where several share a machine; one if None.
    """
    import jax

    # Its own answer to SIGTERM would take the place of ours.
    if hasattr(jax.config, "jax_enable_preemption_service"):
        jax.config.update("jax_enable_preemption_service", False)
    if channel.host == 0:
        port = free_port()
        channel.coordinator_port = port
    else:
        port = open_tunnel(channel.hosts)
    with hold_standard_error():
        jax.distributed.initialize(
            coordinator_address=f"127.0.0.1:{port}", coordinator_bind_address=f"127.0.0.1:{port}",
            num_processes=channel.count, process_id=channel.host, cluster_detection_method="deactivate",
            local_device_ids=_own_devices(channel.hosts.place, devices or 1), initialization_timeout=_BARRIER_SECONDS,
            heartbeat_timeout_seconds=_HEARTBEAT_SECONDS, shutdown_timeout_seconds=_BARRIER_SECONDS,
        )  # fmt: skip


def _own_devices(place: int | None, devices: int) -> list[int] | None:
    """The GPUs of a process that shares its machine with others; None for all that it sees, also where it sees few."""
    if place is None:
        return None
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and len(visible.split(",")) < (place + 1) * devices:
        return None  # the scheduler gave each process its own
    return list(range(place * devices, (place + 1) * devices))


def local_devices() -> int:
    """How many devices of the kind that trains are in this process."""
    import jax

    return jax.local_device_count()


def data_parallel(devices: int) -> Any:
    """Keras's distribution of batches over the first `devices` devices of every process, in the order of the hosts."""
    import jax
    import keras

    chosen: dict[int, list[str]] = {}
    for device in sorted(jax.devices(), key=lambda device: (device.process_index, device.id)):
        own = chosen.setdefault(device.process_index, [])
        if len(own) < devices:
            own.append(f"{device.platform}:{device.id}")
    names = [name for host in sorted(chosen) for name in chosen[host]]
    return keras.distribution.DataParallel(devices=names, auto_shard_dataset=False)


def try_out(distribution: Any) -> None:
    """Let the devices add something up together: what they need for it is made, or fails, now."""
    import jax
    import numpy as np

    layout = distribution.get_data_layout((1,)).backend_layout
    mesh = layout.mesh
    own = sum(device.process_index == jax.process_index() for device in mesh.devices.flat)
    everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    with hold_standard_error():
        ones = jax.make_array_from_process_local_data(layout, np.ones(own, np.float32))
        total = float(jax.jit(lambda values: values.sum(), out_shardings=everywhere)(ones))
    if total != mesh.devices.size:
        raise RuntimeError(f"{mesh.devices.size} devices together count {total:.0f}")


def disconnect() -> None:
    """Take leave of the other hosts, all of which do so now."""
    import jax

    with hold_standard_error():
        jax.distributed.shutdown()


def abandon() -> None:
    """Leave without the other hosts, which may be gone: at its exit JAX would wait for them, and then abort.

    What it holds of them is kept alive and forgotten.
    """
    global abandoned
    from jax._src import distributed

    state = distributed.global_state
    for name in ("client", "service", "preemption_sync_manager"):
        held = getattr(state, name, None)
        if held is not None:
            abandoned = True
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(held))
            setattr(state, name, None)
