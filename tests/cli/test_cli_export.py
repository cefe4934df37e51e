"""`allcnn export`: a trained run in every format, loaded by its own runtime; quiet; and what is refused."""

import json
import shutil

import numpy as np
import pytest

from allcnn.data.load import load_data
from allcnn.models.saved import load_model


@pytest.fixture
def run(digits_run, tmp_path):
    """A run of one's own, to write into."""
    return shutil.copytree(digits_run, tmp_path / "run")


def test_a_run_goes_to_onnx_and_its_class_names_with_it(allcnn, run) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install onnxruntime")
    pytest.importorskip("tf2onnx", reason="tf2onnx is not installed: pip install tf2onnx onnx")
    result = allcnn("export", run, "--format", "onnx")
    assert (result.code, result.err) == (0, "")
    path = run / "model.onnx"
    assert result.out.splitlines() == [
        f"{path}: {path.stat().st_size:,} bytes",
        "  takes image (any, 32, 32, 3) float32",
        "  gives probabilities (any, 10) float32",
    ]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    card = json.loads(session.get_modelmeta().custom_metadata_map["allcnn.json"])
    assert card["class_names"] == [str(digit) for digit in range(10)]
    images = load_data("digits").test_images.astype(np.float32)
    (found,) = session.run(["probabilities"], {"image": images})
    wanted = load_model(run).predict_on_batch(images)
    assert np.ptp(wanted, axis=0).max() > 0.01
    assert abs(found - wanted).max() < 1e-5
    # A run with an exported model in it is a run as before.
    assert allcnn("report", run, "--table", "lr", "--json").code == 0


def test_whatever_backend_is_set_tensorflow_does_it_quietly(run, run_python) -> None:
    result = run_python("-m", "allcnn_cli", "export", str(run), "--format", "litert", "--json", KERAS_BACKEND="jax")
    assert result.stderr == ""
    document = json.loads(result.stdout)
    path = run / "model.tflite"
    assert document["checkpoint"] == str(run) and document["path"] == str(path) and document["format"] == "litert"
    assert document["bytes"] == path.stat().st_size
    assert document["inputs"] == [{"name": "image", "shape": [None, 32, 32, 3], "dtype": "float32"}]
    assert document["outputs"] == [{"name": "probabilities", "shape": [None, 10], "dtype": "float32"}]
    assert document["card"]["model"].startswith("spec-")


def test_a_model_that_whitens_says_how_much_of_it_that_is(allcnn, run, monkeypatch) -> None:
    from allcnn.export import Export, Tensor

    image = Tensor("image", (None, 32, 32, 3), "float32")
    exported = Export(run / "model.tflite", "litert", 41_314_234, (image,), (), {}, whitening_bytes=37_761_024)
    monkeypatch.setattr("allcnn.export.export_model", lambda *arguments: exported)
    assert allcnn("export", run, "--format", "litert").out.splitlines()[1] == (
        "  37.8 MB of it is the whitening matrix; a run with --preprocessing standardize makes one of 3.6 MB"
    )


def test_a_card_lies_beside_the_model(allcnn, run) -> None:
    result = allcnn("export", run, "--format", "card")
    assert result.out == f"{run / 'README.md'}: {(run / 'README.md').stat().st_size:,} bytes\n"
    text = (run / "README.md").read_text(encoding="utf-8")
    assert " of 359 images, after epoch 2, the last |" in text and "| trained on | digits, 1,438 images; " in text
