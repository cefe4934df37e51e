"""A damaged file of ours is refused before it is parsed, with a message that names it.

In short; `tests/studies/corruption.py` is the long form.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from our_files import REFUSED, Kind, corrupt, examine, make_kinds

NAMES = (
    "config.json", "summary.json", "metrics.csv", "preprocessing.h5", "whitening in the cache", "state.h5",
    "model.keras", "model.keras: its card", "model.keras: its directory", "model.keras: its end",
)  # fmt: skip


@pytest.fixture(scope="session")
def kinds(small_run: Path) -> dict[str, Kind]:
    return {kind.name: kind for kind in make_kinds(small_run)}


def test_every_file_of_a_run_that_is_read_is_tried(small_run, kinds) -> None:
    assert tuple(kinds) == NAMES
    written = {path.name for path in small_run.iterdir()}
    assert written - {kind.path.name for kind in kinds.values()} <= {"state.previous.h5", "table.md", ".lock"}


@pytest.mark.parametrize("name", NAMES)
def test_a_good_file_is_read(kinds, name) -> None:
    kinds[name].read(kinds[name].path)


@pytest.mark.parametrize("name", NAMES)
def test_corruptions_are_refused(kinds, name, tmp_path) -> None:
    kind, draw = kinds[name], random.Random(name)
    good = kind.path.read_bytes()
    for number in range(25):
        outcome, message = examine(kind, corrupt(kind, good, number, draw), tmp_path / "run")
        assert outcome == REFUSED, message
