"""The package's way back against one written out in numpy."""

from __future__ import annotations

import numpy as np
import pytest
from numpy_way_back import Network

from allcnn.models.build import build_model
from allcnn.visualize.altered import with_switches
from allcnn.visualize.attribution import Attributor
from allcnn.visualize.graph import METHODS

# Seeds of weights and images, found by search, for which no ReLU or switch is decided within float32's rounding: others
# may have one somewhere, which changes the map there. The test checks it.
SEEDS = {"all-c": 25, "c": 1, "strided-a": 9}
MIDDLE = {"all-c": "conv5", "c": "conv4", "strided-a": "conv2"}
UNITS, POSITION = {"all-c": 7, "c": 10, "strided-a": 7}, (2, 1)
SIDE = 16
#: The most that a map may differ, relative to its largest value.
TOLERANCE = 1e-5


def network_and_image(name: str):
    """A published network and one image, drawn by numpy: He's scale, and biases that keep the classes alive."""
    random = np.random.default_rng(SEEDS[name])
    model = build_model(name, (SIDE, SIDE, 3), initializer="random_uniform")  # the quickest
    for layer in model.layers:
        if layer.weights:
            kernel, bias = layer.get_weights()
            fan_in = np.prod(kernel.shape[:3])
            layer.set_weights(
                [random.normal(0, np.sqrt(2 / fan_in), kernel.shape), random.normal(0.05, 0.1, bias.shape)]
            )
    return model, random.normal(0, 1, (1, SIDE, SIDE, 3)).astype(np.float32)


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


# strided-a: with max-pooling in place of its strides; c has max-pooling of its own. What JAX compiles slowly is tried
# there once.
@pytest.mark.parametrize("name", ["all-c", pytest.param("c", marks=pytest.mark.backends), "strided-a"])
def test_maps_agree_with_numpy(name) -> None:
    model, image = network_and_image(name)
    if name == "strided-a":
        model = with_switches(model)
    network = Network(model)
    outputs = network.forward(image)
    values = outputs["global_pool"][0]
    assert (values > 0).sum() >= 3 and len(set(values.round(3))) > 3, "the classes' values are alive"
    assert network.margin() > TOLERANCE, "no ReLU or switch is so near its border that float32 may decide otherwise"
    middle, likeliest = MIDDLE[name], int(values.argmax())
    attributors = {(layer, method): Attributor(model, layer, method) for layer in (middle, None) for method in METHODS}
    for layer, unit, position in ((middle, UNITS[name], None), (middle, UNITS[name], POSITION), (None, likeliest, ())):
        maps, numpys = {}, layer or "global_pool"
        for method in METHODS:
            expected, place, value = network.from_unit(numpys, outputs[numpys], unit, position, method)
            assert value > 0.1 and np.abs(expected).max() > 1e-3, "the unit is open and the signal is not lost"
            found = attributors[layer, method](image, unit, position or "strongest")
            assert found.maps.dtype == np.float32 and found.activations.dtype == np.float32
            assert difference(found.maps[0], expected) < TOLERANCE, (layer, position, method)
            assert found.activations[0] == pytest.approx(value, rel=TOLERANCE)
            assert found.positions is None if layer is None else tuple(found.positions[0]) == place
            maps[method] = expected
        for one, other in (METHODS[:2], METHODS[1:], METHODS[::2]):
            assert difference(maps[one], maps[other]) > 0.1, "the three methods are three"
