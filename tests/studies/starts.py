"""Which start gets every network off the plateau at ln 10 on CIFAR-10? The figures are in RESULTS.md.

    python tests/studies/starts.py DATA_DIR [--models paper,review] [--learning-rates 0.05,0.01] [--seeds 0,1,2]
                                   [--starts NAME[:CLASS_BIAS],...] [--recipe fast] [--backend jax] [--why]
                                   [--most-steps N] [--out FILE.csv]

A cell is a network, a learning rate, a seed and a start, trained by the recipe `paper`: SGD with momentum 0.9, dropout
and weight decay, on whitened images; or by another recipe, with its own learning rate and start if none are given. It
takes steps of 50 images until its running cross-entropy (decay 0.98) is under 2.2, 1,000 at most. Those that are slower
begin again, after all others, with the recipe's own batches of 200, for five epochs at most. A cell ends early when a
whole layer is dead, or the loss is no number.

Each cell is a row of the CSV file; the study goes on where the file stopped. The order is by seed, then by the
multiply-adds of the network, so that a part of the study says something too. `--why` also prints, at some of the steps,
the state of each layer: dead units, deviation, mean, gradients and relative step.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import math
import os
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from allcnn.backend import load_keras
from allcnn.data.load import load_data
from allcnn.data.order import epoch_order
from allcnn.device import find_device, jit_compile, resolve_precision
from allcnn.preprocessing import make_preprocessing
from allcnn.runs.recipe import RECIPES, Recipe
from allcnn.specs import ZOO, count_multiply_adds, resolve

TARGET, DECAY = 2.2, 0.98
#: Batch size -> the most steps: 1,000 of 50 images; five epochs of the recipe's own batches.
MOST_STEPS = {50: 1000, 200: 1250}
#: Images with which units are found dead: zero for all of them, everywhere.
PROBES = 200
_WHY_AT = (0, 5, 10, 25, 50, 100, 150, 200, 300, 500)
#: Every so many steps a cell ends if it has a layer without a living unit.
_LOOK_EVERY = 100


@dataclass(frozen=True)
class Cell:
    """What is started, and how."""

    recipe: str
    model: str
    learning_rate: float
    seed: int
    initializer: str
    class_bias: float
    batch_size: int
    backend: str


def start(
    cell: Cell, images: np.ndarray, labels: np.ndarray, precision: str = "float32", *, classes: int = 10,
    most_steps: int | None = None, why: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Train one cell until it has started or time is up.

    Args:
        images: preprocessed.

    Returns:
        "steps" taken until the running cross-entropy was under the target, None if it never was; "cross_entropy", the
        running one at the end; "dead_percent" of each layer's units, the lowest layer first.
    """
    import keras

    from allcnn.training.network import compile_for_training, make_optimizer, make_training_model

    recipe = _recipe(cell)
    most_steps = most_steps or MOST_STEPS[cell.batch_size]
    keras.backend.clear_session()
    model = make_training_model(
        resolve(cell.model)[0], images.shape[1:], classes, replace(recipe, augmentation="none"),
        seed=cell.seed, dtype=precision,
    )  # fmt: skip
    compile_for_training(
        model,
        make_optimizer(replace(recipe, unit="steps", length=most_steps, milestones=()), 1),
        jit=jit_compile(find_device()),
        label_smoothing=recipe.label_smoothing,
    )
    layers = Layers(model, images[:PROBES], labels[:PROBES])
    running = math.log(classes)
    for step, indices in enumerate(itertools.islice(_batches(cell, len(images)), most_steps), 1):
        if why and step - 1 in _WHY_AT:
            layers.report(step - 1, running)
        model.reset_metrics()
        logs = model.train_on_batch({"images": images[indices]}, labels[indices], return_dict=True)
        if why and step - 1 in _WHY_AT:
            layers.report_step()
        running = DECAY * running + (1 - DECAY) * float(logs["cross_entropy"])
        if not math.isfinite(running) or running < TARGET:
            break
        if step % _LOOK_EVERY == 0 and max(layers.dead_percent()) == 100:
            break
    started = running < TARGET
    return {"steps": step if started else None, "cross_entropy": running, "dead_percent": layers.dead_percent()}


