"""The learning rate of every epoch of the paper's run."""

from __future__ import annotations

import keras
import pytest

from allcnn.runs.recipe import RECIPES, Recipe, learning_rate_after
from allcnn.training.network import make_optimizer


def test_the_paper() -> None:
    # Section 3.2.1: times 0.1 after epochs 200, 250 and 300 of 350; epoch 1 is at position 0.
    rates = [learning_rate_after(epoch, 0.05, (200, 250, 300)) for epoch in range(350)]
    assert rates == [0.05] * 200 + [0.005] * 50 + [0.0005] * 50 + [0.00005] * 50


@pytest.mark.parametrize("base", [0.25, 0.1, 0.05, 0.01])
def test_no_digits_of_binary_fractions(base) -> None:
    assert [learning_rate_after(position, base, (1, 2)) for position in range(3)] == [base, base / 10, base / 100]
    assert repr(learning_rate_after(300, 0.05, (200, 250, 300))) == "5e-05"


def test_milestones_that_coincide_or_come_first() -> None:
    # Three epochs: milestones 2, 3, 3.
    assert [learning_rate_after(position, 1.0, (2, 3, 3)) for position in range(4)] == [1, 1, 0.1, 0.001]
    assert learning_rate_after(0, 1.0, (0,)) == 0.1
    assert learning_rate_after(10**6, 1.0, ()) == 1.0


def test_another_multiplier() -> None:
    assert [learning_rate_after(position, 0.8, (1, 2), 0.5) for position in range(3)] == [0.8, 0.4, 0.2]


@pytest.mark.parametrize(
    "recipe",
    [
        RECIPES["paper"].with_overrides(length=3),  # drops after 2, 3, 3
        Recipe("steps", unit="steps", length=15, milestones=(0, 8, 11)),
        RECIPES["fast"].with_overrides(length=3),
        Recipe("no drops", length=3, milestones=()),
    ],
    ids=lambda recipe: recipe.name,
)
@pytest.mark.backends
def test_the_optimizer_has_the_rate_of_every_step(recipe) -> None:
    optimizer = make_optimizer(recipe, steps_per_epoch=5)
    weight = keras.Variable([0.0])
    optimizer.build([weight])
    for step in range(15):
        assert float(optimizer.learning_rate) == pytest.approx(recipe.learning_rate_at(step, 5), rel=1e-6)
        optimizer.apply([keras.ops.ones(1)], [weight])


def test_a_linear_schedule_falls_to_nothing() -> None:
    recipe = Recipe("mine", length=2, schedule="linear", learning_rate=0.8)
    assert [recipe.learning_rate_at(step, 2) for step in range(5)] == pytest.approx([0.8, 0.6, 0.4, 0.2, 0.0])
