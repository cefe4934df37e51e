"""What the tests share: the environment, where the photographs are, programs in processes of their own, run folders."""

from __future__ import annotations

import atexit
import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

# Before anything imports Keras, which reads its backend then.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# JAX's programs are compiled in a third of the time. They run once or twice, on little.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "true")
# Would colour the help, take colours away or change the width of tables.
for name in ("GITHUB_ACTIONS", "FORCE_COLOR", "PY_COLORS", "NO_COLOR", "COLUMNS", "TERMINAL_WIDTH"):
    os.environ.pop(name, None)
# Whatever the user's is: tests neither read nor write it.
os.environ["ALLCNN_CACHE"] = tempfile.mkdtemp(prefix="allcnn-tests-")
atexit.register(shutil.rmtree, os.environ["ALLCNN_CACHE"], ignore_errors=True)

ROOT = Path(__file__).resolve().parents[1]
# Tests take helpers from other folders of tests: the studies, of which they are the short form, and CIFAR's files.
sys.path += [str(ROOT / "tests" / folder) for folder in ("studies", "data")]
PHOTOGRAPHS = ("cifar10-jpeg.tar.gz", "cifar10-head.npz", "cifar100-head.npz")


def pytest_xdist_auto_num_workers() -> int:
    """A process more than cores, since some tests wait; no more than four, for each holds a TensorFlow."""
    return min((os.cpu_count() or 1) + 1, 4)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, those with slow tests."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def photographs() -> Path:
    """A folder that holds PHOTOGRAPHS: ALLCNN_TEST_DATA, else a neighbouring shared/data, else the test is skipped."""
    named = os.environ.get("ALLCNN_TEST_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    missing = [name for name in PHOTOGRAPHS if not (folder / name).is_file()]
    if missing:
        pytest.skip(f"no photographs: {', '.join(missing)} not in {folder}; set ALLCNN_TEST_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def cifar10_photographs(photographs: Path) -> np.ndarray:
    """The first official training images of CIFAR-10, pixel for pixel: (n, 32, 32, 3) uint8, n > 1000."""
    with np.load(photographs / "cifar10-head.npz") as arrays:
        return arrays["x_train"]


@pytest.fixture
def run_python() -> Callable[..., subprocess.CompletedProcess]:
    """Run Python in a process of its own, which finds this package: run_python("-c", program, KERAS_BACKEND="jax").

    Keyword arguments are environment variables; None takes one away. The process must end well unless `check=False`.
    `timeout` guards against a process that hangs; a slow machine must not meet it.
    """

    from allcnn.processes import python_path

    def run(*arguments: str, check: bool = True, timeout: float = 1800, **environment: str | None):
        merged = {**os.environ, **python_path(), **environment}
        result = subprocess.run(
            [sys.executable, *arguments],
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=timeout,
            env={name: value for name, value in merged.items() if value is not None},
        )
        if check and result.returncode != 0:
            pytest.fail(
                f"the process ended with {result.returncode}:\n{result.stdout[-4000:]}\n{result.stderr[-4000:]}"
            )
        return result

    return run


@pytest.fixture
def terminal() -> io.StringIO:
    """A stream that takes itself for a terminal."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    return Terminal()


@pytest.fixture
def damaged() -> Callable[[int], str]:
    """What is said of a file of so many bytes that its SHA-256 does not fit."""
    return (
        "damaged or edited, or not by allcnn: its {:,} bytes do not end in their SHA-256. Use a whole copy of it."
    ).format


@pytest.fixture
def write_run(tmp_path: Path) -> Callable[..., Path]:
    """write_run("all-c", 9.1, lr=0.05, seed=1): a run folder below tmp_path / "runs"; see `run_folders.write_run`."""
    from run_folders import write_run

    def write(*arguments: Any, name: str | None = None, under: str = "runs", **options: Any) -> Path:
        name = name or f"{len(list(tmp_path.rglob('config.json'))):03}"
        return write_run(tmp_path / under / name, *arguments, **options)

    return write


@pytest.fixture
def runs_below(tmp_path: Path) -> Callable[[], list]:
    """The runs written so far, read back; all of them must be whole."""
    from allcnn.runs.collected import collect_runs

    def read() -> list:
        runs, problems = collect_runs([tmp_path / "runs"])
        assert problems == []
        return runs

    return read
