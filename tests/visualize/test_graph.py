"""The three rules, in whatever form a model has its ReLUs; what cannot be reached is refused by name."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from allcnn.errors import InputError
from allcnn.visualize.attribution import Attributor
from allcnn.visualize.graph import METHODS, Graph, through_relu

pytestmark = pytest.mark.backends

# The paper's Figure 1 b: what a ReLU saw, and what arrives at its output.
SEEN = [[1, -1, 5], [2, -5, -7], [-3, 2, 4]]
ARRIVING = [[-2, 3, -1], [6, -3, 1], [2, -1, 3]]


def ruled(method, seen, arriving, ceiling=None) -> list:
    import keras

    seen, arriving = (keras.ops.convert_to_tensor(np.array(values, np.float32)) for values in (seen, arriving))
    return keras.ops.convert_to_numpy(through_relu(method, seen, arriving, ceiling)).tolist()


@pytest.mark.parametrize(
    ("method", "figure_1", "below_6"),
    [
        ("backpropagation", [[-2, 0, -1], [6, 0, 0], [0, -1, 3]], [1, 0, 0, 0]),
        ("deconvnet", [[0, 3, 0], [6, 0, 1], [2, 0, 3]], [1, 1, 1, 1]),
        ("guided", [[0, 0, 0], [6, 0, 0], [0, 0, 3]], [1, 0, 0, 0]),
    ],
)
def test_figure_1_and_relu6(method, figure_1, below_6) -> None:
    assert ruled(method, SEEN, ARRIVING) == figure_1
    assert ruled(method, [5, 7, 0, 6], [1] * 4, 6.0) == below_6


def test_only_public_names_of_keras_are_used_and_none_is_exchanged() -> None:
    for path in (Path(__file__).parents[2] / "allcnn" / "visualize").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"keras\.src|setattr\(|\b(?:layer|model|operation|tensor|graph)\._[a-z]", text), path.name


X = np.array([-2, -1, 3.5, 4, 7, 8], np.float32).reshape(1, 1, 6, 1)
# What comes back to the six values, where 1, -1, 1, ... arrive.
PLAIN = [0, 0, 1, -1, 1, -1]
OF_A_RELU = {"backpropagation": PLAIN, "deconvnet": [1, 0, 1, 0, 1, 0], "guided": [0, 0, 1, 0, 1, 0]}
OF_RELU6 = {"backpropagation": [0, 0, 1, -1, 0, 0], "deconvnet": [1, 0, 1, 0, 1, 0], "guided": [0, 0, 1, 0, 0, 0]}
# The slopes below 0 are 1/4, but of the cap at 5 and the hard sigmoid, which is flat outside -3 to 3.
LEAKY, CAPPED, HARD = [0.25, -0.25, 1, -1, 1, -1], [0.25, -0.25, 1, -1, 0, 0], [1 / 6, -1 / 6, 0, 0, 0, 0]


def forms() -> dict:
    """The ways in which a model may have a ReLU, and what only looks like one; with what comes back by each method."""
    import keras
    from keras import layers

    if keras.backend.backend() == "jax":
        from jax import nn
    else:
        from tensorflow import nn

    def inside(activation):
        return layers.Conv2D(1, 1, kernel_initializer="ones", activation=activation)

    wrapped = layers.TimeDistributed(layers.Conv1D(1, 1, kernel_initializer="ones", activation="relu"))
    nested = keras.Sequential([keras.Input((1, 6, 1)), layers.Activation("relu")])
    relus = (
        keras.ops.relu, keras.activations.relu, layers.ReLU(), layers.Activation("relu"), inside("relu"),
        inside(keras.ops.relu), inside(nn.relu), inside(layers.ReLU()), wrapped, layers.TimeDistributed(layers.ReLU()),
        nested,
    )  # fmt: skip
    relu6 = (keras.ops.relu6, keras.activations.relu6, layers.ReLU(max_value=6), inside("relu6"), inside(nn.relu6),
             layers.ReLU(max_value=5))  # fmt: skip
    leaky = (
        layers.PReLU(alpha_initializer=keras.initializers.Constant(0.25)), layers.LeakyReLU(negative_slope=0.25),
    )  # fmt: skip
    rows = [(form, OF_A_RELU) for form in relus] + [(form, OF_RELU6) for form in relu6]
    rows += [(form, dict.fromkeys(METHODS, LEAKY)) for form in leaky]
    rows += [(layers.ReLU(negative_slope=0.25, max_value=5), dict.fromkeys(METHODS, CAPPED))]
    return rows + [(form, dict.fromkeys(METHODS, HARD)) for form in (keras.ops.hard_sigmoid, inside("hard_sigmoid"))]


def test_every_form_of_a_relu_follows_the_rule_and_nothing_else_does() -> None:
    """A dense layer sends 1, -1, 1, ... down to each form, which has a channel of its own.

    Below them is a ReLU that is open everywhere.
    """
    import keras
    from keras import layers

    rows = forms()
    image = keras.Input((1, 6, len(rows)))
    shifted = layers.Rescaling(1.0, offset=-100.0)(layers.ReLU()(layers.Rescaling(1.0, offset=100.0)(image)))
    channels = [form(shifted[..., index : index + 1]) for index, (form, _) in enumerate(rows)]
    dense = layers.Dense(1, name="unit")
    model = keras.Model(image, dense(layers.Flatten()(layers.Concatenate()(channels))))
    dense.set_weights([np.repeat([[1], [-1]] * 3, len(rows), axis=0).astype(np.float32), np.zeros(1, np.float32)])
    values = np.repeat(X, len(rows), axis=-1)
    for method in METHODS:
        found = Attributor(model, "unit", method)(values, 0)
        assert found.activations[0] == pytest.approx(float(np.asarray(model(values))[0, 0]), rel=1e-5)
        for index, (form, expected) in enumerate(rows):
            arriving = np.array(expected[method])
            if method != "backpropagation":  # the ReLU before the form passes what is positive
                arriving = np.maximum(arriving, 0)
            np.testing.assert_allclose(
                found.maps[0, 0, :, index], arriving, rtol=1e-6, err_msg=f"{index} {form} {method}"
            )


def test_only_the_softmax_at_the_end_is_left_out() -> None:
    import keras
    from keras import layers

    image = keras.Input((1, 6, 1))

    def ends(values):
        return [
            layers.Softmax()(values), keras.ops.softmax(values), layers.Activation("softmax")(values),
            layers.Activation("linear", dtype="float32")(layers.Softmax(dtype="bfloat16")(values)),
            keras.Sequential([keras.Input((6,)), layers.Softmax()])(values),
        ]  # fmt: skip

    values = layers.Flatten()(image)
    for number, end in enumerate(ends(values)):
        found = Attributor(keras.Model(image, end), None, "backpropagation")(X, 4)
        assert found.activations[0] == 7 and found.maps.ravel().tolist() == [0, 0, 0, 0, 1, 0], number
    dense = layers.Dense(6, kernel_initializer="identity", activation="softmax", name="dense")
    model = keras.Model(image, dense(values))
    assert Attributor(model, None, "backpropagation")(X, 4).activations[0] == 7
    chances = np.asarray(model(X))[0]
    assert Attributor(model, "dense", "backpropagation")(X, 4).activations[0] == pytest.approx(chances[4])
    # In the middle of a model it is a layer as any other.
    model = keras.Model(image, layers.Rescaling(2.0)(layers.Softmax()(values)))
    assert Attributor(model, None, "backpropagation")(X, 4).activations[0] == pytest.approx(2 * chances[4])


def refused() -> dict:
    """Models whose ReLUs cannot be reached, or which cannot be copied, and how the message begins."""
    import keras
    from keras import layers

    if keras.backend.backend() == "jax":
        from jax import numpy as library
    else:
        from tensorflow import math as library

    class Hides(layers.Layer):
        def call(self, x):
            return keras.ops.relu(x)

    class Inner(layers.Layer):
        def __init__(self, **options):
            super().__init__(**options)
            self.conv = layers.Conv2D(1, 1, activation="relu")

        def build(self, shape):
            self.conv.build(shape)

        def call(self, x):
            return self.conv(x)

    class Library(layers.Layer):
        def call(self, x):
            return library.sin(x)

    class OwnCall(keras.Model):
        def call(self, x):
            return super().call(2 * x)

    class Own(keras.Model):
        def call(self, x):
            return keras.ops.relu(x)

    image = keras.Input((1, 6, 1))

    def after(layer):
        return keras.Model(image, layers.ReLU()(layer(image)))

    return {
        'layer "x" (Hides) has a ReLU inside': after(Hides(name="x")),
        'layer "x" (Inner) has a ReLU inside': after(Inner(name="x")),
        'layer "x" (Library) has a ReLU inside, or computes with more than': after(Library(name="x")),
        'layer "a" (Activation) has a ReLU inside': after(layers.Activation(lambda x: keras.ops.relu(x), name="a")),
        'layer "x" (Lambda) cannot be copied: ': after(layers.Lambda(lambda x: x, name="x")),
        '"mine" has a call of its own; expected a functional or sequential model.': OwnCall(
            image, image * 2, name="mine"
        ),
        '"mine" has no graph of layers; expected a functional or sequential model.': Own(name="mine"),
    }


def test_what_cannot_be_reached_is_refused_by_name() -> None:
    for message, model in refused().items():
        with pytest.raises(InputError) as error:
            Graph(model, "guided")
        assert str(error.value).startswith(message), str(error.value)
        assert "\n" not in str(error.value) and len(str(error.value)) < 240


def test_a_layer_of_ones_own_without_a_relu_is_copied() -> None:
    import keras
    from keras import layers

    class Doubles(layers.Layer):
        def build(self, shape):
            self.factor = self.add_weight(shape=(), initializer="ones")

        def call(self, x):
            return keras.ops.square(x) * self.factor

    model = keras.Sequential([keras.Input((1, 6, 1)), layers.ReLU(), Doubles(name="own")])
    attributor = Attributor(model, "own", "guided")
    for factor in (1.0, 3.0):  # weights that are changed afterwards count
        model.get_layer("own").factor.assign(factor)
        found = attributor(X, 0, (0, 2))
        assert found.activations[0] == 12.25 * factor
        assert found.maps.ravel().tolist() == [0, 0, 7 * factor, 0, 0, 0]
