"""What JPEG compression of a copy of CIFAR-10 does to a figure: the same images before and after, through one model.

    python tests/studies/jpeg.py RUN HEAD.npz DATA_DIR

RUN is a run or a model, HEAD.npz holds official test images as `x_test`, and `y_test`; DATA_DIR has the copy, in any
order: an image's copy is the nearest one of its class. Prints the error on either, and how many images are predicted
differently.
"""

from __future__ import annotations

import sys

import numpy as np

import allcnn
from allcnn.data.dataset import Dataset


def nearest(image: np.ndarray, label: int, copy: Dataset) -> np.ndarray:
    """The test image of that class with the smallest squared distance."""
    images = copy.test_images[copy.test_labels == label]
    return images[((images.astype(np.int32) - image) ** 2).sum(axis=(1, 2, 3)).argmin()]


def main() -> None:
    model, head, folder = sys.argv[1:]
    with np.load(head) as arrays:
        official, labels = arrays["x_test"], arrays["y_test"].ravel()
    copy = allcnn.load_data("cifar10", folder)
    compressed = np.stack([nearest(*one, copy) for one in zip(official, labels, strict=True)])
    away = np.abs(official.astype(int) - compressed.astype(int))
    print(f"{len(labels):,} test images, {away.mean():.2f} of 255 apart in the mean, {away.max()} at most")
    classes = []
    for name, images in (("official", official), ("JPEG", compressed)):
        print(f"{name:<9}{allcnn.evaluate(model, images, labels).error_percent:6.2f} % error")
        classes.append([one.classes[0][0] for one in allcnn.predict(model, images, top=1)])
    print(f"{sum(one != other for one, other in zip(*classes, strict=True))} images are predicted differently")


if __name__ == "__main__":
    main()
