"""Whether a model and Keras are bit for bit what they were."""

from __future__ import annotations

import numpy as np


def own_gradients(model, images: np.ndarray) -> list[np.ndarray]:
    """What the model gives, and its gradients by images and weights, as anybody would take them."""
    import keras

    if keras.backend.backend() == "jax":
        import jax

        weights = [variable.value for variable in model.trainable_variables]
        others = [variable.value for variable in model.non_trainable_variables]

        def total(images, weights):
            outputs, _ = model.stateless_call(weights, others, images)
            return keras.ops.sum(outputs * outputs), outputs

        (_, outputs), (by_images, by_weights) = jax.value_and_grad(total, (0, 1), has_aux=True)(images, weights)
        return [np.asarray(one) for one in (outputs, by_images, *by_weights)]
    import tensorflow as tf

    images = tf.convert_to_tensor(images)
    with tf.GradientTape() as tape:
        tape.watch(images)
        outputs = model(images)
        total = tf.reduce_sum(outputs * outputs)
    found = tape.gradient(total, [images, *(variable.value for variable in model.trainable_variables)])
    return [one.numpy() for one in (outputs, *found)]


def the_same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def assert_untouched_by(model, images: np.ndarray, act) -> None:
    """Runs `act`; the model's outputs, gradients, weights, configuration and Keras are bit for bit what they were."""
    import keras
    from keras.src import backend

    def state():
        config = model.get_config() if not type(model).__name__.startswith("Own") else None
        return own_gradients(model, images) + model.get_weights(), config, backend.nn.relu, keras.layers.Layer.__call__

    before = state()
    act()
    after = state()
    assert np.abs(before[0][1]).max() > 0, "there is a gradient to be spoilt"
    assert the_same(before[0], after[0])
    assert after[1:] == before[1:]
