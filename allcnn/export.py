"""A saved model -> what other runtimes load: ONNX, TensorFlow's SavedModel, LiteRT. TensorFlow does the work.
And a model card, which needs neither TensorFlow nor Keras.

from allcnn.export import export_model
export_model("runs/tiny", "onnx").path
"""

from __future__ import annotations

import json
import re
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from allcnn.backend import choose_backend, hold_standard_error, load_keras
from allcnn.errors import AllcnnError, InputError, install_hint, installed_versions, refuse_unknown
from allcnn.evaluation import Model
from allcnn.files import atomic_folder, atomic_path, write_text
from allcnn.hub_card import model_readme
from allcnn.models.parts import takes_images
from allcnn.models.saved import (
    CARD_MEMBER,
    ModelCard,
    SavedModel,
    default_output,
    find_model_file,
    in_short,
    open_saved,
    read_card,
)

if TYPE_CHECKING:
    import keras

#: tf2onnx's present default, kept fixed: onnxruntime reads it from 1.10 on.
OPSET = 15
_PACKAGES = ("allcnn", "keras", "tensorflow", "tensorflow-cpu", "tf2onnx", "onnx")
# The dtype policies of layers that handle whole numbers, such as an augmentation of uint8 images.
_WHOLE_NUMBERS = re.compile(r"u?int\d+|bool")


@dataclass(frozen=True)
class Tensor:
    """An input or an output. None in the shape: any number, such as of the images in a batch."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


@dataclass(frozen=True)
class Export:
    """The exported model. `card` is the content of the allcnn.json that was written with it.

    whitening_bytes: how many bytes the whitening matrix takes, which are nearly all of a small network's model.
    """

    path: Path
    format: str
    bytes: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    card: dict[str, Any]
    whitening_bytes: int = 0

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON."""
        return {**asdict(self), "path": str(self.path)}


def export_model(model: Model, format: str, output: str | Path | None = None) -> Export:
    """Write a model for another runtime: images in, class probabilities out, in batches of any size, float32.

    A model that allcnn saved takes raw RGB images, 0 to 255, its preprocessing inside. Input and output are called
    "image" and "probabilities" ("outputs" of a model without a card, which need not be probabilities). What allcnn
    knows of the model, its class names first, travels along as `allcnn.json`: in ONNX's metadata under that key,
    in a SavedModel's assets.extra, and at the end of a LiteRT file, where any zip program reads it.

    Args:
        model: as in `allcnn.evaluate`; any Keras model of images too.
        format: "onnx", "saved_model", "litert", or "card": a README.md for a model hub, of a model that allcnn saved.
        output: what to write; must not be there. By default beside the file of the model, or in the current folder if
            that came from the Hub or with the package: NAME.onnx, NAME.tflite, the folder saved_model, README.md.

    Raises:
        CheckpointError: `model` is a path that holds no model.
        InputError: an unknown format, an output that is there or cannot be, a package that is missing, a model that
            is not float32 or takes no images, or Keras is already loaded with another backend than TensorFlow.
        AllcnnError: the converter failed.
    """
    if format == CARD:
        return _write_readme(model, output)
    refuse_unknown("format", format, (*FORMATS, CARD))
    kind = FORMATS[format]
    file, card = _find(model)
    path = _check_output(kind, model, file, output)
    _check_packages(kind)
    _choose_tensorflow()
    load_keras()
    opened = open_saved(model) if isinstance(model, str | PathLike) else model
    network = opened.model if isinstance(opened, SavedModel) else opened
    name = str(file) if file else f'the model "{network.name}"'
    _check_network(network, name)
    wrapped, inputs, outputs = _with_names(network, card)
    document = _document(card, network.name, inputs, outputs)
    place = atomic_path if kind.suffix else atomic_folder
    with place(path) as temporary:
        _convert(kind, wrapped, json.dumps(document, indent=1), temporary, name)
        _refuse_what_is_there(path)  # conversion takes its time
    written = [path] if kind.suffix else [part for part in path.rglob("*") if part.is_file()]
    size = sum(part.stat().st_size for part in written)
    return Export(path, format, size, (inputs,), (outputs,), document, _whitening_bytes(network))


