"""Copies to compare with: max-pooling in place of strides, and shuffled weights; they share nothing with the model."""

from __future__ import annotations

import numpy as np
import pytest
from small_models import PATCHES, kernel, splitting_model

from allcnn.errors import InputError
from allcnn.visualize.altered import with_random_weights, with_switches
from allcnn.visualize.attribution import Attributor


def weights_of(model) -> dict[str, list[np.ndarray]]:
    return {layer.name: layer.get_weights() for layer in model.layers if hasattr(layer, "get_weights")}


def state_of(model) -> tuple:
    """What a copy must not have changed: the configuration, the graph that the layers are in, the layers themselves."""
    nodes = [len(layer._inbound_nodes) for layer in model._flatten_layers()]
    return model.get_config(), nodes, list(model.layers), model.trainable, model.compiled


def assert_copied(model, copy, pools: list[str]) -> None:
    """The copy has the model's layers, weights and sizes, and after each of these names one of pooling."""
    import keras

    added = [f"{name}_switches" for name in pools]
    names = [layer.name for layer in copy.layers]
    assert [layer.name for layer in copy.layers if layer.name not in added] == [layer.name for layer in model.layers]
    assert [names[names.index(pool) - 1] for pool in added] == pools
    assert len(names) == len(set(names)) == len(model.layers) + len(pools)
    ours, theirs = weights_of(model), weights_of(copy)
    assert all(np.array_equal(one, other) for name in ours for one, other in zip(ours[name], theirs[name], strict=True))
    for name in names:
        layer = copy.get_layer(name)
        if name in added:
            assert isinstance(layer, keras.layers.MaxPooling2D) and layer.padding == "same"
            assert layer.output.shape == model.get_layer(name.removesuffix("_switches")).output.shape
        elif name not in pools:
            assert layer.output.shape == model.get_layer(name).output.shape
        assert getattr(layer, "strides", (1, 1)) == (1, 1) or "Pooling" in type(layer).__name__
        if name not in added:
            assert layer.trainable == model.get_layer(name).trainable
    assert not set(map(id, model.layers)) & set(map(id, copy.layers))
    assert not set(map(id, model.variables)) & set(map(id, copy.variables))


# Odd and even sizes; "same", "valid" and explicit paddings; strides of 2, 3 and 4, kernels smaller and larger.
@pytest.mark.parametrize("side", [31, 32])
@pytest.mark.parametrize(
    ("name", "pools"),
    [
        ("strided-a", ["conv1", "conv2"]),
        ("all-c", ["conv3", "conv6"]),
        ("review-all-a", ["conv2", "conv4"]),
        ("4C3/2p1-4C2/2v-4C1/2-4C5/3p2-NC1-GAP", ["conv1", "conv2", "conv3", "conv4"]),
        ("D.2-4C11/4-BN-4C3/2v:leaky_relu(0.3)-NC1:linear-GAP", ["conv1", "conv2"]),
    ],
)
def test_our_networks(name, pools, side) -> None:
    from allcnn.models.build import build_model

    model = build_model(name, (side, side, 3), seed=0)
    before = state_of(model)
    copy = with_switches(model)
    assert state_of(model) == before
    assert_copied(model, copy, pools)
    for pool in pools:
        strides = model.get_layer(pool).strides
        assert copy.get_layer(f"{pool}_switches").pool_size == strides
        assert copy.get_layer(f"{pool}_switches").strides == strides


def test_values_by_hand() -> None:
    """All nine 2x2 patches, and of each 2x2 of their values the largest; at the edge there is but one row or column.

    The image, its positive part looked at with A = (1 -1; 2 1) and its negative part with B = (-1 1; 3 -2):

        x   3  2  0 -1    the upper left patch 5, as before; to its right (2 0; 1 0): 2 + 2 = 4; then (0 -1; 0 0): 1
           -1  1  0  0    (-1 1; 1 0): -1 + 2 - 1 = 0; (1 0; 0 -1): 1 - 2 = -1, no more than 0; (0 0; -1 0): 3
            1  0 -1  0    (1 0; 0 0): 1; (0 -1; 0 0): 1; (-1 0; 0 0): -1, no more than 0
            0  0  0  0    the largest of (5 4; 0 0), (1; 3), (1 1), (0)
    """
    model = splitting_model()
    copy = with_switches(model)
    assert [layer.name for layer in copy.layers][1:] == ["split", "look", "look_switches"]
    assert np.array_equal(np.asarray(copy(PATCHES))[0, :, :, 0], [[5, 3], [1, 0]])
    found = Attributor(copy, "look_switches", "guided")(PATCHES, 0, (0, 1))
    # From the patch (0 0; -1 0) at row 1, column 2, whose -1 is looked at with B's 3.
    expected = np.zeros((1, 4, 4, 1))
    expected[0, 2, 2, 0] = -3
    assert np.array_equal(found.maps, expected) and found.activations[0] == 3