def _recipe(cell: Cell) -> Recipe:
    return RECIPES[cell.recipe].with_overrides(
        learning_rate=cell.learning_rate, batch_size=cell.batch_size,
        initializer=cell.initializer, class_bias=cell.class_bias,
    )  # fmt: skip


def _batches(cell: Cell, images: int):
    """The indices of each step's images, without end."""
    for epoch in itertools.count():
        order = epoch_order(cell.seed, epoch, images)
        for first in range(0, images - cell.batch_size + 1, cell.batch_size):
            yield order[first : first + cell.batch_size]


class Layers:
    """What the layers with weights do for a few images, without dropout."""

    def __init__(self, model: Any, images: np.ndarray, labels: np.ndarray):
        import keras

        self.model, self.images, self.labels = model, images, labels
        self.weighted = [layer for layer in model.layers if hasattr(layer, "kernel")]
        # The spot after a layer's ReLU; with an activation layer of its own that would be one layer further.
        self.probe = keras.Model(model.inputs, [layer.output for layer in self.weighted])

    def outputs(self) -> list[np.ndarray]:
        """(images x positions, filters) of each layer."""
        outputs = self.probe({"images": self.images}, training=False)
        return [np.asarray(output, np.float32).reshape(-1, output.shape[-1]) for output in outputs]

    def dead_percent(self) -> list[float]:
        """The units of each layer that are zero everywhere."""
        return [100 * float((output <= 0).all(axis=0).mean()) for output in self.outputs()]

    def report(self, step: int, running: float) -> None:
        """Print a column a layer, before a step."""
        outputs = self.outputs()
        print(f"step {step}, running cross-entropy {running:.4f}")
        _row("dead units, %", self.dead_percent())
        _row("deviation", [output.std() for output in outputs])
        _row("norm of the mean", [np.linalg.norm(output.mean(axis=0)) for output in outputs])
        of_loss, of_means = self._gradient_norms()
        _row("loss's gradient", of_loss)
        _row("class's gradient²", of_means)
        last = self.weighted[-1]
        kernel = np.asarray(last.kernel).reshape(-1, outputs[-1].shape[-1])
        if len(kernel) == outputs[-2].shape[-1]:
            before = outputs[-2] @ kernel + np.asarray(last.bias)
            means, after = before.mean(axis=0), outputs[-1].reshape(len(self.images), -1, kernel.shape[-1]).mean(axis=1)
            print(
                f"  class values before their ReLU: means from {means.min():.2f} to {means.max():.2f}; "
                f"averaged after it: deviation over images {after.std(axis=0).mean():.3g}"
            )
        self.before = [np.asarray(layer.kernel) for layer in self.weighted]

    def report_step(self) -> None:
        """Print what the step after `report` changed."""
        changes = [np.asarray(layer.kernel) - before for layer, before in zip(self.weighted, self.before, strict=True)]
        ratios = [
            np.linalg.norm(change) / np.linalg.norm(before) for change, before in zip(changes, self.before, strict=True)
        ]
        _row("relative step", ratios)

    def _gradient_norms(self) -> tuple[list[float], list[float]]:
        """Of each layer's kernel: the norm of the loss's gradient, and the squared norm of the gradient of a class
        value's mean over the images, a mean over the classes. TensorFlow only; elsewhere not a number.
        """
        import keras

        if keras.backend.backend() != "tensorflow":
            return [math.nan] * len(self.weighted), [math.nan] * len(self.weighted)
        import tensorflow

        kernels = [layer.kernel.value for layer in self.weighted]
        with tensorflow.GradientTape(persistent=True) as tape:
            values = self.model({"images": self.images}, training=False)
            losses = keras.losses.sparse_categorical_crossentropy(self.labels, values, from_logits=True)
            loss = tensorflow.reduce_mean(losses)
            means = tensorflow.unstack(tensorflow.reduce_mean(values, axis=0))
        of_loss = [float(tensorflow.norm(gradient)) for gradient in tape.gradient(loss, kernels)]
        of_means = [
            [float(tensorflow.norm(gradient)) ** 2 for gradient in tape.gradient(mean, kernels)] for mean in means
        ]
        return of_loss, list(np.mean(of_means, axis=0))


