"""A saved model: network, preprocessing and card in one file. It is written in one step, and not trusted when read.

The `.keras` archive holds a model of raw RGB images in stock Keras layers, so that `keras.saving.load_model`
reads it without allcnn. Beside Keras's own members lies `allcnn.json`, the `ModelCard`. The file ends in its SHA-256,
as the comment of the zip archive.
"""

from __future__ import annotations

import io
import json
import re
import warnings
import zipfile
from dataclasses import asdict, dataclass
from os import PathLike, fspath
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from allcnn.backend import import_keras_quietly
from allcnn.errors import CheckpointError, InputError
from allcnn.files import SEAL_BYTES, atomic_path, cache_folder, check_seal, read_file, seal_of
from allcnn.specs import ZOO

if TYPE_CHECKING:
    import keras

MODEL_FILE = "model.keras"
#: Names the model that comes with the package: `all-c`, trained on CIFAR-10 by the recipe `fast`.
PRETRAINED = "pretrained"
#: Its run's folder, with the record and a card.
PRETRAINED_RUN = Path(__file__).parents[1] / "pretrained"
#: The model's card, beside Keras's own members.
CARD_MEMBER = "allcnn.json"
_CONFIG_MEMBER = "config.json"
_WEIGHTS_MEMBER = "model.weights.h5"

# Classes and functions that a file may name, by their modules. Keras itself would accept any function of its own as an
# activation, one that downloads or sets a global option too, and would import keras_hub and its sisters.
_CLASS_MODULES = re.compile(
    r"keras|allcnn\.(models\.layers|optimizers)|"
    r"keras\.(src\.)?(activations|constraints|dtype_policies|initializers|layers|losses|"
    r"metrics|models|ops|optimizers|quantizers|random|regularizers)(\.\w+)*"
)
_FUNCTION_MODULES = re.compile(
    r"builtins|keras\.(src\.)?(activations|constraints|initializers|losses|metrics|ops|regularizers)(\.\w+)*"
)
_CLASS_NAME = re.compile(r"[A-Z]\w*", re.ASCII)
# Classes of Keras that run code in the file or beside it.
_CODE = ("Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")

# What Keras puts before its message: a description of what it was doing.
_PREAMBLE = re.compile(r".*(?:Exception encountered:|Example error message for object)", re.DOTALL)
# At a shell a Path of "hf://" has lost a slash.
_ON_HUB = re.compile(r"hf:/{1,2}(.+)")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class ModelCard:
    """What a saved model is: all that `allcnn eval` and `allcnn predict` need."""

    model: str
    spec: str
    dataset: str
    digest: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    resize: str
    preprocessing: str
    recipe: str
    parameters: int
    data_dir: str | None = None
    #: The recipe's; None in older models, which do not say.
    augmentation: str | None = None
    #: Whether the digest is that of the files, not of the pixels; None in older models, which do not say.
    streamed: bool | None = None
    version: int = 1


@dataclass(frozen=True)
class SavedModel:
    """A loaded model with its card, None if allcnn did not write the file."""

    path: Path
    model: keras.Model
    card: ModelCard | None


def save_model(model: keras.Model, card: ModelCard, path: str | Path) -> None:
    """Write the float32 model of raw images and its card to `path` (.keras) in one step."""
    with atomic_path(Path(path)) as temporary:
        model.save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(CARD_MEMBER, json.dumps(asdict(card), indent=1))
        seal_archive(temporary)


