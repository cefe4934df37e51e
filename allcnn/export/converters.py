"""A float32 Keras model and its card, as JSON text -> one file or folder of a runtime's own. TensorFlow does the work.

Each converter takes a functional model with one named input and one named output, and a path to write to.
"""

from __future__ import annotations

import tempfile
import zipfile
from functools import partial
from pathlib import Path

import keras

from allcnn.models.archive import CARD_MEMBER

#: tf2onnx's own choice of today, held on to: onnxruntime reads it from 1.10 on.
OPSET = 15
# Where TensorFlow leaves files alone that are not its own.
_EXTRA_FOLDER = "assets.extra"
_BATCH = "batch"


def to_saved_model(model: keras.Model, card: str, folder: Path) -> None:
    """Write TensorFlow's SavedModel, with the signature `serving_default`; the card lies in assets.extra."""
    _write_saved_model(model, folder)
    (folder / _EXTRA_FOLDER).mkdir()
    (folder / _EXTRA_FOLDER / CARD_MEMBER).write_text(card, encoding="utf-8")


def to_onnx(model: keras.Model, card: str, path: Path) -> None:
    """Write ONNX with the card as metadata; its checker has passed the result."""
    import onnx

    model.export(path, format="onnx", verbose=False, input_signature=_signature(model), opset_version=OPSET)
    converted = onnx.load(path)
    for value in (*converted.graph.input, *converted.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = _BATCH  # the converter's own is a number after "unk"
    del converted.graph.value_info[:]  # hints that still name the axis so
    converted.metadata_props.add(key=CARD_MEMBER, value=card)
    onnx.checker.check_model(converted, full_check=True)
    onnx.save(converted, path)


def to_litert(model: keras.Model, card: str, path: Path) -> None:
    """Write LiteRT (.tflite) of its built-in operations alone; the card lies in a zip archive at the file's end.

    TensorFlow Lite keeps the files that go with a model in just that place, which its interpreters pass over.
    """
    # Keras's own exporter takes in TensorFlow's operations where LiteRT has none, which its interpreter cannot run.
    from tensorflow import lite

    with tempfile.TemporaryDirectory() as folder:
        _write_saved_model(model, Path(folder))
        converter = lite.TFLiteConverter.from_saved_model(folder)
        converter.target_spec.supported_ops = [lite.OpsSet.TFLITE_BUILTINS]
        path.write_bytes(converter.convert())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(CARD_MEMBER, card)


def _write_saved_model(model: keras.Model, folder: Path) -> None:
    # Not model.export: that tracks the model besides, and Keras 3.15 then writes every weight twice.
    archive = keras.export.ExportArchive()
    archive.add_endpoint("serve", partial(model.__call__, training=False), _signature(model))
    archive.write_out(folder, verbose=False)


def _signature(model: keras.Model) -> list[keras.InputSpec]:
    given = model.inputs[0]
    return [keras.InputSpec(shape=(None, *given.shape[1:]), dtype=given.dtype, name=given.name)]
