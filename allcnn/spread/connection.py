"""Sockets between hosts: where host 0 listens, and lines of JSON to and from another host."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from typing import Any

from allcnn.errors import HostError
from allcnn.spread.hosts import Hosts


class Peer:
    """The connection to another host."""

    def __init__(self, connection: socket.socket, host: int, name: str):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection, self.host, self.name = connection, host, name
        self.reader = connection.makefile("rb")
        self.gone = False
        self._lock = threading.Lock()

    def send(self, message: dict[str, Any]) -> None:
        """Send a line; that nobody is there any more is for who listens to find out."""
        try:
            with self._lock:
                self.connection.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            pass

    def close(self) -> None:
        close(self.connection)


def listen(hosts: Hosts) -> socket.socket:
    """Listen at the address's port: on this machine alone where that is what the address names, else on all ways in.

    Raises:
        HostError: the port is taken, or not this user's.
    """
    local = hosts.name in ("localhost", "127.0.0.1")
    try:
        if local or not socket.has_dualstack_ipv6():
            return socket.create_server(("127.0.0.1" if local else "", hosts.port))
        return socket.create_server(("", hosts.port), family=socket.AF_INET6, dualstack_ipv6=True)
    except OSError as error:
        raise HostError(
            f"port {hosts.port} cannot be listened at ({error.strerror}); expected a free one in --hosts."
        ) from None


def close(connection: socket.socket) -> None:
    """Close a socket so that a thread which waits at it wakes up."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    connection.close()


def background(function: Callable[..., None], *arguments: Any) -> None:
    """Run a function in a thread that holds up nothing."""
    threading.Thread(target=function, args=arguments, daemon=True).start()
