"""One token <-> one layer: the words of the spec language, without their order.

Every reading here either gives a layer or raises `TokenError`, whose message says what was wrong and which
form would have worked; `language.parse` adds the token's position.
"""

from __future__ import annotations

import re

from allcnn.specs.layers import (
    LINEAR,
    RELU,
    Activation,
    Conv,
    Dense,
    Dropout,
    GlobalAverage,
    Layer,
    Norm,
    Padding,
    Pool,
)

MAX_FILTERS = 65_536
MAX_SIZE = 1_024  # of a kernel, a window, a stride or a padding: larger than any image this package is for
MAX_ORDER = 1_000.0
# No layer needs as many; a longer token is not searched for what may have been meant, which would take minutes.
_LONGEST_GUESS = 128

#: The activations a spec may name, each with the Keras parameter that its one number sets (None: it takes none).
#: A number is taken where Keras has a stock layer for it, since the saved model is made of stock layers only.
#: Functions over several values at once (softmax, glu, ...) are left out: the softmax is implied, once, at the end.
ACTIVATIONS: dict[str, str | None] = {
    "celu": None,
    "elu": "alpha",
    "exponential": None,
    "gelu": None,
    "hard_shrink": None,
    "hard_sigmoid": None,
    "hard_silu": None,
    "hard_tanh": None,
    "leaky_relu": "negative_slope",
    "linear": None,
    "log_sigmoid": None,
    "mish": None,
    "relu": None,
    "relu6": None,
    "selu": None,
    "sigmoid": None,
    "silu": None,
    "soft_shrink": None,
    "softplus": None,
    "softsign": None,
    "sparse_plus": None,
    "sparse_sigmoid": None,
    "squareplus": None,
    "tanh": None,
    "tanh_shrink": None,
}

_NUMBER = r"\d+(?:\.\d+)?|\.\d+"
_CONV = re.compile(r"(\d+|N)C(\d+)(?:/(\d+))?(s|v|p\d+)?(?::(.*))?", re.ASCII)
_DENSE = re.compile(r"(\d+|N)FC(?::(.*))?", re.ASCII)
_POOL = re.compile(rf"(?:MP|AP|L({_NUMBER})P)(\d+)(?:/(\d+))?(s|v|p\d+)?(:.*)?", re.ASCII)
_DROPOUT = re.compile(rf"D({_NUMBER})", re.ASCII)
_ACTIVATION = re.compile(r"([A-Za-z_][A-Za-z_0-9]*)(?:\(([^()]*)\))?", re.ASCII)

_CONV_FORM = (
    "a convolution is FILTERS C SIZE, then /STRIDE, padding (s, v or pN) and :ACTIVATION in this order, "
    "for example 96C3/2v:relu"
)
_POOL_FORM = "a pooling layer is MP, AP or LpP, SIZE, then /STRIDE and s or v, for example MP3/2 or L2P3/2v"
_DROPOUT_FORM = "dropout is D and a rate, for example D.5"
_DENSE_FORM = "a fully connected layer is UNITS FC, for example 1024FC, or NFC for one unit per class"
_ANY_FORM = "a layer is a form such as 96C3/2, NC1, MP3/2, D.5, BN, :relu, GAP, 1024FC or NFC, for example 96C3/2"


class TokenError(ValueError):
    """A token cannot be read; the message lacks the position, which only the whole text knows."""


def parse_token(text: str, padding: Padding = "same", activation: Activation = RELU) -> Layer:
    """One token, without spaces, as a layer; `padding` and `activation` are the defaults for convolutions.

    Raises TokenError.
    """
    if text == "BN":
        return Norm()
    if text == "GAP":
        return GlobalAverage()
    if text.startswith(":"):
        return parse_activation(text[1:])
    if match := _CONV.fullmatch(text):
        filters, size, stride, own_padding, own_activation = match.groups()
        return Conv(
            _width(filters, "filters"),
            _whole("the kernel size", size),
            _whole("the stride", stride) if stride else 1,
            parse_padding(own_padding) if own_padding else padding,
            activation if own_activation is None else parse_activation(own_activation),
        )
    if match := _DENSE.fullmatch(text):
        units, own_activation = match.groups()
        default = LINEAR if units == "N" else RELU
        return Dense(_width(units, "units"), default if own_activation is None else parse_activation(own_activation))
    if match := _POOL.fullmatch(text):
        return _pool(text, match)
    if match := _DROPOUT.fullmatch(text):
        rate = _number("the rate", match[1])
        if rate >= 1:
            raise TokenError(f"the dropout rate must be 0 or more and less than 1, for example D.5; got {match[1]}")
        return Dropout(rate)
    raise TokenError(_not_a_layer(text))


