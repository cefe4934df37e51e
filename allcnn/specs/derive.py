"""A base network -> its strided, all-convolutional and ConvPool versions (the paper's section 3.1, Table 2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from allcnn.errors import SpecError
from allcnn.specs.layers import Activation, Conv, Dropout, Layer, Norm, Pool, Spec, shortened


def strided(spec: Spec) -> Spec:
    """Strided-CNN: each pooling layer is dropped and the convolution before it takes over its stride.

    Dropout, normalisation and activations may stand between the two.

    Raises:
        SpecError: there is no pooling layer, or one has no convolution before it.
    """

    def rule(before: list[Layer], pool: Pool) -> list[Layer]:
        place, convolution = _last_convolution(before, pool)
        if not all(isinstance(layer, Dropout | Norm | Activation) for layer in before[place + 1 :]):
            raise _no_convolution(pool)
        before[place] = replace(convolution, stride=convolution.stride * pool.stride)
        return before

    return _derived(spec, rule)


def all_convolutional(spec: Spec) -> Spec:
    """All-CNN: each pooling layer becomes a ReLU convolution of its size, stride and padding, as wide as its input.

    Raises:
        SpecError: there is no pooling layer, or one has no convolution before it.
    """

    def rule(before: list[Layer], pool: Pool) -> list[Layer]:
        _, convolution = _last_convolution(before, pool)
        return [*before, Conv(convolution.filters, pool.size, pool.stride, pool.padding)]

    return _derived(spec, rule)


def convpool(spec: Spec) -> Spec:
    """ConvPool-CNN: before each pooling layer comes a ReLU convolution of its size, as wide as its input.

    Raises:
        SpecError: there is no pooling layer, or one has no convolution before it.
    """

    def rule(before: list[Layer], pool: Pool) -> list[Layer]:
        _, convolution = _last_convolution(before, pool)
        return [*before, Conv(convolution.filters, pool.size), pool]

    return _derived(spec, rule)


def _derived(spec: Spec, rule: Callable[[list[Layer], Pool], list[Layer]]) -> Spec:
    """The network in which `rule` says, for each pooling layer, what it and the layers before it become."""
    if not any(isinstance(layer, Pool) for layer in spec):
        raise SpecError(
            f'"{shortened(str(spec), 60)}" has no pooling layer, so nothing can be derived from it; '
            "start from a base network that has one, for example 96C3-MP3/2-NC1-GAP"
        )
    layers: list[Layer] = []
    for layer in spec:
        layers = rule(layers, layer) if isinstance(layer, Pool) else [*layers, layer]
    return Spec(tuple(layers))


def _last_convolution(layers: list[Layer], pool: Pool) -> tuple[int, Conv]:
    """The convolution before a pooling layer and its place. What is between the two keeps its number of filters."""
    for place in reversed(range(len(layers))):
        layer = layers[place]
        if isinstance(layer, Conv):
            return place, layer
    raise _no_convolution(pool)


def _no_convolution(pool: Pool) -> SpecError:
    return SpecError(
        f'no convolution comes before the pooling layer "{pool}", so nothing can take its place; '
        f"put one before it, for example 96C3-{pool}"
    )