def _write_readme(model: Model, output: str | Path | None) -> Export:
    """The model card of a model that allcnn saved, from its run's folder."""
    file, card = _find(model)
    if file is None or card is None:
        raise InputError(
            f"{file or 'the model'}: was not saved by allcnn; expected the .keras file or folder of a run."
        )
    path = Path(output).expanduser() if output is not None else default_output(model, file, "README.md")
    _refuse_what_is_there(path)
    text = model_readme(file, card)
    write_text(path, text)
    return Export(path, CARD, len(text.encode()), (), (), _without_folder(card))


def _whitening_bytes(network: keras.Model) -> int:
    weights = (layer.get_weights() for layer in network.layers if layer.name == "zca")
    return sum(array.nbytes for arrays in weights for array in arrays)


def _find(model: Model) -> tuple[Path | None, ModelCard | None]:
    """The file and the card of a model, None where it has none. Needs no Keras."""
    if isinstance(model, SavedModel):
        return model.path, model.card
    if isinstance(model, str | PathLike):
        path = find_model_file(model)
        return path, read_card(path)
    return None, None


def _check_output(kind: Format, model: Model, file: Path | None, output: str | Path | None) -> Path:
    """Where to write. Raises InputError."""
    example = f"model{kind.suffix}" if kind.suffix else "saved_model"
    if output is None:
        if file is None:
            raise InputError(f'output is missing; expected where to write, such as "{example}".')
        path = default_output(model, file, f"{file.stem}{kind.suffix}" if kind.suffix else example)
    else:
        path = Path(output).expanduser()
    if kind.suffix and path.suffix.lower() != kind.suffix:
        what = "is a folder" if path.is_dir() else f"is not a name for {kind.title}"
        raise InputError(f"{path}: {what}; expected a file that ends in {kind.suffix}, such as {example}.")
    if not kind.suffix and path.suffix.lower() in {".keras", *(each.suffix for each in FORMATS.values())} - {""}:
        raise InputError(f"{path}: {kind.title} is a folder; expected a name such as {example}.")
    _refuse_what_is_there(path)
    if not path.absolute().parent.is_dir():
        raise InputError(f"{path.parent}: there is no such folder; expected one that exists for {path.name}.")
    return path


def _refuse_what_is_there(path: Path) -> None:
    if path.exists() or path.is_symlink():
        raise InputError(f"{path}: is there already. Remove it, or name another (--output).")


def _check_packages(kind: Format) -> None:
    missing = [package for package in kind.packages if find_spec(package) is None]
    if missing:
        raise InputError(
            f"{kind.title} needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed. "
            f"{install_hint('export')}"
        )


def _choose_tensorflow() -> None:
    try:
        choose_backend("tensorflow")
    except InputError as error:
        raise InputError(f"models are exported through TensorFlow.\n{error} Or at a shell: allcnn export") from None


def _check_network(network: keras.Model, name: str) -> None:
    """Refuse what cannot be exported soundly. Raises InputError."""
    if not getattr(network, "inputs", None):
        raise InputError(f"{name}: has no known input; expected a functional or sequential Keras model, built.")
    if not takes_images(network):
        raise InputError(
            f"{name}: takes {network.input_shape} and gives {network.output_shape}; expected one that takes images, "
            "(None, height, width, channels), and gives class probabilities, (None, classes)."
        )
    for layer in network._flatten_layers(include_self=False):
        policy = layer.dtype_policy.name
        if policy != "float32" and not _WHOLE_NUMBERS.fullmatch(policy):
            raise InputError(
                f'{name}: its layer "{layer.name}" is {policy}; expected a float32 model, as allcnn train saves it.\n'
                "Build the same network in float32 and give it these weights: "
                "float32_model.set_weights(model.get_weights())"
            )


def _with_names(network: keras.Model, card: ModelCard | None) -> tuple[keras.Model, Tensor, Tensor]:
    """The model with an input and an output of known names, and any number of images in a batch."""
    import keras

    image = keras.Input(network.input_shape[1:], dtype=network.inputs[0].dtype, name="image")
    # Not by its own name, which might be "image".
    result = keras.Model(network.inputs, network.outputs[0], name="network")(image)
    name = "probabilities" if card else "outputs"
    wrapped = keras.Model(image, {name: result}, name="exported")
    return (
        wrapped,
        Tensor(image.name, tuple(image.shape), str(image.dtype)),
        Tensor(name, tuple(result.shape), str(result.dtype)),
    )


