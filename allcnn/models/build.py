"""Text -> a Keras functional model."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

from allcnn.backend import import_keras_quietly
from allcnn.errors import InputError, refuse_unknown
from allcnn.preprocessing.field import field_layers, network_shape
from allcnn.specs import resolve
from allcnn.specs.layers import ACTIVATIONS, Activation, Conv, Dense, Dropout, GlobalAverage, Norm, Pool, Spec
from allcnn.specs.shapes import LayerShape, layer_shapes

if TYPE_CHECKING:
    import keras

    from allcnn.preprocessing import Preprocessing

#: The start of the biases of the layer with a filter for each class. It is above 0, so that the ReLU after it lives.
DEFAULT_CLASS_BIAS = 1.0
# He's kernels keep the signal's size from layer to layer, forwards and backwards, for any width. The first layer
# decides that size. All class values share the mean of the features below. At full size each step moves them too far
# together, and the ReLUs die. At a tenth they live at the rates 0.05 and 0.01 (RESULTS.md).
DEFAULT_INITIALIZER = "quiet_he_normal"
#: The first layer's kernel under "quiet_he_normal", as a fraction of He's.
QUIET = 0.1
#: Keras's initializers that draw a kernel by its shape and take a seed; and "quiet_he_normal": He normal, with the
#: kernel of the first layer times `QUIET`.
INITIALIZERS = (
    "glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal",
    "orthogonal", "random_normal", "random_uniform", "truncated_normal", "variance_scaling", "quiet_he_normal",
)  # fmt: skip


def build_model(
    model: str | Spec,
    input_shape: tuple[int, int, int] | None = None,
    classes: int | None = None,
    *,
    initializer: str = DEFAULT_INITIALIZER,
    class_bias: float = DEFAULT_CLASS_BIAS,
    seed: int | None = None,
    weight_decay: float = 0.0,
    decay_biases: bool = True,
    preprocessing: Preprocessing | None = None,
    dtype: str | None = None,
    name: str | None = None,
    field: int | None = None,
) -> keras.Model:
    """Build a network as a Keras functional model: images (batch, height, width, 3) -> class probabilities.

    Args:
        model: a name (`"all-c"`, `"ALL-CNN-C"`) or a network in the spec language (`"96C3-NC1-GAP"`), or a Spec.
        input_shape: (height, width, channels); by default the published network's own, else (32, 32, 3).
        classes: how many; by default the published network's own, else 10.
        initializer: one of `INITIALIZERS`, for kernels.
        class_bias: the start of the biases of the layer with a filter for each class; all other biases start at 0.
        seed: makes the initial weights and the dropout masks repeatable; None draws one.
        weight_decay: lambda as the paper and Caffe mean it: gradient + lambda w, that is L2(lambda / 2).
        decay_biases: whether the biases decay as well, as in Caffe.
        preprocessing: a fitted preprocessing, put in front, so that the model takes raw images, 0..255.
        dtype: a Keras dtype policy such as "mixed_bfloat16". `global_pool` and `softmax` are always float32.
        name: the model's name.
        field: height and width of a square of zeros with the preprocessed image in its middle, the network's input
            (section 3.2.3); `input_shape` is then that of the images. By default there is none.

    Layers carry the paper's names: conv1, conv2, ..., global_pool, softmax.

    Raises:
        SpecError: the text is not a network, or a layer does not fit the input.
        InputError: an unknown name or initializer, a weight decay or seed below 0, or a field smaller than the images.
    """
    spec, network = resolve(model)
    if input_shape is None:
        input_shape = network.input_shape if network else (32, 32, 3)
    if classes is None:
        classes = network.classes if network else 10
    options = LayerOptions(initializer, class_bias, seed, weight_decay, decay_biases, dtype)
    import_keras_quietly()
    layers = make_layers(spec, network_shape(input_shape, field), classes, options)

    import keras

    inputs = outputs = keras.Input(input_shape, dtype="float32", name="image")
    before = preprocessing.layers() if preprocessing else []
    for layer in [*before, *field_layers(input_shape, field), *layers]:
        outputs = layer(outputs)
    outputs = keras.layers.Softmax(dtype="float32", name="softmax")(outputs)
    name = name or (network.name.replace("-", "_") if network else "allcnn")
    return keras.Model(inputs, outputs, name=name)


@dataclass(frozen=True)
class LayerOptions:
    """How the layers of a network are made. The first six are arguments of `build_model`, the others are for training.

    dropout_scale: multiplies the dropout rates. input_dropout_scale: multiplies the input's dropout rate besides.
    cheap_dropout: takes `BitDropout` instead of Keras's dropout: faster, but not a stock layer.

    Raises:
        InputError: an unknown initializer, a weight decay below 0, or a seed that is no whole number from 0 on.
    """

    initializer: str = DEFAULT_INITIALIZER
    class_bias: float = DEFAULT_CLASS_BIAS
    seed: int | None = None
    weight_decay: float = 0.0
    decay_biases: bool = True
    dtype: str | None = None
    dropout_scale: float = 1.0
    input_dropout_scale: float = 1.0
    cheap_dropout: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.weight_decay < float("inf"):
            raise InputError(f"the weight decay must be 0 or more; got {self.weight_decay}.")
        if self.seed is not None and not (isinstance(self.seed, Integral) and self.seed >= 0):
            raise InputError(f"the seed must be a whole number, 0 or more; got {self.seed}.")
        check_initializer(self.initializer)


def check_initializer(name: str) -> None:
    """Refuse an initializer that is not one of `INITIALIZERS`. Raises InputError."""
    refuse_unknown("initializer", name, INITIALIZERS)


def make_layers(
    spec: Spec, input_shape: tuple[int, int, int], classes: int, options: LayerOptions
) -> list[keras.layers.Layer]:
    """The network's Keras layers in order, up to the values before the softmax.

    input_shape: (height, width, channels). Raises SpecError: a layer does not fit the input.
    """
    rows = layer_shapes(spec, input_shape, classes)[:-1]
    first = next(index for index, row in enumerate(rows) if isinstance(row.layer, Conv | Dense))
    layers: list[keras.layers.Layer] = []
    for index, row in enumerate(rows):
        layers += _make(row, classes, options, layer_seed(options.seed, index), up_to_first=index <= first)
    return layers


def _make(
    row: LayerShape, classes: int, options: LayerOptions, seed: int | None, up_to_first: bool
) -> list[keras.layers.Layer]:
    """The Keras layers of one layer of a network. up_to_first: whether no layer before it has weights."""
    from keras import layers

    named: dict[str, Any] = {"dtype": options.dtype, "name": row.name}
    match row.layer:
        case Conv(filters, size, stride, padding, activation):
            pad, padding = _padding(row.name, size, stride, padding, options.dtype)
            function, after = _activation(activation, f"{row.name}_{activation.name}", options.dtype)
            weights = _weights(options, seed, up_to_first, gives_classes=not filters)
            convolution = layers.Conv2D(
                filters or classes, size, strides=stride, padding=padding, activation=function, **named, **weights
            )
            return [*pad, convolution, *after]
        case Dense(units, activation):
            function, after = _activation(activation, f"{row.name}_{activation.name}", options.dtype)
            weights = _weights(options, seed, up_to_first, gives_classes=not units)
            if not units:
                named["dtype"] = "float32"  # as of global_pool: bfloat16 makes ties between classes
            dense = layers.Dense(units or classes, activation=function, **named, **weights)
            if len(row.input_shape) == 1:
                return [dense, *after]
            return [layers.Flatten(dtype=options.dtype, name=f"{row.name}_flatten"), dense, *after]
        case Pool(kind, size, stride, str(padding), order):
            if order is not None:
                from allcnn.models.layers import NormPooling2D

                return [NormPooling2D(order, size, stride, padding, **named)]
            pooling = layers.MaxPooling2D if kind == "max" else layers.AveragePooling2D
            return [pooling(size, strides=stride, padding=padding, **named)]
        case Dropout(rate):
            dropout = layers.Dropout
            if options.cheap_dropout:
                from allcnn.models.layers import BitDropout as dropout
            rate *= options.dropout_scale * (options.input_dropout_scale if up_to_first else 1)
            return [dropout(rate, seed=seed, **named)]
        case Norm():
            return [layers.BatchNormalization(**named)]
        case GlobalAverage():
            return [layers.GlobalAveragePooling2D(dtype="float32", name=row.name)]
        case Activation():
            function, alone = _activation(row.layer, row.name, options.dtype)
            return alone or [layers.Activation(function, **named)]
    raise TypeError(f"no Keras layer for {row.layer!r}")


def _weights(options: LayerOptions, seed: int | None, first: bool, gives_classes: bool) -> dict[str, Any]:
    """The arguments for a layer's weights. first: whether it is the first with weights."""
    from keras import initializers, regularizers

    if options.initializer == "quiet_he_normal":
        # He normal is a scale, of the variance, of 2.
        scale = 2 * QUIET**2 if first else 2.0
        kernel = initializers.VarianceScaling(scale, "fan_in", "truncated_normal", seed=seed)
    else:
        kernel = initializers.get({"class_name": options.initializer, "config": {"seed": seed}})
    regularizer = regularizers.L2(options.weight_decay / 2) if options.weight_decay else None
    return {
        "kernel_initializer": kernel,
        "bias_initializer": initializers.Constant(options.class_bias) if gives_classes else "zeros",
        "kernel_regularizer": regularizer,
        "bias_regularizer": regularizer if options.decay_biases else None,
    }


