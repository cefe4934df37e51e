"""One file: network, preprocessing, and what is needed to use them.

The `.keras` archive holds a model of raw RGB images in stock Keras layers, so that `keras.saving.load_model`
reads it where allcnn is not installed. Beside Keras's own members lies `allcnn.json`, the `ModelCard`.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from allcnn.errors import CheckpointError
from allcnn.files import atomic_path

if TYPE_CHECKING:
    import keras

CARD_MEMBER = "allcnn.json"
MODEL_FILE = "model.keras"
# allcnn.json is a page of text; anything larger was not written by us.
_LARGEST_CARD = 4 << 20


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


def load_model(path: str | Path) -> keras.Model:
    """Load a saved model, or a run folder's, in Keras's safe mode: raw RGB images -> class probabilities.

    Raises:
        CheckpointError: there is no such file, or it is not a Keras model.
    """
    return open_saved(path).model


def open_saved(path: str | Path) -> SavedModel:
    """Load a saved model and its card; `path` is a .keras file or a run folder. Raises CheckpointError."""
    path = find_model_file(path)
    card = read_card(path)
    import keras

    import allcnn.models.layers  # noqa: F401  (registers p-norm pooling)

    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises nearly everything for a file it cannot read
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise CheckpointError(f"{path}: cannot be loaded as a Keras model: {reason}") from error
    return SavedModel(path, model, card)


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
    if not zipfile.is_zipfile(path):
        raise CheckpointError(f"{path}: not a saved model; expected a .keras file, which is a zip archive.")
    return path


def read_card(path: Path) -> ModelCard | None:
    """The card inside a .keras file; None where it has none, as in a model that Keras alone wrote."""
    try:
        with zipfile.ZipFile(path) as archive:
            if CARD_MEMBER not in archive.namelist():
                return None
            if archive.getinfo(CARD_MEMBER).file_size > _LARGEST_CARD:
                raise CheckpointError(f"{path}: its {CARD_MEMBER} is too large to be one of ours.")
            fields = json.loads(archive.read(CARD_MEMBER))
        height, width, channels = (int(side) for side in fields.pop("image_shape"))
        names = tuple(str(name) for name in fields.pop("class_names"))
        return ModelCard(image_shape=(height, width, channels), class_names=names, **fields)
    except CheckpointError:
        raise
    except Exception as error:  # a broken zip or a card of another make fails in as many ways
        raise CheckpointError(f"{path}: its {CARD_MEMBER} cannot be read ({error}).") from None
