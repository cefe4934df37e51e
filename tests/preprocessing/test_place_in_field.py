"""The augmentation "large" against matrices written out in NumPy's float64, and the field that it places images in."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from allcnn.data.order import (
    ANGLE,
    BEND,
    BRIGHTNESS,
    CONTRAST,
    FLIP,
    LARGE_WIDTH,
    ROTATION,
    SATURATION,
    SHEAR_X,
    SHEAR_Y,
    SHIFT_X,
    SHIFT_Y,
    STRETCH_X,
    STRETCH_Y,
    TINT,
    ZOOM,
    large_draws,
)  # fmt: skip
from allcnn.errors import InputError
from allcnn.preprocessing.augment import PlaceInField, augmentation_layer
from allcnn.preprocessing.field import field_layers, margins, network_shape

NOTHING = np.zeros((1, LARGE_WIDTH), np.float32)
NOTHING[:, [STRETCH_Y, STRETCH_X, SATURATION]] = 1.0
IMAGES = np.random.default_rng(2).normal(size=(6, 9, 8, 3)).astype(np.float32)


def drawn(**changes: float) -> np.ndarray:
    draws = NOTHING.copy()
    for name, value in changes.items():
        draws[:, globals()[name]] = value
    return draws


def placed(images, draws, field=None) -> np.ndarray:
    draws = np.repeat(draws, len(images), axis=0) if len(draws) == 1 else draws
    return keras.ops.convert_to_numpy(PlaceInField(field)(images, draws))


def by_matrices(image: np.ndarray, draws: np.ndarray, field: int) -> np.ndarray:
    """The same, pixel by pixel: 3x3 matrices in homogeneous coordinates (x, y, 1), inverted as one."""
    image, draws = image.astype(np.float64), draws.astype(np.float64)
    height, width, _ = image.shape
    grey, mean, deviation = image.mean(axis=2, keepdims=True), image.mean(), image.std()
    image = grey + draws[SATURATION] * (image - grey)
    image = mean + np.exp(draws[CONTRAST]) * (image - mean)
    image = image + deviation * (draws[BRIGHTNESS] + draws[TINT])

    def shift(x: float, y: float) -> np.ndarray:
        return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]])

    angle = draws[ANGLE]
    bend = {
        SHEAR_X: np.array([[1, angle, 0], [0, 1, 0], [0, 0, 1]]),
        SHEAR_Y: np.array([[1, 0, 0], [angle, 1, 0], [0, 0, 1]]),
        ROTATION: np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]),
    }[int(draws[BEND])]
    zoom = np.exp(draws[ZOOM])
    scale = np.diag([zoom * draws[STRETCH_X] * (-1 if draws[FLIP] else 1), zoom * draws[STRETCH_Y], 1])
    (above, _), (left, _) = margins(image.shape, field)
    middle = (width - 1) / 2, (height - 1) / 2
    moved = draws[SHIFT_X] * 16 * field / 126, draws[SHIFT_Y] * 16 * field / 126
    into_field = shift(left + middle[0] + moved[0], above + middle[1] + moved[1])
    there = into_field @ bend @ scale @ shift(-middle[0], -middle[1])
    back = np.linalg.inv(there)
    result = np.zeros((field, field, 3))
    for row in range(field):
        for column in range(field):
            x, y, _ = back @ (column, row, 1)
            for y0 in (int(np.floor(y)), int(np.floor(y)) + 1):
                for x0 in (int(np.floor(x)), int(np.floor(x)) + 1):
                    if 0 <= y0 < height and 0 <= x0 < width:
                        result[row, column] += max(0, 1 - abs(y - y0)) * max(0, 1 - abs(x - x0)) * image[y0, x0]
    return result


@pytest.mark.backends
@pytest.mark.parametrize("jit_compile", [False, True])
def test_agrees_with_matrices(jit_compile) -> None:
    """Every bend, both mirrors; 32x32 in 126x126 is the layer's arithmetic over again with other constants."""
    draws = large_draws(1, 2, 3, len(IMAGES))
    draws[:, BEND], draws[:, FLIP] = [0, 1, 2] * 2, [0, 0, 0, 1, 1, 1]
    inputs = [keras.Input(IMAGES.shape[1:]), keras.Input((LARGE_WIDTH,))]
    model = keras.Model(inputs, augmentation_layer("large", 29)(*inputs))
    assert model.output_shape == (None, 29, 29, 3)
    model.compile(jit_compile=jit_compile)
    result = model.predict_on_batch([IMAGES, draws])
    expected = np.stack([by_matrices(image, draw, 29) for image, draw in zip(IMAGES, draws, strict=True)])
    assert np.ptp(expected) > 5
    np.testing.assert_allclose(result, expected, atol=1e-4 * np.ptp(IMAGES))


