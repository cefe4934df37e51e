"""The short form of tests/studies/kills.py and full_disk.py: the real command, killed, and on a disk that fills."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "studies"))

import full_disk
import kills

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> kills.Study:
    return kills.Study(tmp_path_factory.mktemp("kills"), "tensorflow", "fast")


def test_a_run_killed_with_sigkill_and_resumed_ends_in_the_same_bits(study) -> None:
    moments, differences = kills.disturbed(study, 0, kills=2)
    assert len(moments) == 2
    assert differences == []


def test_the_comparison_sees_a_difference(study) -> None:
    whole, _ = study.undisturbed(0)
    other, _ = study.undisturbed(1)
    found = kills.differences(whole, other)
    assert "metrics.csv" in found and any(name.startswith("state.h5: model/conv1") for name in found)
    assert any(name.startswith("model.keras: ") for name in found)


def test_a_full_disk_loses_nothing(study) -> None:
    try:
        said, wrong = full_disk.one_disk(study, 0)
    except PermissionError as error:
        pytest.skip(str(error))
    assert wrong == [] and "no space is left on the disk" in said
