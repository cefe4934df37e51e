"""A damaged file of ours is refused before it is parsed, by a message that names it.

In short; `tests/studies/corruption.py` is the long form.
"""

from __future__ import annotations

import random

from our_files import REFUSED, corrupt, examine, make_kinds


def test_every_file_that_a_run_is_read_back_from(small_run, tmp_path) -> None:
    kinds = make_kinds(small_run)
    written = {path.name for path in small_run.iterdir()}
    assert written - {kind.path.name for kind in kinds} <= {"state.previous.h5", "table.md", ".lock"}
    for kind in kinds:
        kind.read(kind.path)  # a good one is read
        good, draw = kind.path.read_bytes(), random.Random(kind.name)
        for number in range(25):
            outcome, message = examine(kind, corrupt(kind, good, number, draw), tmp_path / "run")
            assert outcome == REFUSED, f"{kind.name}, corruption {number}: {message}"