def parse_padding(text: str) -> Padding:
    """s, v or pN as a padding. Raises TokenError."""
    if text == "s":
        return "same"
    if text == "v":
        return "valid"
    return _whole("the padding", text[1:], least=0)


def parse_activation(text: str) -> Activation:
    """What follows the colon: a name of `ACTIVATIONS`, with at most one number. Raises TokenError."""
    match = _ACTIVATION.fullmatch(text)
    if match is None:
        raise TokenError(
            f'":{_shortened(text)}" is not an activation; write a Keras name, with at most one number, '
            "for example :leaky_relu(0.33)"
        )
    name, argument = match.groups()
    if name not in ACTIVATIONS:
        if name == "softmax":
            raise TokenError("the softmax at the end is implied; leave it out, or write :linear for no activation")
        raise TokenError(f'unknown activation "{_shortened(name)}"; {_nearest_activation(name)}')
    if argument is None:
        return Activation(name)
    parameter = ACTIVATIONS[name]
    if parameter is None:
        raise TokenError(f"the activation {name} takes no number; write :{name}")
    return Activation(name, _number(f"the {parameter} of {name}", argument))


def token_text(layer: Layer) -> str:
    """The canonical token of a layer: nothing that its defaults already say. Raises TokenError for no layer."""
    match layer:
        case Conv():
            text = f"{_width_text(layer.filters)}C{layer.size}{_stride_text(layer.stride, 1)}"
            return text + _padding_text(layer.padding) + _suffix(layer.activation, RELU)
        case Pool():
            kinds = {"max": "MP", "average": "AP", "norm": f"L{_number_text(layer.order or 0.0)}P"}
            if layer.kind not in kinds:
                raise TokenError(f'{layer!r}: the kind of a pooling layer must be "max", "average" or "norm"')
            kind = kinds[layer.kind]
            return f"{kind}{layer.size}{_stride_text(layer.stride, layer.size)}{_padding_text(layer.padding)}"
        case Dropout():
            return "D" + _number_text(layer.rate).removeprefix("0" if 0 < layer.rate < 1 else "")
        case Norm():
            return "BN"
        case GlobalAverage():
            return "GAP"
        case Dense():
            return f"{_width_text(layer.units)}FC" + _suffix(layer.activation, LINEAR if layer.units is None else RELU)
        case Activation():
            return f":{_activation_text(layer)}"
        case _:
            raise TokenError(f"{layer!r:.80} is not a layer of a network; use Conv, Pool, Dropout and the like")


def _pool(text: str, match: re.Match[str]) -> Pool:
    order_text, size_text, stride_text, padding_text, activation = match.groups()
    if padding_text and padding_text.startswith("p"):
        same, valid = (_shortened(text.replace(padding_text, other)) for other in ("s", "v"))
        raise TokenError(
            f"a pooling layer takes no {_shortened(padding_text)}: max-pooling pads with -infinity and averages leave "
            f"padding out, so zeros would change the result; write {same} or {valid}"
        )
    if activation:
        apart = _shortened(text.replace(":", "-:", 1))
        raise TokenError(f"a pooling layer has no activation of its own; write {apart}")
    order = None
    if order_text:
        order = _number("the order p", order_text)
        if not 1 <= order <= MAX_ORDER:
            raise TokenError(
                f"the order p must be from 1 to {MAX_ORDER:,g}, for example L2P3/2; got {order_text}"
                + (" (MP3/2 is the limit of large p)" if order > 1 else "")
            )
    size = _whole("the window size", size_text)
    stride = _whole("the stride", stride_text) if stride_text else size
    kind = "norm" if order_text else "max" if text.startswith("MP") else "average"
    return Pool(kind, size, stride, "valid" if padding_text == "v" else "same", order)