def seal_archive(path: Path) -> None:
    """Put the SHA-256 of a finished zip archive at its end, as the archive's comment."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = bytes(SEAL_BYTES)  # the comment's length is part of what the SHA-256 is of
    content = path.read_bytes()[:-SEAL_BYTES]
    path.write_bytes(content + seal_of(content))


def load_model(path: str | PathLike[str]) -> keras.Model:
    """Load a saved model in Keras's safe mode: raw RGB images -> class probabilities.

    Args:
        path: a .keras file, a run (its folder, or what `allcnn.train` returned), "pretrained" or "all-c", the one that
            comes with the package, or "hf://OWNER/NAME", a model on the Hugging Face Hub (`fetch_from_hub`).

    Raises:
        CheckpointError: there is no such file, it is damaged, it is not a Keras model, or it asks for other classes
            than Keras's and allcnn's.
        InputError: huggingface_hub is needed and not installed.
    """
    return open_saved(path).model


def open_saved(path: str | PathLike[str]) -> SavedModel:
    """Load a saved model and its card; args and errors as `load_model`."""
    path = find_model_file(path)
    config, card = _read_texts(path)
    import_keras_quietly()
    import keras

    import allcnn.models.layers  # noqa: F401  (registers p-norm pooling)

    try:
        _check_classes(path, config)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            model = keras.saving.load_model(path, compile=False, safe_mode=True)
        if not isinstance(model, keras.Model):
            raise ValueError(f"it holds no network, but a {type(model).__name__}")
        _, gives = model.input_shape, model.output_shape[-1]  # fails for a network that was saved before it was built
        if missing := [str(warning.message) for warning in said if "freshly-initialized" in str(warning.message)]:
            raise ValueError(missing[0])  # its predictions would be chance
        if card is not None and gives != len(card.class_names):
            raise CheckpointError(f"{path}: names {len(card.class_names)} classes but gives {gives} probabilities.")
    except CheckpointError:
        raise
    except Exception as error:  # Keras raises nearly everything for a file it cannot read
        raise CheckpointError(f"{path}: cannot be loaded as a Keras model: {in_short(error)}") from error
    return SavedModel(path, model, card)


def is_named(path: str | PathLike[str]) -> bool:
    """Whether a model is meant by a name and not by its path: the package's own, or one on the Hub."""
    if _ON_HUB.fullmatch(fspath(path)):
        return True
    return fspath(path) in (PRETRAINED, "all-c") and not Path(path).exists()


def find_model_file(path: str | PathLike[str]) -> Path:
    """The .keras file that a path means: itself, `model.keras` in a run folder, the package's, or a fetched one.

    Raises:
        CheckpointError: there is none.
        InputError: as `fetch_from_hub`.
    """
    if on_hub := _ON_HUB.fullmatch(fspath(path)):
        return fetch_from_hub(on_hub.group(1))
    path = Path(path).expanduser()
    if is_named(path):
        path = PRETRAINED_RUN
    if path.is_dir():
        if not (path / MODEL_FILE).is_file():
            raise CheckpointError(f"{path}: {_why_no_model(path)}")
        path = path / MODEL_FILE
    if not path.is_file():
        untrained = f"\nOf the networks only all-c comes trained: {PRETRAINED}." if str(path) in ZOO else ""
        raise CheckpointError(f"{path}: no such file; expected a .keras file or a run folder.{untrained}")
    return path


def default_output(model: object, file: Path, name: str) -> Path:
    """The path of a file that is made of a model, if none is given: `name` beside the model's file.

    In the current folder for the package's own model and for one from the Hub, whose files lie in a cache.

    Args:
        model: as it was given. file: what `find_model_file` found for it.
    """
    on_hub = isinstance(model, str | PathLike) and _ON_HUB.fullmatch(fspath(model))
    return Path(name) if on_hub or file.parent == PRETRAINED_RUN else file.with_name(name)


def _why_no_model(folder: Path) -> str:
    """What a folder without a model is, and what to do."""
    runs = sorted(path.parent for path in folder.glob(f"*/{MODEL_FILE}"))
    if runs:
        names = " or ".join(quote(str(run)) for run in runs[:3])
        return (
            f"holds {len(runs)} run{'s' * (len(runs) > 1)} and is none itself; expected one of them, such as {names}.\n"
            f"For all of them in one table: allcnn report {quote(str(folder))}"
        )
    return (
        f"the folder holds no {MODEL_FILE}; a run writes it when it ends, or is interrupted after its first epoch.\n"
        f"If this is a run, go on with: allcnn train --resume --run-dir {quote(str(folder))}"
    )


def fetch_from_hub(name: str) -> Path:
    """Fetch "OWNER/NAME" from the Hugging Face Hub; gives the .keras file, which `open_saved` checks as any other.

    The repository holds `model.keras`, or the members of such a file, as Keras writes them there. Those are packed into
    a file in the cache folder.

    Raises:
        InputError: huggingface_hub is not installed.
        CheckpointError: there is no such repository, it cannot be reached, or it holds no model.
    """
    members = (_CONFIG_MEMBER, "metadata.json", _WEIGHTS_MEMBER, CARD_MEMBER)
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise InputError(
            f"hf://{name}: huggingface_hub, which fetches it, is not installed. "
            "Install it with: pip install huggingface_hub"
        ) from None
    try:
        folder = Path(snapshot_download(repo_id=name, allow_patterns=[MODEL_FILE, *members]))
    except Exception as error:  # the hub's own errors, and those of the connection
        raise CheckpointError(f"hf://{name}: cannot be fetched: {in_short(error)}") from None
    if (folder / MODEL_FILE).is_file():
        return folder / MODEL_FILE
    found = [member for member in members if (folder / member).is_file()]
    if _CONFIG_MEMBER not in found or _WEIGHTS_MEMBER not in found:
        raise CheckpointError(f"hf://{name}: holds no {MODEL_FILE}, nor the members of a .keras file.")
    packed = cache_folder() / "hub" / f"{name.replace('/', '--')}.keras"
    with atomic_path(packed) as temporary:
        with zipfile.ZipFile(temporary, "w") as archive:
            for member in found:
                archive.write(folder / member, member)
        seal_archive(temporary)
    return packed


def read_card(path: Path) -> ModelCard | None:
    """The card inside a .keras file; None if it has none, as in a model that Keras alone wrote.

    Raises:
        CheckpointError: the file is damaged or no model, or its card is not as this version writes it.
    """
    return _read_texts(path)[1]


def in_short(error: Exception) -> str:
    """Keras's message in one printable line."""
    text = _PREAMBLE.sub("", _COLOURS.sub("", str(error))) or type(error).__name__
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))[:200]


def _read_texts(path: Path) -> tuple[bytes, ModelCard | None]:
    """config.json and the card of a .keras file. All its bytes are checked first: they are whole, and none compressed.

    Keras stores its members as they are. A compressed one may unpack to any size, whatever the archive says of it.
    """
    content = read_file(path)
    if CARD_MEMBER.encode() in content:  # allcnn wrote the file, however damaged the archive's directory is
        check_seal(path, content)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
            for member in archive.infolist():
                if member.compress_type != zipfile.ZIP_STORED:
                    raise CheckpointError(
                        f"{path}: its member {member.filename!a:.60} is compressed, which Keras never does.\n"
                        "Pack the archive without compression, or save the model with Keras again."
                    )
            if damaged := archive.testzip():  # compares each member with its CRC-32
                raise CheckpointError(f"{path}: its member {damaged!a:.60} is damaged. Use a whole copy of the file.")
            for name in (_CONFIG_MEMBER, _WEIGHTS_MEMBER):
                if name not in names:
                    raise CheckpointError(f"{path}: holds no {name}; expected a .keras file.")
            config = archive.read(_CONFIG_MEMBER)
            card = archive.read(CARD_MEMBER) if CARD_MEMBER in names else None
    except CheckpointError:
        raise
    except Exception:  # a broken zip archive fails in many ways
        raise CheckpointError(
            f"{path}: not a saved model, or one cut short; expected a .keras file, a zip archive."
        ) from None
    if card is None:
        return config, None
    try:
        return config, _card(json.loads(card))
    except Exception as error:  # as does a text that is no card
        raise CheckpointError(f"{path}: its {CARD_MEMBER} cannot be read ({in_short(error)}).") from None


def _card(fields: dict[str, Any]) -> ModelCard:
    """Raises nearly anything if the fields are not a card's."""
    height, width, channels = (int(side) for side in fields.pop("image_shape"))
    names = tuple(str(name) for name in fields.pop("class_names"))
    card = ModelCard(image_shape=(height, width, channels), class_names=names, **fields)
    for field, value in asdict(card).items():
        kinds: Any = int if field in ("parameters", "version") else bool if field == "streamed" else str | tuple
        if not (isinstance(value, kinds) or value is None and field in ("data_dir", "augmentation", "streamed")):
            raise ValueError(f"{field} is {value!r:.40}")
    if card.version != 1:
        raise ValueError(f"it is of version {card.version}, expected 1")
    return card


def _check_classes(path: Path, config: bytes) -> None:
    """Refuse classes and functions that are not of Keras or allcnn. Raises CheckpointError, which names one."""

    def check(part: dict[str, Any]) -> dict[str, Any]:
        name, module = part.get("class_name"), part.get("module")
        if name in _CODE:
            name = "Lambda" if name == "__lambda__" else name
            raise CheckpointError(f"{path}: holds a {name}, which runs code that comes with the file; refused.")
        if name is None or module is None:
            return part  # plain values; without a module Keras finds only registered classes
        if name == "function":
            name, fits = part.get("config"), _matches(_FUNCTION_MODULES, module)
        else:
            fits = _matches(_CLASS_MODULES, module) and _matches(_CLASS_NAME, name)
        if not fits:
            raise CheckpointError(
                f"{path}: asks for {ascii(f'{module}.{name}'):.80}; "
                "only layers and functions of Keras and allcnn are read."
            )
        return part

    json.loads(config, object_hook=check)  # every JSON object, at any depth


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None
