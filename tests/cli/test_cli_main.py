"""What the process says and returns: help, wrong calls, failures, interrupts, readers that go away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from allcnn.errors import Interrupted, TrainingError
from allcnn_cli.main import main

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
    lines = outcome.out.splitlines()
    summary = lines[3].strip()
    assert summary.endswith(".") and len(summary) < 70
    assert f"\n   allcnn {command}" in outcome.out
    assert max(map(len, lines)) <= 80 and "…" not in outcome.out
    assert "\x1b" not in outcome.out
    # The overview shows the summary whole.
    assert summary in allcnn("--help").out
    # Of the commands that use Keras, export converts with TensorFlow alone, and report without --html uses none.
    assert ("--backend" in outcome.out) == (command not in ("params", "report", "export"))


@pytest.mark.parametrize("command", ["train", "sweep"])
def test_options_of_a_run_stand_in_panels(allcnn, command):
    lines = allcnn(command, "--help").out.splitlines()
    titles = [line.split()[1] for line in lines if line.startswith("╭─")]
    assert titles == ["Options", "Network", "Data", "Recipe", "Saving", "Machine"]


def test_help_says_when_a_run_is_given_up(allcnn):
    help = " ".join(allcnn("train", "--help").out.replace("│", "").split())
    assert "after N epochs in a row with a training loss within 1 % of guessing's, ln(classes)." in help
    assert "[default: 5, or as many as 1,000 steps take]" in help


@pytest.mark.parametrize("no_color, word", [(None, "\x1b[31merror:\x1b[0m"), ("1", "error:")])
def test_in_a_terminal_the_word_error_is_red(monkeypatch, terminal, no_color, word):
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color:
        monkeypatch.setenv("NO_COLOR", no_color)
    assert main(["params", "al-c", "[b]"]) == 2
    assert terminal.getvalue().startswith(f'{word} unknown network "al-c". Did you mean all-c? ')


@pytest.mark.parametrize(
    "words, completed",
    [
        ("train --model strid", ["strided-a", "strided-b", "strided-c"]),
        ("sweep --models all-a,large", ["all-a,large-all"]),
        ("sweep --models p", ["paper"]),
        ("params imag", ["imagenet-all-b"]),
        ("train --recipe ", ["paper", "review", "imagenet", "large", "fast"]),
        ("train --augment flip", ["flip-shift", "flip-reflect"]),
        ("train --preprocessing gcn", ["gcn-zca", "gcn"]),
        ("train --initializer he", ["he_uniform", "he_normal"]),
        ("train --allow e", ["epochs"]),
        ("data cif", ["cifar10", "cifar100"]),
        ("eval m.keras --backend j", ["jax"]),
        ("bench --precision f", ["float32"]),
        ("export m.keras --format o", ["onnx"]),
        ("report runs --format m", ["markdown"]),
        ("report runs --table l", ["lr"]),
        ("visualize m.keras --method g", ["guided"]),
        ("visualize m.keras --figures review-3,review-4", ["review-3,review-4"]),
    ],
)
def test_names_are_completed(allcnn, monkeypatch, words, completed):
    monkeypatch.setenv("_ALLCNN_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"allcnn {words}")
    monkeypatch.setenv("COMP_CWORD", str(len(words.split(" "))))
    outcome = allcnn()
    assert (outcome.code, outcome.out.split(), outcome.err) == (0, completed, "")


def test_without_a_command_the_help_goes_to_standard_error(allcnn):
    code, out, err = allcnn()
    assert (code, out) == (2, "")
    assert err.split()[:2] == ["Usage:", "allcnn"] and "train " in err


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
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.run(
        [sys.executable, "-m", "allcnn_cli", "params", "--layers"], cwd=ROOT, stdout=writing, stderr=subprocess.PIPE
    )
    os.close(writing)
    assert (process.returncode, process.stderr) == (1, b"")


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