def _row(name: str, values: list[float]) -> None:
    print(f"  {name:<17}" + "".join(f"{value:9.2g}" for value in values))


class Record:
    """The CSV file: a row a cell that is done."""

    def __init__(self, path: Path):
        self.path = path
        self.started: dict[Cell, bool] = {}
        if path.exists():
            with open(path, newline="") as file:
                for row in csv.DictReader(file):
                    cell = Cell(
                        row["recipe"], row["model"], float(row["learning_rate"]), int(row["seed"]), row["initializer"],
                        float(row["class_bias"]), int(row["batch_size"]), row["backend"],
                    )  # fmt: skip
                    self.started[cell] = row["steps"] != "no"

    def add(self, cell: Cell, result: dict[str, Any], seconds: float) -> None:
        row = {
            **asdict(cell),
            "steps": result["steps"] or "no",
            "cross_entropy": f"{result['cross_entropy']:.3f}",
            "dead_percent": " ".join(f"{percent:.0f}" for percent in result["dead_percent"]),
            "seconds": f"{seconds:.0f}",
        }
        new = not self.path.exists()
        with open(self.path, "a", newline="") as file:
            rows = csv.DictWriter(file, list(row), lineterminator="\n")
            if new:
                rows.writeheader()
            rows.writerow(row)
        self.started[cell] = result["steps"] is not None
        print(*row.values(), flush=True)


def _models(text: str) -> list[str]:
    """Names and texts; "paper" and "review" are the twelve networks of each. The fewest multiply-adds first."""
    twelve = {
        "paper": [name for name, network in ZOO.items() if network.source == "Table 3"],
        "review": [name for name in ZOO if name.startswith("review-")],
    }
    models = [model for word in text.split(",") for model in twelve.get(word, [word])]
    return sorted(models, key=lambda model: count_multiply_adds(resolve(model)[0]))


def _starts(text: str, class_bias: float) -> list[tuple[str, float]]:
    pairs = (word.partition(":") for word in text.split(","))
    return [(name, float(bias) if colon else class_bias) for name, colon, bias in pairs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--models", default="paper,review", help="paper, review, names or texts, joined by commas")
    parser.add_argument("--recipe", choices=RECIPES, default="paper")
    parser.add_argument("--learning-rates", help="of paper: 0.05,0.01")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--starts", help="NAME or NAME:CLASS_BIAS, joined by commas")
    parser.add_argument("--backend", choices=("tensorflow", "jax"), default="tensorflow")
    parser.add_argument("--why", action="store_true", help="print the state of each layer on the way")
    parser.add_argument("--most-steps", type=int, help="instead of 1,000 of 50 and five epochs of 200")
    parser.add_argument("--out", type=Path, default=Path("starts.csv"))
    args = parser.parse_args()
    os.environ["KERAS_BACKEND"] = args.backend
    load_keras()
    precision = resolve_precision("auto", find_device())
    recipe = RECIPES[args.recipe]
    learning_rates = args.learning_rates or ("0.05,0.01" if args.recipe == "paper" else str(recipe.learning_rate))
    starts = _starts(args.starts or recipe.initializer, recipe.class_bias)
    data = load_data("cifar10", args.data_dir)
    images = make_preprocessing(recipe.preprocessing).adapt(data.train_images).apply(data.train_images)
    record = Record(args.out)
    cells = [
        Cell(args.recipe, model, float(learning_rate), int(seed), initializer, bias, 50, args.backend)
        for seed, model, learning_rate, (initializer, bias) in itertools.product(
            args.seeds.split(","), _models(args.models), learning_rates.split(","), starts
        )
    ]
    for batch_size in [50] if args.most_steps else MOST_STEPS:
        for cell in cells:
            longer = Cell(**{**asdict(cell), "batch_size": batch_size})
            if longer in record.started or (batch_size != 50 and record.started[cell]):
                continue
            began = time.perf_counter()
            result = start(longer, images, data.train_labels, precision, most_steps=args.most_steps, why=args.why)
            record.add(longer, result, time.perf_counter() - began)


if __name__ == "__main__":
    main()
