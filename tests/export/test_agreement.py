"""What was exported gives in its own runtime what Keras gives: networks that are sure, real images, any batch size."""

from __future__ import annotations

import numpy as np
import pytest
from runtimes import make_decided, run_keras, run_litert, run_onnx, run_saved_models

from allcnn.data.load import load_data
from allcnn.export import export_model
from allcnn.models.build import build_model
from allcnn.preprocessing import make_preprocessing

#: Every kind of layer, padding and preprocessing; tests/studies/exports.py has the published networks.
NETWORKS = {
    "strided, whitened": ("D.2-12C5/2-D.5-16C5/2-D.5-16C3v-16C1-NC1-GAP", "gcn-zca"),
    "max and average pooling": ("12C3-MP3/2-16C3-MP3/2v-AP2-NC1-GAP", "center"),
    "p-norm pooling": ("12C3-L2P3/2-16C3-L3.5P2v-NC1:linear-GAP", "scale"),
    "BN, leaky ReLU, explicit padding, FC": (
        "12C5/2p1:linear-BN-:leaky_relu(0.33)-16C3v:elu(0.5)-32FC-D.5-NFC", "channel-mean",
    ),
}  # fmt: skip
SIZES = (1, 3, 250)


@pytest.fixture(scope="module")
def images(request) -> np.ndarray:
    """The middle of 600 photographs, or where there are none of scikit-learn's digits."""
    try:
        found = request.getfixturevalue("cifar10_photographs")
    except pytest.skip.Exception:
        found = load_data("digits").train_images
    return found[:600, 8:24, 8:24]


@pytest.fixture(scope="module")
def networks(images) -> dict:
    """Name -> a network of raw images with large random weights, some of these images, what Keras gives for them."""
    pixels = images[-SIZES[-1] :].astype("float32")
    made = {}
    for name, (text, kind) in NETWORKS.items():
        model = build_model(text, (16, 16, 3), 10, seed=0, preprocessing=make_preprocessing(kind).adapt(images))
        make_decided(model, pixels[:100])
        wanted = run_keras(model, pixels, SIZES)
        assert wanted[-1].max(axis=1).mean() > 0.5  # all the same probability would agree with anything
        assert len(set(wanted[-1].argmax(axis=1))) > 2
        made[name] = model, pixels, wanted
    return made


def assert_agree(found, wanted) -> None:
    for size, own, keras_gives in zip(SIZES, found, wanted, strict=True):
        assert own.dtype == "float32" and own.shape == (size, 10)
        assert abs(own - keras_gives).max() < 1e-4


@pytest.mark.parametrize("name", NETWORKS)
def test_onnxruntime_gives_what_keras_gives(networks, name, tmp_path) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install onnxruntime")
    pytest.importorskip("tf2onnx", reason='tf2onnx is not installed: pip install "allcnn[export]"')
    model, pixels, wanted = networks[name]
    exported = export_model(model, "onnx", tmp_path / "model.onnx")
    assert_agree(run_onnx(exported.path, pixels, SIZES), wanted)


@pytest.mark.parametrize("name", NETWORKS)
def test_litert_gives_what_keras_gives(networks, name, tmp_path) -> None:
    pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed: pip install ai-edge-litert")
    model, pixels, wanted = networks[name]
    exported = export_model(model, "litert", tmp_path / "model.tflite")
    assert_agree(run_litert(exported.path, pixels, SIZES), wanted)


def test_tensorflow_alone_gives_what_keras_gives(networks, tmp_path) -> None:
    folders = []
    for index, (model, _, _) in enumerate(networks.values()):
        folders.append(export_model(model, "saved_model", tmp_path / str(index)).path)
    found = run_saved_models(folders, [pixels for _, pixels, _ in networks.values()], SIZES, tmp_path)
    for own, (_, _, wanted) in zip(found, networks.values(), strict=True):
        assert_agree(own, wanted)
