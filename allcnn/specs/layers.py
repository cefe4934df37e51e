"""The pieces of a network, as frozen values.

A `Spec` is the whole network: a flat, fully expanded sequence of these. `language.parse` makes it from
text, `str(spec)` gives the canonical text back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

#: "same": zeros so that stride 1 keeps the size; "valid": none; a whole number: that many zeros on every side.
Padding = str | int


@dataclass(frozen=True, slots=True)
class Activation:
    """An activation by its Keras name, with at most one number: leaky_relu(0.33).

    Alone in a spec it is a layer of its own (`:relu`); `linear` is the identity.
    """

    name: str = "relu"
    argument: float | None = None


RELU = Activation("relu")
LINEAR = Activation("linear")


@dataclass(frozen=True, slots=True)
class Conv:
    """A convolution with a square kernel: the paper's Eq. 2. `filters` None: as many as there are classes."""

    filters: int | None
    size: int
    stride: int = 1
    padding: Padding = "same"
    activation: Activation = RELU


@dataclass(frozen=True, slots=True)
class Pool:
    """Pooling over a square window. `kind`: "max", "average" or "norm" (the paper's Eq. 1, of order `order`)."""

    kind: str
    size: int
    stride: int
    padding: Padding = "same"
    order: float | None = None


@dataclass(frozen=True, slots=True)
class Dropout:
    """Drops each value with probability `rate`, 0 <= rate < 1."""

    rate: float


@dataclass(frozen=True, slots=True)
class Norm:
    """Batch normalisation of what precedes it."""


@dataclass(frozen=True, slots=True)
class GlobalAverage:
    """The average of each channel over all positions."""


@dataclass(frozen=True, slots=True)
class Dense:
    """A fully connected layer, flattening its input if it must. `units` None: as many as there are classes."""

    units: int | None
    activation: Activation = RELU


Layer = Conv | Pool | Dropout | Norm | Activation | GlobalAverage | Dense


@dataclass(frozen=True, slots=True)
class Spec:
    """A network: its layers in order, without the softmax that ends every one of them."""

    layers: tuple[Layer, ...]

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __str__(self) -> str:
        from allcnn.specs.language import canonical_text

        return canonical_text(self)
