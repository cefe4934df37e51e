"""One file: network, preprocessing, and what is needed to use them.

The `.keras` archive holds a model of raw RGB images in stock Keras layers, so that `keras.saving.load_model`
reads it where allcnn is not installed. Beside Keras's own members lies `allcnn.json`, the `ModelCard`.
"""

from __future__ import annotations

import json
import re
import warnings
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from allcnn.errors import CheckpointError
from allcnn.files import atomic_path
from allcnn.models.archive import CARD_MEMBER, check_archive, seal_archive
from allcnn.models.contents import check_contents

if TYPE_CHECKING:
    import keras

MODEL_FILE = "model.keras"
# Where Keras comes to the point, after a page about what it was doing.
_POINT = re.compile(r".*(?:Exception encountered:|Example error message for object)", re.DOTALL)
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class ModelCard:
    """What a saved model is: enough for `allcnn eval` and `allcnn predict` to need nothing else."""

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
    #: The recipe's; None in models of before it was noted.
    augmentation: str | None = None
    version: int = 1


@dataclass(frozen=True)
class SavedModel:
    """A loaded model with its card, None where the file was not written by allcnn."""

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


def load_model(path: str | Path) -> keras.Model:
    """Load a saved model, or a run folder's, in Keras's safe mode: raw RGB images -> class probabilities.

    Raises:
        CheckpointError: there is no such file, it is damaged, it is not a Keras model, or it asks for other classes
            than Keras's and allcnn's.
    """
    return open_saved(path).model


def open_saved(path: str | Path) -> SavedModel:
    """Load a saved model and its card; `path` is a .keras file or a run folder. Raises CheckpointError."""
    path = find_model_file(path)
    card = read_card(path)
    import keras

    import allcnn.models.layers  # noqa: F401  (registers p-norm pooling)

    try:
        check_contents(path)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            model = keras.saving.load_model(path, compile=False, safe_mode=True)
        # A network that was saved unbuilt has none; what it could be used for is not known.
        _ = model.input_shape, model.output_shape
        if missing := [str(warning.message) for warning in said if "freshly-initialized" in str(warning.message)]:
            raise ValueError(missing[0])  # what it predicts would be chance
    except CheckpointError:
        raise
    except Exception as error:  # Keras raises nearly everything for a file it cannot read
        raise CheckpointError(f"{path}: cannot be loaded as a Keras model: {in_short(error)}") from error
    return SavedModel(path, model, card)


def in_short(error: Exception) -> str:
    """What Keras has to say, in a line, fit to be printed."""
    text = _POINT.sub("", _COLOURS.sub("", str(error))) or type(error).__name__
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))[:200]


def find_model_file(path: str | Path) -> Path:
    """The .keras file meant by a path: itself, or `model.keras` in a run folder.

    Raises:
        CheckpointError: there is none, or it is not a .keras archive.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        if not (path / MODEL_FILE).is_file():
            raise CheckpointError(
                f"{path}: the folder holds no {MODEL_FILE}; a run writes it when it ends or is interrupted.\n"
                f"If this run was killed, go on with: allcnn train --resume --run-dir {quote(str(path))}"
            )
        path = path / MODEL_FILE
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; expected a .keras file or a run folder.")
    if not _is_zip(path):
        raise CheckpointError(f"{path}: not a saved model, or one cut short; expected a .keras file, a zip archive.")
    return path


def _is_zip(path: Path) -> bool:
    try:
        return zipfile.is_zipfile(path)
    except Exception:  # a damaged directory of the archive
        return False


def read_card(path: Path) -> ModelCard | None:
    """The card inside a .keras file; None where it has none, as in a model that Keras alone wrote.

    Raises:
        CheckpointError: the file is damaged, its archive would hurt, or its card is of another make.
    """
    check_archive(path)
    try:
        with zipfile.ZipFile(path) as archive:
            if CARD_MEMBER not in archive.namelist():
                return None
            return _card(json.loads(archive.read(CARD_MEMBER)))
    except Exception as error:  # a card of another make fails in as many ways
        raise CheckpointError(f"{path}: its {CARD_MEMBER} cannot be read ({in_short(error)}).") from None


def _card(fields: dict[str, Any]) -> ModelCard:
    """Raises nearly anything for what is not a card."""
    height, width, channels = (int(side) for side in fields.pop("image_shape"))
    names = tuple(str(name) for name in fields.pop("class_names"))
    card = ModelCard(image_shape=(height, width, channels), class_names=names, **fields)
    for field, value in asdict(card).items():
        optional = None if field in ("data_dir", "augmentation") else str
        kinds = int if field in ("parameters", "version") else str | tuple | optional
        if not isinstance(value, kinds):
            raise ValueError(f"{field} is {value!r:.40}")
    if card.version != 1:
        raise ValueError(f"it is of version {card.version}, expected 1")
    return card
