"""Whatever a file holds, its reader gives images or a DataError that names it. The long form is a study of its own."""

from __future__ import annotations

import random

import pytest
from any_pickles import INSTRUCTIONS, read_instructions
from foreign_files import REFUSED, Kind, damage, examine, make_kinds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

# The same examples every time; tests/studies/fuzz_readers.py makes new ones.
bounded = settings(derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))

WAYS = st.sampled_from(["bits", "bits", "cut", "overwritten", "put in", "taken out"])
SEEDS = st.integers(0, 2**32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("foreign")


@pytest.fixture(scope="module")
def kinds(folder) -> dict[str, Kind]:
    return make_kinds(folder)


@settings(bounded, max_examples=700)
@given(data=st.data(), way=WAYS, seed=SEEDS)
def test_a_damaged_file(data, way, seed, kinds, folder) -> None:
    name = data.draw(st.sampled_from(sorted(kinds)))
    content = damage(kinds[name].content, random.Random(seed), way)
    found = examine(kinds[name], folder / name, content)
    assert found == REFUSED or not kinds[name].has_checksum or content == kinds[name].content


@settings(bounded, max_examples=300)
@given(data=st.data(), content=st.binary(max_size=200), kept=st.integers(0, 60))
def test_any_bytes(data, content, kept, kinds, folder) -> None:
    """Behind nothing or the first bytes of a sound file."""
    name = data.draw(st.sampled_from(sorted(kinds)))
    examine(kinds[name], folder / name, kinds[name].content[:kept] + content)


@settings(bounded, max_examples=800)
@given(INSTRUCTIONS, st.booleans())
def test_any_instructions(instructions, whole) -> None:
    read_instructions(instructions, whole)