@pytest.mark.parametrize(("shape", "field"), [((32, 32, 3), 126), ((9, 8, 3), 20), ((9, 8, 3), 9), ((7, 7, 3), None)])
def test_draws_that_change_nothing_give_exactly_the_centred_image(shape, field) -> None:
    images = 100 * np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
    result = placed(images, NOTHING, field)
    assert np.array_equal(result, np.pad(images, ((0, 0), *margins(shape, field), (0, 0))))
    for layer in field_layers(shape, field):
        assert np.array_equal(result, layer(images))
        assert result.shape[1:] == network_shape(shape, field)


def test_the_mirror_and_whole_pixels_move_exactly() -> None:
    images = np.random.default_rng(0).normal(size=(2, 6, 6, 3)).astype(np.float32)
    assert np.array_equal(placed(images, drawn(FLIP=1)), images[:, :, ::-1])
    # In a field of 63 the largest shift is 8 pixels.
    moved = placed(images, drawn(SHIFT_Y=0.5, SHIFT_X=-0.25), 63)
    expected = np.zeros((2, 63, 63, 3), np.float32)
    expected[:, 28 + 4 : 34 + 4, 28 - 2 : 34 - 2] = images
    np.testing.assert_allclose(moved, expected, atol=1e-5)


def test_twice_the_size_and_a_quarter_turn() -> None:
    ramp = np.arange(4, dtype=np.float32)[None, None, :, None] * np.ones((1, 4, 1, 3), np.float32)
    zoomed = placed(ramp, drawn(ZOOM=np.log(2.0)), 12)[0, 6, :, 0]
    # Pixel centres of the doubled ramp lie at -0.25, 0.25, 0.75, ... of the ramp's; outside it fades within a pixel.
    np.testing.assert_allclose(zoomed[2:10], [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3 * 0.75], atol=1e-5)
    assert not zoomed[:1].any() and not zoomed[11:].any()
    turned = placed(ramp, drawn(BEND=ROTATION, ANGLE=np.pi / 2))
    np.testing.assert_allclose(turned[0, :, :, 0], ramp[0, :, :, 0].T, atol=1e-5)  # x' = -y, y' = x


def test_colours_leave_the_field_zero() -> None:
    images = 0.2 + np.random.default_rng(0).random((4, 8, 8, 3), np.float32)
    draws = np.repeat(drawn(BRIGHTNESS=0.4, CONTRAST=0.2, SATURATION=0.5, TINT=[0.1, -0.2, 0.2]), 4, axis=0)
    result = placed(images, draws, 24)
    inside = np.zeros((24, 24), bool)
    inside[8:16, 8:16] = True
    assert not result[:, ~inside].any()
    assert (np.abs(result[:, inside] - images.reshape(4, 64, 3)) > 1e-3).mean() > 0.95
    # Brightness moves every value by the same part of the image's deviation, contrast spreads about its mean.
    bright = placed(images, drawn(BRIGHTNESS=0.4)) - images
    np.testing.assert_allclose(
        bright, np.broadcast_to(0.4 * images.std(axis=(1, 2, 3), keepdims=True), bright.shape), atol=1e-5
    )
    flat = placed(images, drawn(SATURATION=0.0))
    np.testing.assert_allclose(flat, np.broadcast_to(images.mean(axis=3, keepdims=True), flat.shape), atol=1e-5)
    # An image of one colour has no deviation, and no NaN.
    same = np.full((1, 4, 4, 3), 0.25, np.float32)
    np.testing.assert_allclose(placed(same, draws[:1]), same, atol=1e-5)


def test_the_image_stays_whole_in_the_field_of_the_paper() -> None:
    """The largest, furthest moved image of 32x32 leaves a margin on every side of 126x126."""
    white = np.ones((1, 32, 32, 3), np.float32)
    for bend in (SHEAR_X, SHEAR_Y, ROTATION):
        draws = drawn(ZOOM=0.47, STRETCH_Y=1.2, STRETCH_X=1.2, BEND=bend, ANGLE=0.2, SHIFT_Y=1, SHIFT_X=1)
        rows, columns = np.nonzero(placed(white, draws, 126)[0, :, :, 0])
        assert 100 < rows.max() <= 124 and 100 < columns.max() <= 124
        assert len(rows) > 60 * 60


def test_margins_by_hand() -> None:
    assert margins((32, 32, 3), 126) == ((47, 47), (47, 47))
    assert margins((9, 8, 3), 20) == ((5, 6), (6, 6))
    assert margins((9, 8, 3), None) == ((0, 0), (0, 0))
    assert network_shape((9, 8, 3), 20) == (20, 20, 3)
    assert field_layers((9, 9, 3), 9) == []


def test_a_field_smaller_than_the_images() -> None:
    with pytest.raises(InputError) as caught:
        network_shape((9, 8, 3), 8)
    assert str(caught.value) == (
        "a field of 8 x 8 pixels is smaller than the images, 9 x 8; "
        "expected one of at least 9 (--field), or smaller images (--image-size)."
    )
