"""Fitted preprocessings in files: in the run folder, and in a cache that saves the time of fitting again."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

import numpy as np

from allcnn.data.streamed import Images, as_images
from allcnn.errors import CheckpointError
from allcnn.files import cache_folder, read_arrays, write_arrays
from allcnn.preprocessing import Preprocessing, make_preprocessing
from allcnn.waiting import waiting

#: A preprocessing is fitted to this many of a streamed set's training images: the first in its order, which is mixed.
FIT_IMAGES = 10_000
_FORMAT = 2
# Part of the name of a cached fit. Changes whenever a fit would give other numbers, so that an old cache is not taken
# for a new one; what a run folder holds stays readable.
_FIT = 3


def save_preprocessing(preprocessing: Preprocessing, path: Path) -> None:
    """Write a fitted preprocessing to an HDF5 file in one step."""
    attributes = {
        "format": _FORMAT,
        "kind": preprocessing.kind,
        "image_shape": list(preprocessing.fitted_shape()),
    }
    write_arrays(path, preprocessing.arrays(), attributes)


def load_preprocessing(path: Path) -> Preprocessing:
    """Read a fitted preprocessing back.

    Raises:
        CheckpointError: the file is missing, damaged, or of another version.
    """
    arrays, attributes = read_arrays(path)
    try:
        if attributes["format"] != _FORMAT:
            raise CheckpointError(f"{path}: format {attributes['format']}, expected {_FORMAT}; fit it again.")
        height, width, channels = attributes["image_shape"]
        return make_preprocessing(attributes["kind"]).restore((height, width, channels), arrays)
    except CheckpointError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: does not hold a fitted preprocessing ({error}).") from None


@waiting("fitting the preprocessing")
def fit_preprocessing(kind: str, images: Images) -> Preprocessing:
    """Fit a preprocessing to training images (n, height, width, 3), or take it from the cache.

    Only whitening is cached: the others take less time to fit than their images to read. A cache that
    cannot be read or written is passed over. Of streamed images, the first `FIT_IMAGES` are taken.
    """
    preprocessing = make_preprocessing(kind)
    images = as_images(images)
    if images.streamed:
        images = images.part(np.arange(min(len(images), FIT_IMAGES)))
    if kind != "gcn-zca":
        return preprocessing.adapt(images)
    pixels = images[:]
    pixels = pixels[~images.is_damaged()]
    path = cache_folder() / "preprocessing" / f"{kind}-{_FIT}-{images_digest(pixels)[:24]}.h5"
    with suppress(CheckpointError):
        return load_preprocessing(path)
    preprocessing.adapt(pixels)
    with suppress(OSError):
        save_preprocessing(preprocessing, path)
    return preprocessing


def images_digest(images: np.ndarray) -> str:
    """SHA-256, as hexadecimal text, over the shape and pixels of uint8 images in their order."""
    sha256 = hashlib.sha256(f"{images.shape} {images.dtype}".encode())
    sha256.update(np.ascontiguousarray(images).data)
    return sha256.hexdigest()
