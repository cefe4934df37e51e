"""The three rules, in whatever form a model has its ReLUs; and nothing of Keras is different afterwards."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from allcnn.errors import InputError
from allcnn.visualize.rules import METHODS, Pass, check_method, forward_pass, through_relu

pytestmark = pytest.mark.backends

# The paper's Figure 1 b: what a ReLU saw, and what arrives at its output.
SEEN = [[1, -1, 5], [2, -5, -7], [-3, 2, 4]]
ARRIVING = [[-2, 3, -1], [6, -3, 1], [2, -1, 3]]


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("backpropagation", [[-2, 0, -1], [6, 0, 0], [0, -1, 3]]),
        ("deconvnet", [[0, 3, 0], [6, 0, 1], [2, 0, 3]]),
        ("guided", [[0, 0, 0], [6, 0, 0], [0, 0, 3]]),
    ],
)
def test_figure_1(method, expected) -> None:
    import keras

    seen, arriving = (keras.ops.convert_to_tensor(np.array(values, np.float32)) for values in (SEEN, ARRIVING))
    assert np.array_equal(keras.ops.convert_to_numpy(through_relu(method, seen, arriving)), expected)


def test_above_its_ceiling_a_relu_passes_nothing_but_the_deconvnets_signal() -> None:
    import keras

    seen, arriving = (keras.ops.convert_to_tensor(np.array(values, np.float32)) for values in ([5, 7, 0, 6], [1] * 4))
    for method, expected in (
        ("backpropagation", [1, 0, 0, 0]),
        ("guided", [1, 0, 0, 0]),
        ("deconvnet", [1, 1, 1, 1]),
    ):
        assert np.array_equal(keras.ops.convert_to_numpy(through_relu(method, seen, arriving, 6.0)), expected)


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(InputError, match='unknown method "gradcam"; expected one of: backpropagation, deconvnet, gui'):
        check_method("gradcam")


def exchanged() -> list:
    """Everything that a pass puts something else in the place of."""
    import keras
    from keras.src import backend

    if keras.backend.backend() == "jax":
        import jax as library
    else:
        import tensorflow as library
    return [keras.layers.Layer.__call__, backend.nn.hard_sigmoid] + [
        getattr(owner, name) for owner in (backend.nn, library.nn) for name in ("relu", "relu6", "softmax")
    ]


def gradient(function, x: np.ndarray) -> np.ndarray:
    """Of the sum of what a function gives, weighted 1, -1, 1, ..., as anybody would take it."""
    import keras

    signs = np.where(np.arange(x.size).reshape(x.shape) % 2, -1, 1).astype(np.float32)
    if keras.backend.backend() == "jax":
        import jax

        return np.asarray(jax.grad(lambda x: keras.ops.sum(function(x) * signs))(x))
    import tensorflow as tf

    x = tf.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(function(x) * signs)
    return tape.gradient(total, x).numpy()


X = np.array([[-2, -1, 3, 4, 7, 8]], np.float32)


def forms() -> dict:
    """The ways in which a model may have a ReLU."""
    import keras

    if keras.backend.backend() == "jax":
        from jax import nn
    else:
        from tensorflow import nn
    dense = keras.layers.Dense(6, kernel_initializer="identity", activation="relu")
    return {
        "ops": keras.ops.relu,
        "activation": keras.activations.get("relu"),
        "layer": keras.layers.ReLU(),
        "activation layer": keras.layers.Activation("relu"),
        "inside a layer": dense,
        "the backend's": lambda x: nn.relu(x),
    }


@pytest.mark.parametrize("form", ["ops", "activation", "layer", "activation layer", "inside a layer", "the backend's"])
def test_every_form_of_a_relu_follows_the_rule(form) -> None:
    function = forms()[form]
    plain, values = gradient(function, X), np.asarray(function(X))
    assert np.array_equal(plain, [[0, 0, 1, -1, 1, -1]])
    for method, expected in (
        ("backpropagation", plain), ("deconvnet", [[1, 0, 1, 0, 1, 0]]), ("guided", [[0, 0, 1, 0, 1, 0]]),
    ):  # fmt: skip
        with forward_pass(Pass(method)) as seen:
            found = gradient(function, X)
            assert np.array_equal(np.asarray(function(X)), values)
        assert seen.relus == 2
        assert np.array_equal(found, expected), method
    assert np.array_equal(gradient(function, X), plain)


def test_relu6_is_shut_above_6() -> None:
    import keras

    for function in (keras.ops.relu6, keras.layers.ReLU(max_value=6), keras.activations.get("relu6")):
        with forward_pass(Pass("guided")) as seen:
            assert np.array_equal(gradient(function, X), [[0, 0, 1, 0, 0, 0]])
        assert seen.relus == 1


def test_what_keras_only_makes_of_relus_keeps_its_gradient() -> None:
    import keras

    prelu = keras.layers.PReLU(alpha_initializer=keras.initializers.Constant(0.25))
    for function in (
        prelu,
        keras.layers.LeakyReLU(negative_slope=0.25),
        keras.layers.ReLU(negative_slope=0.25, max_value=5),
        keras.ops.hard_sigmoid,
        keras.ops.hard_silu,
    ):
        function(X)
        plain = gradient(function, X)
        for method in METHODS:
            with forward_pass(Pass(method)) as seen:
                assert np.array_equal(gradient(function, X), plain), function
            assert seen.relus == 0


def test_all_is_put_back() -> None:
    import keras

    before = exchanged()
    with forward_pass(Pass("guided")):
        assert all(now is not then for now, then in zip(exchanged(), before, strict=True))
    assert exchanged() == before
    with pytest.raises(ZeroDivisionError), forward_pass(Pass("guided")):
        keras.ops.relu(X)
        _ = 1 / 0
    assert exchanged() == before
    assert np.array_equal(gradient(keras.ops.relu, X), [[0, 0, 1, -1, 1, -1]])


def test_passes_of_several_threads_overlap() -> None:
    """The first to begin ends first, the other being inside: each has its own rule, and all is put back at last."""
    import keras

    before, began, ended = exchanged(), threading.Event(), threading.Event()
    found = {}

    def other() -> None:
        assert began.wait(600)
        found["other, outside"] = gradient(keras.ops.relu, X)
        with forward_pass(Pass("deconvnet")):
            ended.set()
            thread_of_the_first.join()
            found["other, inside"] = gradient(keras.ops.relu, X)

    def first() -> None:
        with forward_pass(Pass("guided")):
            began.set()
            assert ended.wait(600)
            found["first, inside"] = gradient(keras.ops.relu, X)

    thread_of_the_first, thread_of_the_other = threading.Thread(target=first), threading.Thread(target=other)
    thread_of_the_other.start()
    thread_of_the_first.start()
    thread_of_the_other.join(600)
    assert np.array_equal(found["other, outside"], [[0, 0, 1, -1, 1, -1]])
    assert np.array_equal(found["first, inside"], [[0, 0, 1, 0, 1, 0]])
    assert np.array_equal(found["other, inside"], [[1, 0, 1, 0, 1, 0]])
    assert exchanged() == before


def test_watched_layers_are_seen_and_added_to() -> None:
    import keras

    double = keras.layers.Rescaling(2.0)
    with forward_pass(Pass("guided", (double,), {id(double): np.float32(100)}, {id(double): 2})) as seen:
        first, second, third = (np.asarray(double(X)) for _ in range(3))
    assert np.array_equal(first, 2 * X) and np.array_equal(third, 2 * X)
    assert np.array_equal(second, 2 * X + 100)
    assert len(seen.ended) == 3 and np.array_equal(np.asarray(seen.outputs[id(double)]), third)
