"""Small models of every kind, for the way back: one that can be worked by hand, and the forms that a ReLU may have."""

from __future__ import annotations

import numpy as np


def kernel(*filters) -> np.ndarray:
    """(height, width, inputs, filters) from each filter's (inputs, height, width)."""
    return np.moveaxis(np.array(filters, np.float32), (0, 1), (3, 2))


def image(rows) -> np.ndarray:
    return np.array(rows, np.float32)[None, :, :, None]


PATCHES = image([[3, 2, 0, -1],
                 [-1, 1, 0, 0],
                 [1, 0, -1, 0],
                 [0, 0, 0, 0]])  # fmt: skip
A, B = [[1, -1], [2, 1]], [[-1, 1], [3, -2]]


def splitting_model():
    """Two filters of 1x1 split the image x into max(x, 0) and max(-x, 0); then one of 2x2, stride 2, looks at the
    first with A and at the second with B."""
    import keras

    model = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Conv2D(2, 1, activation="relu", name="split"),
            keras.layers.Conv2D(1, 2, strides=2, activation="relu", name="look"),
        ]
    )
    model.set_weights([kernel([[[1]]], [[[-1]]]), np.zeros(2), kernel([A, B]), np.zeros(1)])
    return model


def models() -> dict:
    import keras
    from keras import layers

    inputs = keras.Input((12, 12, 3))

    def functional(*after):
        x = layers.Conv2D(6, 3, name="first")(inputs)
        for layer in after:
            x = layer(x)
        return keras.Model(inputs, layers.GlobalAveragePooling2D()(x))

    shared = layers.ReLU()
    inner = keras.Sequential(
        [keras.Input((10, 10, 6)), layers.Conv2D(6, 3, activation="relu", name="deep"), layers.BatchNormalization()],
        name="inner",
    )
    outer = keras.Sequential([keras.Input((10, 10, 6)), inner, layers.ZeroPadding2D(1)], name="outer")
    relu = layers.Activation("relu")
    second = layers.Conv2D(5, 3, name="second")
    return {
        "shared ReLU": functional(shared, second, shared),
        "nested": functional(inner, second, relu),
        "nested twice, shared": functional(outer, outer, second, relu),
        "ops.relu": functional(keras.ops.relu, second, keras.ops.relu),
        "ReLU6": functional(layers.ReLU(6), second, relu),
        "sequential": keras.Sequential(
            [inputs, layers.Conv2D(6, 3), relu, second, layers.ReLU(), layers.GlobalAveragePooling2D()]
        ),
    }


KINDS = ("shared ReLU", "nested", "nested twice, shared", "ops.relu", "ReLU6", "sequential")
