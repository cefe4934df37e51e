"""After exceptions, beside other threads, and where a ReLU is out of reach: the model stays as it was."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from small_models import models
from untouched import assert_untouched_by, own_gradients, the_same

from allcnn.errors import InputError
from allcnn.visualize.attribution import Attributor, backpropagation, deconvnet, guided_backpropagation
from allcnn.visualize.rules import METHODS

FUNCTIONS = {"backpropagation": backpropagation, "deconvnet": deconvnet, "guided": guided_backpropagation}


@pytest.mark.backends
def test_an_exception_inside_the_pass_leaves_no_trace() -> None:
    import keras

    class Raises(keras.layers.Layer):
        broken = False

        def call(self, x):
            if self.broken:
                raise RuntimeError("broken")
            return keras.ops.relu(x)

    inputs = keras.Input((12, 12, 3))
    raises = Raises()
    model = keras.Model(inputs, keras.ops.mean(raises(keras.layers.Conv2D(4, 3, activation="relu")(inputs)), (1, 2)))
    images = np.random.default_rng(0).normal(size=(2, 12, 12, 3)).astype(np.float32)
    attributor = Attributor(model, None, "guided")

    def act() -> None:
        raises.broken = True
        with pytest.raises(RuntimeError, match="broken"):
            guided_backpropagation(model, images, 0)
        with pytest.raises(RuntimeError, match="broken"):
            attributor(images, 0)
        raises.broken = False
        assert np.abs(attributor(images, 0).maps).max() > 0

    assert_untouched_by(model, images, act)


@pytest.mark.backends
def test_other_threads_see_the_model_as_ever() -> None:
    model = models()["shared ReLU"]
    images = np.random.default_rng(0).normal(size=(2, 12, 12, 3)).astype(np.float32)
    before, alone = own_gradients(model, images), guided_backpropagation(model, images, 1).maps
    done, results = threading.Event(), []

    def other() -> None:
        while not done.is_set():
            results.append(the_same(own_gradients(model, images), before))

    threads = [threading.Thread(target=other) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        together = {method: FUNCTIONS[method](model, images, 1).maps for method in METHODS}
        while len(results) < 5 and any(thread.is_alive() for thread in threads):  # they may have been slower to begin
            together = {method: FUNCTIONS[method](model, images, 1).maps for method in METHODS}
    finally:
        done.set()
        for thread in threads:
            thread.join(600)
    assert len(results) >= 5 and all(results)
    assert np.array_equal(together["guided"], alone)
    assert np.abs(together["deconvnet"] - alone).max() > 0.05 * np.abs(alone).max()
    assert the_same(own_gradients(model, images), before)


@pytest.mark.backends
def test_parts_that_are_compiled_on_their_own_are_refused() -> None:
    """There a rule would stay after the pass, or come too late."""
    import keras

    if keras.backend.backend() == "jax":
        from jax import jit as compiled
    else:
        from tensorflow import function as compiled
    part = compiled(lambda x: keras.ops.relu(x))

    class OwnModel(keras.Model):
        def __init__(self):
            super().__init__()
            self.conv = keras.layers.Conv2D(2, 1, activation="relu")

        def call(self, x):
            return part(self.conv(x))

    model = OwnModel()
    images = np.random.default_rng(0).normal(size=(1, 4, 4, 1)).astype(np.float32)
    model(images)

    def act() -> None:
        with pytest.raises(InputError, match="is compiled on its own") as error:
            Attributor(model)
        assert "\n" not in str(error.value)

    assert_untouched_by(model, images, act)
