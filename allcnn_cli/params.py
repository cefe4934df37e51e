"""`allcnn params`: networks by arithmetic alone. Loads neither numpy nor Keras."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Annotated, Any

import typer

from allcnn.errors import InputError
from allcnn.specs import ZOO, LayerShape, Network, layer_shapes, resolve
from allcnn_cli import options
from allcnn_cli.output import percent, show, show_json, show_sentence, show_table

# Of the JSON document: those of a published network, and those of a layer.
_PUBLISHED_KEYS = ("published_parameters", "published_parameters_millions", "published_error_percent", "source")
_LAYER_KEYS = ("name", "token", "output_shape", "parameters", "multiply_adds", "receptive_field", "jump")


@dataclass(frozen=True)
class _Account:
    """A network's arithmetic, for one input shape and number of classes."""

    spec: str
    network: Network | None
    input_shape: tuple[int, ...]
    classes: int
    rows: tuple[LayerShape, ...]

    @property
    def published(self) -> Network | None:
        """The published network, where this is just what was published: other classes make another network."""
        network = self.network
        if network is None or (network.input_shape, network.classes) != (self.input_shape, self.classes):
            return None
        return network

    @property
    def parameters(self) -> int:
        return sum(row.parameters for row in self.rows)

    @property
    def multiply_adds(self) -> int:
        return sum(row.multiply_adds for row in self.rows)

    @property
    def receptive_field(self) -> int:
        """What a position of the last map sees: past it everything sees the whole image."""
        maps = [row for row in self.rows if len(row.output_shape) == 3]
        return (maps[-1] if maps else self.rows[-1]).receptive_field

    @property
    def notes(self) -> tuple[str, ...]:
        return self.network.notes if self.network else ()

    def as_dict(self, layers: bool) -> dict[str, Any]:
        document = {
            "name": self.network.name if self.network else None,
            "published_name": self.network.published_name if self.network else None,
            "spec": self.spec,
            "input_shape": self.input_shape,
            "classes": self.classes,
            "parameters": self.parameters,
            **{key: getattr(self.published, key) if self.published else None for key in _PUBLISHED_KEYS},
            "multiply_adds": self.multiply_adds,
            "receptive_field": self.receptive_field,
            "notes": self.notes,
        }
        if layers:
            document["layers"] = [{key: getattr(row, key) for key in _LAYER_KEYS} for row in self.rows]
        return document


def params(
    networks: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL|SPEC",
            help="Names or texts. [dim]\\[default: all published][/]",
            autocompletion=options.names_of(options.NETWORKS),
        ),
    ] = None,
    layers: Annotated[bool, options.option("", "Show every layer.", "--layers")] = False,
    classes: Annotated[
        int | None, options.option("N", "Number of classes.", default="the published network's, else 10")
    ] = None,
    input_text: Annotated[
        str | None,
        options.option(
            "HxW", "Image size: 64, 64x48 or 64,48,3.", "--input", default="the published network's, else 32x32"
        ),
    ] = None,
    wide: options.Wide = False,
    as_json: options.Json = False,
) -> None:
    """Count parameters and multiply-adds of networks.

    Exact, by arithmetic, beside the published counts and errors.

    Examples:
      allcnn params
      allcnn params all-c "D.2-96C3-96C3/2-NC1-GAP" --layers
    """
    input_shape = None if input_text is None else _input_shape(input_text)
    accounts = [_account(text, input_shape, classes) for text in networks or ZOO]
    if as_json:
        show_json({"networks": [account.as_dict(layers) for account in accounts]})
    elif layers:
        _show_layers(accounts)
    else:
        _show_networks(accounts, wide, with_notes=wide or bool(networks))


def _account(text: str, input_shape: tuple[int, ...] | None, classes: int | None) -> _Account:
    spec, network = resolve(text)
    shape = input_shape or (network.input_shape if network else (32, 32, 3))
    count = classes if classes is not None else network.classes if network else 10
    return _Account(str(spec), network, shape, count, layer_shapes(spec, shape, count))


def _input_shape(text: str) -> tuple[int, ...]:
    """64, 64x48, 64,48 or 64,48,3 -> (height, width, channels)."""
    parts = re.split(r"[x,]", text.lower().replace(" ", "").strip("()"))
    if not 1 <= len(parts) <= 3 or not all(re.fullmatch(r"\d{1,6}", part) for part in parts):
        raise InputError(f'--input "{text}": expected a size in pixels such as 64, 64x48 or 64,48,3.')
    sizes = [int(part) for part in parts]
    height, width = sizes[0], sizes[min(1, len(sizes) - 1)]
    return height, width, sizes[2] if len(sizes) == 3 else 3


def _show_networks(accounts: Sequence[_Account], wide: bool, with_notes: bool) -> None:
    headings = ("network", "published as", "parameters", "published", "error %", "multiply-adds", "field", "notes")
    notes: dict[str, int] = {}
    rows = []
    for account in accounts:
        network, published = account.network, account.published
        marks = [notes.setdefault(note, len(notes) + 1) for note in account.notes]
        rows.append(
            (
                network.name if network else account.spec,
                network.published_name if network else "-",
                f"{account.parameters:,}",
                (published.published_parameters if published else None) or "-",
                percent(published.published_error_percent) if published else "-",
                f"{account.multiply_adds:,}",
                f"{account.receptive_field:,}",
                ",".join(map(str, sorted(marks))),
            )
        )
    shown = (True, wide, True, True, True, True, wide, with_notes and bool(notes))
    show_table([*compress(headings, shown)], [[*compress(row, shown)] for row in rows], left=1 + wide)
    show()
    show('"published" and "error %" are the publication\'s.')
    if wide:
        show('"field" is what a position of the last map sees, in pixels.')
    if not with_notes:
        show_sentence(
            f"--wide shows more columns, and {len(notes)} notes where the sources disagree or leave a choice."
        )
        return
    for note, number in notes.items():
        show_sentence(note, f"{number:>3}  ")


def _show_layers(accounts: Sequence[_Account]) -> None:
    for number, account in enumerate(accounts):
        network = account.network
        if number:
            show()
        show(f"{network.name} ({network.published_name}): {account.spec}" if network else account.spec)
        show(f"input {_sizes(account.input_shape)}, {account.classes:,} classes")
        show()
        rows = [
            (
                row.name,
                row.token,
                _sizes(row.output_shape),
                f"{row.parameters:,}",
                f"{row.multiply_adds:,}",
                f"{row.receptive_field:,}",
                f"{row.jump:,}",
            )
            for row in account.rows
        ]
        rows.append(("total", "", "", f"{account.parameters:,}", f"{account.multiply_adds:,}", "", ""))
        headings = ("layer", "token", "output", "parameters", "multiply-adds", "field", "stride")
        show_table(headings, rows, left=2, total=True)
        if account.published and account.published.published_parameters:
            show_sentence(
                f"published: {account.published.published_parameters} parameters ({account.published.source})"
            )
        for note in account.notes:
            show_sentence(f"note: {note}")


def _sizes(shape: Sequence[int]) -> str:
    return " x ".join(f"{size:,}" for size in shape)
