"""How one run is spread over devices and hosts, and what all of them must agree on."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from allcnn.device import Device
from allcnn.errors import AllcnnError, InputError, RunError
from allcnn.runs.folder import RunFolder
from allcnn.spread.channel import SILENCE, Channel
from allcnn.spread.ending import Ending
from allcnn.spread.hosts import Hosts
from allcnn.training.identity import installed_versions
from allcnn.training.stopping import StopRequest

if TYPE_CHECKING:
    from allcnn.training.plan import RunPlan

# How long a host looks for what host 0 wrote.
_FOLDER_SECONDS = 30.0
_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Spread:
    """The devices that share every batch: `devices` of each of `hosts` hosts, of which this one is `host`.

    distribution: Keras's; None where one device has everything to itself, and nothing is spread.
    """

    devices: int = 1
    host: int = 0
    hosts: int = 1
    channel: Channel | None = None
    distribution: Any = None

    def scope(self) -> AbstractContextManager[None]:
        """Inside, what Keras makes and trains is spread."""
        return self.distribution.scope() if self.distribution else nullcontext()

    def outside(self, function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
        """The function, run as if there were no distribution, on this host's first device, also within `scope`."""
        if self.distribution is None:
            return function
        import keras

        @wraps(function)
        def on_one_device(*arguments: _Arguments.args, **named: _Arguments.kwargs) -> _Result:
            keras.distribution.set_distribution(None)
            try:
                return function(*arguments, **named)
            finally:
                keras.distribution.set_distribution(self.distribution)

        return on_one_device

    def gather(self, name: str, value: Any = None) -> list[Any]:
        """Every host's value, in their order; a host alone has its own."""
        return self.channel.gather(name, value) if self.channel else [value]

    def check(self, steps_done: int = 0) -> None:
        """Raise the error of the run's end where it ended on another host."""
        if self.channel:
            self.channel.check()

    def heed_stops(self, stop: StopRequest) -> None:
        """Host 0 stops where another host was asked to."""
        if self.channel:
            self.channel.on_stop = lambda host: stop.ask()

    def hand_on_stops(self, stop: StopRequest) -> None:
        """Another host, asked to stop, asks host 0."""

        def hand_on(note: str) -> None:
            if self.channel:
                self.channel.stop_wanted = True

        stop.say = hand_on

    def show_folder(self, folder: RunFolder, steps_done: int) -> None:
        """Host 0 has begun the run, or found where it goes on: from now on the others may read its folder."""
        if self.channel:
            self.channel.gather("folder", {"steps": steps_done, "files": _digests(folder.config, folder.preprocessing)})

    def see_folder(self, folder: RunFolder) -> int:
        """Wait until what host 0 begins with is seen here; gives the steps that are done.

        Raises:
            RunError: the folder here does not show what host 0 wrote.
        """
        shown = self.gather("folder")[0]
        assert self.channel is not None  # noqa: S101
        _wait_for(lambda: _digests(folder.config, folder.preprocessing) == shown["files"], folder, self.channel)
        return shown["steps"]

    def finish(self, result: dict[str, Any] | None) -> dict[str, Any]:
        """All hosts take leave of each other; gives host 0's result on each."""
        if self.channel is None:
            return result or {}
        from allcnn.spread.accelerators import abandon, disconnect

        (found, *_) = self.channel.gather("finished", result, seconds=60.0 if self.host == 0 else None)
        try:
            self.channel.gather("leaving", seconds=30.0)
        except AllcnnError:  # the run is done all the same
            abandon()
        else:
            disconnect()
        return found

    def as_config(self) -> dict[str, int]:
        """What config.json says of it: the devices of each host, and the hosts."""
        return {"devices": self.devices, "hosts": self.hosts}


@contextmanager
def shared(hosts: Hosts | None) -> Iterator[Channel | None]:
    """The channel to the other hosts of a run, None where there are none; how the block ends, all of them hear.

    Raises:
        HostError: a host is lost, or ended the run; InputError: one was called wrongly.
    """
    if hosts is None:
        yield None
        return
    channel = Channel.open(hosts)
    try:
        yield channel
    except BaseException as error:
        _tell(channel, error)
        raise
    finally:
        channel.close()


def _tell(channel: Channel, error: BaseException) -> None:
    """Tell the other hosts what failed here; where it failed because one of them is gone, raise that instead."""
    import sys

    if "jax" in sys.modules:
        from allcnn.spread.accelerators import abandon

        abandon()
    if isinstance(error, AllcnnError):
        if channel.ending is None:
            channel.end(Ending(str(error), error.exit_code, channel.host))
        return
    if isinstance(error, Exception):
        try:
            # The accelerators' libraries notice a lost host too, in their own words, and sometimes before we do.
            channel.wait_for_ending(SILENCE + 5.0)
        except AllcnnError as reason:
            raise reason from error
    said = str(error).partition("\n")[0][:200]
    channel.end(Ending(f"{type(error).__name__} {said}".strip(), 1, channel.host))