def _document(card: ModelCard | None, name: str, inputs: Tensor, outputs: Tensor) -> dict[str, Any]:
    """The card as exported, without the folder of the training images, which is private."""
    known = _without_folder(card) if card else {"model": name}
    values = {"values": "raw RGB, 0 to 255"} if card else {}
    ends = {"inputs": [asdict(inputs) | values], "outputs": [asdict(outputs)]}
    return {**known, **ends, "exported_by": installed_versions(_PACKAGES)}


def _without_folder(card: ModelCard) -> dict[str, Any]:
    return {key: value for key, value in asdict(card).items() if key != "data_dir"}


def _convert(kind: Format, model: keras.Model, card: str, path: Path, name: str) -> None:
    """Run a converter and suppress what it and TensorFlow print. Raises AllcnnError where it fails."""
    failure = None
    with hold_standard_error(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            kind.write(model, card, path)
        except BaseException as error:  # raised again below, where standard error is no longer held back
            failure = error
    if failure is None:
        return
    if isinstance(failure, OSError) or not isinstance(failure, Exception):
        raise failure
    raise AllcnnError(f"{name}: cannot be converted to {kind.title}: {in_short(failure)}") from failure


def _to_saved_model(model: keras.Model, card: str, folder: Path) -> None:
    """Write TensorFlow's SavedModel, with the signature `serving_default`; the card lies in assets.extra."""
    _write_saved_model(model, folder)
    extra = folder / "assets.extra"  # where TensorFlow leaves files alone that are not its own
    extra.mkdir()
    (extra / CARD_MEMBER).write_text(card, encoding="utf-8")


def _to_onnx(model: keras.Model, card: str, path: Path) -> None:
    """Write ONNX with the card as metadata; its checker has passed the result."""
    import onnx

    model.export(path, format="onnx", verbose=False, input_signature=_signature(model), opset_version=OPSET)
    converted = onnx.load(path)
    for value in (*converted.graph.input, *converted.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"  # the converter's own is a number after "unk"
    del converted.graph.value_info[:]  # hints that still have the converter's name for the axis
    converted.metadata_props.add(key=CARD_MEMBER, value=card)
    onnx.checker.check_model(converted, full_check=True)
    onnx.save(converted, path)


def _to_litert(model: keras.Model, card: str, path: Path) -> None:
    """Write LiteRT (.tflite) of its built-in operations alone; the card lies in a zip archive at the file's end.

    TensorFlow Lite, too, keeps the files that go with a model there. Its interpreters pass over them.
    """
    # Where LiteRT lacks an operation, Keras's own exporter takes TensorFlow's, which LiteRT's interpreter cannot run.
    from tensorflow import lite

    with tempfile.TemporaryDirectory() as folder:
        _write_saved_model(model, Path(folder))
        converter = lite.TFLiteConverter.from_saved_model(folder)
        converter.target_spec.supported_ops = [lite.OpsSet.TFLITE_BUILTINS]
        path.write_bytes(converter.convert())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(CARD_MEMBER, card)


def _write_saved_model(model: keras.Model, folder: Path) -> None:
    import keras

    # Not model.export: that tracks the model besides, and Keras 3.15 then writes every weight twice.
    archive = keras.export.ExportArchive()
    archive.add_endpoint("serve", partial(model.__call__, training=False), _signature(model))
    archive.write_out(folder, verbose=False)


def _signature(model: keras.Model) -> list[keras.InputSpec]:
    import keras

    given = model.inputs[0]
    return [keras.InputSpec(shape=(None, *given.shape[1:]), dtype=given.dtype, name=given.name)]


@dataclass(frozen=True)
class Format:
    """A format that can be written.

    title: its name in messages. suffix: the ending of its files (none for a folder). write: takes a float32 functional
    model with one named input and one named output, the card as JSON text, and the path to write to. packages: those
    that it needs besides allcnn's own.
    """

    title: str
    suffix: str
    write: Callable[[keras.Model, str, Path], None]
    packages: tuple[str, ...] = ()


#: The format of a model card.
CARD = "card"
#: By the names that `export_model` and the command line take.
FORMATS = {
    "onnx": Format("ONNX", ".onnx", _to_onnx, ("tf2onnx", "onnx")),
    "saved_model": Format("SavedModel", "", _to_saved_model),
    "litert": Format("LiteRT", ".tflite", _to_litert),
}
