"""The way back worked by hand on 4x4 images."""

from __future__ import annotations

import numpy as np
import pytest
from small_models import PATCHES, A, B, image, kernel, splitting_model

from allcnn.errors import InputError
from allcnn.visualize.attribution import Attribution, Attributor, backpropagation, deconvnet, guided_backpropagation
from allcnn.visualize.graph import METHODS

FUNCTIONS = {"backpropagation": backpropagation, "deconvnet": deconvnet, "guided": guided_backpropagation}

# Two filters of 1x1 split the image x into its positive part, max(x, 0), and its negative part, max(-x, 0). Then one
# filter of 2x2, stride 2, looks at the positive parts with A and at the negative parts with B:
#
#     x   3  2  0 -1     A   1 -1     B  -1  1
#        -1  1  0  0         2  1         3 -2
#         1  0 -1  0
#         0  0  0  0
#
# Positive part of the upper left patch (3 2; 0 1), negative part (0 0; 1 0): 3 1 - 2 1 + 1 1, + 1 3 = 5.
# Upper right: negative part (0 1; 0 0): 1. Lower left: positive part (1 0; 0 0): 1. Lower right: negative part
# (1 0; 0 0): -1, which the ReLU makes 0.
VALUES = [[5, 1], [1, 0]]

# At the outputs of "split" the signal is A and B, below the unit. From there to the image it is, at each pixel, what is
# left of A minus what is left of B. In the upper left, x > 0 but for the -1:
BY_HAND = {
    "backpropagation": [[1, -1], [-3, 1]],  # of A (1 -1; . 1), of B (. .; 3 .): where the parts are above 0
    "deconvnet": [[1, -1], [-1, 1]],  # of A (1 .; 2 1), of B (. 1; 3 .): what is positive
    "guided": [[1, 0], [-3, 1]],  # of A (1 .; . 1), of B (. .; 3 .): both
}


@pytest.mark.backends
@pytest.mark.parametrize("method", METHODS)
def test_strided_convolution_by_hand(method) -> None:
    model = splitting_model()
    assert np.array_equal(np.asarray(model(PATCHES))[0, :, :, 0], VALUES)
    expected = np.zeros((1, 4, 4, 1), np.float32)
    expected[0, :2, :2, 0] = BY_HAND[method]
    found = FUNCTIONS[method](model, PATCHES, 0, "look")
    assert np.array_equal(found.maps, expected) and found.maps.dtype == np.float32
    assert found.activations.tolist() == [5] and found.positions.tolist() == [[0, 0]]

    # The lower left patch: its one pixel above 0 is x = 1, at the place of A's 1.
    found = FUNCTIONS[method](model, PATCHES, 0, "look", (1, 0))
    expected = np.zeros((1, 4, 4, 1), np.float32)
    if method == "deconvnet":
        expected[0, 2:, :2, 0] = BY_HAND["deconvnet"]
    else:  # elsewhere both parts are 0
        expected[0, 2, 0, 0] = 1
    assert np.array_equal(found.maps, expected)
    assert found.activations.tolist() == [1] and found.positions.tolist() == [[1, 0]]

    # The lower right one: the unit's own ReLU is shut. The deconvnet does not look.
    found = FUNCTIONS[method](model, PATCHES, 0, "look", (1, 1))
    expected = np.zeros((1, 4, 4, 1), np.float32)
    if method == "deconvnet":
        expected[0, 2:, 2:, 0] = BY_HAND["deconvnet"]
    assert np.array_equal(found.maps, expected)
    assert found.activations.tolist() == [0]


@pytest.mark.backends
def test_signal_in_the_middle_by_hand() -> None:
    for method in METHODS:
        found = Attributor(splitting_model(), "look", method, down_to="split")(PATCHES, 0)
        expected = np.zeros((1, 4, 4, 2), np.float32)
        expected[0, :2, :2] = np.moveaxis([A, B], 0, 2)  # before the ReLU of "split": all that the kernel sends down
        assert np.array_equal(found.maps, expected)
    # At the unit itself there is nothing but the unit.
    found = Attributor(splitting_model(), "look", "backpropagation", down_to="look")(PATCHES, 0, (0, 1))
    assert np.array_equal(found.maps, [[[[0], [1]], [[0], [0]]]])


# Twice the image, through a ReLU; the largest of each 2x2; then one filter of 2x2 with C.
C = [[1, -1], [2, 1]]
POOLED = image([[1, 4, -1, -2],
                [2, 3, 3, 1],
                [-1, -2, 0, 5],
                [-3, -4, -6, 6]])  # fmt: skip
# Maxima of twice the positive part: 8 (at row 0, column 1), 6 (1, 2); 0 of four equal zeros, of which the first,
# (2, 0), counts; 12 (3, 3). The unit: 8 - 6 + 0 + 12 = 14.


