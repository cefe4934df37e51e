"""Which initialiser gets the paper's networks off the plateau at ln 10 on CIFAR-10?

    python tests/studies/initializers.py DATA_DIR [--models strided-a,b,...] [--learning-rates 0.05,0.01]
                                         [--initializers ...] [--out FILE.csv]

Each run takes steps of 50 images and stops when its running cross-entropy (decay 0.98) is under 2.2, at
1,000 steps at most. A row a run goes to the CSV file: the steps taken, or "no". The figures are in RESULTS.md.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import time
from pathlib import Path

import numpy as np

from allcnn.backend import load_keras
from allcnn.data.load import load_data
from allcnn.data.order import epoch_order
from allcnn.device import find_device, resolve_precision
from allcnn.preprocessing import make_preprocessing
from allcnn.specs.names import resolve

BATCH, STEPS, TARGET, SMOOTHING = 50, 1000, 2.2, 0.98


def steps_to_leave(images, labels, text: str, learning_rate: float, initializer: str, precision: str, seed: int):
    """-> (steps until the running cross-entropy is under 2.2, or None; the running cross-entropy at the end)"""
    import keras

    from allcnn.training.network import compile_for_training, make_training_model

    keras.backend.clear_session()
    model = make_training_model(
        resolve(text)[0], (32, 32, 3), 10, initializer=initializer, seed=seed, weight_decay=0.001,
        decay_biases=True, augmentation="none", dtype=precision,
    )  # fmt: skip
    compile_for_training(model, learning_rate, 0.9, jit=False)
    order = epoch_order(seed, 0, len(images))
    running = np.log(10)
    for step in range(STEPS):
        indices = order[step * BATCH : (step + 1) * BATCH]
        model.reset_metrics()
        logs = model.train_on_batch({"images": images[indices]}, labels[indices], return_dict=True)
        running = SMOOTHING * running + (1 - SMOOTHING) * float(logs["cross_entropy"])
        if not np.isfinite(running):
            return None, running
        if running < TARGET:
            return step + 1, running
    return None, running


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--models", default="strided-a,b,all-b,all-c,convpool-c")
    parser.add_argument("--learning-rates", default="0.05,0.01")
    parser.add_argument("--initializers", default="glorot_uniform,he_normal,he_uniform,lecun_normal,lecun_uniform")
    parser.add_argument("--linear", action="store_true", help="with a linear last convolution (NC1:linear)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("initializers.csv"))
    args = parser.parse_args()
    load_keras()
    precision = resolve_precision("auto", find_device())
    data = load_data("cifar10", args.data_dir)
    # The images that 1,000 steps visit, whitened with the statistics of the whole training set.
    images = make_preprocessing("gcn-zca").adapt(data.train_images).apply(data.train_images)
    with open(args.out, "a", newline="") as file:
        rows = csv.writer(file)
        for learning_rate, model, initializer in itertools.product(
            args.learning_rates.split(","), args.models.split(","), args.initializers.split(",")
        ):
            text = str(resolve(model)[0])
            text = text.replace("NC1-", "NC1:linear-") if args.linear else text
            start = time.perf_counter()
            steps, running = steps_to_leave(
                images, data.train_labels, text, float(learning_rate), initializer, precision, args.seed
            )
            last = "linear" if args.linear else "relu"
            row = [model, learning_rate, initializer, last, args.seed, steps or "no", f"{running:.3f}"]
            rows.writerow([*row, f"{time.perf_counter() - start:.0f}"])
            file.flush()


if __name__ == "__main__":
    main()