def refuse_backend(plan: RunPlan, channel: Channel | None, backend: str) -> None:
    """Refuse more than one device or host where the backend trains on one. Raises InputError."""
    if backend != "jax" and (channel or plan.asked.devices not in (None, 1)):
        asked = f"{channel.count} hosts (--hosts)" if channel else f"{plan.asked.devices} devices (--devices)"
        raise InputError(f"got {asked}; on {backend} a run trains on one device. Spread it with --backend jax.")


def agree(plan: RunPlan, channel: Channel, backend: str) -> None:
    """Compare what the hosts were told. Raises InputError, on all of them, where that makes different runs."""
    stored = {key: value for key, value in (plan.stored or {}).items() if key != "changes"}
    channel.join()
    _compare(
        channel,
        "told",
        {
            "resume": plan.stored is not None,
            "network": str(plan.spec),
            "recipe": plan.recipe.as_dict(),
            "data set": f"{plan.data.name} ({plan.data.digest[:12]})",
            "seed": plan.asked.seed,
            "held-out fraction": plan.asked.validation,
            "precision": plan.asked.precision,
            "determinism": plan.asked.deterministic,
            "backend": backend,
            "devices": plan.asked.devices,
            "stored run": hashlib.sha256(repr(sorted(stored.items())).encode()).hexdigest()[:12],
            "versions": installed_versions(),
        },
    )


def refuse_other_folder(folder: RunFolder, channel: Channel) -> None:
    """See that host 0's folder, which it holds and has not written to yet, is every host's. Raises RunError."""
    shown = channel.gather("lock", _digests(folder.lock))[0]
    _wait_for(lambda: _digests(folder.lock) == shown, folder, channel)
    channel.gather("one folder")


def settle(plan: RunPlan, channel: Channel | None, device: Device, images_per_batch: int) -> Spread:
    """How the run is spread over the devices that there are, once the backend has looked for them.

    Raises:
        InputError: more devices than there are, hosts that are not alike, or a batch that does not divide.
    """
    if device.backend != "jax":
        return Spread()
    from allcnn.spread.accelerators import data_parallel, local_devices, try_out

    there = local_devices()
    if plan.asked.devices is not None:
        devices = plan.asked.devices
    else:  # a run that goes on keeps to what it had, as far as that is there
        devices = there if plan.stored is None else min(int(plan.stored.get("devices", 1)), there)
    if devices > there:
        raise InputError(f"got --devices {devices}, but there {_are(there)} here; expected 1 to {there}.")
    host, hosts = (channel.host, channel.count) if channel else (0, 1)
    if images_per_batch % (hosts * devices):
        raise InputError(_does_not_divide(images_per_batch, hosts, devices))
    if channel:
        _compare(channel, "devices", {"devices": devices, "kind of device": device.kind, "device": device.name})
    if hosts * devices == 1:
        return Spread()
    distribution = data_parallel(devices)
    try_out(distribution)
    return Spread(devices, host, hosts, channel, distribution)


def _compare(channel: Channel, name: str, own: dict[str, Any]) -> None:
    """Raise InputError, on every host alike, where the hosts' answers differ."""
    first, *others = channel.gather(name, own)
    for host, other in enumerate(others, start=1):
        for key, value in first.items():
            if isinstance(value, dict) and isinstance(other[key], dict):
                parts = sorted({*value, *other[key]})
                pairs = [(f"{key}'s {part}", value.get(part), other[key].get(part)) for part in parts]
            else:
                pairs = [(key, value, other[key])]
            for what, expected, came in pairs:
                if came != expected:
                    raise InputError(
                        f"the hosts were not told the same: {what} is {expected} on host 0 and {came} on host {host}.\n"
                        "Give every host the same command, but for --host-index, the same data, and alike machines."
                    )


def _digests(*paths: Path) -> list[str]:
    """The contents of files, empty where there is none."""
    found = []
    for path in paths:
        try:
            found.append(hashlib.sha256(path.read_bytes()).hexdigest())
        except OSError:
            found.append("")
    return found


def _wait_for(seen: Callable[[], bool], folder: RunFolder, channel: Channel) -> None:
    """Wait until what host 0 wrote is seen here: a network's file system may show it late. Raises RunError."""
    until = time.monotonic() + _FOLDER_SECONDS
    while not seen():
        if time.monotonic() > until:
            raise RunError(
                f"{folder.path}: does not hold what host 0 wrote into its run folder; "
                "expected the same --run-dir on every host, on a file system that they share."
            )
        channel.check()
        time.sleep(0.5)


def _does_not_divide(images: int, hosts: int, devices: int) -> str:
    among = f"{hosts} hosts of {devices} device{'s' * (devices > 1)} each" if hosts > 1 else f"{devices} devices"
    total = hosts * devices
    sizes = [size for size in (images // total * total, (images // total + 1) * total) if size]
    fewer = [count for count in range(devices, 0, -1) if images % (hosts * count) == 0]
    advice = f"--batch-size {' or '.join(map(str, sizes))}" + (f", or --devices {fewer[0]}" if fewer else "")
    return f"a batch of {images} images does not divide among {among}; expected {advice}."


def _are(count: int) -> str:
    return "is 1" if count == 1 else f"are {count}"


def lost_host_advice(resume_line: str) -> str:
    """What host 0 says after the line about a lost host."""
    return f"\nWhat was saved stays good. Go on, on as many hosts as there are, with: {resume_line}"
