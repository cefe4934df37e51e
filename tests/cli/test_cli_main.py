"""What the process says and returns: help, wrong calls, failures, interrupts, readers that go away."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from allcnn.errors import Interrupted, TrainingError

COMMANDS = ("train", "eval", "predict", "params", "data", "bench", "sweep", "visualize", "report", "export")
ROOT = Path(__file__).resolve().parents[2]

# Whatever started the tests may have told its children to ignore the signal.
_INTERRUPTIBLE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from allcnn_cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_in_a_line_what_a_command_does_and_shows_an_example(allcnn, command):
    outcome = allcnn(command, "--help")
    assert outcome.code == 0
    assert outcome.err == ""
    summary = outcome.out.splitlines()[2].strip()
    assert summary.endswith(".") and len(summary) < 75
    assert f"      allcnn {command} "[2:] in outcome.out
    # The overview shows the summary whole.
    assert summary in allcnn("--help").out


@pytest.mark.parametrize("command", [command for command in COMMANDS if command not in ("params", "report", "export")])
def test_commands_that_use_keras_take_a_backend(allcnn, command):
    assert "--backend" in allcnn(command, "--help").out


def test_without_a_command_the_help_goes_to_standard_error(allcnn):
    code, out, err = allcnn()
    assert (code, out) == (2, "")
    assert err.startswith("Usage: allcnn") and "train " in err


def test_version(allcnn):
    outcome = allcnn("--version")
    assert outcome.code == 0
    assert outcome.out.startswith("allcnn ")


@pytest.mark.parametrize(
    "error, code, message",
    [
        (TrainingError("the loss became nan.\nTry --lr 0.01."), 1, "error: the loss became nan.\nTry --lr 0.01.\n"),
        (
            Interrupted("interrupted: 1 of 3 epochs are saved. Go on with:\nallcnn train --resume --run-dir r"),
            130,
            "interrupted: 1 of 3 epochs are saved. Go on with:\nallcnn train --resume --run-dir r\n",
        ),
        (KeyboardInterrupt(), 130, "interrupted.\n"),
        (PermissionError(13, "Permission denied", "runs/x"), 1, "error: runs/x: Permission denied.\n"),
        (
            RuntimeError("layer 3 is odd\nat great length"),
            1,
            "unexpected RuntimeError: layer 3 is odd\nALLCNN_DEBUG=1 shows where it happened.\n",
        ),
    ],
)
def test_failures_leave_with_their_code_and_no_traceback(allcnn, monkeypatch, error, code, message):
    def fail(*_):
        raise error

    monkeypatch.delenv("ALLCNN_DEBUG", raising=False)
    monkeypatch.setattr("allcnn_cli.params.resolve", fail)
    assert allcnn("params", "all-c") == (code, "", message)


def test_debug_shows_the_traceback(allcnn, monkeypatch):
    def fail(*_):
        raise RuntimeError("layer 3 is odd")

    monkeypatch.setenv("ALLCNN_DEBUG", "1")
    monkeypatch.setattr("allcnn_cli.params.resolve", fail)
    outcome = allcnn("params", "all-c")
    assert outcome.code == 1
    assert "Traceback (most recent call last)" in outcome.err
    assert "unexpected RuntimeError: layer 3 is odd\n" in outcome.err


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of a POSIX shell")
def test_a_reader_that_goes_away_is_no_news():
    process = subprocess.Popen(
        [sys.executable, "-m", "allcnn_cli", "params", "--layers"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(600) == 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of a POSIX shell")
def test_ctrl_c_saves_the_run_and_says_how_to_go_on(tmp_path, allcnn):
    run = tmp_path / "run"
    arguments = ["train", "--spec", "8C3/2-NC1-GAP", "--dataset", "digits", "--epochs", "100000", "--run-dir", str(run)]
    process = subprocess.Popen(
        [sys.executable, "-c", _INTERRUPTIBLE, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 600
    while not (run / "state.h5").exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 130, err
    assert out == ""
    assert err.splitlines()[-1] == f"allcnn train --resume --run-dir {run}"
    assert "of 100000 epochs" in err
    assert "Traceback" not in err
    assert allcnn("eval", run).code == 0
