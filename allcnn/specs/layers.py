"""The layers of a network, and the network itself: frozen values that cannot exist in a wrong state.

`language.parse` reads a `Spec` from text. `str(spec)` gives the canonical text back, `str(layer)` its token.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import InitVar, dataclass, replace
from operator import index
from typing import Any

from allcnn.errors import SpecError, nearest

MAX_LAYERS = 1_000
MAX_FILTERS = 65_536
MAX_SIZE = 1_024  # of a kernel, a window, a stride or a padding: larger than any image this package is for
MAX_ORDER = 1_000.0
# At most 9 digits before the point and 30 after it, so that a layer's token stays short.
_PLAIN_NUMBER = re.compile(r"\d{1,9}(?:\.\d{1,30})?|\.\d{1,30}", re.ASCII)

#: The activations a spec may name, each with the Keras parameter that its one number sets (None: it takes none).
#: A number is taken where Keras has a stock layer for it, since the saved model is made of stock layers only.
#: Functions over several values at once (softmax, glu, ...) are left out: the softmax is implied, once, at the end.
ACTIVATIONS: dict[str, str | None] = dict.fromkeys((
    "celu", "elu", "exponential", "gelu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_tanh", "leaky_relu",
    "linear", "log_sigmoid", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "soft_shrink", "softplus", "softsign",
    "sparse_plus", "sparse_sigmoid", "squareplus", "tanh", "tanh_shrink",
)) | {"elu": "alpha", "leaky_relu": "negative_slope"}  # fmt: skip

#: "same": zeros so that stride 1 keeps the size; "valid": none; a whole number: that many zeros on every side.
Padding = str | int
_PADDINGS = ("same", "valid")


@dataclass(frozen=True, slots=True)
class Activation:
    """An activation by its Keras name, with at most one number: leaky_relu(0.33).

    Alone in a spec it is a layer of its own (`:relu`); `linear` is the identity.
    """

    name: str = "relu"
    argument: float | None = None

    def __post_init__(self) -> None:
        if self.name not in ACTIVATIONS:
            if self.name == "softmax":
                raise SpecError("the softmax at the end is implied; leave it out, or write :linear for no activation")
            raise SpecError(f'unknown activation "{shortened(self.name)}"; {_nearest_activation(self.name)}')
        if self.argument is None:
            return
        parameter = ACTIVATIONS[self.name]
        if parameter is None:
            raise SpecError(f"the activation {self.name} takes no number; write :{self.name}")
        object.__setattr__(self, "argument", plain_number(f"the {parameter} of {self.name}", self.argument))

    def __str__(self) -> str:
        return f":{self.name}" if self.argument is None else f":{self.name}({number_text(self.argument)})"


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

    def __post_init__(self) -> None:
        _keep_whole(self, "filters", "the number of filters", MAX_FILTERS)
        _keep_whole(self, "size", "the kernel size")
        _keep_whole(self, "stride", "the stride")
        if not isinstance(self.padding, str):
            _keep_whole(self, "padding", "the padding", least=0)
        elif self.padding not in _PADDINGS:
            raise SpecError(f'the padding must be "same" or "valid" or a number of zeros; got {self.padding!r:.40}')
        _check_activation(self.activation)

    def __str__(self) -> str:
        return (
            f"{_width_text(self.filters)}C{self.size}{_stride_text(self.stride, 1)}"
            f"{_padding_text(self.padding)}{_suffix(self.activation, RELU)}"
        )


@dataclass(frozen=True, slots=True)
class Pool:
    """Pooling over a square window. `kind`: "max", "average" or "norm" (the paper's Eq. 1, of order `order`)."""

    kind: str
    size: int
    stride: int
    padding: Padding = "same"
    order: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in ("max", "average", "norm"):
            raise SpecError(f'the kind of a pooling layer must be "max", "average" or "norm"; got {self.kind!r:.40}')
        if (self.order is not None) != (self.kind == "norm"):
            raise SpecError(f"norm pooling has an order and no other pooling has one; got {self.kind}, {self.order}")
        if self.order is not None:
            object.__setattr__(self, "order", plain_number("the order p", self.order))
            if not 1 <= self.order <= MAX_ORDER:
                raise SpecError(
                    f"the order p must be from 1 to {MAX_ORDER:,g}, for example L2P3/2; got {number_text(self.order)}"
                    + (" (MP3/2 is the limit of large p)" if self.order > 1 else "")
                )
        _keep_whole(self, "size", "the window size")
        _keep_whole(self, "stride", "the stride")
        if self.padding not in _PADDINGS:
            raise SpecError(f'the padding must be "same" or "valid" for a pooling layer; got {self.padding!r:.40}')

    def __str__(self) -> str:
        kind = {"max": "MP", "average": "AP"}.get(self.kind) or f"L{number_text(self.order or 0.0)}P"
        return f"{kind}{self.size}{_stride_text(self.stride, self.size)}{_padding_text(self.padding)}"


@dataclass(frozen=True, slots=True)
class Dropout:
    """Drops each value with probability `rate`, 0 <= rate < 1."""

    rate: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate", plain_number("the rate", self.rate))
        if self.rate >= 1:
            got = number_text(self.rate)
            raise SpecError(f"the dropout rate must be 0 or more and less than 1, for example D.5; got {got}")

    def __str__(self) -> str:
        return "D" + number_text(self.rate).removeprefix("0" if self.rate > 0 else "")


@dataclass(frozen=True, slots=True)
class Norm:
    """Batch normalisation of what precedes it."""

    def __str__(self) -> str:
        return "BN"


@dataclass(frozen=True, slots=True)
class GlobalAverage:
    """The average of each channel over all positions."""

    def __str__(self) -> str:
        return "GAP"


@dataclass(frozen=True, slots=True)
class Dense:
    """A fully connected layer, flattening its input if it must. `units` None: as many as there are classes."""

    units: int | None
    activation: Activation = RELU

    def __post_init__(self) -> None:
        _keep_whole(self, "units", "the number of units", MAX_FILTERS)
        _check_activation(self.activation)

    def __str__(self) -> str:
        return f"{_width_text(self.units)}FC" + _suffix(self.activation, LINEAR if self.units is None else RELU)


Layer = Conv | Pool | Dropout | Norm | Activation | GlobalAverage | Dense


@dataclass(frozen=True, slots=True)
class Spec:
    """A network: its layers in order, without the softmax that ends every network.

    A map of positions must reach every layer that needs one, and the end must give one value per class.

    Args:
        layers: the layers.
        names: what messages call the layers, one each; by default their place and token, such as layer 2 "GAP".

    Raises:
        SpecError: there is no layer or there are too many, one is no layer, or they cannot follow each other.
    """

    layers: tuple[Layer, ...]
    names: InitVar[Sequence[str] | None] = None

    def __post_init__(self, names: Sequence[str] | None) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        for layer in self.layers:
            if not isinstance(layer, Layer):
                raise SpecError(f"{layer!r:.80} is not a layer of a network; use Conv, Pool, Dropout and the like")
        if not self.layers:
            raise SpecError("a network has at least one layer, for example NFC")
        if len(self.layers) > MAX_LAYERS:
            raise SpecError(f"the network has more than {MAX_LAYERS:,} layers, {len(self.layers):,}; shorten it")
        if names is None:
            names = [f'layer {place} "{layer}"' for place, layer in enumerate(self.layers, start=1)]
        _check_order(self.layers, names)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __str__(self) -> str:
        return "-".join(map(str, self.layers))


def _check_order(layers: Sequence[Layer], names: Sequence[str]) -> None:
    flattened_by = widest = None
    for place, layer in enumerate(layers):
        if isinstance(layer, Conv | Pool | GlobalAverage) and flattened_by is not None:
            raise SpecError(
                f"{names[place]}: needs a map of positions, and {names[flattened_by]} leaves none; "
                "convolutions and pooling come before GAP and FC, for example 96C3-NC1-GAP"
            )
        if isinstance(layer, GlobalAverage | Dense):
            flattened_by = place
        if isinstance(layer, Conv | Dense):
            widest = place
    if widest is None:
        raise SpecError(f"{names[-1]}: nothing gives one value per class; end the network with NC1-GAP or NFC")
    last = layers[widest]
    if isinstance(last, Conv) and last.filters is not None:
        raise SpecError(
            f"{names[widest]}: the last convolution gives {last.filters} values, not N, one per class; write "
            f"{replace(last, filters=None)}, or add NC1 after it"
        )
    if isinstance(last, Dense) and last.units is not None:
        raise SpecError(
            f"{names[widest]}: the last layer gives {last.units} values, not N, one per class; add NFC after it"
        )
    if flattened_by is None:
        raise SpecError(f"{names[-1]}: the network ends in a map of positions, not in one value per class; add -GAP")


def plain_number(what: str, value: float | str) -> float:
    """A number of the language, from its text or as a float that such a text can hold. Raises SpecError."""
    try:
        text = value if isinstance(value, str) else number_text(value)
    except (TypeError, ValueError, OverflowError):
        text = ""
    if not _PLAIN_NUMBER.fullmatch(text):
        raise SpecError(
            f"{what} must be a plain number of 0 or more, such as 0.33 (at most 9 digits and 30 decimals); "
            f'got "{shortened(str(value))}"'
        )
    return float(text)


def number_text(value: float) -> str:
    """The shortest plain decimal that reads back as the same float."""
    text = repr(float(value))
    if "e" in text:
        from decimal import Decimal

        text = f"{Decimal(text):f}"
    return text.removesuffix(".0")


def shortened(text: str, most: int = 24) -> str:
    """The user's text for a message, of at most so many characters."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _keep_whole(layer: Any, field: str, what: str, most: int = MAX_SIZE, least: int = 1) -> None:
    """Keep a field as an int, or a width as None; refuse anything else and what is out of range."""
    value = getattr(layer, field)
    if value is None and field in ("filters", "units"):
        return
    try:
        number = index(value)
    except TypeError:
        number = least - 1
    if not least <= number <= most:
        raise SpecError(f"{what} must be from {least} to {most:,}; got {shortened(str(value))}")
    object.__setattr__(layer, field, number)


def _check_activation(activation: Any) -> None:
    if not isinstance(activation, Activation):
        raise SpecError(f"an activation must be an Activation, such as RELU; got {activation!r:.40}")


def _nearest_activation(name: str) -> str:
    alias = {"swish": ["silu"], "hard_swish": ["hard_silu"]}.get(name.lower())
    near = alias or nearest(name, ACTIVATIONS)
    return f'did you mean ":{near[0]}"?' if near else f"known are {', '.join(ACTIVATIONS)}"


def _width_text(width: int | None) -> str:
    return "N" if width is None else str(width)


def _stride_text(stride: int, default: int) -> str:
    return "" if stride == default else f"/{stride}"


def _padding_text(padding: Padding) -> str:
    return {"same": "", "valid": "v"}.get(str(padding), f"p{padding}")


def _suffix(activation: Activation, default: Activation) -> str:
    return "" if activation == default else str(activation)
