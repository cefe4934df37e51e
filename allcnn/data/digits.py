"""The handwritten digits that come with scikit-learn: a real data set that needs no download."""

from __future__ import annotations

import numpy as np

from allcnn.data.dataset import Dataset
from allcnn.data.images import check_image_size, check_memory, fit_to_size, resize_rule

#: The largest value of scikit-learn's 8x8 images.
_WHITE = 16


def load_digits(image_size: int = 32) -> Dataset:
    """Load scikit-learn's 1797 digits: 1438 training and 359 test images of (image_size, image_size, 3).

    Every fifth image (i % 5 == 4) is a test image. Values 0..16 become 0..255, the 8x8 images are enlarged
    (bilinear), and the one grey channel stands three times.
    """
    check_image_size(image_size)
    # Slow to import, and only this data set needs it.
    import sklearn
    from sklearn.datasets import load_digits as load_bunch

    bunch = load_bunch()
    grey = np.rint(bunch.images * (255 / _WHITE)).astype(np.uint8)
    source = f"scikit-learn {sklearn.__version__}"
    check_memory(len(grey), image_size, source)
    images = np.empty((len(grey), image_size, image_size, 3), np.uint8)
    for index, image in enumerate(grey):
        images[index] = fit_to_size(np.repeat(image[:, :, None], 3, axis=2), image_size)
    labels = bunch.target.astype(np.int32)
    is_test = np.arange(len(images)) % 5 == 4
    return Dataset(
        name="digits",
        train_images=images[~is_test],
        train_labels=labels[~is_test],
        test_images=images[is_test],
        test_labels=labels[is_test],
        class_names=tuple("0123456789"),
        source=source,
        layout="scikit-learn",
        resize=resize_rule(image_size),
    )
