"""The model that is trained: raw or preprocessed images and their draws -> the values before the softmax."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from allcnn.data.order import DRAWS
from allcnn.data.stored_images import StoredImages
from allcnn.models.build import LayerOptions, make_layers
from allcnn.optimizers import Muon
from allcnn.preprocessing.augment import augmentation_layer
from allcnn.preprocessing.field import field_layers
from allcnn.runs.recipe import Recipe
from allcnn.specs.layers import Spec

if TYPE_CHECKING:
    from allcnn.preprocessing import Preprocessing

#: The largest training set, in bytes of float32, that is preprocessed once and kept. CIFAR-10 takes 614 MB.
KEEP_BYTES = 1 << 30


def preprocess_once(image_shape: tuple[int, int, int], images: int) -> bool:
    """Whether a training set is preprocessed once and kept in float32; else batch by batch, in the step."""
    return images * int(np.prod(image_shape)) * 4 <= KEEP_BYTES


def make_training_model(
    spec: Spec,
    image_shape: tuple[int, int, int],
    classes: int,
    recipe: Recipe,
    *,
    seed: int,
    dtype: str,
    preprocessing: Preprocessing | None = None,
    stored: int = 0,
) -> keras.Model:
    """Build the model that is trained; its layers have the names, and the order, of `build_model`'s.

    Inputs: {"images": (batch, height, width, 3)} and, with an augmentation, {"draws": (batch, ...)} as `DRAWS` says.
    Output: (batch, classes) float32, before the softmax, so that the cross-entropy is computed from these on both
    backends.

    Args:
        image_shape: of the images before the recipe's field of zeros.
        dtype: Keras's policy for the layers, "float32" or "mixed_bfloat16".
        preprocessing: part of the compiled step, whose images are then raw; None: they come preprocessed.
        stored: so many images lie on the accelerator (`store_images` brings them there), and {"indices": (batch,)
            int32} take the place of the images.
    """
    if not stored:
        inputs = {"images": keras.Input(image_shape, dtype="float32", name="images")}
        outputs = inputs["images"]
    else:
        inputs = {"indices": keras.Input((), dtype="int32", name="indices")}
        kind = "uint8" if preprocessing else "float32"
        outputs = StoredImages((stored, *image_shape), kind, name="stored_images")(inputs["indices"])
    for layer in preprocessing.layers() if preprocessing else []:
        outputs = layer(outputs)
    draws = DRAWS.get(recipe.augmentation)
    if draws and not draws.on_host:
        inputs["draws"] = keras.Input((draws.width,), dtype=draws.dtype, name="draws")
        outputs = augmentation_layer(recipe.augmentation, recipe.field)(outputs, inputs["draws"])
    for layer in field_layers(outputs.shape[1:], recipe.field):
        outputs = layer(outputs)
    options = LayerOptions(
        initializer=recipe.initializer, class_bias=recipe.class_bias, seed=seed, weight_decay=recipe.weight_decay,
        decay_biases=recipe.decay_biases, dtype=dtype, dropout_scale=recipe.dropout_scale,
        input_dropout_scale=recipe.input_dropout_scale, cheap_dropout=True,
    )  # fmt: skip
    for layer in make_layers(spec, outputs.shape[1:], classes, options):
        outputs = layer(outputs)
    return keras.Model(inputs, outputs, name="training")


def store_images(model: keras.Model, images: np.ndarray) -> bool:
    """Bring the training images to the accelerator if the model was made to keep them there; whether it was."""
    stores = [layer for layer in model.layers if isinstance(layer, StoredImages)]
    for layer in stores:
        layer.store(images)
    return bool(stores)


class LargestValue(keras.metrics.Metric):
    """The largest magnitude, since the epoch began, of any value before the softmax; 0 where all were zero."""

    def __init__(self, name: str = "largest_value", **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.largest = self.add_variable((), "zeros", name="largest")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        largest = keras.ops.max(keras.ops.abs(y_pred))
        self.largest.assign(keras.ops.maximum(self.largest, keras.ops.cast(largest, self.largest.dtype)))

    def result(self) -> Any:
        return keras.ops.convert_to_tensor(self.largest)


def make_optimizer(recipe: Recipe, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """The recipe's optimizer, its schedule inside. SGD has the paper's momentum: v = momentum v - lr g; w += v."""
    kind = {"sgd": keras.optimizers.SGD, "muon": Muon}[recipe.optimizer]
    return kind(learning_rate=_schedule(recipe, steps_per_epoch), momentum=recipe.momentum)


def _schedule(recipe: Recipe, steps_per_epoch: int) -> Any:
    """`Recipe.learning_rate_at` as Keras computes it in the compiled step."""
    if recipe.schedule == "linear":
        steps = recipe.total_steps(steps_per_epoch)
        return keras.optimizers.schedules.PolynomialDecay(recipe.learning_rate, steps, end_learning_rate=0.0)
    drops = [drop if recipe.unit == "steps" else drop * steps_per_epoch for drop in recipe.drops]
    rates = [recipe.learning_rate_at(step, steps_per_epoch) for step in (0, *drops)]
    # Keras's boundaries are the last steps before a drop. One at the beginning has no step before it.
    return keras.optimizers.schedules.PiecewiseConstantDecay([drop - 1 for drop in drops], rates) if drops else rates[0]


def cross_entropy(label_smoothing: float = 0.0) -> Any:
    """The loss: labels (batch,) and values before the softmax (batch, classes) -> the cross-entropy, a mean."""
    if not label_smoothing:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def smoothed(labels: Any, values: Any) -> Any:
        one_hot = keras.ops.one_hot(keras.ops.cast(keras.ops.reshape(labels, (-1,)), "int32"), values.shape[-1])
        return keras.losses.categorical_crossentropy(one_hot, values, from_logits=True, label_smoothing=label_smoothing)

    return smoothed


def compile_for_training(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    jit: bool,
    steps_per_execution: int = 1,
    label_smoothing: float = 0.0,
) -> list[keras.metrics.Metric]:
    """Compile with the cross-entropy, to which Keras adds the weight decay.

    Returns:
        The metrics of an epoch, Keras's own of the loss, "loss", first.
    """
    metrics = [
        keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
        keras.metrics.SparseCategoricalCrossentropy(from_logits=True, name="cross_entropy"),
        LargestValue(),
    ]
    model.compile(
        optimizer=optimizer,
        loss=cross_entropy(label_smoothing),
        metrics=metrics,
        jit_compile=jit,
        steps_per_execution=steps_per_execution,
    )
    return [*(metric for metric in model.metrics if metric.name == "loss"), *metrics]


def copy_weights(source: keras.Model, target: keras.Model) -> None:
    """Copy the weights of every layer of the target that the source has by name (dropout's seeds aside).

    Layers of the preprocessing are in the target alone; they keep what was fitted.
    """
    names = {layer.name for layer in source.layers}
    for layer in target.layers:
        if layer.weights and layer.name in names:
            layer.set_weights(source.get_layer(layer.name).get_weights())


def dropout_seeds(model: keras.Model) -> list[keras.Variable]:
    """The state of every dropout layer's generator, (2,) each: [the layer's seed, masks drawn so far]."""
    dropouts = (layer for layer in model.layers if isinstance(layer, keras.layers.Dropout))
    return [layer.seed_generator.state for layer in dropouts if layer.rate]


def set_dropout_step(model: keras.Model, step: int) -> None:
    """Make the masks those of a given step of the run: a function of (layer, step), whatever ran before."""
    for state in dropout_seeds(model):
        before = keras.ops.convert_to_numpy(state.value)
        state.assign(np.array([before[0], step], before.dtype))
