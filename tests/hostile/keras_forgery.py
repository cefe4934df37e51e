"""Makes .keras files that Keras did not write: one good small model, with parts of its archive exchanged."""

from __future__ import annotations

import functools
import io
import json
import struct
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
#: Where the kernel of the good model's convolution lies in its HDF5 file.
KERNEL = "layers/conv2d/vars/0"


@functools.cache
def good_members() -> dict[str, bytes]:
    """The archive of a good model of 6x6 images and 3 classes: input, conv1, gap, fc."""
    import keras

    image = keras.Input((6, 6, 3), name="image")
    values = keras.layers.Conv2D(4, 3, activation="relu", name="conv1")(image)
    values = keras.layers.GlobalAveragePooling2D(name="gap")(values)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "good.keras"
        keras.Model(image, keras.layers.Dense(3, activation="softmax", name="fc")(values)).save(path)
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist()}


def config_with(change: Callable[[dict[str, Any]], object]) -> bytes:
    """The good model's config.json after `change` was made to it."""
    config = json.loads(good_members()[CONFIG])
    change(config)
    return json.dumps(config).encode()


def layer_with(name: str, **entries: Any) -> bytes:
    """config.json with entries of a layer replaced; those of its own configuration as config={...}."""

    def change(config: dict[str, Any]) -> None:
        (layer,) = [layer for layer in config["config"]["layers"] if layer["name"] == name]
        layer["config"].update(entries.pop("config", {}))
        layer.update(entries)

    return config_with(change)


def function(module: str, name: str) -> dict[str, Any]:
    """How config.json names a function."""
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


def kernel_with(make: Callable[[h5py.File], object]) -> bytes:
    """The good model's weights without the convolution's kernel, after `make` put something in its place."""
    content = io.BytesIO(good_members()[WEIGHTS])
    with h5py.File(content, "r+") as file:
        del file[KERNEL]
        make(file)
    return content.getvalue()


def write_keras(path: Path, members: dict[str, bytes] | None = None, without: str = "", **options: Any) -> Path:
    """Write the good model with some members replaced, added or left out; options: as of zipfile.ZipFile."""
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in {**good_members(), **(members or {})}.items():
            if name != without:
                archive.writestr(name, content)
    return path


#: (offset, form) of fields in an entry of a zip archive's directory.
FLAGS, METHOD, STORED_SIZE, SIZE, PLACE, ATTRIBUTES = (8, "H"), (10, "H"), (20, "I"), (24, "I"), (42, "I"), (38, "I")


def forge_entry(path: Path, name: str, field: tuple[int, str], value: int) -> Path:
    """Change what the directory of an archive says of a member."""
    content = bytearray(path.read_bytes())
    place = content.rindex(name.encode()) - 46
    assert content[place : place + 4] == b"PK\x01\x02"
    struct.pack_into("<" + field[1], content, place + field[0], value)
    path.write_bytes(content)
    return path
