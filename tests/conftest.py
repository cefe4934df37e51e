"""What the tests share: the environment, where the photographs are, programs in processes of their own, run folders."""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

# Before anything imports Keras, which reads its backend then.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Whatever the user's is: tests neither read nor write it.
os.environ["ALLCNN_CACHE"] = tempfile.mkdtemp(prefix="allcnn-tests-")
atexit.register(shutil.rmtree, os.environ["ALLCNN_CACHE"], ignore_errors=True)

ROOT = Path(__file__).resolve().parents[1]
PHOTOGRAPHS = ("cifar10-jpeg.tar.gz", "cifar10-head.npz", "cifar100-head.npz")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest: the second pass on JAX, then those with slow tests."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path.name != "test_backends.py", item.path not in slow))


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

    def run(*arguments: str, check: bool = True, timeout: float = 1800, **environment: str | None):
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        merged = {**os.environ, "PYTHONPATH": path, **environment}
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
def write_run(tmp_path: Path) -> Callable[..., Path]:
    """write_run("all-c", 9.1, lr=0.05, seed=1): a run folder of two epochs, the last with that test error.

    error=None: it came to no end. status, validation_error, dataset, and any number of the recipe by its name.
    """
    from allcnn.runs.folder import RunFolder, metrics_digest, write_json, write_metrics
    from allcnn.runs.recipe import RECIPES
    from allcnn.specs import resolve

    def write(
        model: str = "all-c", error: float | None = 10.0, *, lr: float = 0.05, seed: int = 0,
        status: str = "finished", reason: str | None = None, validation: float = 0.0,
        validation_error: float | None = None, dataset: str = "cifar10", images: str = "official",
        name: str | None = None, under: str = "runs", recipe: str = "paper", **numbers: Any,
    ) -> Path:  # fmt: skip
        spec, network = resolve(model)
        folder = RunFolder(tmp_path / under / (name or f"{len(list(tmp_path.rglob('config.json'))):03}"))
        folder.path.mkdir(parents=True)
        values = replace(RECIPES[recipe], learning_rate=lr, **numbers)
        config = {
            "model": network.name if network else str(spec),
            "spec": str(spec),
            "recipe": values.as_dict(),
            "dataset": dataset,
            "digest": hashlib.sha256(f"{dataset} {images}".encode()).hexdigest(),
            "seed": seed,
            "validation": validation,
            "training_images": round(50_000 * (1 - validation)),
            "source": "cifar-10-batches-py",
            "backend": "tensorflow",
            "precision": "float32",
            "device": {"name": "a machine"},
        }
        write_json(folder.config, config)
        ended = status == "finished"
        rows = [_row(1, 90.0, validation_error), _row(2, error if ended else 80.0, validation_error)]
        write_metrics(folder.metrics, rows)
        if status != "unfinished":
            summary = {"status": status, "metrics_sha256": metrics_digest(folder.metrics)}
            write_json(folder.summary, {**summary, **({"reason": reason} if reason else {})})
        return folder.path

    return write


def _row(epoch: int, error: float | None, validation_error: float | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "epoch": epoch, "learning_rate": 0.05, "loss": 1.0, "penalty": 0.1, "train_error": 50.0, "test_error": error,
        "seconds": 90.0, "images_per_second": 100.0,
    }  # fmt: skip
    return row if validation_error is None else {**row, "validation_error": validation_error}


@pytest.fixture
def runs_below(tmp_path: Path) -> Callable[[], list]:
    """The runs written so far, read back; all of them must be whole."""
    from allcnn.runs.collected import collect_runs

    def read() -> list:
        runs, problems = collect_runs([tmp_path / "runs"])
        assert problems == []
        return runs

    return read


@pytest.fixture
def copy_run() -> Callable[[Path, Path], Path]:
    """Copy a run folder."""
    return lambda source, target: Path(shutil.copytree(source, target))
