"""Copies of a trained network to compare it with: max-pooling in place of strides, and shuffled weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from allcnn.errors import InputError
from allcnn.visualize.graph import cannot_be_copied, copy_weights, functional

if TYPE_CHECKING:
    import keras

_CONVOLUTIONS = ("Conv2D", "DepthwiseConv2D", "SeparableConv2D")


def with_switches(model: keras.Model) -> keras.Model:
    """A copy of a model in which max-pooling does what strides did: "2x2 max-pooling after training" (section 3.4).

    Each convolution of stride s (depthwise and separable ones too) gets stride 1. After it, and after an activation of
    its own, comes s x s max-pooling of stride s, named `{its name}_switches`, which gives the way back its switches. An
    activation in a layer of its own comes after the pooling; if it never falls, the values are the same. All later
    sizes stay as they were. Weights and names are the model's. The copy shares nothing with it and is not compiled.

    Args:
        model: functional or sequential, with its strided convolutions as layers of its own.

    Raises:
        InputError: the model has no strided convolution, or one inside another layer; or the model, or a layer, is of a
            kind that cannot be copied.
    """
    import keras

    originals: list[tuple[Any, Any]] = []
    pools: dict[int, Any] = {}

    def copied(layer: Any) -> Any:
        config = layer.get_config()
        strides = _strides(type(layer).__name__, config)
        if strides is None and (inner := _strided_inside(config)):
            raise InputError(
                f'layer "{layer.name}" has a strided convolution inside ("{inner}"), which cannot be replaced; '
                "expected it as a layer of the model."
            )
        if strides is not None:
            config["strides"] = (1, 1)
        try:
            copy = type(layer).from_config(config)
        except Exception as error:  # every layer has its own
            raise cannot_be_copied(layer, error) from error
        if strides is not None:
            pools[id(copy)] = keras.layers.MaxPooling2D(
                strides, strides=strides, padding="same", data_format=layer.data_format, dtype=layer.dtype_policy,
                name=f"{layer.name}_switches",
            )  # fmt: skip
        if isinstance(layer, keras.layers.Layer):  # else an operation such as keras.ops.relu
            originals.append((layer, copy))
        return copy

    def called(layer: Any, *arguments: Any, **options: Any) -> Any:
        outputs = layer(*arguments, **options)
        return pools[id(layer)](outputs) if id(layer) in pools else outputs

    graph = functional(model)
    names = {id(layer.output): layer.name for layer in graph.layers if isinstance(layer, keras.layers.InputLayer)}
    inputs = [keras.Input(batch_shape=one.shape, dtype=one.dtype, name=names[id(one)]) for one in graph.inputs]
    altered = keras.models.clone_model(graph, inputs, clone_function=copied, call_function=called)
    if not pools:
        raise InputError(f'"{model.name}" has no strided convolution, whose stride max-pooling could replace.')
    for layer, copy in originals:
        copy_weights(layer, copy)
    return altered


def with_random_weights(model: keras.Model, seed: int = 0) -> keras.Model:
    """A copy whose trained weights are shuffled, each within itself: the same values, and nothing learned.

    What is not trainable stays as it is: the preprocessing, statistics, and layers that are frozen. Set their
    `trainable` first to shuffle those too. What a picture of this network shares with the trained one's comes from the
    image and the architecture, not from learning (Adebayo et al., "Sanity checks for saliency maps", 2018).
    """
    import keras

    copy = keras.models.clone_model(model)
    copy_weights(model, copy)
    random = np.random.default_rng(seed)
    for variable in copy.trainable_variables:
        values = keras.ops.convert_to_numpy(variable.value)
        variable.assign(random.permutation(values.ravel()).reshape(values.shape))
    return copy


def _strides(kind: str, config: dict[str, Any]) -> tuple[int, int] | None:
    """The strides of a strided convolution, by its class and configuration; None of any other layer."""
    if kind not in _CONVOLUTIONS:
        return None
    strides = config["strides"]
    strides = (strides, strides) if isinstance(strides, int) else tuple(strides)
    return strides if max(strides) > 1 else None


def _strided_inside(config: Any) -> str | None:
    """The name of a strided convolution in a layer's configuration."""
    if isinstance(config, dict):
        if _strides(config.get("class_name", ""), config.get("config") or {}):
            return config["config"]["name"]
        config = list(config.values())
    if isinstance(config, list | tuple):
        return next((name for part in config if (name := _strided_inside(part))), None)
    return None
