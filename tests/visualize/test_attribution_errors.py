"""One plain error for each thing that cannot be asked."""

from __future__ import annotations

import numpy as np
import pytest
from small_models import PATCHES, splitting_model

from allcnn.errors import InputError
from allcnn.visualize.attribution import Attributor, backpropagation


def one_line(error) -> str:
    assert "\n" not in str(error.value) and len(str(error.value)) < 240, str(error.value)
    return str(error.value)


def test_wrong_arguments_have_one_plain_error_each() -> None:
    attributor = Attributor(splitting_model(), "look")
    for arguments, message in (
        ((PATCHES[0], 0), "images of shape (4, 4, 1); expected (n, 4, 4, 1)."),
        ((np.zeros((2, 5, 4, 1)), 0), "images of shape (2, 5, 4, 1); expected (n, 4, 4, 1)."),
        ((PATCHES.astype(str), 0), "images of type <U32; expected numbers."),
        ((PATCHES[:0], 0), "no images were given; expected at least one."),
        ((PATCHES, 1), 'layer "look" has no unit 1; expected 0 to 0.'),
        ((PATCHES, -1), 'layer "look" has no unit -1; expected 0 to 0.'),
        ((PATCHES, [0, 0]), "units of shape (2,); expected one, or one for each of the 1 images."),
        ((PATCHES, 0.0), "unknown unit 0.0; expected integers."),
        ((PATCHES, None), "unknown unit None; expected integers."),
        ((PATCHES, 0, "middle"), 'unknown position "middle"; expected "strongest" or (y, x).'),
        ((PATCHES, 0, (0, 2)), 'layer "look" has no position (0, 2); expected (0, 0) to (1, 1).'),
        ((PATCHES, 0, (-1, 0)), 'layer "look" has no position (-1, 0); expected (0, 0) to (1, 1).'),
        ((PATCHES, 0, (0, 0, 0)), "positions of shape (3,); expected (y, x), or one for each of the 1 images."),
        ((PATCHES, 0, (0.5, 0)), "unknown position (0.5, 0); expected integers."),
        ((PATCHES, 0, [(0, 0), (1,)]), "unknown position [(0, 0), (1,)]; expected integers."),
        ((PATCHES, 0, "strongest", 0), "batches of 0 images; expected at least 1."),
    ):
        with pytest.raises(InputError) as error:
            attributor(*arguments)
        assert one_line(error) == message


def test_what_cannot_be_asked_of_a_model_has_one_plain_error_each() -> None:
    import keras
    from keras import layers

    inputs = keras.Input((4, 4, 1), name="image")

    class Two(layers.Layer):
        def call(self, x):
            return keras.ops.square(x), x

    first = layers.Conv2D(2, 1, activation="relu", name="first")(inputs)
    two = Two(name="two")(first)
    twice = [keras.Sequential([layers.Conv2D(2, 1, name="same")], name=name) for name in ("one", "other")]
    whole = layers.ReLU()
    for arguments, message in (
        ((splitting_model(), "look", "gradcam"), 'unknown method "gradcam"; expected one of: backpropagation, deconvn'),
        ((splitting_model(), "lok"), 'the model has no layer "lok"; expected, for example: look.'),
        ((splitting_model(), "conv9"), 'the model has no layer "conv9"; expected, for example: '),
        ((splitting_model(), "look", "guided", "spilt"), 'the model has no layer "spilt"; expected, for example: spl'),
        (
            (splitting_model(), "split", "guided", "look"),
            'layer "look" comes after layer "split"; expected one that it',
        ),
        (
            (keras.Model(inputs, twice[0](twice[1](inputs))), "same"),
            'several layers are named "same"; expected one of: ',
        ),
        ((keras.Model(inputs, layers.LeakyReLU()(inputs)),), "no ReLU was found on the way to the model's output, so"),
        ((keras.Model(inputs, [first, two[0]]),), "the model's output gives a list of 2 outputs; expected one."),
        ((keras.Model(inputs, two[0]), "two"), 'layer "two" gives 2 outputs; expected one.'),
        ((keras.Model(inputs, two[0]), None, "guided", "two"), 'layer "two" gives 2 outputs; expected one.'),
        ((keras.Model(inputs, layers.Reshape((4, 8))(first)),), "the model's output has outputs of shape (4, 8); expe"),
        ((keras.Model([inputs, keras.Input((3,))], first, name="m"),), '"m" has 2 inputs; expected one of images.'),
        ((keras.Sequential([keras.Input((7,)), whole], name="m"),), '"m" takes inputs of shape (7,); expected images'),
        ((keras.Sequential([keras.Input((4, 4, 1), dtype="uint8"), layers.ReLU()], name="m"),), '"m" takes images of '),
        ((keras.Sequential([layers.ReLU()], name="m"),), '"m" has no graph of layers; expected a functional or sequen'),
    ):
        with pytest.raises(InputError) as error:
            Attributor(*arguments)
        assert one_line(error).startswith(message), str(error.value)


def test_without_relu_backpropagation_works() -> None:
    import keras

    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Conv2D(1, 2, activation="tanh", name="tanh")])
    assert np.abs(backpropagation(model, PATCHES, 0, "tanh").maps).max() > 0
    for method in ("deconvnet", "guided"):
        with pytest.raises(InputError, match="would be plain backpropagation") as error:
            Attributor(model, "tanh", method)
        one_line(error)


def test_between_two_layers_without_relu_it_is_refused_too() -> None:
    model = splitting_model()
    model.get_layer("look").activation = lambda x: x
    Attributor(model, "look", "guided")
    with pytest.raises(InputError, match='no ReLU was found on the way to layer "look"'):
        Attributor(model, "look", "guided", down_to="split")
