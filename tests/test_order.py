"""Which images an epoch visits and how each step moves them: functions of (seed, epoch, step) alone."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from allcnn.data.order import (
    ANGLE,
    BEND,
    BLOCK_IMAGES,
    BRIGHTNESS,
    CONTRAST,
    FLIP,
    SATURATION,
    SHIFT_X,
    SHIFT_Y,
    STRETCH_X,
    STRETCH_Y,
    TINT,
    WINDOW_IMAGES,
    ZOOM,
    epoch_order,
    flip_shift_draws,
    hold_out,
    large_draws,
)  # fmt: skip


def digest(values: np.ndarray, dtype: str) -> str:
    """The same on every machine, since a run that is resumed must go on with the same images and draws."""
    return hashlib.sha256(values.astype(dtype).tobytes()).hexdigest()[:16]


@pytest.mark.parametrize("images", [1, 7, 1000])
def test_an_epoch_visits_every_image_once(images) -> None:
    order = epoch_order(3, 5, images)
    assert order.dtype == np.int64
    assert sorted(order.tolist()) == list(range(images))


def test_the_order_depends_on_seed_and_epoch_only() -> None:
    assert digest(epoch_order(1, 2, 500), "<i8") == "728db2380e92cb7c"
    orders = {(seed, epoch): tuple(epoch_order(seed, epoch, 500)) for seed in range(4) for epoch in range(4)}
    assert len(set(orders.values())) == 16


def test_epochs_are_independent() -> None:
    # In two independent permutations each image keeps its place with probability 1 / n: once an epoch on average.
    orders = [epoch_order(0, epoch, 1000) for epoch in range(101)]
    kept = sum(int((before == after).sum()) for before, after in zip(orders, orders[1:], strict=False))
    assert 60 < kept < 140  # Poisson with mean 100, four deviations
    # Any image may be the first of an epoch.
    assert len({int(order[0]) for order in orders}) > 90


@pytest.mark.parametrize("streamed", [False, True])
def test_without_shuffling_the_order_is_that_of_the_files(streamed) -> None:
    assert epoch_order(1, 9, 5, shuffle=False, streamed=streamed).tolist() == [0, 1, 2, 3, 4]


def test_draws_reach_every_shift_equally_and_mirror_half() -> None:
    draws = np.concatenate([flip_shift_draws(7, epoch, step, 200) for epoch in range(10) for step in range(11)])
    assert draws.shape == (22_000, 3) and draws.dtype == np.int32
    assert set(draws[:, FLIP].tolist()) == {0, 1}
    assert abs(draws[:, FLIP].mean() - 0.5) < 4 * 0.5 / np.sqrt(22_000)
    for column in (SHIFT_Y, SHIFT_X):
        shifts, counts = np.unique(draws[:, column], return_counts=True)
        assert shifts.tolist() == list(range(-5, 6))
        # 2000 of each, with a deviation of sqrt(22000 * 1/11 * 10/11) = 42.6.
        assert abs(counts - 2000).max() < 4.5 * 42.6
    # Independent of each other: correlations of 22,000 pairs have a deviation of 0.0067.
    correlations = np.corrcoef(draws.T)
    assert abs(correlations[np.triu_indices(3, 1)]).max() < 0.03


def test_draws_of_another_width() -> None:
    draws = flip_shift_draws(1, 0, 0, 500, max_shift=1)
    assert set(draws[:, SHIFT_Y].tolist()) == set(draws[:, SHIFT_X].tolist()) == {-1, 0, 1}
    assert not flip_shift_draws(1, 0, 0, 500, max_shift=0)[:, SHIFT_Y:].any()


def test_draws_depend_on_seed_epoch_and_step_only() -> None:
    assert digest(flip_shift_draws(1, 2, 3, 50), "<i4") == "7fb9ea52cf961114"
    moments = {(seed, epoch, step) for seed in range(3) for epoch in range(3) for step in range(3)}
    assert len({flip_shift_draws(*moment, 50).tobytes() for moment in moments}) == 27


@pytest.mark.parametrize(("images", "fraction", "held"), [(100, 0.1, 10), (1437, 0.2, 287), (10, 0.0, 0), (7, 0.5, 4)])
def test_held_out_images_are_apart_and_complete(images, fraction, held) -> None:
    kept, held_out = hold_out(5, images, fraction)
    assert len(held_out) == held
    assert sorted([*kept.tolist(), *held_out.tolist()]) == list(range(images))
    assert kept.tolist() == sorted(kept.tolist()) and held_out.tolist() == sorted(held_out.tolist())


def test_the_split_depends_on_the_seed_only() -> None:
    held_out = hold_out(1, 1000, 0.1)[1]
    assert digest(held_out, "<i8") == "e8882300eaf2c6e2"
    assert not np.array_equal(held_out, hold_out(2, 1000, 0.1)[1])
    # Not the tail of the files, and not the first epoch's first images.
    assert 300 < held_out.mean() < 700
    assert set(held_out.tolist()) != set(epoch_order(1, 0, 1000)[:100].tolist())


class TestStreamedOrder:
    """The order of images that are streamed: blocks of neighbours, mixed within windows."""

    @pytest.mark.parametrize("images", [1, 63, 64, 65, 5000, 10_000])
    def test_an_epoch_visits_every_image_once(self, images):
        assert sorted(epoch_order(3, 1, images, streamed=True).tolist()) == list(range(images))

    def test_a_window_is_whole_blocks_in_any_order(self):
        order = epoch_order(3, 1, 313 * BLOCK_IMAGES, streamed=True)
        for window in np.split(order, range(WINDOW_IMAGES, len(order), WINDOW_IMAGES)):
            blocks, counts = np.unique(window // BLOCK_IMAGES, return_counts=True)
            assert (counts == BLOCK_IMAGES).all()
            assert abs(np.corrcoef(window, np.arange(len(window)))[0, 1]) < 0.1
            # The blocks come from everywhere.
            assert blocks.min() < 40 and blocks.max() > 270

    def test_it_depends_on_seed_and_epoch_only(self):
        first = epoch_order(1, 2, 5000, streamed=True)
        assert digest(first, "<i8") == "88d8ceffa7ac8e1a"
        others = [epoch_order(*moment, 5000, streamed=True) for moment in ((1, 3), (2, 2))]
        assert all((first == other).mean() < 0.01 for other in others)


COLUMNS = {
    FLIP: (0, 1), SHIFT_Y: (-1, 1), SHIFT_X: (-1, 1), ZOOM: (-0.22, 0.47), STRETCH_Y: (0.8, 1.2), STRETCH_X: (0.8, 1.2),
    BEND: (0, 2), ANGLE: (-0.2, 0.2), BRIGHTNESS: (-0.4, 0.4), CONTRAST: (-0.29, 0.29), SATURATION: (0.5, 1.5),
    11: (-0.2, 0.2), 12: (-0.2, 0.2), 13: (-0.2, 0.2),
}  # fmt: skip


def test_large_draws_fill_their_ranges_evenly_and_independently() -> None:
    draws = np.concatenate([large_draws(7, epoch, step, 200) for epoch in range(10) for step in range(10)])
    assert draws.shape == (20_000, 14) and draws.dtype == np.float32
    assert sorted(COLUMNS) == list(range(14)) == [*range(TINT.start), *range(TINT.start, TINT.stop)]
    for column, (low, high) in COLUMNS.items():
        values = (draws[:, column].astype(np.float64) - low) / (high - low)
        if column in (FLIP, BEND):
            found, counts = np.unique(values, return_counts=True)
            assert len(found) == (2 if column == FLIP else 3)
            assert abs(counts - 20_000 / len(found)).max() < 4.5 * np.sqrt(20_000 * 0.25)
            continue
        assert -1e-6 <= values.min() < 0.001 and 0.999 < values.max() <= 1 + 1e-6
        # Uniform: 2,000 values in each tenth, with a deviation of sqrt(20,000 * 0.1 * 0.9) = 42.4.
        assert abs(np.histogram(values, 10, (0, 1))[0] - 2000).max() < 5 * 42.4
    correlations = np.corrcoef(draws.T)
    assert abs(correlations[np.triu_indices(14, 1)]).max() < 5 / np.sqrt(20_000)


def test_large_draws_depend_on_seed_epoch_and_step_only() -> None:
    # Sums and products of doubles, rounded once.
    assert digest(large_draws(1, 2, 3, 50), "<f4") == "927495b9e6361f4f"
    moments = {(seed, epoch, step) for seed in range(3) for epoch in range(3) for step in range(3)}
    assert len({large_draws(*moment, 50).tobytes() for moment in moments}) == 27
