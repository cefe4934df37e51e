"""Text -> a Keras functional model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from allcnn.errors import InputError
from allcnn.preprocessing.field import field_layers, network_shape
from allcnn.specs import resolve
from allcnn.specs.layers import ACTIVATIONS, Activation, Conv, Dense, Dropout, GlobalAverage, Norm, Pool, Spec
from allcnn.specs.shapes import LayerShape, layer_shapes

if TYPE_CHECKING:
    import keras

    from allcnn.preprocessing import Preprocessing

#: Where the biases of the layer that gives the classes their values start. Above 0, so that the ReLU after it lives.
DEFAULT_CLASS_BIAS = 1.0
# He's kernels keep the signal's size from layer to layer, forwards and backwards, whatever the widths; how large it is,
# the first layer says. At full size all class values, which share the mean of the features below, are moved too far
# together by each step, and the ReLUs die. At a tenth they live at the rates 0.05 and 0.01 (RESULTS.md, "Starts").
DEFAULT_INITIALIZER = "quiet_he_normal"
#: The size of the first layer's kernel under "quiet_he_normal", a part of He's.
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
        class_bias: where the biases of the layer with a filter for each class start; all other biases start at 0.
        seed: makes the initial weights and the dropout masks repeatable; None draws one.
        weight_decay: lambda as the paper and Caffe mean it: gradient + lambda w, that is L2(lambda / 2).
        decay_biases: whether the biases decay as well, as in Caffe.
        preprocessing: a fitted preprocessing, put in front, so that the model takes raw images, 0..255.
        dtype: a Keras dtype policy such as "mixed_bfloat16". `global_pool` and `softmax` are always float32.
        name: the model's name.
        field: height and width of the square of zeros in whose middle the preprocessed image lies, the network's input
            (section 3.2.3); `input_shape` is then that of the images. By default there is none.

    Layers carry the paper's names: conv1, conv2, ..., global_pool, softmax.

    Raises:
        SpecError: the text is not a network, or a layer does not fit the input.
        InputError: an unknown name or initializer, a weight decay below 0, or a field smaller than the images.
    """
    spec, network = resolve(model)
    if input_shape is None:
        input_shape = network.input_shape if network else (32, 32, 3)
    if classes is None:
        classes = network.classes if network else 10
    layers = make_layers(
        spec, network_shape(input_shape, field), classes,
        initializer=initializer, class_bias=class_bias, seed=seed, weight_decay=weight_decay,
        decay_biases=decay_biases, dtype=dtype,
    )  # fmt: skip

    import keras

    inputs = outputs = keras.Input(input_shape, dtype="float32", name="image")
    before = preprocessing.layers() if preprocessing else []
    for layer in [*before, *field_layers(input_shape, field), *layers]:
        outputs = layer(outputs)
    outputs = keras.layers.Softmax(dtype="float32", name="softmax")(outputs)
    name = name or (network.name.replace("-", "_") if network else "allcnn")
    return keras.Model(inputs, outputs, name=name)


def make_layers(
    spec: Spec,
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    initializer: str = DEFAULT_INITIALIZER,
    class_bias: float = DEFAULT_CLASS_BIAS,
    seed: int | None = None,
    weight_decay: float = 0.0,
    decay_biases: bool = True,
    dtype: str | None = None,
    dropout_scale: float = 1.0,
    input_dropout_scale: float = 1.0,
    cheap_dropout: bool = False,
) -> list[keras.layers.Layer]:
    """The network's Keras layers in order, up to the values before the softmax; see `build_model`.

    `dropout_scale` multiplies the dropout rates, `input_dropout_scale` that of the input as well. `cheap_dropout`
    takes `BitDropout` for Keras's: faster, but then the model is not of stock layers alone.
    """
    if not 0 <= weight_decay < float("inf"):
        raise InputError(f"the weight decay must be 0 or more; got {weight_decay}.")
    check_initializer(initializer)
    rows = layer_shapes(spec, input_shape, classes)
    maker = _LayerMaker(
        initializer,
        class_bias,
        seed,
        weight_decay,
        decay_biases,
        classes,
        dtype,
        dropout_scale,
        input_dropout_scale,
        cheap_dropout,
    )
    layers: list[keras.layers.Layer] = []
    for index, row in enumerate(rows[:-1]):
        layers += maker.make(row, index)
    return layers


def check_initializer(name: str) -> None:
    """Refuse an initializer that is not one of `INITIALIZERS`. Raises InputError."""
    if name not in INITIALIZERS:
        raise InputError(f'unknown initializer "{name}"; expected one of: {", ".join(INITIALIZERS)}.')


