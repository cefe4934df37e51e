"""What belongs to a saved model of ours: back out of whitening, random weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras


def is_whitened(model: keras.Model) -> bool:
    """Whether a saved model whitens its images."""
    return any(layer.name == "zca" for layer in model.layers)


def unwhiten(model: keras.Model, maps: np.ndarray) -> np.ndarray:
    """Signals in the whitened space, (n, height, width, 3), brought back to the space of pictures: y P^-1.

    The mean is left out, since a signal is a direction and not an image; so is each image's own contrast.
    """
    matrix = model.get_layer("zca").get_weights()[0].astype(np.float64)
    return np.linalg.solve(matrix.T, maps.reshape(len(maps), -1).T).T.reshape(maps.shape).astype(np.float32)


def with_random_weights(model: keras.Model, seed: int = 0) -> keras.Model:
    """A copy whose trained weights are shuffled, each within itself: the same values, and nothing learned.

    The preprocessing, which is not trained, stays. Where a picture of this network shows what the trained one's
    does, it shows the image and the architecture, not what was learned (Adebayo et al., "Sanity checks for saliency
    maps", 2018).
    """
    import keras

    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    random = np.random.default_rng(seed)
    for layer in copy.layers:
        trained = {id(variable) for variable in layer.trainable_variables}
        for variable in layer.variables:
            if id(variable) in trained:
                values = keras.ops.convert_to_numpy(variable.value)
                variable.assign(random.permutation(values.ravel()).reshape(values.shape))
    return copy
