"""Maps that must not depend on the backend; as a program it writes them: attribution_sample.py FILE NETWORK..."""

from __future__ import annotations

import sys

import numpy as np

# Seeds of weights and images, found by search, for which no ReLU or switch is decided within float32's rounding: others
# may have one somewhere, which changes the map there. test_attribution_numpy.py checks it.
SEEDS = {"all-c": 25, "c": 1, "strided-a": 9}
MIDDLE = {"all-c": "conv5", "c": "conv4", "strided-a": "conv2"}
METHODS = ("backpropagation", "deconvnet", "guided")
UNITS, POSITION = {"all-c": 7, "c": 10, "strided-a": 7}, (2, 1)
SIDE = 16


def network(name: str, seed: int | None = None):
    """A published network and one image, drawn by numpy: He's scale, and biases that keep the classes alive."""
    from allcnn.models.build import build_model

    random = np.random.default_rng(SEEDS[name] if seed is None else seed)
    model = build_model(name, (SIDE, SIDE, 3), initializer="random_uniform")  # the quickest
    for layer in model.layers:
        if layer.weights:
            kernel, bias = layer.get_weights()
            fan_in = np.prod(kernel.shape[:3])
            layer.set_weights(
                [random.normal(0, np.sqrt(2 / fan_in), kernel.shape), random.normal(0.05, 0.1, bias.shape)]
            )
    return model, random.normal(0, 1, (1, SIDE, SIDE, 3)).astype(np.float32)


def network_with_switches(name: str):
    """The same, with max-pooling for strides where it has strides."""
    from allcnn.visualize.altered import with_switches

    model, image = network(name)
    return (with_switches(model) if name.startswith("strided") else model), image


def sample(name: str, given_positions: bool = True) -> dict[str, np.ndarray]:
    """Maps, activations and positions by every method, for a middle unit and for the likeliest class."""
    from allcnn.visualize.attribution import Attributor

    model, image = network_with_switches(name)
    ways: list = [("strongest", MIDDLE[name], UNITS[name], "strongest"), ("class", None, None, "strongest")]
    if given_positions:
        ways.append(("placed", MIDDLE[name], UNITS[name], POSITION))
    likeliest = int(np.argmax(model.predict_on_batch(image)))
    found = {}
    for method in METHODS:
        attributors = {layer: Attributor(model, layer, method) for layer in (MIDDLE[name], None)}
        for label, layer, unit, position in ways:
            result = attributors[layer](image, likeliest if unit is None else unit, position)
            found[f"{name} {label} {method} maps"] = result.maps
            found[f"{name} {label} {method} activations"] = result.activations
            if result.positions is not None:
                found[f"{name} {label} {method} positions"] = result.positions
    return found


if __name__ == "__main__":
    np.savez(sys.argv[1], **{key: values for name in sys.argv[2:] for key, values in sample(name, False).items()})