def test_a_stride_of_ones_kernel_is_plain_max_pooling() -> None:
    import keras

    images = np.random.default_rng(0).normal(size=(2, 7, 9, 1)).astype(np.float32)
    model = keras.Sequential([keras.Input((7, 9, 1)), keras.layers.Conv2D(1, 1, strides=(2, 3))])
    model.set_weights([kernel([[[1]]]), np.zeros(1)])
    pooled = keras.layers.MaxPooling2D((2, 3), padding="same")(images)
    assert np.array_equal(np.asarray(with_switches(model)(images)), np.asarray(pooled))


def test_a_saved_model_with_its_preprocessing() -> None:
    from allcnn.models.build import build_model
    from allcnn.preprocessing import make_preprocessing

    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3)).astype(np.uint8)
    for kind in ("gcn-zca", "standardize"):
        model = build_model("4C3/2-NC1-GAP", (8, 8, 3), 3, preprocessing=make_preprocessing(kind).adapt(images))
        copy = with_switches(model)
        assert_copied(model, copy, ["conv1"])
        names = [layer.name for layer in model.layers]
        last = names[names.index("conv1") - 1]
        ours, theirs = (Attributor(one, "conv1", "guided", down_to=last) for one in (model, copy))
        # On these even sizes a convolution of stride 1 sees all that the one of stride 2 saw.
        assert theirs(images[:2], 1).activations[0] >= ours(images[:2], 1).activations[0]
        np.testing.assert_allclose(
            before_conv1(copy, images[:5]), before_conv1(model, images[:5]), rtol=1e-6, atol=1e-6
        )


def before_conv1(model, images) -> np.ndarray:
    import keras

    return np.asarray(keras.Model(model.inputs, model.get_layer("conv1").input)([images.astype(np.float32)]))


def test_training_one_leaves_the_other_as_it_was() -> None:
    from allcnn.models.build import build_model

    images = np.random.default_rng(0).normal(size=(8, 8, 8, 3)).astype(np.float32)
    model = build_model("4C3/2-BN-NC1:linear-GAP", (8, 8, 3), 3, seed=0)
    model.get_layer("conv1").trainable = False
    model.compile("sgd", "sparse_categorical_crossentropy")
    copy = with_switches(model)
    assert not copy.compiled and not copy.get_layer("conv1").trainable and copy.get_layer("conv2").trainable
    before, weights = model.predict_on_batch(images), weights_of(model)
    model.predict_on_batch(images)
    copy.compile("sgd", "sparse_categorical_crossentropy")
    copy.fit(images, np.arange(8) % 3, verbose=0)
    assert np.array_equal(model.predict_on_batch(images), before)
    assert not np.array_equal(copy.get_layer("conv2").get_weights()[0], weights["conv2"][0])


def test_branches_shared_layers_and_operations() -> None:
    """Two branches with a stride each that are added; a layer that is called twice."""
    import keras
    from keras import layers

    image = keras.Input((17, 17, 3), name="picture")
    x = layers.Conv2D(4, 3, 2, "same", activation="relu", name="first")(image)
    x = layers.Add()([layers.Conv2D(4, 1, 2, name="short")(x), layers.Conv2D(4, 3, 2, "same", name="long")(x)])
    twice = layers.Conv2D(4, 2, 2, activation="relu", name="twice")
    model = keras.Model(image, layers.GlobalAveragePooling2D()(keras.ops.relu(twice(twice(x)) - 0.5)), name="whole")
    before = state_of(model)
    copy = with_switches(model)
    assert state_of(model) == before
    names = [layer.name for layer in copy.layers]
    assert {"picture", "first_switches", "short_switches", "long_switches"} <= set(names)
    assert names.count("twice_switches") == 1
    assert copy.output_shape == model.output_shape and copy.name == "whole"
    assert all(np.array_equal(*pair) for pair in zip(model.get_weights(), copy.get_weights(), strict=True))
    images = np.random.default_rng(0).normal(size=(2, 17, 17, 3)).astype(np.float32)
    assert np.abs(Attributor(copy, "long", "deconvnet")(images, 0).maps).max() > 0


