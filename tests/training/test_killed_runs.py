"""The short form of tests/studies/kills.py: the real command, killed."""

import shutil

import kills
import numpy as np
import pytest

from allcnn.files import read_arrays, write_arrays

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> kills.Study:
    return kills.Study(tmp_path_factory.mktemp("kills"), "tensorflow", "fast")


def test_a_run_killed_with_sigkill_and_resumed_ends_in_the_same_bits(study) -> None:
    moments, differences = kills.disturbed(study, 0, kills=2)
    assert len(moments) == 2
    assert differences == []


def test_the_comparison_sees_a_difference(study, tmp_path) -> None:
    whole, _ = study.undisturbed(0)
    other = shutil.copytree(whole, tmp_path / "other")
    assert kills.differences(whole, other) == [] and kills.saved_weights(whole / "model.keras")
    arrays, attributes = read_arrays(other / "state.h5")
    first = arrays["model/conv1/kernel"][0, 0, 0]
    first[0] = np.nextafter(first[0], np.float32(1))
    write_arrays(other / "state.h5", arrays, attributes)
    rows = (other / "metrics.csv").read_text().splitlines()
    (other / "metrics.csv").write_text("\n".join([rows[0], rows[1].replace("1", "2", 1), *rows[2:]]) + "\n")
    assert kills.differences(whole, other) == ["state.h5: model/conv1/kernel", "metrics.csv"]