def _width(text: str, what: str) -> int | None:
    return None if text == "N" else _whole(f"the number of {what}", text, most=MAX_FILTERS)


def _whole(what: str, digits: str, least: int = 1, most: int = MAX_SIZE) -> int:
    # The length is looked at first: int() itself refuses several thousand digits, with another error.
    significant = digits.lstrip("0")
    if len(significant) > 9 or not least <= int(significant or "0") <= most:
        raise TokenError(f"{what} must be from {least} to {most:,}; got {_shortened(digits)}")
    return int(significant or "0")


def _number(what: str, text: str) -> float:
    whole, _, decimals = text.partition(".")
    if not re.fullmatch(_NUMBER, text, re.ASCII) or len(whole) > 9 or len(decimals) > 30:
        raise TokenError(
            f"{what} must be a plain number of 0 or more, such as 0.33 (at most 9 digits and 30 decimals); "
            f'got "{_shortened(text)}"'
        )
    return float(text)


def _shortened(text: str) -> str:
    return text if len(text) <= 24 else f"{text[:20]}..."


def _nearest_activation(name: str) -> str:
    from difflib import get_close_matches

    alias = {"swish": ["silu"], "hard_swish": ["hard_silu"]}.get(name.lower())
    nearest = alias or get_close_matches(name.lower(), ACTIVATIONS, n=1, cutoff=0.7)
    return f'did you mean ":{nearest[0]}"?' if nearest else f"known are {', '.join(ACTIVATIONS)}"


def _not_a_layer(text: str) -> str:
    """Says which form was probably meant."""
    if len(text) > _LONGEST_GUESS:
        return f"not a layer. Expected: {_ANY_FORM}"
    body, colon, activation = text.partition(":")
    upper = re.sub(r"(?<=\d)(?:[SV]|P\d+)$", lambda found: found[0].lower(), body.upper()) + colon + activation
    swapped = re.sub(r"^(.*\d)(s|v|p\d+)(/\d+)(?=:|$)", r"\1\3\2", text)
    square = re.sub(r"(\d+)[xX]\1(?!\d)", r"\1", text)
    for candidate in (upper, swapped, square, f":{text}"):
        if candidate != text and _readable(candidate):
            return f'not a layer; did you mean "{candidate}"?'
    for shape, form in (
        (r".*FC.*", _DENSE_FORM),
        (r"(MP|AP|L\d).*", _POOL_FORM),
        (r"D[\d.-].*|D", _DROPOUT_FORM),
        (r"(\d+|N)?C\d*.*|(\d+|N)C.*", _CONV_FORM),
    ):
        if re.fullmatch(shape, text):
            return f"not a layer. Expected: {form}"
    return f"not a layer. Expected: {_ANY_FORM}"


def _readable(text: str) -> bool:
    """Whether a correction is itself a layer; asking `parse_token` about any other text would lead back here."""
    patterns = (_CONV, _DENSE, _POOL, _DROPOUT)
    if text not in ("BN", "GAP") and text[0] != ":" and not any(pattern.fullmatch(text) for pattern in patterns):
        return False
    try:
        parse_token(text)
    except TokenError:
        return False
    return True


def _width_text(width: int | None) -> str:
    return "N" if width is None else str(width)


def _stride_text(stride: int, default: int) -> str:
    return "" if stride == default else f"/{stride}"


def _padding_text(padding: Padding) -> str:
    if padding == "same":
        return ""
    if padding == "valid":
        return "v"
    if isinstance(padding, str):
        raise TokenError(f'the padding must be "same", "valid" or a number of zeros; got "{padding}"')
    return f"p{padding}"


def _suffix(activation: Activation, default: Activation) -> str:
    return "" if activation == default else f":{_activation_text(activation)}"


def _activation_text(activation: Activation) -> str:
    return activation.name if activation.argument is None else f"{activation.name}({_number_text(activation.argument)})"


def _number_text(value: float) -> str:
    """The shortest plain decimal that reads back as the same float."""
    text = repr(float(value))
    if "e" in text:
        from decimal import Decimal

        text = f"{Decimal(text):f}"
    return text.removesuffix(".0")