@pytest.mark.slow
@pytest.mark.parametrize(("name", "side"), [("ResNet50", 33), ("MobileNetV2", 64)])
def test_networks_of_keras_applications(name, side) -> None:
    """Depthwise convolutions, too. Pooling moves layers to other depths, and with them their order."""
    import keras

    model = getattr(keras.applications, name)(weights=None, include_top=False, input_shape=(side, side, 3))
    copy = with_switches(model)
    pools = [layer.name for layer in copy.layers if layer.name.endswith("_switches")]
    assert len(pools) == {"ResNet50": 7, "MobileNetV2": 5}[name]
    ours, theirs = weights_of(model), weights_of(copy)
    assert set(theirs) - set(ours) == set(pools)
    for layer in model.layers:
        assert all(np.array_equal(*pair) for pair in zip(ours[layer.name], theirs[layer.name], strict=True))
        if f"{layer.name}_switches" not in pools:
            assert copy.get_layer(layer.name).output.shape == layer.output.shape
    assert copy.output_shape == model.output_shape


def test_normalisation_in_a_nested_model_works_with_its_weights() -> None:
    import keras

    normalise = keras.layers.Normalization()
    images = np.random.default_rng(0).normal(5, 3, (20, 6, 6, 3)).astype(np.float32)
    normalise.adapt(images)
    nested = keras.Sequential([keras.Input((6, 6, 3)), normalise])
    model = keras.Sequential([keras.Input((6, 6, 3)), nested, keras.layers.Conv2D(4, 3, 2, name="conv")])
    copy = with_switches(model)
    assert np.array_equal(np.asarray(copy.layers[1](images)), np.asarray(normalise(images)))


def test_what_cannot_be_has_one_plain_error_each() -> None:
    import keras
    from keras import layers

    from allcnn.models.build import build_model

    class OwnCall(keras.Model):
        def call(self, x):
            return super().call(2 * x)

    inputs = keras.Input((9, 9, 3))
    strided = layers.Conv2D(4, 3, 2, name="strided")
    many = layers.TimeDistributed(layers.Conv2D(4, 3, 2, name="in"), name="x")
    nested = keras.Sequential([inputs, layers.Conv2D(4, 3, 2, name="in")], name="x")
    anything = layers.Lambda(lambda x: x, name="x")
    inside = (
        'layer "x" has a strided convolution inside ("in"), which cannot be replaced; expected it as a layer of the'
    )
    for model, message in (
        (build_model("c"), '"c" has no strided convolution, whose stride max-pooling could replace.'),
        (
            keras.Sequential([strided], name="mine"),
            '"mine" has no graph of layers; expected a functional or sequential',
        ),
        (
            OwnCall(inputs, strided(inputs), name="mine"),
            '"mine" has a call of its own; expected a functional or sequen',
        ),
        (keras.Sequential([keras.Input((2, 9, 9, 3)), many]), inside),
        (keras.Model(inputs, nested(inputs)), inside),
        (keras.Sequential([keras.Input((9, 9, 3)), anything]), 'layer "x" (Lambda) cannot be copied: Requested the de'),
    ):
        with pytest.raises(InputError) as error:
            with_switches(model)
        assert str(error.value).startswith(message), str(error.value)
        assert "\n" not in str(error.value) and len(str(error.value)) < 240


@pytest.mark.backends
def test_random_weights_are_the_same_values_in_other_places_and_the_preprocessing_stays() -> None:
    from allcnn.models.build import build_model
    from allcnn.preprocessing import make_preprocessing

    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3)).astype(np.uint8)
    zca = make_preprocessing("gcn-zca").adapt(images)
    model = build_model("6C3/2p1-8C3-NC1-GAP", (8, 8, 3), 4, preprocessing=zca, seed=1)
    before = [weight.copy() for weight in model.get_weights()]
    copy = with_random_weights(model, seed=3)
    assert all(np.array_equal(one, other) for one, other in zip(before, model.get_weights(), strict=True))
    for layer in model.layers:
        for mine, other in zip(layer.get_weights(), copy.get_layer(layer.name).get_weights(), strict=True):
            assert np.array_equal(np.sort(mine, axis=None), np.sort(other, axis=None))
            moved = layer.name.startswith("conv") and mine.ndim == 4
            assert np.array_equal(mine, other) != moved


@pytest.mark.backends
def test_shuffling_leaves_an_adapted_normalization_and_frozen_layers_as_they_are() -> None:
    import keras

    adapted, frozen = keras.layers.Normalization(), keras.layers.Conv2D(4, 3, trainable=False, name="frozen")
    images = np.random.default_rng(0).normal(7, 3, (20, 6, 6, 3)).astype(np.float32)
    adapted.adapt(images)
    layers = [keras.Input((6, 6, 3)), adapted, frozen, keras.layers.Conv2D(2, 3, name="trained")]
    model = keras.Sequential(layers)
    copy = with_random_weights(model)
    assert not np.array_equal(copy.get_layer("trained").get_weights()[0], model.get_layer("trained").get_weights()[0])
    before, after = (keras.Sequential(one.layers[:2])(images) for one in (model, copy))
    np.testing.assert_array_equal(after, before)
