"""The way of JAX's own words between hosts: through a local port, and on through the run's one address.

JAX's client ends its process, in C++ and without a line of ours, the moment that the connection to its coordinator
closes. Here it talks to a port of its own machine that stays open when host 0 is gone, so that what it sees is silence,
and what a person sees is our line. And of host 0 one port must be reachable, not two.
"""

from __future__ import annotations

import json
import socket
import threading

from allcnn.spread.hosts import Hosts

#: The first line of a connection that is JAX's.
TUNNEL = {"tunnel": "jax"}
_LONGEST_FIRST_LINE = 1000
_held: list[socket.socket] = []


def open_tunnel(hosts: Hosts) -> int:
    """Listen at a port of this machine, which is given back; whatever connects to it is carried to host 0."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            near, _ = listener.accept()
            try:
                far = socket.create_connection((hosts.name, hosts.port), timeout=10.0)
                far.settimeout(None)
                far.sendall(json.dumps(TUNNEL).encode() + b"\n")
            except OSError:
                _held.append(near)
                continue
            threading.Thread(target=carry, args=(near, far, True), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


def free_port() -> int:
    """A port of this machine that nobody listens at now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def carry(near: socket.socket, far: socket.socket, hold: bool) -> None:
    """Carry bytes both ways until one side ends. hold: what is near does not hear that the far side ended."""
    near.settimeout(None)
    far.settimeout(None)
    threading.Thread(target=_copy, args=(near, far, False), daemon=True).start()
    _copy(far, near, hold)


def read_line(connection: socket.socket) -> bytes:
    """The first line, and not a byte of what follows it. Raises ValueError where it is too long or has no end."""
    line = b""
    while not line.endswith(b"\n"):
        byte = connection.recv(1)
        if not byte or len(line) >= _LONGEST_FIRST_LINE:
            raise ValueError("no first line")
        line += byte
    return line


def _copy(source: socket.socket, target: socket.socket, hold: bool) -> None:
    try:
        while block := source.recv(1 << 16):
            target.sendall(block)
    except OSError:
        pass
    if hold:
        _held.append(target)
        return
    try:
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass
