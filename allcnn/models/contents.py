"""What a .keras file may ask of Keras: its classes, its weights, no more memory than it could fill.

Keras's safe mode refuses Python code in a file, imports from packages other than its own, links out of the weights,
and much else. What is refused here is what Keras 3.15 lets through, each tried: any function of Keras's own may take an
activation's place, one that downloads or sets a global option too; `keras_hub` and its sisters are imported by name;
a named function of Keras inside a Lambda gets the file's arguments; a layer of 10**9 units, or a few kilobytes of HDF5
that declare gigabytes, are allocated before anything is compared.
"""

from __future__ import annotations

import io
import json
import math
import re
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from allcnn.errors import CheckpointError
from allcnn.models.archive import CONFIG_MEMBER, LARGEST_COMPRESSED

if TYPE_CHECKING:
    import h5py

WEIGHTS_MEMBER = "model.weights.h5"

_CLASS_ROOMS = re.compile(
    r"keras|allcnn\.(models\.layers|optimizers)|"
    r"keras\.(src\.)?(activations|constraints|dtype_policies|initializers|layers|losses|"
    r"metrics|models|ops|optimizers|quantizers|random|regularizers)(\.\w+)*"
)
_FUNCTION_ROOMS = re.compile(
    r"builtins|keras\.(src\.)?(activations|constraints|initializers|losses|metrics|ops|regularizers)(\.\w+)*"
)
_CLASS_NAME = re.compile(r"[A-Z]\w*", re.ASCII)
#: They run code that lies in the file or beside it.
_CODE = ("Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")
# How many bytes of weights a network may have for every one in the file, and besides: a shared layer counts twice.
_WEIGHTS_PER_BYTE = 4
_WEIGHTS_BESIDES = 64 << 20


def check_contents(path: Path) -> None:
    """Refuse a .keras file that asks for more than Keras's classes and allcnn's, or for more memory than it fills.

    The archive itself was checked before. Keras is loaded by this.

    Raises:
        CheckpointError: the message names the file and what it asks for.
        Exception: whatever Keras and its like say to a file that is none.
    """
    with zipfile.ZipFile(path) as archive:
        text = archive.read(CONFIG_MEMBER)
        _check_classes(path, json.loads(text))
        if WEIGHTS_MEMBER not in archive.namelist():
            raise CheckpointError(f"{path}: holds no {WEIGHTS_MEMBER}.")
        weights = io.BytesIO(archive.read(WEIGHTS_MEMBER))
    _check_size(path, text, held=_check_weights(path, weights))


def _check_classes(path: Path, config: object) -> None:
    for part in _dicts(config):
        name, room = part.get("class_name"), part.get("module")
        if name in _CODE:
            raise CheckpointError(f"{path}: holds a {name}, which runs code that comes with the file; refused.")
        if name is None or room is None:
            continue  # plain values; Keras finds only what is registered without a module
        if name == "function":
            name, fits = part.get("config"), _matches(_FUNCTION_ROOMS, room)
        else:
            fits = _matches(_CLASS_ROOMS, room) and _matches(_CLASS_NAME, name)
        if not fits:
            raise CheckpointError(
                f"{path}: asks for {ascii(f'{room}.{name}'):.80}; "
                "only layers and functions of Keras and allcnn are read."
            )


def _dicts(config: object) -> Iterator[dict[str, Any]]:
    """Every object in a JSON text, however deep."""
    waiting: list[Any] = [config]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield part
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _check_weights(path: Path, weights: io.BytesIO) -> int:
    """Look at what the weights declare, reading none of them; gives their bytes. Raises CheckpointError."""
    import h5py

    held = unpacked = 0
    seen = set()
    with h5py.File(weights, "r") as file:
        waiting: list[h5py.Group] = [file]
        while waiting:  # HDF5's own visit nests as deep as the groups do
            group = waiting.pop()
            for name in group:
                if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                    raise CheckpointError(f"{path}: its weights hold a link, {name!a:.60}.")
                item = group[name]
                place = h5py.h5o.get_info(item.id).addr
                if place in seen:
                    continue
                seen.add(place)
                if isinstance(item, h5py.Group):
                    waiting.append(item)
                elif not isinstance(item, h5py.Dataset):
                    continue
                elif item.external or item.is_virtual:
                    raise CheckpointError(f"{path}: its weights lie in other files.")
                else:
                    held += item.nbytes
                    unpacked += max(0, item.nbytes - item.id.get_storage_size())
    if unpacked > LARGEST_COMPRESSED:
        raise CheckpointError(
            f"{path}: its weights declare {held:,} bytes and hold {held - unpacked:,}; "
            f"at most {LARGEST_COMPRESSED:,} more than they hold are read."
        )
    return held


def _check_size(path: Path, text: bytes, held: int) -> None:
    """Refuse a network with far more weights than the file has. Raises CheckpointError, and whatever Keras does."""
    # In a thread of its own: Keras keeps one list a thread of the variables that still wait for their values, and
    # would give these theirs, memory and all, at the next opportunity.
    with ThreadPoolExecutor(max_workers=1) as thread:
        kind, weights = thread.submit(_count_weights, json.loads(text)).result()
    if weights is None:
        raise CheckpointError(f"{path}: its {CONFIG_MEMBER} holds no network, but a {kind}.")
    needed = 4 * weights
    if needed > _WEIGHTS_PER_BYTE * held + _WEIGHTS_BESIDES:
        raise CheckpointError(f"{path}: its network has {needed:,} bytes of weights, the file {held:,}.")


def _count_weights(config: Any) -> tuple[str, int | None]:
    """What a configuration holds, and if that is a network how many weights it has. They take no memory."""
    import keras

    for part in _dicts(config):
        part.pop("compile_config", None)
    with keras.StatelessScope(initialize_variables=False):
        network = keras.saving.deserialize_keras_object(config, safe_mode=True)
    if not isinstance(network, keras.Model):
        return type(network).__name__, None
    return "network", sum(math.prod(int(side) for side in variable.shape) for variable in network.variables)
