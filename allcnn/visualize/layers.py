"""Finding a layer by name, in nested models too."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import TYPE_CHECKING

from allcnn.errors import InputError

if TYPE_CHECKING:
    import keras


def named_layers(model: keras.Model, prefix: str = "") -> Iterator[tuple[str, keras.layers.Layer]]:
    """Every layer with its name, those of a nested model as "nested/inner"."""
    for layer in model.layers:
        yield prefix + layer.name, layer
        if hasattr(layer, "layers"):
            yield from named_layers(layer, f"{prefix}{layer.name}/")


def find_layer(model: keras.Model, name: str) -> keras.layers.Layer:
    """The layer of that name; the last part of a nested layer's is enough where only one has it.

    Raises:
        InputError: there is none, or more than one.
    """
    layers = dict(named_layers(model))
    if name in layers:
        return layers[name]
    inner = [full for full in layers if full.endswith(f"/{name}")]
    if len(inner) == 1:
        return layers[inner[0]]
    if inner:
        raise InputError(f'several layers are named "{name}"; expected one of: {", ".join(inner)}.')
    near = get_close_matches(name, layers, n=3, cutoff=0.5) or list(layers)[:20]
    raise InputError(f'the model has no layer "{name}"; expected, for example: {", ".join(near)}.')
