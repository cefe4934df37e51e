"""Ctrl-C and SIGTERM: a run stops between two steps, where everything it leaves behind fits together."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_NOTE = "stopping after this step; once more to leave at once."


def write_note(note: str) -> None:
    """Write to standard error from a signal handler: sys.stderr may be in the middle of a write."""
    os.write(2, f"\n{note}\n".encode())


class StopRequest:
    """While the block lasts, a first signal only asks for a stop, which `check` turns into KeyboardInterrupt.

    Python would raise KeyboardInterrupt in the middle of whatever runs, a library's callback or a file being written.
    A second signal does just that, and sets `forced`. A signal that the process was started to ignore, as a job in the
    background ignores Ctrl-C, stays ignored. Outside the main thread, where Python gives no signals, it does nothing.

    agreed: for several hosts. Called before each step with its number, from 1, it says whether all hosts stop there.
    JAX hears SIGTERM then and tells the others, and Ctrl-C becomes a SIGTERM to this process.
    """

    def __init__(self, agreed: Callable[[int], bool] | None = None) -> None:
        self.asked = False
        self._agreed = agreed
        self._steps = 0
        self.forced = False
        self._signalled = False
        #: How the first signal is answered; a display of lines that move has its own way.
        self.say: Callable[[str], None] = write_note
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            wanted = (signal.SIGINT,) if self._agreed else _SIGNALS
            heard = [number for number in wanted if signal.getsignal(number) is not signal.SIG_IGN]
            self._before = {number: signal.signal(number, self._on_signal) for number in heard}
        return self

    def __exit__(self, *failure: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def before_step(self) -> bool:
        """Whether to stop before the step that comes next."""
        self._steps += 1
        if self._agreed and self._agreed(self._steps):
            self.asked = True
        return self.asked

    def check(self) -> None:
        """Raise KeyboardInterrupt if a stop was asked for."""
        if self.asked:
            raise KeyboardInterrupt

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._signalled:
            self.forced = True
            raise KeyboardInterrupt
        self._signalled = True
        if self._agreed:
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            self.asked = True
        self.say(_NOTE)
