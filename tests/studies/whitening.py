"""How far are our contrast normalisation and ZCA from an independent float64 computation, on all of CIFAR-10?

    [KERAS_BACKEND=jax] python tests/studies/whitening.py DATA_DIR

Fits on the 50,000 training images and compares all 10,000 test images: through the layers as fitted, through those
read back from preprocessing.h5, and through a saved and loaded model. The figures are in RESULTS.md.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from allcnn.backend import load_keras
from allcnn.data.load import load_data
from allcnn.device import find_device
from allcnn.models.build import build_model
from allcnn.preprocessing import make_preprocessing
from allcnn.preprocessing.store import load_preprocessing, save_preprocessing


def normalized(rows: np.ndarray) -> np.ndarray:
    """Global contrast normalisation in float64, from its definition."""
    rows = rows.astype(np.float64)
    rows -= rows.mean(axis=1, keepdims=True)
    scale = np.linalg.norm(rows, axis=1, keepdims=True) / 55
    scale[scale < 1e-8] = 1
    return rows / scale


def reference(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """-> the test images contrast-normalised, and whitened with the training images' statistics, in float64"""
    total, products = np.zeros(3072), np.zeros((3072, 3072))
    for start in range(0, len(train), 5000):
        block = normalized(train[start : start + 5000])
        total += block.sum(axis=0)
        products += block.T @ block
    mean = total / len(train)
    covariance = products / len(train) - np.outer(mean, mean) + 0.1 * np.eye(3072)
    eigenvalues, vectors = np.linalg.eigh(covariance)
    rows = normalized(test)
    return rows, (rows - mean) @ (vectors / np.sqrt(eigenvalues)) @ vectors.T


def main() -> None:
    load_keras()
    import keras

    print(find_device())
    data = load_data("cifar10", sys.argv[1])
    train = data.train_images.reshape(len(data.train_images), -1)
    contrast, whitened = reference(train, data.test_images.reshape(len(data.test_images), -1))

    def report(what: str, images: np.ndarray, expected: np.ndarray) -> None:
        print(f"{what:<40} largest difference {np.abs(images.reshape(expected.shape) - expected).max():.1e}")

    report("gcn", make_preprocessing("gcn").adapt(data.train_images).apply(data.test_images), contrast)
    begun = time.perf_counter()
    zca = make_preprocessing("gcn-zca").adapt(data.train_images)
    print(f"fitted in {time.perf_counter() - begun:.1f} s")
    report("gcn-zca", zca.apply(data.test_images), whitened)
    with tempfile.TemporaryDirectory() as folder:
        save_preprocessing(zca, Path(folder) / "preprocessing.h5")
        read = load_preprocessing(Path(folder) / "preprocessing.h5")
        report("gcn-zca, from preprocessing.h5", read.apply(data.test_images), whitened)
        build_model("strided-a", preprocessing=zca, seed=0).save(Path(folder) / "model.keras")
        model = keras.saving.load_model(Path(folder) / "model.keras")
        front = keras.Model(model.inputs, model.get_layer("zca_image").output)
        report("gcn-zca, in a saved and loaded model", front.predict(data.test_images, verbose=0), whitened)


if __name__ == "__main__":
    main()
