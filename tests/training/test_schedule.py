"""The learning rate of every epoch of the paper's run."""

from __future__ import annotations

import pytest

from allcnn.training.schedule import learning_rate


def test_the_paper() -> None:
    # Section 3.2.1: times 0.1 after epochs 200, 250 and 300 of 350; epoch 1 is at position 0.
    rates = [learning_rate(epoch, 0.05, (200, 250, 300)) for epoch in range(350)]
    assert rates == [0.05] * 200 + [0.005] * 50 + [0.0005] * 50 + [0.00005] * 50


@pytest.mark.parametrize("base", [0.25, 0.1, 0.05, 0.01])
def test_no_digits_of_binary_fractions(base) -> None:
    assert [learning_rate(position, base, (1, 2)) for position in range(3)] == [base, base / 10, base / 100]
    assert repr(learning_rate(300, 0.05, (200, 250, 300))) == "5e-05"


def test_milestones_that_coincide_or_come_first() -> None:
    # Three epochs: milestones 2, 3, 3.
    assert [learning_rate(position, 1.0, (2, 3, 3)) for position in range(4)] == [1, 1, 0.1, 0.001]
    assert learning_rate(0, 1.0, (0,)) == 0.1
    assert learning_rate(10**6, 1.0, ()) == 1.0


def test_another_multiplier() -> None:
    assert [learning_rate(position, 0.8, (1, 2), 0.5) for position in range(3)] == [0.8, 0.4, 0.2]
