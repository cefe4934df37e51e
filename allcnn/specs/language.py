"""The spec language: a network as one line of text.

    spec      [defaults] token - token - ...        joined by "-"; spaces are free
    conv      96C3  96C3/2  192C3v  96C5p1  NC1  96C3/2v:leaky_relu(0.33)
    pool      MP3/2  AP2  L2P3/2v                    no stride: stride = size
    dropout   D.5
    norm      BN
    act       :relu
    head      GAP  1024FC  NFC
    repeat    2x(96C3-96C1)
    defaults  [v :leaky_relu(0.33)]                  for the convolutions that name none

This file checks the form of tokens and the brackets. The values of `allcnn.specs.layers` check numbers, names and the
order of layers, when they are made.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NoReturn

from allcnn.errors import SpecError
from allcnn.specs.layers import (
    ACTIVATIONS,
    LINEAR,
    MAX_LAYERS,
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
    Spec,
    plain_number,
    shortened,
)

MAX_CHARACTERS = 4_096
# 1,000 layers written out can need more than MAX_CHARACTERS, and a canonical text must always be readable.
_MAX_CANONICAL_CHARACTERS = MAX_LAYERS * 96

_OTHER_HYPHENS = "\u2010\u2011\u2012\u2013\u2014\u2212"  # hyphens, dashes and the minus sign of typeset text

_REPEAT = re.compile(r"(\d+)x\(", re.ASCII)
# Up to the next "-" or bracket; the brackets of an activation's number belong to the token.
_TOKEN = re.compile(r"[^-():]*(?::[^-()]*(?:\([^()]*\)?)?)?")
_DEFAULTS = re.compile(r"(s|v|p\d+)?(?::(.+))?", re.ASCII)

_NUMBER = r"\d+(?:\.\d+)?|\.\d+"
_CONV = re.compile(r"(\d+|N)C(\d+)(?:/(\d+))?(s|v|p\d+)?(?::(.*))?", re.ASCII)
_DENSE = re.compile(r"(\d+|N)FC(?::(.*))?", re.ASCII)
_POOL = re.compile(rf"(?:MP|AP|L({_NUMBER})P)(\d+)(?:/(\d+))?(s|v|p\d+)?(:.*)?", re.ASCII)
_DROPOUT = re.compile(rf"D({_NUMBER})", re.ASCII)
_ACTIVATION = re.compile(r"([A-Za-z_][A-Za-z_0-9]*)(?:\(([^()]*)\))?", re.ASCII)

# What a wrong token looks like, and the form that was probably meant; the last fits everything.
_FORMS = (
    (r".*FC.*", "a fully connected layer is UNITS FC, for example 1024FC, or NFC for one unit per class"),
    (r"(MP|AP|L\d).*", "a pooling layer is MP, AP or LpP, SIZE, then /STRIDE and s or v, for example MP3/2 or L2P3/2v"),
    (r"D[\d.-].*|D", "dropout is D and a rate, for example D.5"),
    (
        r"(\d+|N)?C.*",
        "a convolution is FILTERS C SIZE, then /STRIDE, padding (s, v or pN) and :ACTIVATION in this order, "
        "for example 96C3/2v:relu",
    ),
    (r".*", "a layer is a form such as 96C3/2, NC1, MP3/2, D.5, BN, :relu, GAP, 1024FC or NFC, for example 96C3/2"),
)
# No layer needs as many characters. To search a longer token for what may have been meant would take minutes.
_LONGEST_GUESS = 128


@dataclass(frozen=True, slots=True)
class _Token:
    """A piece of the text and where it stands, both counted from 1."""

    number: int
    text: str
    column: int

    def __str__(self) -> str:
        return f'token {self.number} "{shortened(self.text, 48)}" (character {self.column})'

    def refuse(self, problem: str) -> NoReturn:
        raise SpecError(f"{self}: {problem}")


@dataclass(slots=True)
class _Group:
    """The layers inside the brackets of a repeat, or of the whole text (`opener` None)."""

    opener: _Token | None = None
    count: int = 1
    items: list[tuple[Layer, _Token]] = field(default_factory=list)


def parse(text: str) -> Spec:
    """Read a network's text.

    The text has at most 4,096 characters (a canonical text may be as long as its 1,000 layers need).

    Raises:
        SpecError: the text is not a network; the message names the token, its position and what would have worked.

    >>> str(parse("[v] 2x(96C3) - NC1 - GAP"))
    '96C3v-96C3v-NC1v-GAP'
    """
    if not isinstance(text, str):
        raise SpecError(f"a network's text must be a string such as 96C3-NC1-GAP; got {type(text).__name__}")
    if len(text) > _MAX_CANONICAL_CHARACTERS:
        raise _too_long(text)
    compact, columns = _without_spaces(text)
    if not compact:
        raise SpecError('the network\'s text is empty; write layers joined by "-", for example 96C3-96C3/2-NC1-GAP')
    items = _read(compact, columns)
    spec = Spec(tuple(layer for layer, _ in items), [str(token) for _, token in items])
    if len(text) > MAX_CHARACTERS and text != str(spec):
        raise _too_long(text)
    return spec


def _too_long(text: str) -> SpecError:
    return SpecError(
        f"the network's text has {len(text):,} characters, at most {MAX_CHARACTERS:,} are read; "
        "shorten it with repeats such as 2x(96C3-96C1)"
    )


def _without_spaces(text: str) -> tuple[str, list[int]]:
    """The text without white space; the column of each character, counted from 1, and the column after the last."""
    kept: list[str] = []
    columns: list[int] = []
    for column, character in enumerate(text, start=1):
        if character in " \t\r\n":
            continue
        if not "!" <= character <= "~":
            hint = ' (layers are joined by the plain hyphen "-")' if character in _OTHER_HYPHENS else ""
            raise SpecError(
                f"character {column}: {character!r} does not belong in a network's text; "
                f"use plain ASCII, for example 96C3-NC1-GAP{hint}"
            )
        if kept and columns[-1] != column - 1 and (kept[-1] + character).isdigit():
            raise SpecError(
                f'character {column}: a space between two digits; join layers by "-", for example D.2-96C3, '
                "and write a number in one piece"
            )
        kept.append(character)
        columns.append(column)
    return "".join(kept), [*columns, columns[-1] + 1 if columns else 1]


def _read(compact: str, columns: list[int]) -> list[tuple[Layer, _Token]]:
    """The layers, repeats expanded, each with the token that it came from.

    The repeats that are open are kept on a stack of our own, so that no nesting ends in a RecursionError.
    """
    padding, activation, position = _read_defaults(compact)
    groups = [_Group()]
    number = 0
    while position < len(columns):
        number += 1
        while match := _REPEAT.match(compact, position):
            opener = _Token(number, match[0], columns[position])
            groups.append(_Group(opener, _repeat_count(opener, match[1])))
            position = match.end()
        match = _TOKEN.match(compact, position)
        token = _Token(number, match[0] if match else "", columns[position])
        position += len(token.text)
        following = compact[position : position + 1]
        if following == "(":
            _Token(number, f"{token.text}(", token.column).refuse(
                "an opening bracket without a repeat; write COUNTx(...), for example 2x(96C3-96C1)"
            )
        if not token.text:
            _refuse_empty(token.column, following, groups)
        try:
            layer = _layer(token.text, padding, activation)
        except SpecError as error:
            token.refuse(str(error))
        if layer is None:
            token.refuse(f"not a layer{_meant(token.text)}")
        groups[-1].items.append((layer, token))
        if len(groups[-1].items) > MAX_LAYERS:
            token.refuse(f"the network has more than {MAX_LAYERS:,} layers; shorten it")
        while compact[position : position + 1] == ")":
            _close_repeat(columns[position], groups)
            position += 1
        if position < len(compact) and compact[position] != "-":
            _Token(number + 1, compact[position : position + 12], columns[position]).refuse(
                'a "-" is missing before this; layers are joined by "-", for example 2x(96C3)-NC1'
            )
        position += 1  # the "-", or the end
    if groups[-1].opener is not None:
        groups[-1].opener.refuse('this repeat is never closed; add the missing ")"')
    return groups[0].items


def _read_defaults(compact: str) -> tuple[Padding, Activation, int]:
    """The padding and the activation of convolutions that name none, and where the layers begin."""
    if not compact.startswith("["):
        return "same", RELU, 0
    end = compact.find("]")
    block = compact[: end + 1] if end > 0 else compact
    where, example = f'defaults "{shortened(block, 48)}"', "for example [v :leaky_relu(0.33)]"
    match = _DEFAULTS.fullmatch(block[1:-1])
    if end < 0 or match is None or not block[1:-1]:
        raise SpecError(
            f"{where} (character 1 on): expected a padding (s, v or pN), then an activation, "
            f"either one optional, in square brackets, {example}"
        )
    try:
        padding, activation = _padding(match[1], "same"), _activation(match[2], RELU)
    except SpecError as error:
        raise SpecError(f"{where}: {error}") from None
    if compact[end + 1 : end + 2] == "-":
        raise SpecError(f'{where}: no "-" follows the square brackets, {example} 96C3-NC1-GAP')
    return padding, activation, end + 1


def _repeat_count(opener: _Token, digits: str) -> int:
    count = _whole(digits)
    if count == 0:
        opener.refuse("a repeat must happen at least once, for example 2x(96C3-96C1)")
    if count > MAX_LAYERS:
        _refuse_repeat(opener)
    return count


def _close_repeat(column: int, groups: list[_Group]) -> None:
    """Write the layers of the innermost repeat out into the group around it."""
    group = groups.pop()
    if group.opener is None:
        _refuse_closing(column)
    # The product is looked at before the list is made.
    if group.count * len(group.items) + len(groups[-1].items) > MAX_LAYERS:
        _refuse_repeat(group.opener)
    groups[-1].items.extend(group.items * group.count)


def _refuse_repeat(opener: _Token) -> NoReturn:
    opener.refuse(f"this repeat gives more than {MAX_LAYERS:,} layers, the most a network may have")


def _refuse_closing(column: int) -> NoReturn:
    raise SpecError(f'character {column}: ")" closes no repeat; a repeat is for example 2x(96C3-96C1)')


def _refuse_empty(column: int, following: str, groups: list[_Group]) -> NoReturn:
    if not following:
        raise SpecError(f"character {column}: the text ends where a layer should follow, for example GAP")
    if following == ")" and groups[-1].opener is None:
        _refuse_closing(column)
    rule = 'layers are joined by one "-" each' if following == "-" else "a repeat is for example 2x(96C3-96C1)"
    raise SpecError(f'character {column}: a layer is missing before this "{following}"; {rule}')


def is_token(text: str) -> bool:
    """Whether a text, without spaces, is a layer."""
    try:
        return _layer(text) is not None
    except SpecError:
        return False


def _layer(text: str, padding: Padding = "same", activation: Activation = RELU) -> Layer | None:
    """The layer of a token, which has no spaces; None if its form is no layer's.

    Args:
        padding, activation: of a convolution that names none.

    Raises:
        SpecError: the form is that of a layer, and a number or a name in it is wrong.
    """
    if text == "BN":
        return Norm()
    if text == "GAP":
        return GlobalAverage()
    if text.startswith(":"):
        return _activation(text[1:], RELU)
    if match := _CONV.fullmatch(text):
        filters, size, stride, own_padding, own_activation = match.groups()
        own_padding, own_activation = _padding(own_padding, padding), _activation(own_activation, activation)
        return Conv(_width(filters), _whole(size), _whole(stride or "1"), own_padding, own_activation)
    if match := _DENSE.fullmatch(text):
        units, own_activation = match.groups()
        return Dense(_width(units), _activation(own_activation, LINEAR if units == "N" else RELU))
    if match := _POOL.fullmatch(text):
        return _pool(text, match)
    if match := _DROPOUT.fullmatch(text):
        return Dropout(plain_number("the rate", match[1]))
    return None


def _pool(text: str, match: re.Match[str]) -> Pool:
    order, size, stride, padding, activation = match.groups()
    if padding and padding.startswith("p"):
        same, valid = (shortened(text.replace(padding, other)) for other in ("s", "v"))
        raise SpecError(
            f"a pooling layer takes no {shortened(padding)}: max-pooling pads with -infinity and averages leave "
            f"padding out, so zeros would change the result; write {same} or {valid}"
        )
    if activation:
        apart = shortened(text.replace(":", "-:", 1))
        raise SpecError(f"a pooling layer has no activation of its own; write {apart}")
    kind = "norm" if order else "max" if text.startswith("MP") else "average"
    return Pool(
        kind, _whole(size), _whole(stride or size), _padding(padding, "same"),
        plain_number("the order p", order) if order else None,
    )  # fmt: skip


def _padding(text: str | None, default: Padding) -> Padding:
    """s, v or pN as a padding."""
    if not text:
        return default
    return {"s": "same", "v": "valid"}.get(text) or _whole(text[1:])


def _activation(text: str | None, default: Activation) -> Activation:
    """The text after the colon: a name of `ACTIVATIONS`, with at most one number. Raises SpecError."""
    if text is None:
        return default
    match = _ACTIVATION.fullmatch(text)
    if match is None:
        raise SpecError(
            f'":{shortened(text)}" is not an activation; write a Keras name, with at most one number, '
            "for example :leaky_relu(0.33)"
        )
    name, argument = match.groups()
    if argument is None or ACTIVATIONS.get(name) is None:
        return Activation(name, None if argument is None else 0.0)  # it says itself why it takes no number
    return Activation(name, plain_number(f"the {ACTIVATIONS[name]} of {name}", argument))


def _width(text: str) -> int | None:
    return None if text == "N" else _whole(text)


def _whole(digits: str) -> int:
    # int() itself refuses several thousand digits, with another error; far fewer are too many for any layer.
    return int(digits.lstrip("0")[:30] or "0")


def _meant(text: str) -> str:
    """For a text that is no layer: the layer or the form that was probably meant."""
    if len(text) > _LONGEST_GUESS:
        return f". Expected: {_FORMS[-1][1]}"
    body, colon, activation = text.partition(":")
    upper = re.sub(r"(?<=\d)(?:[SV]|P\d+)$", lambda found: found[0].lower(), body.upper()) + colon + activation
    swapped = re.sub(r"^(.*\d)(s|v|p\d+)(/\d+)(?=:|$)", r"\1\3\2", text)
    square = re.sub(r"(\d+)[xX]\1(?!\d)", r"\1", text)
    for candidate in (upper, swapped, square, f":{text}"):
        if candidate != text and is_token(candidate):
            return f'; did you mean "{candidate}"?'
    return next(f". Expected: {form}" for looks, form in _FORMS if re.fullmatch(looks, text))
