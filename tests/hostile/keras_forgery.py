"""Makes .keras files that Keras did not write: one good small model, and what its archive holds exchanged."""

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

#: Where the weights of the good model's convolution lie in its HDF5 file.
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
    config = json.loads(good_members()["config.json"])
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


def weights_with(change: Callable[[h5py.File], object]) -> bytes:
    """The good model's weights after `change` was made to them."""
    content = io.BytesIO(good_members()["model.weights.h5"])
    with h5py.File(content, "r+") as file:
        change(file)
    return content.getvalue()


def kernel_with(**dataset: Any) -> bytes:
    """The good model's weights, the convolution's kernel made anew by h5py's create_dataset."""

    def change(file: h5py.File) -> None:
        del file[KERNEL]
        file.create_dataset(KERNEL, **dataset)

    return weights_with(change)


def write_keras(
    path: Path,
    members: dict[str, bytes] | None = None,
    without: str = "",
    more: list[tuple[str | zipfile.ZipInfo, bytes]] | None = None,
    compression: int = zipfile.ZIP_STORED,
) -> Path:
    """Write the good model, some of its members replaced, one left out, more added (names may repeat)."""
    entries: list[tuple[str | zipfile.ZipInfo, bytes]] = [
        (name, content) for name, content in {**good_members(), **(members or {})}.items() if name != without
    ]
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in entries + (more or []):
            archive.writestr(name, content)
    return path


#: (offset, form) of fields in an entry of a zip archive's directory.
FLAGS, METHOD, STORED_SIZE, SIZE, PLACE = (8, "<H"), (10, "<H"), (20, "<I"), (24, "<I"), (42, "<I")


def forge_entry(path: Path, name: str, field: tuple[int, str], value: int) -> None:
    """Change what the directory of an archive says of a member."""
    content = bytearray(path.read_bytes())
    place = content.rindex(name.encode()) - 46
    assert content[place : place + 4] == b"PK\x01\x02"
    struct.pack_into(field[1], content, place + field[0], value)
    path.write_bytes(content)
