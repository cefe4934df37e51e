"""What the tests share: where the photographs are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

PHOTOGRAPHS = ("cifar10-jpeg.tar.gz", "cifar10-head.npz", "cifar100-head.npz")


@pytest.fixture(scope="session")
def photographs() -> Path:
    """A folder that holds PHOTOGRAPHS: ALLCNN_TEST_DATA, else a neighbouring shared/data, else the test is skipped."""
    named = os.environ.get("ALLCNN_TEST_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    missing = [name for name in PHOTOGRAPHS if not (folder / name).is_file()]
    if missing:
        pytest.skip(f"no photographs: {', '.join(missing)} not in {folder}; set ALLCNN_TEST_DATA to their folder")
    return folder
