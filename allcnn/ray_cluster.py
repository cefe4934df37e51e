"""The connection to a Ray cluster, for the runs of a sweep and the workers of a run."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from typing import Any

from allcnn.errors import InputError, install_hint, one_line
from allcnn.waiting import waiting


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """Ray, connected during the block to the cluster at an address; None: $RAY_ADDRESS, else one on this machine.

    Nothing is written to standard output meanwhile (`always_heard`).

    Raises:
        InputError: Ray is not installed, or no cluster answers.
    """
    if find_spec("ray") is None:
        raise InputError(f"Ray is not installed. {install_hint('ray')}")
    import ray

    # Of every lost node Ray prints a page of its daemon's log to standard output, whatever it was told.
    with redirect_stdout(io.StringIO()):
        if ray.is_initialized():
            yield ray
            return
        _connect(address)
        try:
            yield ray
        finally:
            ray.shutdown()


def always_heard(announce: Callable[[str], None]) -> Callable[[str], None]:
    """The function, what it prints going to standard output as that is now, also while Ray is connected."""
    output = sys.stdout

    def announce_there(line: str) -> None:
        with redirect_stdout(output):
            announce(line)

    return announce_there


@waiting("joining the Ray cluster")
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


def check_room(nodes: Sequence[dict[str, Any]], needed: dict[str, float], options: str) -> None:
    """Refuse what no node has: Ray itself would wait for such a node for ever. Raises InputError.

    options: which say what is needed.
    """
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    if not any(all(node.get(kind, 0) >= amount for kind, amount in needed.items()) for node in alive):
        most = ", ".join(f"{max((node.get(kind, 0) for node in alive), default=0):g} {kind}s" for kind in needed)
        asked = " and ".join(f"{amount:g} {kind}s" for kind, amount in needed.items())
        raise InputError(f"no node of the Ray cluster has {asked}; the most on one are {most} ({options}).")


def count_rooms(nodes: Sequence[dict[str, Any]], needed: dict[str, float]) -> int:
    """How many times the nodes have what is needed, each time on one node."""
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    return sum(min(int(node.get(kind, 0) // amount) for kind, amount in needed.items() if amount) for node in alive)
