"""One token -> one layer: the words of the spec language, without their order.

Every reading here either gives a layer or raises SpecError, whose message says what was wrong and which form would have
worked; `language.parse` adds the token's position. What a number may be is the layer's own affair.
"""

from __future__ import annotations

import re

from allcnn.errors import SpecError
from allcnn.specs.layers import (
    ACTIVATIONS,
    LINEAR,
    MAX_DECIMALS,
    MAX_DIGITS,
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
    not_a_number,
    shortened,
)

# No layer needs as many; a longer token is not searched for what may have been meant, which would take minutes.
_LONGEST_GUESS = 128

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


def parse_token(text: str, padding: Padding = "same", activation: Activation = RELU) -> Layer:
    """One token, without spaces, as a layer; `padding` and `activation` are the defaults for convolutions.

    Raises SpecError.
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
            _width(filters),
            _whole(size),
            _whole(stride) if stride else 1,
            parse_padding(own_padding) if own_padding else padding,
            activation if own_activation is None else parse_activation(own_activation),
        )
    if match := _DENSE.fullmatch(text):
        units, own_activation = match.groups()
        default = LINEAR if units == "N" else RELU
        return Dense(_width(units), default if own_activation is None else parse_activation(own_activation))
    if match := _POOL.fullmatch(text):
        return _pool(text, match)
    if match := _DROPOUT.fullmatch(text):
        return Dropout(_number("the rate", match[1]))
    raise SpecError(_not_a_layer(text))


def parse_padding(text: str) -> Padding:
    """s, v or pN as a padding. Raises SpecError."""
    if text == "s":
        return "same"
    if text == "v":
        return "valid"
    return _whole(text[1:])


def parse_activation(text: str) -> Activation:
    """What follows the colon: a name of `ACTIVATIONS`, with at most one number. Raises SpecError."""
    match = _ACTIVATION.fullmatch(text)
    if match is None:
        raise SpecError(
            f'":{shortened(text)}" is not an activation; write a Keras name, with at most one number, '
            "for example :leaky_relu(0.33)"
        )
    name, argument = match.groups()
    if argument is None or ACTIVATIONS.get(name) is None:
        return Activation(name, None if argument is None else 0.0)  # it says itself why it takes no number
    return Activation(name, _number(f"the {ACTIVATIONS[name]} of {name}", argument))


def _pool(text: str, match: re.Match[str]) -> Pool:
    order_text, size_text, stride_text, padding_text, activation = match.groups()
    if padding_text and padding_text.startswith("p"):
        same, valid = (shortened(text.replace(padding_text, other)) for other in ("s", "v"))
        raise SpecError(
            f"a pooling layer takes no {shortened(padding_text)}: max-pooling pads with -infinity and averages leave "
            f"padding out, so zeros would change the result; write {same} or {valid}"
        )
    if activation:
        apart = shortened(text.replace(":", "-:", 1))
        raise SpecError(f"a pooling layer has no activation of its own; write {apart}")
    order = _number("the order p", order_text) if order_text else None
    size = _whole(size_text)
    stride = _whole(stride_text) if stride_text else size
    kind = "norm" if order_text else "max" if text.startswith("MP") else "average"
    return Pool(kind, size, stride, "valid" if padding_text == "v" else "same", order)


def _width(text: str) -> int | None:
    return None if text == "N" else _whole(text)


def _whole(digits: str) -> int:
    # int() itself refuses several thousand digits, with another error; far fewer are too many for any layer.
    return int(digits.lstrip("0")[:30] or "0")


def _number(what: str, text: str) -> float:
    whole, _, decimals = text.partition(".")
    if not re.fullmatch(_NUMBER, text, re.ASCII) or len(whole) > MAX_DIGITS or len(decimals) > MAX_DECIMALS:
        raise SpecError(not_a_number(what, text))
    return float(text)


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
    except SpecError:
        return False
    return True
