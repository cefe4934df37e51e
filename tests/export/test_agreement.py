"""What was exported gives in its own runtime what Keras gives: networks that are sure, real images, any batch size.

Two runtimes that are both right to float32 differ by their roundings, and the network decides how much becomes of
these: the whitening's condition number is 85, and `make_decided` stretches the rest. So no fixed number bounds the
difference. Both are compared with the same layers and weights in float64 instead: a runtime may err three times as
far as Keras.
"""

from __future__ import annotations

import numpy as np
import pytest
from runtimes import make_decided, run_float64, run_keras, run_litert, run_onnx, run_saved_models

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

pytestmark = pytest.mark.stand_in


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
    """Name -> a network of raw images with large random weights, some of these images, their probabilities in float64,
    and how far from these Keras's are in float32."""
    pixels = images[-SIZES[-1] :].astype("float32")
    made = {}
    for name, (text, kind) in NETWORKS.items():
        model = build_model(text, (16, 16, 3), 10, seed=0, preprocessing=make_preprocessing(kind).adapt(images))
        make_decided(model, pixels[:100])
        exact = run_float64(model, pixels)
        assert exact.max(axis=1).mean() > 0.5  # all the same probability would agree with anything
        assert len(set(exact.argmax(axis=1))) > 2
        (found,) = run_keras(model, pixels, SIZES[-1:])
        errors = found - exact
        assert abs(errors).max() < 1e-3  # three times as far would hide a mistake
        made[name] = model, pixels, exact, errors
    return made


def root_mean_square(values) -> float:
    return float(np.sqrt(np.square(values).mean()))


def assert_agree(found, exact, keras_errors) -> None:
    """Over the largest batch the mean squares are compared: the maximum is one image's, and varies with the processor.

    The errors of a few images alone may not be larger than three times Keras's largest. What is added is 16 units, and
    one unit, in the last place of a probability near 1: softmax makes some whatever comes in.
    """
    for size, own in zip(SIZES, found, strict=True):
        assert own.dtype == "float32" and own.shape == (size, 10)
        errors = own - exact[:size]
        if size < len(exact):
            assert abs(errors).max() <= 3 * abs(keras_errors).max() + 1e-6
        else:
            assert root_mean_square(errors) <= 3 * root_mean_square(keras_errors) + 6e-8


@pytest.mark.parametrize("name", NETWORKS)
def test_onnxruntime_gives_what_keras_gives(networks, name, tmp_path) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install onnxruntime")
    pytest.importorskip("tf2onnx", reason="tf2onnx is not installed: pip install tf2onnx onnx")
    model, pixels, exact, keras_errors = networks[name]
    exported = export_model(model, "onnx", tmp_path / "model.onnx")
    assert_agree(run_onnx(exported.path, pixels, SIZES), exact, keras_errors)


@pytest.mark.parametrize("name", NETWORKS)
def test_litert_gives_what_keras_gives(networks, name, tmp_path) -> None:
    pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed: pip install ai-edge-litert")
    model, pixels, exact, keras_errors = networks[name]
    exported = export_model(model, "litert", tmp_path / "model.tflite")
    assert_agree(run_litert(exported.path, pixels, SIZES), exact, keras_errors)


def test_tensorflow_alone_gives_what_keras_gives(networks, tmp_path) -> None:
    folders = [
        export_model(model, "saved_model", tmp_path / str(index)).path
        for index, (model, *_) in enumerate(networks.values())
    ]
    found = run_saved_models(folders, [pixels for _, pixels, *_ in networks.values()], SIZES, tmp_path)
    for own, (_, _, exact, keras_errors) in zip(found, networks.values(), strict=True):
        assert_agree(own, exact, keras_errors)
