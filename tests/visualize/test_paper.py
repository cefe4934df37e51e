"""What the figures of a saved model of ours rest on: back out of whitening, single units, the largest unit."""

from pathlib import Path

import keras
import numpy as np
import pytest

from allcnn.errors import InputError
from allcnn.models.build import build_model
from allcnn.models.parts import preprocessing_end
from allcnn.models.saved import ModelCard, SavedModel
from allcnn.preprocessing import make_preprocessing
from allcnn.visualize.compare import largest_units, single_unit_patterns
from allcnn.visualize.paper import TrainedNetwork, filters, lower_layers

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3)).astype(np.uint8)


def make(kind: str, spec: str = "D.2-6C3p1/2-8C3-NC1-GAP".replace("p1/2", "/2p1")) -> tuple[keras.Model, ModelCard]:
    preprocessing = make_preprocessing(kind).adapt(IMAGES)
    model = build_model(spec, (8, 8, 3), 4, preprocessing=preprocessing, seed=1, initializer="he_normal")
    card = ModelCard("mine", spec, "noise", "", tuple("abcd"), (8, 8, 3), "none", kind, "paper", model.count_params())
    return model, card


def test_unwhitening_takes_whitening_back() -> None:
    model, card = make("gcn-zca")
    network = TrainedNetwork(SavedModel(Path("mine"), model, card))
    matrix = model.get_layer("zca").get_weights()[0]
    pictures = np.random.default_rng(1).normal(size=(3, 8, 8, 3)).astype(np.float32)
    whitened = (pictures.reshape(3, -1) @ matrix).reshape(pictures.shape)
    np.testing.assert_allclose(network.in_picture_space(whitened), pictures, atol=2e-3)
    plain = TrainedNetwork(SavedModel(Path("mine"), *make("none")))
    assert network.is_whitened and not plain.is_whitened and plain.in_picture_space(whitened) is whitened


def test_a_network_without_convolutions_has_no_figures_of_them() -> None:
    network = TrainedNetwork(SavedModel(Path("mine"), *make("gcn", "6FC-NFC")))
    assert network.preprocessing == "gcn_image"
    for figure in (lower_layers, filters, lambda network, path: network.middle_layers()):
        with pytest.raises(InputError, match="the network has no convolution; expected at least [12]"):
            figure(network, Path("unwritten.png"))


@pytest.mark.backends
def test_the_pattern_of_a_unit_of_the_first_convolution_is_its_filter() -> None:
    model, card = make("gcn-zca")
    maps = single_unit_patterns(model, "conv1", preprocessing_end(model, card))
    kernel = model.get_layer("conv1").get_weights()[0]
    # Unit (2, 2) of the 4x4 map, stride 2, one pixel of padding: rows and columns 3 to 5.
    np.testing.assert_allclose(maps[:, 3:6, 3:6], np.moveaxis(kernel, 3, 0), rtol=1e-6)
    maps[:, 3:6, 3:6] = 0
    assert not maps.any()


def test_lower_layers_with_pooling_need_an_image() -> None:
    model = build_model("6C3-MP2-8C3-NC1-GAP", (8, 8, 3), 4)
    with pytest.raises(InputError, match='layer "conv2" has max-pooling before it \\("pool1"\\), whose switches need'):
        single_unit_patterns(model, "conv2")
    assert single_unit_patterns(model, "conv1").shape == (6, 8, 8, 3)
    with pytest.raises(InputError, match="is no feature map"):
        single_unit_patterns(model, "global_pool")


def test_the_largest_unit_is_that_of_the_layers_outputs_in_batches(monkeypatch) -> None:
    monkeypatch.setattr("allcnn.visualize.compare.BATCH_SIZE", 2)
    batches = []
    predict = keras.Model.predict_on_batch
    monkeypatch.setattr(keras.Model, "predict_on_batch", lambda self, x: batches.append(len(x)) or predict(self, x))
    model, _ = make("none")
    images = IMAGES[:5].astype(np.float32)
    outputs = keras.Model(model.inputs, model.get_layer("conv2").output).predict(images, verbose=0)
    assert largest_units(model, IMAGES[:5], "conv2").tolist() == outputs.max(axis=(1, 2)).argmax(axis=1).tolist()
    chances = model.predict(images, verbose=0)
    assert largest_units(model, IMAGES[:5]).tolist() == chances.argmax(axis=1).tolist()
    assert batches == [2] * 6
