"""What travels along with an exported model, where it is written, and what is refused."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace

import keras
import numpy as np
import pytest
from runtimes import run_litert

import allcnn
from allcnn.errors import AllcnnError, CheckpointError, InputError, install_hint
from allcnn.export import FORMATS, export_model
from allcnn.models.build import build_model
from allcnn.models.saved import open_saved
from allcnn.preprocessing import make_preprocessing

CAFE = "caf\N{LATIN SMALL LETTER E WITH ACUTE}"
needs_onnx = pytest.mark.skipif(
    not all(map(allcnn.export.find_spec, ("onnx", "tf2onnx"))),
    reason="tf2onnx or onnx is not installed: pip install tf2onnx onnx",
)
EVERY_FORMAT = [pytest.param(name, marks=needs_onnx if name == "onnx" else ()) for name in FORMATS]


def card_in(path) -> dict:
    """The allcnn.json that travels with an exported model."""
    if path.suffix == ".onnx":
        import onnx

        return json.loads({entry.key: entry.value for entry in onnx.load(path).metadata_props}["allcnn.json"])
    if path.suffix == ".tflite":
        with zipfile.ZipFile(path) as archive:
            assert archive.namelist() == ["allcnn.json"]
            return json.loads(archive.read("allcnn.json"))
    return json.loads((path / "assets.extra" / "allcnn.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("form", EVERY_FORMAT)
def test_it_lies_beside_the_model_with_its_card(saved, form) -> None:
    exported = allcnn.export_model(saved, form)
    name = {"onnx": "ckpt.onnx", "saved_model": "saved_model", "litert": "ckpt.tflite"}[form]
    assert exported.path == saved.parent / name
    assert sorted(path.name for path in saved.parent.iterdir()) == sorted(["ckpt.keras", name])
    card = card_in(exported.path)
    assert card == json.loads(json.dumps(exported.card))
    assert card["class_names"] == ["cat", "dog", CAFE]
    assert (card["preprocessing"], card["resize"], card["spec"]) == ("standardize", "none", "4C3/2-NC1:linear-GAP")
    assert card["inputs"] == [
        {"name": "image", "shape": [None, 6, 6, 3], "dtype": "float32", "values": "raw RGB, 0 to 255"}
    ]
    assert card["outputs"] == [{"name": "probabilities", "shape": [None, 3], "dtype": "float32"}]
    assert card["exported_by"]["keras"] == keras.__version__
    assert "somebody" not in json.dumps(card)
    files = [path for path in [exported.path, *exported.path.rglob("*")] if path.is_file()]
    assert exported.bytes == sum(path.stat().st_size for path in files)


@needs_onnx
def test_onnx_names_its_axes_and_keeps_to_one_set_of_operations(saved) -> None:
    import onnx

    written = onnx.load(export_model(saved, "onnx").path)
    assert [(entry.domain, entry.version) for entry in written.opset_import if entry.domain == ""] == [("", 15)]
    ((image,), (probabilities,)) = written.graph.input, written.graph.output
    for value, name, sides in ((image, "image", [6, 6, 3]), (probabilities, "probabilities", [3])):
        batch, *rest = value.type.tensor_type.shape.dim
        assert (value.name, batch.dim_param, [side.dim_value for side in rest]) == (name, "batch", sides)
        assert value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT


def test_every_weight_is_written_once(tmp_path) -> None:
    model = build_model("64C3-64C3-NC1-GAP", (8, 8, 3), 10, seed=0)
    exported = export_model(model, "saved_model", tmp_path / "model")
    weights = sum(path.stat().st_size for path in (exported.path / "variables").iterdir())
    assert 4 * model.count_params() <= weights < 5 * model.count_params()


def test_an_opened_model_and_a_name_of_ones_own(saved, tmp_path) -> None:
    opened = open_saved(saved)
    assert export_model(opened, "saved_model").path == saved.with_name("saved_model")
    (tmp_path / "out").mkdir()
    exported = export_model(str(saved), "litert", str(tmp_path / "out" / "net.TFLITE"))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["net.TFLITE"]
    assert exported.as_dict()["path"] == str(tmp_path / "out" / "net.TFLITE")


def test_a_model_that_keras_alone_wrote(tmp_path) -> None:
    pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed: pip install ai-edge-litert")
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1), batch_size=2, dtype="uint8"), keras.layers.Rescaling(1 / 255),
            keras.layers.SeparableConv2D(4, 3), keras.layers.Flatten(), keras.layers.Dense(3),
        ],
        name="image",
    )  # fmt: skip
    model.save(tmp_path / "theirs.keras")
    exported = export_model(tmp_path / "theirs.keras", "litert")
    (given,), (result,) = exported.inputs, exported.outputs
    assert (given.name, given.shape, given.dtype) == ("image", (None, 8, 8, 1), "uint8")
    assert (result.name, result.shape, result.dtype) == ("outputs", (None, 3), "float32")
    assert set(card_in(exported.path)) == {"model", "inputs", "outputs", "exported_by"}
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 1)).astype(np.uint8)
    (found,) = run_litert(exported.path, images, (6,))
    wanted = np.concatenate([model.predict_on_batch(images[start : start + 2]) for start in (0, 2, 4)])
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def refused(message: str, *arguments, kind=InputError) -> None:
    with pytest.raises(kind) as caught:
        export_model(*arguments)
    assert str(caught.value) == message


def patch_writer(monkeypatch, form, write) -> None:
    monkeypatch.setitem(FORMATS, form, replace(FORMATS[form], write=write))


def test_wrong_formats_and_outputs_are_refused(saved, tmp_path) -> None:
    refused(
        'unknown format "tflite"; expected one of: onnx, saved_model, litert, card. Did you mean litert?',
        saved, "tflite",
    )  # fmt: skip
    no_file = tmp_path / "none.keras"
    message = f"{no_file}: no such file; expected a .keras file or a run folder."
    refused(message, no_file, "litert", kind=CheckpointError)
    for form, name, said in (
        ("litert", "net.onnx", "is not a name for LiteRT; expected a file that ends in .tflite, such as model.tflite."),
        ("litert", "there", "is a folder; expected a file that ends in .tflite, such as model.tflite."),
        ("saved_model", "net.onnx", "SavedModel is a folder; expected a name such as saved_model."),
        ("saved_model", "there", "is there already. Remove it, or name another (--output)."),
        ("litert", "there.tflite", "is there already. Remove it, or name another (--output)."),
    ):
        (tmp_path / "there").mkdir(exist_ok=True)
        (tmp_path / "there.tflite").touch()
        refused(f"{tmp_path / name}: {said}", saved, form, tmp_path / name)
    missing = tmp_path / "missing"
    said = f"{missing}: there is no such folder; expected one that exists for net.tflite."
    refused(said, saved, "litert", missing / "net.tflite")
    assert not missing.exists()
    model = open_saved(saved).model
    refused('output is missing; expected where to write, such as "model.tflite".', model, "litert")


def test_what_appears_during_the_conversion_stays(saved, monkeypatch) -> None:
    path = saved.with_suffix(".tflite")
    patch_writer(monkeypatch, "litert", lambda model, card, temporary: path.touch() or temporary.touch())
    refused(f"{path}: is there already. Remove it, or name another (--output).", saved, "litert")
    assert sorted(file.name for file in saved.parent.iterdir()) == ["ckpt.keras", "ckpt.tflite"]
    assert path.stat().st_size == 0


def test_a_missing_package_is_named(saved, monkeypatch) -> None:
    monkeypatch.setattr("allcnn.export.find_spec", lambda name: None if name == "tf2onnx" else name)
    refused(f"ONNX needs tf2onnx, which is not installed. {install_hint('export')}", saved, "onnx")


def test_another_backend_that_already_runs_is_refused(saved, monkeypatch) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(InputError) as caught:
        export_model(saved, "litert")
    first, second = str(caught.value).splitlines()
    assert first == "models are exported through TensorFlow."
    assert second.startswith('Keras is already running on "jax"') and second.endswith("at a shell: allcnn export")


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float64"])
def test_only_float32_is_exported(tmp_path, policy) -> None:
    model = build_model("4C3-NC1:linear-GAP", (6, 6, 3), 3, seed=0, dtype=policy, name="half")
    refused(
        f'the model "half": its layer "conv1" is {policy}; expected a float32 model, as allcnn train saves it.\n'
        "Build the same network in float32 and give it these weights: "
        "float32_model.set_weights(model.get_weights())",
        model, "litert", tmp_path / "model.tflite",
    )  # fmt: skip
    other = build_model("4C3-NC1:linear-GAP", (6, 6, 3), 3)
    other.set_weights(model.get_weights())  # what the message says to do
    assert export_model(other, "saved_model", tmp_path / "model").bytes > 500


def test_a_model_of_no_images_is_refused(tmp_path) -> None:
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)], name="table")
    refused(
        'the model "table": takes (None, 5) and gives (None, 2); expected one that takes images, '
        "(None, height, width, channels), and gives class probabilities, (None, classes).",
        model, "litert", tmp_path / "model.tflite",
    )  # fmt: skip


def test_a_model_without_known_inputs_is_refused(tmp_path) -> None:
    class Own(keras.Model):
        pass

    said = 'the model "own": has no known input; expected a functional or sequential Keras model, built.'
    refused(said, Own(), "litert", tmp_path / "model.tflite")


@pytest.mark.parametrize("form", ["litert", "saved_model"])
def test_a_failed_conversion_is_one_line_and_leaves_nothing(saved, form, monkeypatch, capfd) -> None:
    def fail(model, card, path):
        import os

        (path / "half" if form == "saved_model" else path.parent).mkdir(parents=True, exist_ok=True)
        os.write(2, b"loc(fused) pages of what a compiler thinks\n")
        raise RuntimeError("an operation\n  that nobody knows")

    patch_writer(monkeypatch, form, fail)
    title = FORMATS[form].title
    said = f"{saved}: cannot be converted to {title}: an operation that nobody knows"
    refused(said, saved, form, kind=AllcnnError)
    assert [path.name for path in saved.parent.iterdir()] == ["ckpt.keras"]
    assert capfd.readouterr() == ("", "")


def test_the_whitening_matrix_is_measured(saved, tmp_path) -> None:
    assert export_model(saved, "saved_model").whitening_bytes == 0
    images = np.random.default_rng(0).integers(0, 256, (40, 6, 6, 3)).astype(np.uint8)
    model = build_model("NC1-GAP", (6, 6, 3), 3, preprocessing=make_preprocessing("gcn-zca").adapt(images))
    exported = export_model(model, "saved_model", tmp_path / "whitened")
    assert exported.whitening_bytes == 4 * (108 * 108 + 108) < exported.bytes
