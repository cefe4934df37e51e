"""Error, top-5 error and confusion, against a plain reading of their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from allcnn.errors import InputError
from allcnn.scores import FEW_CLASSES, score


def names(classes: int) -> tuple[str, ...]:
    return tuple(f"class {index}" for index in range(classes))


@pytest.mark.parametrize("levels", [1000, 7])
def test_against_a_stable_sort(levels):
    """With few levels many probabilities are equal: the earlier class then goes first."""
    random = np.random.default_rng(0)
    chances = (random.integers(0, levels, (300, 40)) / levels).astype(np.float32)
    labels = random.integers(0, 40, 300)
    ranked = np.argsort(-chances, axis=1, kind="stable")
    found = score(chances, labels, names(40))
    assert found.errors == np.count_nonzero(ranked[:, 0] != labels)
    missed = [label not in row[:5] for row, label in zip(ranked.tolist(), labels.tolist(), strict=True)]
    assert found.top5_error_percent == 100 * sum(missed) / 300
    assert 0 < sum(missed) < found.errors
    assert found.confusion.sum() == 300 and np.trace(found.confusion) == 300 - found.errors


def test_no_top5_error_with_few_classes():
    assert FEW_CLASSES == 10
    assert score(np.eye(10, dtype=np.float32), np.arange(10), names(10)).top5_error_percent is None
    assert score(np.eye(11, dtype=np.float32), np.arange(11), names(11)).top5_error_percent == 0


def test_a_network_that_diverged_has_no_error():
    with pytest.raises(InputError, match="probabilities that are no numbers"):
        score(np.full((2, 12), np.nan, np.float32), np.zeros(2, int), names(12))


def test_what_was_left_out_is_counted():
    found = score(np.eye(3, dtype=np.float32), np.arange(3), names(3), skipped=2)
    assert found.as_dict()["skipped"] == 2 and found.as_dict()["top5_error_percent"] is None
