"""Pictures of augmented images, as a network sees them in training."""

from __future__ import annotations

import numpy as np

from allcnn.data.order import DRAWS
from allcnn.errors import InputError, one_of
from allcnn.preprocessing.base import ChannelScaling, Preprocessing
from allcnn.preprocessing.field import field_layers, network_shape

#: How many augmented versions of each image are shown.
VERSIONS = 5
#: An image's mean becomes the middle grey; black and white are this many standard deviations away.
DEVIATIONS = 3.0


def check_augmentation(augmentation: str) -> None:
    """Refuse an augmentation of which there are no pictures. Raises InputError."""
    shown = [name for name, draws in DRAWS.items() if not draws.on_host]
    if augmentation not in shown:
        raise InputError(f'no augmentation "{augmentation}" to show; {one_of(augmentation, shown)}')


def augmented_versions(
    images: np.ndarray, preprocessing: Preprocessing, augmentation: str, field: int | None = None, seed: int = 0
) -> np.ndarray:
    """Stacks of pictures, (n, 1 + VERSIONS, height, width, 3) uint8: each image, and its augmented versions.

    Made as in training: preprocessed, augmented by the draws of `VERSIONS` steps, placed into the field. A scaling of
    channels is undone for the picture, so that its colours are the augmented image's. After other preprocessings, such
    as whitening, each picture is on its own scale.

    Args:
        images: raw, (n, height, width, 3) uint8.
        field: height and width in pixels of the square of zeros around; None: the images as they are.

    Raises:
        InputError: an unknown augmentation, or a field smaller than the images.
    """
    check_augmentation(augmentation)
    network_shape(images.shape[1:], field)
    import keras

    from allcnn.preprocessing.augment import augmentation_layer

    preprocessed, layer = preprocessing.apply(images), augmentation_layer(augmentation, field)
    pictures = [preprocessed]
    for step in range(VERSIONS):
        pictures.append(layer(preprocessed, DRAWS[augmentation].draw(seed, 0, step, len(images))))
    for index, picture in enumerate(pictures):
        for placing in field_layers(picture.shape[1:], field):
            picture = placing(picture)
        pictures[index] = keras.ops.convert_to_numpy(picture)
    return np.stack([_visible(picture, preprocessing) for picture in pictures], axis=1)


def _visible(pictures: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    if isinstance(preprocessing, ChannelScaling):
        return np.rint(np.clip(preprocessing.undo(pictures), 0, 255)).astype(np.uint8)
    return to_visible(pictures)


def to_visible(preprocessed: np.ndarray) -> np.ndarray:
    """(n, height, width, 3) of any range -> uint8, each image by its own mean and standard deviation."""
    values = preprocessed.astype(np.float64)
    mean = values.mean(axis=(1, 2, 3), keepdims=True)
    deviation = values.std(axis=(1, 2, 3), keepdims=True)
    # An image of one colour has no deviation; it becomes the middle grey.
    standardized = (values - mean) / np.where(deviation > 0, deviation, 1.0)
    return np.rint(np.clip(0.5 + standardized / (2 * DEVIATIONS), 0, 1) * 255).astype(np.uint8)
