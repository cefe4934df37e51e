"""The numbers that must not depend on the backend; as a program it writes them: python tests/backend_sample.py FILE."""

from __future__ import annotations

import os
import sys

import numpy as np

#: Equal to the last bit.
EXACT = ("order", "draws", "large_draws", "batches", "moved", "held_out")
#: How far apart the others may be: twice what either side may be from float64. test_whitening.py argues 1.6e-4 for a
#: whitened image, test_optimizers.py 2e-4 for two steps of Muon; here there are five, of half the learning rate.
TOLERANCES = {
    **dict.fromkeys(("white", "white_moved", "white_few", "chances"), 2 * 1.6e-4),
    "moved_kernels": 2 * 2.5e-4, "placed": 2 * 1e-4, "standardized": 2 * 1e-5,
}  # fmt: skip


def sample() -> dict[str, np.ndarray]:
    """Order, draws, batches, flipped and shifted images, whitened and standardised images, a network's answers,
    kernels that Muon has moved."""
    from allcnn.data.order import epoch_order, flip_shift_draws, hold_out, large_draws
    from allcnn.data.pipeline import BatchOrder, training_batches
    from allcnn.models.build import build_model
    from allcnn.preprocessing import make_preprocessing
    from allcnn.preprocessing.augment import FlipShift, PlaceInField

    random = np.random.default_rng(0)
    images = random.integers(0, 256, (250, 8, 8, 3)).astype(np.uint8)
    labels = random.integers(0, 10, 250).astype(np.int32)
    draws = flip_shift_draws(seed=1, epoch=2, step=3, batch_size=250)
    batches = training_batches(images, labels, BatchOrder(250, 100, seed=4, augmentation="flip-shift"), 1, 4)
    zca, few = (make_preprocessing("gcn-zca").adapt(part) for part in (images, images[:100]))
    white = zca.apply(images)
    network = build_model("8C3:tanh-L2P2-BN-8C3/2p1-NC1:linear-GAP", (8, 8, 3), preprocessing=zca)
    for weight in network.trainable_weights:  # backends draw other initial weights
        if "zca" not in weight.path:
            weight.assign(random.normal(0, 0.2, weight.shape))
    return {
        "order": np.stack([epoch_order(1, epoch, 1000) for epoch in range(3)]),
        "draws": draws,
        "large_draws": large_draws(seed=1, epoch=2, step=3, batch_size=250),
        "held_out": hold_out(1, 1000, 0.1)[1],
        "batches": np.concatenate([inputs["images"] for inputs, _ in batches.as_numpy_iterator()]),
        "moved": np.asarray(FlipShift()(random.normal(size=images.shape).astype(np.float32), draws)),
        "placed": np.asarray(PlaceInField(31)(images / np.float32(255), large_draws(1, 2, 3, 250))),
        "white": white,
        "white_moved": np.asarray(FlipShift()(white, draws)),
        "white_few": few.apply(images),
        "standardized": make_preprocessing("standardize").adapt(images).apply(images),
        "chances": network.predict_on_batch(images),
        "moved_kernels": moved_kernels(),
    }


def moved_kernels() -> np.ndarray:
    """A convolution kernel after each of five steps of Muon along the same made-up gradients."""
    import keras

    from allcnn.optimizers import Muon

    random = np.random.default_rng(1)
    kernel = keras.Variable(random.normal(size=(3, 3, 16, 24)), dtype="float32")
    optimizer = Muon(learning_rate=0.05)
    optimizer.build([kernel])
    steps = []
    for _ in range(5):
        optimizer.apply([keras.ops.convert_to_tensor(random.normal(size=kernel.shape).astype(np.float32))])
        steps.append(keras.ops.convert_to_numpy(kernel.value))
    return np.stack(steps)


if __name__ == "__main__":
    import keras

    assert keras.backend.backend() == os.environ["KERAS_BACKEND"]
    np.savez(sys.argv[1], **sample())
