"""Flip and shift on a 4x4 image by hand, and against pad, crop and mirror."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from allcnn.data.order import DRAWS, SHIFT_X, SHIFT_Y, flip_shift_draws
from allcnn.preprocessing.augment import FlipShift, augmentation_layer

pytestmark = pytest.mark.backends

# One channel to read, two more to see that channels travel together.
SQUARE = np.array([[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12], [13, 14, 15, 16]], np.float32)
BY_HAND = {
    "nothing": ((0, 0, 0), SQUARE),
    "mirror": ((1, 0, 0), [[4, 3, 2, 1], [8, 7, 6, 5], [12, 11, 10, 9], [16, 15, 14, 13]]),
    "up by one": ((0, 1, 0), [[5, 6, 7, 8], [9, 10, 11, 12], [13, 14, 15, 16], [0, 0, 0, 0]]),
    "down by two": ((0, -2, 0), [[0, 0, 0, 0], [0, 0, 0, 0], [1, 2, 3, 4], [5, 6, 7, 8]]),
    "left by one": ((0, 0, 1), [[2, 3, 4, 0], [6, 7, 8, 0], [10, 11, 12, 0], [14, 15, 16, 0]]),
    "right by three": ((0, 0, -3), [[0, 0, 0, 1], [0, 0, 0, 5], [0, 0, 0, 9], [0, 0, 0, 13]]),
    "up by one, left by one, then mirrored": ((1, 1, 1), [[0, 8, 7, 6], [0, 12, 11, 10], [0, 16, 15, 14], [0] * 4]),
    "out of sight": ((0, 4, 0), np.zeros((4, 4))),
    "out of sight sideways": ((1, 0, -5), np.zeros((4, 4))),
}


REFLECTED_BY_HAND = {
    "up by one": ((0, 1, 0), [[5, 6, 7, 8], [9, 10, 11, 12], [13, 14, 15, 16], [9, 10, 11, 12]]),
    "down by two": ((0, -2, 0), [[9, 10, 11, 12], [5, 6, 7, 8], [1, 2, 3, 4], [5, 6, 7, 8]]),
    "left by one, then mirrored": ((1, 0, 1), [[3, 4, 3, 2], [7, 8, 7, 6], [11, 12, 11, 10], [15, 16, 15, 14]]),
}


def window_flip(images: np.ndarray, draws: np.ndarray, pad: int, mode: str = "constant") -> np.ndarray:
    """pylearn2's: zero-pad by `pad`, crop at (pad + dy, pad + dx), then mirror. mode: NumPy's name of the padding."""
    _, height, width, _ = images.shape
    padded = np.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode)
    result = np.empty_like(images)
    for index, (flip, dy, dx) in enumerate(draws):
        crop = padded[index, pad + dy : pad + dy + height, pad + dx : pad + dx + width]
        result[index] = crop[:, ::-1] if flip else crop
    return result


def flip_shift(images, draws) -> np.ndarray:
    return keras.ops.convert_to_numpy(FlipShift()(images, draws))


@pytest.mark.parametrize("case", BY_HAND)
def test_by_hand(case) -> None:
    draws, expected = BY_HAND[case]
    image = np.stack([SQUARE, -SQUARE, 100 * SQUARE], axis=-1)[None]
    result = flip_shift(image, np.array([draws], np.int32))[0]
    assert np.array_equal(result[..., 0], expected)
    assert np.array_equal(result[..., 1], -np.asarray(expected))
    assert np.array_equal(result[..., 2], 100 * np.asarray(expected))


@pytest.mark.parametrize("case", REFLECTED_BY_HAND)
def test_reflected_by_hand(case) -> None:
    draws, expected = REFLECTED_BY_HAND[case]
    image = np.repeat(SQUARE[None, :, :, None], 3, axis=-1)
    result = keras.ops.convert_to_numpy(FlipShift(reflect=True)(image, np.array([draws], np.int32)))
    assert np.array_equal(result[0, ..., 1], expected)


def test_flip_reflect_agrees_with_pad_crop_and_mirror() -> None:
    images = np.random.default_rng(2).normal(size=(200, 12, 7, 3)).astype(np.float32)
    draws = DRAWS["flip-reflect"].draw(1, 2, 3, 200)
    assert set(draws[:, SHIFT_Y].tolist()) == set(draws[:, SHIFT_X].tolist()) == set(range(-4, 5))
    result = keras.ops.convert_to_numpy(augmentation_layer("flip-reflect")(images, draws))
    assert np.array_equal(result, window_flip(images, draws, 4, "reflect"))


@pytest.mark.parametrize("shape", [(32, 32, 3), (12, 7, 3)])
@pytest.mark.parametrize("how", ["eager", "compiled", "by XLA"])
def test_agrees_with_pad_crop_and_mirror(shape, how) -> None:
    images = np.random.default_rng(0).normal(size=(60, *shape)).astype(np.float32)
    draws = flip_shift_draws(seed=1, epoch=2, step=3, batch_size=60)
    inputs = [keras.Input(shape), keras.Input((3,), dtype="int32")]
    model = keras.Model(inputs, FlipShift()(*inputs))
    assert model.output_shape == (None, *shape)
    model.compile(jit_compile=how == "by XLA")
    result = flip_shift(images, draws) if how == "eager" else model.predict_on_batch([images, draws])
    assert np.array_equal(result, window_flip(images, draws, 5))