class _LayerMaker:
    """Makes the Keras layers of one row of the account of a network."""

    def __init__(
        self, initializer: str, class_bias: float, seed: int | None, weight_decay: float, decay_biases: bool,
        classes: int, dtype: str | None, dropout_scale: float, input_dropout_scale: float, cheap_dropout: bool,
    ):  # fmt: skip
        self.initializer = initializer
        self.class_bias = class_bias
        self.seed = seed
        self.decay = weight_decay / 2
        self.decay_biases = decay_biases
        self.classes = classes
        self.dtype = dtype
        self.dropout_scale = dropout_scale
        self.input_dropout_scale = input_dropout_scale
        self.cheap_dropout = cheap_dropout
        self.first = True  # until a layer has weights

    def make(self, row: LayerShape, index: int) -> list[keras.layers.Layer]:
        import keras

        layers = keras.layers
        match row.layer:
            case Conv(filters, size, stride, padding, activation):
                pad, padding = self._padding(row.name, size, stride, padding)
                function, after = self._activation(row.name, activation)
                convolution = layers.Conv2D(
                    filters or self.classes, size, strides=stride, padding=padding, activation=function,
                    dtype=self.dtype, name=row.name, **self._weights(index, filters),
                )  # fmt: skip
                return [*pad, convolution, *after]
            case Dense(units, activation):
                function, after = self._activation(row.name, activation)
                flat = []
                if len(row.input_shape) == 3:
                    flat.append(layers.Flatten(dtype=self.dtype, name=f"{row.name}_flatten"))
                # The layer that gives the classes their values is float32, as global_pool is: bfloat16 makes ties.
                dtype = self.dtype if units else "float32"
                dense = layers.Dense(
                    units or self.classes,
                    activation=function,
                    dtype=dtype,
                    name=row.name,
                    **self._weights(index, units),
                )
                return [*flat, dense, *after]
            case Pool(kind, size, stride, str(padding), order):
                if order is not None:
                    from allcnn.models.layers import NormPooling2D

                    return [NormPooling2D(order, size, stride, padding, dtype=self.dtype, name=row.name)]
                pooling = layers.MaxPooling2D if kind == "max" else layers.AveragePooling2D
                return [pooling(size, strides=stride, padding=padding, dtype=self.dtype, name=row.name)]
            case Dropout(rate):
                dropout = layers.Dropout
                if self.cheap_dropout:
                    from allcnn.models.dropout import BitDropout as dropout
                rate *= self.dropout_scale * (self.input_dropout_scale if self.first else 1)
                return [dropout(rate, seed=layer_seed(self.seed, index), dtype=self.dtype, name=row.name)]
            case Norm():
                return [layers.BatchNormalization(dtype=self.dtype, name=row.name)]
            case GlobalAverage():
                return [layers.GlobalAveragePooling2D(dtype="float32", name=row.name)]
            case Activation():
                function, after = self._activation(row.name, row.layer)
                if after:
                    after[0].name = row.name
                    return after
                return [layers.Activation(function, dtype=self.dtype, name=row.name)]
        raise TypeError(f"no Keras layer for {row.layer!r}")

    def _weights(self, index: int, filters: int | None) -> dict:
        """The arguments for a layer's weights; `filters` is None for the layer that gives the classes their values."""
        import keras

        seed = layer_seed(self.seed, index)
        if self.initializer == "quiet_he_normal":
            # He normal is a scale, of the variance, of 2.
            scale = 2 * QUIET**2 if self.first else 2.0
            kernel = keras.initializers.VarianceScaling(scale, "fan_in", "truncated_normal", seed=seed)
        else:
            kernel = keras.initializers.get({"class_name": self.initializer, "config": {"seed": seed}})
        self.first = False
        regularizer = keras.regularizers.L2(self.decay) if self.decay else None
        return {
            "kernel_initializer": kernel,
            "bias_initializer": "zeros" if filters else keras.initializers.Constant(self.class_bias),
            "kernel_regularizer": regularizer,
            "bias_regularizer": regularizer if self.decay_biases else None,
        }

    def _padding(self, name: str, size: int, stride: int, padding: str | int) -> tuple[list, str]:
        """Explicit zeros as a layer of their own, unless Keras's "same" adds just those."""
        import keras

        if isinstance(padding, str):
            return [], padding
        if padding == 0:
            return [], "valid"
        if stride == 1 and size == 2 * padding + 1:
            return [], "same"
        return [keras.layers.ZeroPadding2D(padding, dtype=self.dtype, name=f"{name}_padding")], "valid"

    def _activation(self, name: str, activation: Activation) -> tuple[str | None, list]:
        """Keras's name for an activation, or a layer after it where a number goes with it."""
        import keras

        if activation.argument is None:
            return (None if activation.name == "linear" else activation.name), []
        layer = {"leaky_relu": keras.layers.LeakyReLU, "elu": keras.layers.ELU}[activation.name]
        number = {str(ACTIVATIONS[activation.name]): activation.argument}
        return None, [layer(**number, dtype=self.dtype, name=f"{name}_{activation.name}")]


def layer_seed(seed: int | None, index: int) -> int | None:
    """The seed of one layer's initial weights or dropout masks, from the network's; None stays None."""
    if seed is None:
        return None
    return int(np.random.SeedSequence((seed, index)).generate_state(1)[0] >> 1)
