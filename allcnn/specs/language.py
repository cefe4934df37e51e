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

The reader keeps its own stack, so that no nesting, however deep, ends in a RecursionError.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NoReturn

from allcnn.errors import SpecError
from allcnn.specs.layers import MAX_LAYERS, RELU, Activation, Layer, Padding, Spec, order_problem
from allcnn.specs.tokens import parse_activation, parse_padding, parse_token

MAX_CHARACTERS = 4_096
# 1,000 layers written out can need more than MAX_CHARACTERS, and a canonical text must always be readable.
_MAX_CANONICAL_CHARACTERS = MAX_LAYERS * 96

_OTHER_HYPHENS = "\u2010\u2011\u2012\u2013\u2014\u2212"  # hyphens, dashes and the minus sign of typeset text

_REPEAT = re.compile(r"(\d+)x\(", re.ASCII)
# Up to the next "-" or bracket; the brackets of an activation's number belong to the token.
_TOKEN = re.compile(r"[^-():]*(?::[^-()]*(?:\([^()]*\)?)?)?")
_DEFAULTS = re.compile(r"(s|v|p\d+)?(?::(.+))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Token:
    """A piece of the text and where it stands, both counted from 1."""

    number: int
    text: str
    column: int

    def refuse(self, problem: str) -> NoReturn:
        raise SpecError(f'token {self.number} "{_shortened(self.text)}" (character {self.column}): {problem}')


def _shortened(text: str) -> str:
    return text if len(text) <= 48 else f"{text[:45]}..."


@dataclass(slots=True)
class _Group:
    """The text inside the brackets of a repeat, or the whole text (`opener` None)."""

    opener: _Token | None = None
    count: int = 1
    items: list[tuple[Layer, _Token]] = field(default_factory=list)


def parse(text: str) -> Spec:
    """Reads a network's text.

    The text has at most 4,096 characters (a canonical text may be as long as its 1,000 layers need).

    Raises:
        SpecError: the text is not a network; the message names the token, its position and what would have worked.

    >>> str(parse("[v] 2x(96C3) - NC1 - GAP"))
    '96C3v-96C3v-NC1v-GAP'
    """
    if not isinstance(text, str):
        raise SpecError(f"a network's text must be a string such as 96C3-NC1-GAP; got {type(text).__name__}")
    if len(text) > _MAX_CANONICAL_CHARACTERS:
        _refuse_length(text)
    compact, columns = _without_spaces(text)
    if not compact:
        raise SpecError('the network\'s text is empty; write layers joined by "-", for example 96C3-96C3/2-NC1-GAP')
    items = _read(compact, columns)
    layers = tuple(layer for layer, _ in items)
    if wrong := order_problem(layers, lambda place: f'token {items[place][1].number} "{items[place][1].text}"'):
        items[wrong[0]][1].refuse(wrong[1])
    spec = Spec(layers)
    if len(text) > MAX_CHARACTERS and text != str(spec):
        _refuse_length(text)
    return spec


def _refuse_length(text: str) -> NoReturn:
    raise SpecError(
        f"the network's text has {len(text):,} characters, at most {MAX_CHARACTERS:,} are read; "
        "shorten it with repeats such as 2x(96C3-96C1)"
    )


def _without_spaces(text: str) -> tuple[str, list[int]]:
    """The text without white space, and for each character the column, from 1, where it stood."""
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
    return "".join(kept), columns


def _read(compact: str, columns: list[int]) -> list[tuple[Layer, _Token]]:
    """The layers, repeats expanded, each with the token that it came from."""
    padding, activation, position = _read_defaults(compact)
    groups = [_Group()]
    number = 1
    while True:
        if match := _REPEAT.match(compact, position):
            opener = _Token(number, match[0], columns[position])
            groups.append(_Group(opener, _repeat_count(opener, match[1])))
            position = match.end()
            continue
        match = _TOKEN.match(compact, position)
        token_end = match.end() if match else position
        column = columns[position] if position < len(compact) else columns[-1] + 1
        token = _Token(number, compact[position:token_end], column)
        following = compact[token_end : token_end + 1]
        if following == "(":
            _Token(number, token.text + "(", column).refuse(
                "an opening bracket without a repeat; write COUNTx(...), for example 2x(96C3-96C1)"
            )
        if not token.text:
            _refuse_empty(token, following, groups)
        try:
            groups[-1].items.append((parse_token(token.text, padding, activation), token))
        except SpecError as error:
            token.refuse(str(error))
        if len(groups[-1].items) > MAX_LAYERS:
            token.refuse(f"the network has more than {MAX_LAYERS:,} layers; shorten it")
        number += 1
        position = _close_groups(compact, columns, token_end, groups, number)
        if position == len(compact):
            break
        position += 1  # the "-"
    if groups[-1].opener is not None:
        groups[-1].opener.refuse('this repeat is never closed; add the missing ")"')
    return groups[0].items


def _read_defaults(compact: str) -> tuple[Padding, Activation, int]:
    if not compact.startswith("["):
        return "same", RELU, 0
    end = compact.find("]")
    block = compact[: end + 1] if end > 0 else compact
    example = "for example [v :leaky_relu(0.33)]"
    match = _DEFAULTS.fullmatch(block[1:-1])
    if end < 0 or match is None or not block[1:-1]:
        raise SpecError(
            f'defaults "{_shortened(block)}" (character 1 on): expected a padding (s, v or pN), then an activation, '
            f"either one optional, in square brackets, {example}"
        )
    try:
        padding = parse_padding(match[1]) if match[1] else "same"
        activation = parse_activation(match[2]) if match[2] else RELU
    except SpecError as error:
        raise SpecError(f'defaults "{_shortened(block)}": {error}') from None
    if compact[end + 1 : end + 2] == "-":
        raise SpecError(f'defaults "{_shortened(block)}": no "-" follows the square brackets, {example} 96C3-NC1-GAP')
    return padding, activation, end + 1


def _repeat_count(opener: _Token, digits: str) -> int:
    significant = digits.lstrip("0")
    if not significant:
        opener.refuse("a repeat must happen at least once, for example 2x(96C3-96C1)")
    if len(significant) > 9 or int(significant) > MAX_LAYERS:
        opener.refuse(f"this repeat gives more than {MAX_LAYERS:,} layers, the most a network may have")
    return int(significant)


def _refuse_empty(token: _Token, following: str, groups: list[_Group]) -> NoReturn:
    where = f"character {token.column}"
    if following == ")" and len(groups) == 1:
        raise SpecError(f'{where}: ")" closes no repeat; a repeat is for example 2x(96C3-96C1)')
    if following == "-":
        raise SpecError(f'{where}: a layer is missing before this "-"; layers are joined by one "-" each')
    if following == ")":
        raise SpecError(f'{where}: a layer is missing before this ")"; a repeat is for example 2x(96C3-96C1)')
    raise SpecError(f"{where}: the text ends where a layer should follow, for example GAP")


def _close_groups(compact: str, columns: list[int], position: int, groups: list[_Group], number: int) -> int:
    """Closes the repeats that end here; the position of the "-" that follows, or the end of the text."""
    while position < len(compact) and compact[position] == ")":
        group = groups[-1]
        if group.opener is None:
            raise SpecError(f'character {columns[position]}: ")" closes no repeat; write for example 2x(96C3-96C1)')
        # The product is looked at before the list is made.
        if group.count * len(group.items) + len(groups[-2].items) > MAX_LAYERS:
            group.opener.refuse(f"this repeat gives more than {MAX_LAYERS:,} layers, the most a network may have")
        groups.pop()
        groups[-1].items.extend(group.items * group.count)
        position += 1
    if position < len(compact) and compact[position] != "-":
        _Token(number, compact[position : position + 12], columns[position]).refuse(
            'a "-" is missing before this; layers are joined by "-", for example 2x(96C3)-NC1'
        )
    return position
