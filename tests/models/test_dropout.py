"""The cheap masks: the right share, the right scale, repeatable, independent from step to step."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from allcnn.models.dropout import BitDropout, mask_arithmetic

SHAPE = (40, 16, 16, 8)


def drop(layer: keras.layers.Layer, inputs: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(layer(inputs, training=True)).astype(np.float64)


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (0.5, ("uint8", 128, 256)),
        (0.25, ("uint8", 192, 256)),
        (0.2, ("uint16", 52429, 65536)),
        (0.1, ("uint16", 58982, 65536)),
        (1e-9, ("uint16", 65535, 65536)),
        (1 - 1e-9, ("uint16", 1, 65536)),
    ],
)
def test_as_few_bits_as_the_rate_needs(rate, expected) -> None:
    assert mask_arithmetic(rate) == expected


@pytest.mark.backends
@pytest.mark.parametrize("rate", [0.5, 0.2, 0.1])
def test_share_and_scale(rate) -> None:
    outputs = drop(BitDropout(rate, seed=3), np.ones(SHAPE, np.float32))
    _, kept, values = mask_arithmetic(rate)
    assert np.unique(outputs).tolist() == [0.0, np.float32(values / kept)]
    share = (outputs == 0).mean()
    # Five standard deviations of a binomial share.
    assert abs(share - rate) < 5 * np.sqrt(rate * (1 - rate) / outputs.size)


@pytest.mark.backends
def test_masks_are_a_function_of_the_generators_state_and_differ_from_step_to_step() -> None:
    inputs = np.ones(SHAPE, np.float32)
    layer, again, other = BitDropout(0.5, seed=3), BitDropout(0.5, seed=3), BitDropout(0.5, seed=4)
    first, second = drop(layer, inputs), drop(layer, inputs)
    np.testing.assert_array_equal(first, drop(again, inputs))
    again.seed_generator.state.assign(np.array([3, 1], "uint32"))
    np.testing.assert_array_equal(second, drop(again, inputs))
    for one, two in ((first, second), (first, drop(other, inputs))):
        agreement = (one == two).mean()
        assert abs(agreement - 0.5) < 5 * 0.5 / np.sqrt(inputs.size)


@pytest.mark.backends
def test_every_position_and_both_halves_of_a_word_are_dropped_alike() -> None:
    """The random bits are cut into bytes: none of the four places in a word may be more likely than another."""
    layer = BitDropout(0.2, seed=1)
    dropped = np.mean([drop(layer, np.ones((1000, 8), np.float32)) == 0 for _ in range(20)], axis=(0, 1))
    assert np.abs(dropped - 0.2).max() < 5 * np.sqrt(0.16 / 20_000)


def test_an_odd_number_of_values_and_an_unknown_batch() -> None:
    assert drop(BitDropout(0.5, seed=1), np.ones((3, 5, 1), np.float32)).shape == (3, 5, 1)
    model = keras.Sequential([keras.Input((5, 3)), BitDropout(0.5, seed=1)])
    assert model.predict(np.ones((2, 5, 3)), verbose=0).tolist() == np.ones((2, 5, 3)).tolist()
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        traced = tf.function(lambda x: model(x, training=True), input_signature=[tf.TensorSpec((None, 5, 3))])
        assert set(np.unique(traced(np.ones((7, 5, 3), np.float32)))) == {0.0, 2.0}


def test_gradient_passes_where_values_did() -> None:
    import tensorflow as tf

    layer, inputs = BitDropout(0.5, seed=9), tf.ones((50, 8))
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs, training=True)
    np.testing.assert_array_equal(tape.gradient(outputs, inputs), outputs)
