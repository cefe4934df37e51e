"""A base network -> its strided, all-convolutional and ConvPool versions (the paper's section 3.1, Table 2)."""

from __future__ import annotations

from dataclasses import replace

from allcnn.errors import SpecError
from allcnn.specs.layers import RELU, Activation, Conv, Dropout, Layer, Norm, Pool, Spec


def strided(spec: Spec) -> Spec:
    """Strided-CNN: each pooling layer is dropped and the convolution before it takes over its stride.

    Dropout, normalisation and activations may stand between the two.

    Raises:
        SpecError: there is no pooling layer, or one has no convolution before it.
    """
    _need_pooling(spec)
    layers: list[Layer] = []
    for layer in spec:
        if isinstance(layer, Pool):
            index = _convolution_before(layers, layer)
            convolution = layers[index]
            assert isinstance(convolution, Conv)  # noqa: S101  (for the type checker)
            layers[index] = replace(convolution, stride=convolution.stride * layer.stride)
        else:
            layers.append(layer)
    return Spec(tuple(layers))


def all_convolutional(spec: Spec) -> Spec:
    """All-CNN: each pooling layer becomes a ReLU convolution of its size, stride and padding, as wide as its input.

    Raises:
        SpecError: there is no pooling layer, or one has no convolution before it.
    """
    _need_pooling(spec)
    layers: list[Layer] = []
    for layer in spec:
        if isinstance(layer, Pool):
            layers.append(Conv(_width_before(layers, layer), layer.size, layer.stride, layer.padding, RELU))
        else:
            layers.append(layer)
    return Spec(tuple(layers))


def convpool(spec: Spec) -> Spec:
    """ConvPool-CNN: before each pooling layer comes a ReLU convolution of its size, as wide as its input.

    Raises:
        SpecError: there is no pooling layer, or one has no convolution before it.
    """
    _need_pooling(spec)
    layers: list[Layer] = []
    for layer in spec:
        if isinstance(layer, Pool):
            layers.append(Conv(_width_before(layers, layer), layer.size, activation=RELU))
        layers.append(layer)
    return Spec(tuple(layers))


def _need_pooling(spec: Spec) -> None:
    if not any(isinstance(layer, Pool) for layer in spec):
        raise SpecError(
            f'"{_shortened(spec)}" has no pooling layer, so nothing can be derived from it; '
            "start from a base network that has one, for example 96C3-MP3/2-NC1-GAP"
        )


def _convolution_before(layers: list[Layer], pool: Pool) -> int:
    for index in reversed(range(len(layers))):
        if isinstance(layers[index], Conv):
            return index
        if not isinstance(layers[index], Dropout | Norm | Activation):
            break
    raise _no_convolution(pool)


def _width_before(layers: list[Layer], pool: Pool) -> int | None:
    """The filters of the last convolution; pooling, dropout and the like keep their number."""
    for layer in reversed(layers):
        if isinstance(layer, Conv):
            return layer.filters
    raise _no_convolution(pool)


def _no_convolution(pool: Pool) -> SpecError:
    return SpecError(
        f'no convolution comes before the pooling layer "{pool}", so nothing can take its place; '
        f"put one before it, for example 96C3-{pool}"
    )


def _shortened(spec: Spec) -> str:
    text = str(spec)
    return text if len(text) <= 60 else f"{text[:57]}..."
