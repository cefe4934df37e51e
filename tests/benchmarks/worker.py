"""One contestant in a process of its own: warms up, says so, then runs once for every line it is given.

    python worker.py KIND MODEL SECONDS      KIND: ceiling, bare, or a PyTorch configuration
    python worker.py train MODEL IMAGES
    python worker.py fast|fast-torch MODEL DATA_DIR FOLDER EPOCHS SEED

    bare: Keras's train_on_batch on tensors in memory. train: `allcnn.train`, an epoch of IMAGES a turn.
    fast, fast-torch: the recipe `fast` by `allcnn.train` or in PyTorch, an epoch of CIFAR-10 a turn, whose seconds and
    test error it says. What it has done lies in FOLDER, where it goes on.

A process each, because a library's idle threads would otherwise get in the way of another's.
"""

from __future__ import annotations

import json
import os
import pty
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np

BATCH_SIZE = 200
IMAGES = 2000
WARM_UP_STEPS = 3

# What a library prints must not get between the figures.
_figures = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)


def say(figure: object) -> None:
    """Answer with images (or, of the ceiling, operations) per second."""
    _figures.write(json.dumps(figure) + "\n")


def wait_for_turn() -> None:
    """Until the next line comes; the end of the input ends the worker."""
    if not sys.stdin.readline():
        os._exit(0)


def run_steps(step: Callable[[], object], seconds: float) -> None:
    """Warm up, find how many steps take `seconds`, and run them whenever asked."""
    for _ in range(WARM_UP_STEPS):
        begun = time.perf_counter()
        step()
        last = time.perf_counter() - begun
    steps = max(round(seconds / last), 2)
    say(BATCH_SIZE / last)
    while True:
        wait_for_turn()
        begun = time.perf_counter()
        for _ in range(steps):
            step()
        say(steps * BATCH_SIZE / (time.perf_counter() - begun))


def bare(model: str, seconds: float) -> None:
    """Keras's own `train_on_batch` on tensors in memory: the model that `allcnn train` trains, alone."""
    from allcnn.backend import load_keras
    from allcnn.device import find_device, jit_compile, resolve_precision

    load_keras()
    import keras

    from allcnn.runs.recipe import RECIPES
    from allcnn.specs import resolve
    from allcnn.training.network import compile_for_training, make_training_model

    device = find_device()
    network = make_training_model(
        resolve(model)[0], (32, 32, 3), 10, RECIPES["paper"], seed=0, dtype=resolve_precision("auto", device),
    )  # fmt: skip
    compile_for_training(network, keras.optimizers.SGD(0.01, 0.9), jit_compile(device))
    random = np.random.default_rng(0)
    images = random.standard_normal((IMAGES, 32, 32, 3)).astype(np.float32)
    labels = random.integers(0, 10, IMAGES).astype(np.int32)
    tensor = keras.ops.convert_to_tensor
    batches = [
        ({"images": tensor(images[start : start + BATCH_SIZE])}, tensor(labels[start : start + BATCH_SIZE]))
        for start in range(0, IMAGES, BATCH_SIZE)
    ]
    turn = iter(range(1 << 60))
    run_steps(lambda: network.train_on_batch(*batches[next(turn) % len(batches)]), seconds)


def train(model: str, images: int) -> None:
    """`allcnn.train` as the command calls it, live display in a terminal of its own; the figure is metrics.csv's.

    The first epoch warms up and is no turn.
    """
    import allcnn
    from allcnn.backend import load_keras
    from allcnn.benchmark import noise_dataset
    from allcnn.runs.folder import read_metrics

    load_keras()
    import keras

    errors = os.fdopen(os.dup(2), "w")
    leader, follower = pty.openpty()
    os.dup2(follower, 2)
    threading.Thread(target=lambda: [None for _ in iter(lambda: os.read(leader, 65536), b"")], daemon=True).start()

    data = noise_dataset(images)
    with tempfile.TemporaryDirectory() as folder:

        class Turns(keras.callbacks.Callback):
            def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
                say(read_metrics(Path(folder) / "run" / "metrics.csv")[-1]["images_per_second"])
                wait_for_turn()

        try:
            allcnn.train(
                model, dataset=data, epochs=10**6, learning_rate=0.01, preprocessing="standardize", seed=0,
                run_dir=Path(folder) / "run", progress=True, callbacks=[Turns()],
            )  # fmt: skip
        except BaseException:
            traceback.print_exc(file=errors)  # descriptor 2 is the display's by now
            raise


def ceiling(seconds: float) -> None:
    """The rate of matrix products in the training's precision, operations per second: how fast the machine is now."""
    from allcnn.backend import load_keras
    from allcnn.benchmark import best_of_each, measure_products, product_dtype
    from allcnn.device import find_device, resolve_precision

    load_keras()
    device = find_device()
    dtype = product_dtype(resolve_precision("auto", device))
    while True:
        say(best_of_each(measure_products(dtype, device.kind, seconds))[0].operations_per_second)
        wait_for_turn()


def torch_loop(model: str, configuration: str, seconds: float) -> None:
    """The network in PyTorch, in one of its configurations."""
    from torch_peer import TorchLoop

    run_steps(TorchLoop(model, set(configuration.split("+")), BATCH_SIZE, IMAGES).step, seconds)


def fast(model: str, data_dir: str, out: str, epochs: int, seed: int) -> None:
    """The recipe `fast` by `allcnn.train`, an epoch a turn."""
    import allcnn
    from allcnn.backend import load_keras
    from allcnn.runs.folder import RunFolder, read_metrics

    load_keras()
    import keras

    folder = RunFolder(Path(out) / "run")

    class Turns(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
            row = read_metrics(folder.metrics)[-1]
            say([row["seconds"], row["test_error"]])
            if epoch + 1 < epochs:  # what is left to do comes after the last
                wait_for_turn()

    say(0)
    wait_for_turn()
    allcnn.train(
        model, data_dir=data_dir, recipe="fast", epochs=epochs, seed=seed, run_dir=folder.path,
        resume=folder.holds_run(), callbacks=[Turns()],
    )  # fmt: skip


def fast_torch(model: str, data_dir: str, out: str, epochs: int, seed: int) -> None:
    """The recipe `fast` in PyTorch, an epoch a turn."""
    from torch_fast import epochs_in_torch

    say(0)
    wait_for_turn()
    for figures in epochs_in_torch(model, data_dir, Path(out) / "torch.pt", epochs, seed):
        say(figures)
        wait_for_turn()


if __name__ == "__main__":
    kind, model, numbers = sys.argv[1], sys.argv[2], sys.argv[3:]
    match kind:
        case "ceiling":
            ceiling(float(numbers[0]))
        case "bare":
            bare(model, float(numbers[0]))
        case "train":
            train(model, int(numbers[0]))
        case "fast" | "fast-torch":
            (fast if kind == "fast" else fast_torch)(model, *numbers[:2], int(numbers[2]), int(numbers[3]))
        case _:
            torch_loop(model, kind, float(numbers[0]))
