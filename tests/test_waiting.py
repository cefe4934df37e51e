"""The spinner: what a terminal sees of it, and that nothing else does."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest

from allcnn import waiting as module
from allcnn.waiting import show_waiting, waiting

PROGRAM = """
import sys, time
from allcnn.backend import hold_standard_error
from allcnn.waiting import show_waiting, waiting
show_waiting()
with waiting("outer"):
    time.sleep(0.2)
    with waiting("inner"), hold_standard_error():
        time.sleep(0.3)
        print("held back", file=sys.stderr)
    print("a line", file=sys.stderr)
"""


@pytest.fixture
def wanted(monkeypatch) -> None:
    monkeypatch.setattr(module, "_wanted", False)  # and is put back after the test
    show_waiting()


def test_nothing_is_shown_outside_a_terminal(wanted, capfd) -> None:
    with waiting("reading"):
        assert module._status is None
    assert capfd.readouterr() == ("", "")


def test_nothing_is_shown_where_nobody_wants_it(monkeypatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(module, "_wanted", False)
    monkeypatch.setattr(sys, "stderr", Terminal())
    with waiting("reading"):
        assert module._status is None


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals of POSIX")
def test_in_a_terminal_it_moves_while_standard_error_is_held_back(run_python) -> None:
    import pty

    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 4096):
            shown += part
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(ours)
    assert process.wait(600) == 0
    text = shown.decode()
    assert "outer ..." in text and text.count("inner ...") > 1
    assert "a line" in text and "held back" not in text
