"""What the hosts of a run tell each other, beside the numbers that their accelerators exchange.

Host 0 listens at the run's address; every other host holds one connection to it: lines of JSON. On it the hosts compare
what they were told, wait for each other, hear that one wishes to stop, and how the run ended. A line goes each way
every two seconds: a host whose connection closes, or that is silent for `SILENCE` seconds (frozen, or cut off), is
lost, and that ends the run on all of them. JAX's own heartbeat ends a process in C++, without a word of ours.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from allcnn.errors import AllcnnError, HostError
from allcnn.spread.connection import Peer, background, close, listen
from allcnn.spread.ending import Ending
from allcnn.spread.hosts import Hosts
from allcnn.spread.tunnel import TUNNEL, carry, read_line

#: Seconds without a word after which a host is lost.
SILENCE = 20.0
#: Seconds that hosts may start apart.
JOIN = 45.0
#: Seconds that the main thread has to leave by itself; it may be in a step that can never end.
GRACE = 5.0
_PING = 2.0
_LONGEST_LINE = 4 << 20


class Channel:
    """This host's end. `host` 0 hears and answers all others; these hear host 0 only.

    Made with `Channel.open`; everything that waits raises the error of the run's end when that comes first.
    """

    def __init__(self, hosts: Hosts):
        self.hosts = hosts
        self.host, self.count = hosts.index, hosts.count
        #: Called on host 0 when another host was asked to stop, with its number.
        self.on_stop: Callable[[int], None] = lambda host: None
        #: Set where this host was asked to stop; host 0 is told. A signal handler may do so.
        self.stop_wanted = False
        #: Said after the message of a lost host, once there is something to say.
        self.advice = ""
        self.ending: Ending | None = None
        self.coordinator_port = 0
        self._changed = threading.Condition()
        self._peers: dict[int, Peer] = {}
        self._given: dict[str, dict[int, Any]] = {}
        self._gathered: dict[str, list[Any]] = {}
        self._closing = False
        self._opened = time.monotonic()
        self._answered = 0
        self._leaving: threading.Timer | None = None
        self._listener: socket.socket | None = None

    @classmethod
    def open(cls, hosts: Hosts) -> Channel:
        """Begin to listen, or to call host 0, in the background; `join` waits until all are there.

        Raises:
            HostError: the address cannot be listened at.
        """
        channel = cls(hosts)
        if channel.host == 0:
            channel._listener = listen(hosts)
            background(channel._accept)
        else:
            background(channel._call)
        background(channel._ping)
        return channel

    def join(self) -> None:
        """Wait until all hosts are there. Raises HostError where they are not within `JOIN` seconds."""
        expected = self.count - 1 if self.host == 0 else 1
        with self._changed:
            # That host 0 cannot be reached, who calls it says.
            if self._wait(lambda: len(self._peers) == expected, JOIN if self.host == 0 else None):
                return
            missing = ", ".join(str(host) for host in range(1, self.count) if host not in self._peers)
        raise HostError(
            f"host {missing} of {self.count} did not come to {self.hosts.address} within {JOIN:.0f} s.\n"
            "Start the same command on every host, each with its own --host-index, within that time."
        )

    def gather(self, name: str, value: Any = None, seconds: float | None = None) -> list[Any]:
        """Give a plain value under a name; every host gets all of them, in their order, once all gave theirs.

        Raises HostError where that takes more than `seconds`, if given.
        """
        if self.host == 0:
            self._take(0, name, value)
        else:
            self._send({"give": name, "value": value})
        with self._changed:
            if not self._wait(lambda: name in self._gathered, seconds):
                raise HostError(f'not all hosts came to "{name}" within {seconds} s.')
            return self._gathered[name]

    def check(self) -> None:
        """Raise the error of the run's end, if it has ended elsewhere."""
        if self.ending:
            raise self.ending.heard_by(self.host)

    def wait_for_ending(self, seconds: float) -> None:
        """Raise the error of the run's end, if it comes within so many seconds: what failed here may follow from it."""
        with self._changed:
            self._wait(lambda: False, seconds)

    def end(self, ending: Ending) -> None:
        """The run ends for a reason of this host's; the others hear it. An end that came before stays."""
        self._end(ending, force=False)

    def close(self) -> None:
        """Take leave: wait, briefly, until the other hosts have gone, or have heard how the run ended.

        If another host ended the run before all had called, host 0 also waits for the others' calls, within `JOIN`
        seconds of its start. They would find a closed port otherwise, and wait in vain.
        """
        until = time.monotonic() + (GRACE + 4.0 if self.host == 0 else 0.0)
        with self._changed:
            self._closing = True
            while self._expects_calls() or (
                any(not peer.gone for peer in self._peers.values()) and time.monotonic() < until
            ):
                self._changed.wait(0.2)
        if self._leaving:
            self._leaving.cancel()
        for peer in self._peers.values():
            peer.close()
        if self._listener:
            close(self._listener)

    # Host 0's side of a connection.

    def _expects_calls(self) -> bool:
        """Whether hosts that have not called yet must still hear of an end that is not of host 0's own making."""
        return (
            self.host == 0
            and self._leaving is not None
            and self._answered < self.count - 1
            and time.monotonic() < self._opened + JOIN
        )

    def _accept(self) -> None:
        assert self._listener is not None  # noqa: S101
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            background(self._greet, connection)

    def _greet(self, connection: socket.socket) -> None:
        """A connection begins with a line that says whose it is: a host's, or one that JAX's own words pass through."""
        try:
            connection.settimeout(SILENCE)
            hello = json.loads(read_line(connection))
            if hello == TUNNEL:
                with self._changed:
                    self._wait(lambda: self.coordinator_port > 0, None)
                carry(connection, socket.create_connection(("127.0.0.1", self.coordinator_port)), hold=False)
                return
            host, count, name = int(hello["host"]), int(hello["of"]), str(hello["name"])[:80]
        except (OSError, ValueError, KeyError, TypeError, AllcnnError):
            connection.close()  # not one of ours
            return
        with self._changed:
            taken = host in self._peers
            wrong = count != self.count or not 0 < host < self.count or taken
            if not wrong:
                peer = self._peers[host] = Peer(connection, host, name)
                self._changed.notify_all()
                ending = self.ending
        if not wrong:
            if ending:  # it came too late to be told with the others
                peer.send({"end": asdict(_as_told(ending))})
            self._count_answered()
            if self._closing:
                peer.close()
            self._listen_to(peer)
            return
        what = f"says that it is host {host} of {count}" if not taken else f"is a second host {host}"
        message = f"a process on {name} {what}; expected one each of 1 to {self.count - 1} of {self.count}."
        ending = Ending(f"{message}\nGive each host its own --host-index and all the same --host-count.", 2, 0)
        refused = Peer(connection, host, name)
        refused.send({"end": asdict(ending)})
        refused.close()
        self._end(ending, force=True)
        self._count_answered()

    def _count_answered(self) -> None:
        """Another process has called as a host, and has been sent what there was to say."""
        with self._changed:
            self._answered += 1
            self._changed.notify_all()

    def _take(self, host: int, name: str, value: Any) -> None:
        """Collect what is given under a name; once complete, tell everybody."""
        with self._changed:
            given = self._given.setdefault(name, {})
            given[host] = value
            if len(given) < self.count:
                return
            self._gathered[name] = values = [given[host] for host in range(self.count)]
            self._changed.notify_all()
        self._send({"all": name, "values": values})

    # The other hosts' side.

    def _call(self) -> None:
        """Connect to host 0, which may start a little later."""
        until, reason = time.monotonic() + JOIN, ""
        while time.monotonic() < until and not self._closing:
            try:
                connection = socket.create_connection((self.hosts.name, self.hosts.port), timeout=5.0)
            except OSError as error:
                reason = error.strerror or str(error)
                time.sleep(0.3)
                continue
            connection.settimeout(SILENCE)
            peer = Peer(connection, 0, self.hosts.name)
            peer.send({"host": self.host, "of": self.count, "name": socket.gethostname()})
            with self._changed:
                self._peers[0] = peer
                self._changed.notify_all()
            self._listen_to(peer)
            return
        message = f"host 0 did not answer at {self.hosts.address} within {JOIN:.0f} s ({reason})."
        advice = "Start it too, and see that its address can be reached from here."
        self._end(Ending(f"{message}\n{advice}", 1, self.host), force=True)

    # Both sides.

    def _listen_to(self, peer: Peer) -> None:
        """Hear a host out until its connection ends."""
        why = "its connection closed"
        try:
            while line := peer.reader.readline(_LONGEST_LINE):
                self._hear(peer, json.loads(line))
        except TimeoutError:
            why = f"nothing was heard of it for {SILENCE:.0f} s"
        except OSError as error:
            why = f"its connection broke ({error.strerror or error})"
        except (ValueError, TypeError, KeyError):
            why = "what came from its address is not allcnn's"
        with self._changed:
            peer.gone = True
            self._changed.notify_all()
            expected = self._closing or self.ending is not None
        if not expected:
            self._end(Ending(f"host {peer.host} ({peer.name}) was lost: {why}.", 1, peer.host, lost=True), force=True)

    def _hear(self, peer: Peer, message: dict[str, Any]) -> None:
        if "give" in message:
            self._take(peer.host, message["give"], message["value"])
        elif "all" in message:
            with self._changed:
                self._gathered[message["all"]] = message["values"]
                self._changed.notify_all()
        elif "stop" in message:
            self.on_stop(peer.host)
        elif "end" in message:
            self._end(Ending(**message["end"]), force=True)

    def _ping(self) -> None:
        told = False
        while not self._closing:
            time.sleep(_PING)
            # Read once: what is set while this is sent, the next round tells.
            tell = self.stop_wanted and not told and bool(self._peers)
            self._send({"stop": True} if tell else {"ping": True})
            told = told or tell

    def _send(self, message: dict[str, Any]) -> None:
        for peer in list(self._peers.values()):
            peer.send(message)

    def _end(self, ending: Ending, force: bool) -> None:
        with self._changed:
            if self.ending or self._closing:
                return
            self.ending = replace(ending, message=ending.message + (self.advice if ending.lost else ""))
            self._changed.notify_all()
            if force:
                self._leaving = threading.Timer(GRACE, self._leave)
                self._leaving.daemon = True
                self._leaving.start()
        self._send({"end": asdict(_as_told(ending))})

    def _leave(self) -> None:
        """The main thread is in a step that waits for a host that will not come: nothing but this ends it."""
        ending = self.ending
        if ending is None or self._closing:
            return
        error = ending.heard_by(self.host)
        os.write(2, f"error: {error}\n".encode())
        sys.stdout.flush()
        os._exit(error.exit_code)

    def _wait(self, done: Callable[[], bool], seconds: float | None) -> bool:
        """Wait, holding the lock, for something or for the run's end, which is raised; False where time ran out."""
        until = None if seconds is None else time.monotonic() + seconds
        while not done():
            self.check()
            if until is not None and time.monotonic() >= until:
                return False
            self._changed.wait(0.5)  # woken now and then, so that Python hears signals
        return True


def _as_told(ending: Ending) -> Ending:
    """What other hosts hear: the first line, since advice is to be read once; of a wrong call all of it."""
    if ending.code == 2:
        return ending
    return replace(ending, message=ending.message.partition("\n")[0].removesuffix(" Go on with:"))
