"""The host's batches: the right images in the right order, wherever a run starts."""

from __future__ import annotations

import numpy as np
import pytest

from allcnn.data.order import FLIP, epoch_order, flip_shift_draws
from allcnn.data.pipeline import BatchOrder, training_batches


def test_steps_walk_through_epochs_and_drop_the_last_smaller_batch() -> None:
    order = BatchOrder(images=10, batch_size=3, seed=4)
    assert (order.images_per_batch, order.steps_per_epoch) == (3, 3)
    steps = [indices.tolist() for indices, _ in order.steps(0, 6)]
    first, second = epoch_order(4, 0, 10).tolist(), epoch_order(4, 1, 10).tolist()
    assert steps == [first[0:3], first[3:6], first[6:9], second[0:3], second[3:6], second[6:9]]


def test_starting_in_the_middle_is_going_on() -> None:
    order = BatchOrder(images=10, batch_size=3, seed=4, augmentation="flip-shift")
    whole = list(order.steps(0, 9))
    for first in range(9):
        part = list(order.steps(first, 9))
        assert len(part) == 9 - first
        for (indices, draws), (expected, expected_draws) in zip(part, whole[first:], strict=True):
            assert np.array_equal(indices, expected)
            assert draws is not None and np.array_equal(draws, expected_draws)


def test_draws_are_those_of_the_epoch_and_the_step_in_it() -> None:
    steps = list(BatchOrder(images=10, batch_size=3, seed=4, augmentation="flip-shift").steps(0, 5))
    assert np.array_equal(steps[4][1], flip_shift_draws(4, 1, 1, 3))
    assert steps[4][1].shape == (3, 3)
    assert all(draws is None for _, draws in BatchOrder(images=10, batch_size=3, seed=4).steps(0, 5))


def test_alternating_flips_show_every_image_both_ways_in_two_epochs() -> None:
    order = BatchOrder(images=60, batch_size=20, seed=4, augmentation="flip-shift", alternate_flips=True)
    chance = BatchOrder(images=60, batch_size=20, seed=4, augmentation="flip-shift")
    mirrored = np.full((4, 60), -1)
    for step, ((indices, draws), (_, drawn)) in enumerate(zip(order.steps(0, 12), chance.steps(0, 12), strict=True)):
        assert draws is not None and drawn is not None
        mirrored[step // 3, indices] = draws[:, FLIP]
        assert np.array_equal(draws[:, 1:], drawn[:, 1:])  # the shifts are still by chance
    assert set(mirrored[0]) == {0, 1}
    assert np.array_equal(mirrored[0] + mirrored[1], np.ones(60))
    assert np.array_equal(mirrored[:2], mirrored[2:])
    late = np.full(60, -1)
    for indices, draws in order.steps(600, 603):
        assert draws is not None
        late[indices] = draws[:, FLIP]
    assert np.array_equal(late, mirrored[0])


def test_fewer_images_than_a_batch_are_one_batch() -> None:
    order = BatchOrder(images=4, batch_size=200, seed=1, augmentation="flip-shift")
    assert (order.images_per_batch, order.steps_per_epoch) == (4, 1)
    steps = list(order.steps(0, 3))
    assert [sorted(indices.tolist()) for indices, _ in steps] == [[0, 1, 2, 3]] * 3
    assert steps[0][1].shape == (4, 3)


def test_never_shuffled() -> None:
    order = BatchOrder(images=5, batch_size=2, seed=1, shuffle=False)
    assert [indices.tolist() for indices, _ in order.steps(1, 5)] == [[2, 3], [0, 1], [2, 3], [0, 1]]


@pytest.mark.backends
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("augmentation", ["none", "flip-shift"])
def test_tf_data_yields_exactly_the_images(dtype, augmentation) -> None:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (11, 4, 5, 3)).astype(dtype)
    labels = random.integers(0, 10, 11).astype(np.int32)
    order = BatchOrder(images=11, batch_size=4, seed=9, augmentation=augmentation)
    dataset = training_batches(images, labels, order, first_step=1, last_step=5)
    assert dataset.cardinality().numpy() == 4
    batches = list(dataset.as_numpy_iterator())
    assert len(batches) == 4
    # Two batches of four an epoch; steps 1 to 4 are the second of epoch 0, both of 1, the first of 2.
    for (inputs, answers), (epoch, position) in zip(batches, [(0, 1), (1, 0), (1, 1), (2, 0)], strict=True):
        indices = epoch_order(9, epoch, 11)[4 * position : 4 * position + 4]
        assert inputs["images"].dtype == dtype and answers.dtype == np.int32
        assert np.array_equal(inputs["images"], images[indices])
        assert np.array_equal(answers, labels[indices])
        assert ("draws" in inputs) == (augmentation != "none")
        if "draws" in inputs:
            assert np.array_equal(inputs["draws"], flip_shift_draws(9, epoch, position, 4))


def test_tf_data_keeps_nobody_waiting_at_the_end() -> None:
    """Its tuning thread held the end of a run of 76 seconds up for 53."""
    images, labels = np.zeros((20, 4, 4, 3), np.uint8), np.zeros(20, np.int32)
    assert not training_batches(images, labels, BatchOrder(20, 5, 0), 0, 4).options().autotune.enabled


@pytest.mark.parametrize("hosts", [2, 3])
def test_hosts_share_every_batch(hosts) -> None:
    alone = list(BatchOrder(images=20, batch_size=6, seed=9, augmentation="flip-shift").steps(0, 7))
    shares = [
        list(BatchOrder(images=20, batch_size=6, seed=9, augmentation="flip-shift", host=host, hosts=hosts).steps(0, 7))
        for host in range(hosts)
    ]
    for step, (indices, draws) in enumerate(alone):
        parts = [share[step] for share in shares]
        assert np.array_equal(np.concatenate([part for part, _ in parts]), indices)
        assert np.array_equal(np.concatenate([part for _, part in parts]), draws)
