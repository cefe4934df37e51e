"""Images of noise: a step costs the same on them as on photographs, and there is nothing to download."""

from __future__ import annotations

import numpy as np

from allcnn.data.dataset import Dataset


def noise_images(count: int, image_shape: tuple[int, int, int] = (32, 32, 3), seed: int = 0) -> np.ndarray:
    """Random pixels, (count, height, width, 3) uint8, the same for the same seed."""
    return np.random.default_rng(seed).integers(0, 256, (count, *image_shape), dtype=np.uint8)


def noise_dataset(
    images: int, classes: int = 10, image_shape: tuple[int, int, int] = (32, 32, 3), test_images: int = 250
) -> Dataset:
    """A data set of random pixels and random labels, the same on every call.

    Args:
        images, test_images: how many there are to train and to test on.
        classes: they are called "0", "1", ...
        image_shape: (height, width, 3).

    Raises:
        DataError: a split without images, or images that are not RGB.
    """
    labels = np.random.default_rng(1).integers(0, classes, images + test_images).astype(np.int32)
    return Dataset(
        name="noise",
        train_images=noise_images(images, image_shape, seed=2),
        train_labels=labels[:images],
        test_images=noise_images(test_images, image_shape, seed=3),
        test_labels=labels[images:],
        class_names=tuple(str(index) for index in range(classes)),
        source="random numbers",
        layout="none",
        resize="none",
    )