@pytest.mark.backends
@pytest.mark.parametrize(
    ("method", "expected"),
    [
        # (f > 0) lets through what comes to the maxima that are above 0, and the first convolution doubles it.
        ("backpropagation", {(0, 1): 2, (1, 2): -2, (3, 3): 2}),
        # (R > 0) lets through what is positive, also to the zeros at (2, 0).
        ("deconvnet", {(0, 1): 2, (2, 0): 4, (3, 3): 2}),
        ("guided", {(0, 1): 2, (3, 3): 2}),
    ],
)
def test_max_pooling_by_hand(method, expected) -> None:
    import keras

    pooling = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Conv2D(1, 1, activation="relu"),
            keras.layers.MaxPooling2D(2),
            keras.layers.Conv2D(1, 2, activation="relu", name="last"),
        ]
    )
    pooling.set_weights([kernel([[[2]]]), np.zeros(1), kernel([C]), np.zeros(1)])
    found = FUNCTIONS[method](pooling, POOLED, 0, "last")
    assert found.activations.tolist() == [14] and found.positions.tolist() == [[0, 0]]
    assert {
        tuple(map(int, place)): found.maps[0, *place, 0] for place in np.argwhere(found.maps[0, :, :, 0])
    } == expected


@pytest.mark.backends
def test_classes_before_the_softmax_by_hand() -> None:
    """The mean over 16 places of max(x, 0) and of max(-x, 0): the first is (1 + 1 + 2) / 16, the second 12 / 16."""
    import keras

    parts = image([[1, -2, 0, 0], [0, 1, 0, 0], [0, 0, 2, 0], [-4, 0, 0, -6]])
    for cast in (False, True):  # between the softmax and the output
        layers = [
            keras.Input((4, 4, 1)),
            keras.layers.Conv2D(2, 1, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Softmax(dtype="bfloat16" if cast else None),
        ]
        model = keras.Sequential(layers + [keras.layers.Activation("linear", dtype="float32")] * cast)
        model.set_weights([kernel([[[1]]], [[[-1]]]), np.zeros(2)])
        for method in METHODS:
            found = FUNCTIONS[method](model, np.concatenate([parts, parts]), [0, 1])
            assert found.activations.tolist() == [4 / 16, 12 / 16] and found.positions is None
            lit = (
                [np.ones((4, 4)), np.ones((4, 4))]
                if method == "deconvnet"
                else [parts[0, ..., 0] > 0, parts[0, ..., 0] < 0]
            )
            assert np.array_equal(found.maps[:, :, :, 0], [lit[0] / 16.0, -1.0 * lit[1] / 16])


def test_preprocessing_inside_by_hand() -> None:
    """`down_to` its last layer reads the signal behind it: with a deviation of 1/255 a channel, 255 times as weak."""
    from allcnn.models.build import build_model
    from allcnn.preprocessing import make_preprocessing

    random = np.random.default_rng(0)
    images = random.integers(0, 256, (50, 6, 6, 3)).astype(np.uint8)
    standardize = make_preprocessing("standardize").adapt(images)
    model = build_model("4C3-NC1-GAP", (6, 6, 3), 3, preprocessing=standardize, seed=0, initializer="he_normal")
    names = [layer.name for layer in model.layers]
    last = names[names.index("conv1") - 1]
    raw = guided_backpropagation(model, images[:4], 2)
    behind = Attributor(model, None, "guided", down_to=last)(images[:4], 2)
    alone = build_model("4C3-NC1-GAP", (6, 6, 3), 3)
    alone.set_weights([layer for name in ("conv1", "conv2") for layer in model.get_layer(name).get_weights()])
    direct = guided_backpropagation(alone, standardize.apply(images[:4]), 2)
    assert np.abs(behind.maps).max() > 0.01
    np.testing.assert_allclose(behind.maps, direct.maps, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(raw.maps, behind.maps / images.std(axis=(0, 1, 2)), rtol=1e-4, atol=1e-7)


def test_maps_are_plotted_as_pictures() -> None:
    found = backpropagation(splitting_model(), PATCHES, 0, "look")
    assert repr(found) == "Attribution(1 maps of (4, 4, 1))" and "(1, 4, 4, 1)" in found._repr_html_()
    figure = found.plot()
    (axes,) = figure.axes
    shown = axes.images[0].get_array()
    # The largest signal, -3, is black; 1 is lighter than the grey of zero by a third of that.
    assert shown.min() == 0 and shown.max() == pytest.approx(0.5 + 0.5 / 3, abs=0.01)
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert found.plot(np.zeros((1, 4, 4, 3), np.uint8)).axes
    with pytest.raises(InputError, match=r"images of shape \(2, 4, 4, 3\) beside maps of \(1, 4, 4, 1\)"):
        found.plot(np.zeros((2, 4, 4, 3), np.uint8))
    with pytest.raises(InputError, match=r"maps of shape \(1, 4, 4, 2\) are no pictures; expected 1 or 3 channels"):
        Attribution(np.zeros((1, 4, 4, 2)), found.activations, None).plot()