def _padding(
    name: str, size: int, stride: int, padding: str | int, dtype: str | None
) -> tuple[list[keras.layers.Layer], str]:
    """A layer of explicit zeros, unless Keras's "same" adds exactly those; and Keras's padding after it."""
    from keras import layers

    if isinstance(padding, str):
        return [], padding
    if padding == 0:
        return [], "valid"
    if stride == 1 and size == 2 * padding + 1:
        return [], "same"
    return [layers.ZeroPadding2D(padding, dtype=dtype, name=f"{name}_padding")], "valid"


def _activation(activation: Activation, name: str, dtype: str | None) -> tuple[str | None, list[keras.layers.Layer]]:
    """Keras's name for an activation; if a number belongs to it, a layer of that name instead."""
    from keras import layers

    if activation.argument is None:
        return (None if activation.name == "linear" else activation.name), []
    layer = {"leaky_relu": layers.LeakyReLU, "elu": layers.ELU}[activation.name]
    number = {str(ACTIVATIONS[activation.name]): activation.argument}
    return None, [layer(**number, dtype=dtype, name=name)]


def layer_seed(seed: int | None, index: int) -> int | None:
    """The seed of one layer's initial weights or dropout masks, from the network's; None stays None."""
    if seed is None:
        return None
    return int(np.random.SeedSequence((seed, index)).generate_state(1)[0] >> 1)
