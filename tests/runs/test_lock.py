"""One run, one process: refused while the other lives, and not when it is dead."""

import os
import signal
import subprocess
import sys

import pytest

from allcnn.errors import RunError
from allcnn.processes import python_path
from allcnn.runs.folder import RunFolder
from allcnn.runs.lock import only_process

HOLDER = """
import sys, time
from pathlib import Path
from allcnn.runs.folder import RunFolder
from allcnn.runs.lock import only_process
with only_process(RunFolder(Path(sys.argv[1]))):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def begun(tmp_path) -> RunFolder:
    folder = RunFolder(tmp_path / "runs" / "one")
    folder.path.mkdir(parents=True)
    folder.config.write_text("{}")
    return folder


def test_a_living_process_keeps_others_out_and_a_killed_one_does_not(begun) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(begun.path)], stdout=subprocess.PIPE, text=True,
        env={**os.environ, **python_path()},
    )  # fmt: skip
    try:
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(RunError, match=f"one: process {holder.pid} on .* is at work on this run.\nWait for its end"),
            only_process(begun),
        ):
            pytest.fail("two processes in one folder")
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with only_process(begun):
        assert begun.lock.read_text().startswith(f"process {os.getpid()} on ")
    with only_process(begun):  # and again, after it was given back
        pass


def test_a_folder_in_which_nothing_was_begun_goes_again(tmp_path) -> None:
    folder = RunFolder(tmp_path / "runs" / "one")
    with pytest.raises(ValueError, match="before anything was written"), only_process(folder):
        assert folder.lock.exists()
        raise ValueError("before anything was written")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_there_stays(tmp_path) -> None:
    with only_process(RunFolder(tmp_path / "new" / "one")):
        (tmp_path / "new" / "another").mkdir()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["another"]
