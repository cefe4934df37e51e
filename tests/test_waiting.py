"""The spinner: what a terminal sees of it, and that nothing else does."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from allcnn import waiting as module
from allcnn.waiting import show_waiting, waiting

# It goes on when the test has seen what it waits for; where nothing comes, it ends with an error.
PROGRAM = """
import faulthandler, sys
from allcnn.backend import hold_standard_error
from allcnn.waiting import show_waiting, waiting
faulthandler.dump_traceback_later(600, exit=True)
show_waiting()
with waiting("outer"):
    sys.stdin.readline()
    with waiting("inner"), hold_standard_error():
        sys.stdin.readline()
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


def test_nothing_is_shown_where_nobody_wants_it(monkeypatch, terminal) -> None:
    monkeypatch.setattr(module, "_wanted", False)
    monkeypatch.setattr(sys, "stderr", terminal)
    with waiting("reading"):
        assert module._status is None


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals of POSIX")
def test_in_a_terminal_it_moves_while_standard_error_is_held_back(run_python) -> None:
    import pty

    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    awaited = [(b"outer ...", 1), (b"inner ...", 2)]
    try:
        while part := os.read(ours, 4096):
            shown += part
            if awaited and shown.count(awaited[0][0]) >= awaited[0][1]:
                awaited.pop(0)
                process.stdin.write(b"\n")
                process.stdin.flush()
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(ours)
    process.stdin.close()
    assert process.wait(600) == 0 and not awaited
    text = shown.decode()
    assert "a line" in text and "held back" not in text
