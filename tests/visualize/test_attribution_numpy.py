"""The package's way back against one written out in numpy, on both backends, and the backends against each other."""

from __future__ import annotations

import os
from importlib.util import find_spec

import numpy as np
import pytest
from attribution_sample import METHODS, MIDDLE, POSITION, UNITS, network_with_switches, sample
from numpy_way_back import Network

#: The most that a map may differ, relative to its largest value.
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def samples() -> dict[str, dict[str, np.ndarray]]:
    """By network, what the package finds here; made as it is asked for."""

    class Samples(dict):
        def __missing__(self, name: str) -> dict[str, np.ndarray]:
            self[name] = sample(name)
            return self[name]

    return Samples()


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


# strided-a: with max-pooling in place of its strides; c has max-pooling of its own.
@pytest.mark.parametrize("name", ["all-c", "c", "strided-a"])
def test_maps_agree_with_numpy(name, samples) -> None:
    model, image = network_with_switches(name)
    network = Network(model)
    outputs = network.forward(image)
    values = outputs["global_pool"][0]
    assert (values > 0).sum() >= 3 and len(set(values.round(3))) > 3, "the classes' values are alive"
    assert network.margin() > TOLERANCE, "no ReLU or switch is so near its border that float32 may decide otherwise"
    likeliest = int(values.argmax())
    for label, layer, unit, position in (
        ("strongest", MIDDLE[name], UNITS[name], None),
        ("placed", MIDDLE[name], UNITS[name], POSITION),
        ("class", "global_pool", likeliest, ()),
    ):
        maps = {}
        for method in METHODS:
            expected, place, value = network.from_unit(layer, outputs[layer], unit, position, method)
            assert value > 0.1 and np.abs(expected).max() > 1e-3, "the unit is open and the signal is not lost"
            found = {key: samples[name][f"{name} {label} {method} {key}"] for key in ("maps", "activations")}
            assert found["maps"].dtype == np.float32 and found["activations"].dtype == np.float32
            assert difference(found["maps"][0], expected) < TOLERANCE, (label, method)
            assert found["activations"][0] == pytest.approx(value, rel=TOLERANCE)
            if place:
                assert tuple(samples[name][f"{name} {label} {method} positions"][0]) == place
            maps[method] = expected
        for one, other in (METHODS[:2], METHODS[1:], METHODS[::2]):
            assert difference(maps[one], maps[other]) > 0.1, "the three methods are three"


@pytest.mark.skipif(os.environ["KERAS_BACKEND"] != "tensorflow", reason="this session is the other backend's")
@pytest.mark.skipif(find_spec("jax") is None, reason="JAX is not installed: pip install jax")
@pytest.mark.slow
def test_jax_agrees_with_tensorflow(samples, run_python, tmp_path) -> None:
    run_python("tests/visualize/attribution_sample.py", str(tmp_path / "jax.npz"), "c", KERAS_BACKEND="jax")
    here = {key: values for key, values in samples["c"].items() if " placed " not in key}
    with np.load(tmp_path / "jax.npz") as there:
        assert len(here) == len(there) == 3 * 5
        for key, values in here.items():
            if key.endswith("positions"):
                assert np.array_equal(there[key], values), key
            else:
                assert difference(there[key], values) < TOLERANCE, key
