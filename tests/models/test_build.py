"""Every network of the zoo against the arithmetic; paddings, activations, seeds and dtypes by hand."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from allcnn.errors import InputError, SpecError
from allcnn.models.build import DEFAULT_CLASS_BIAS, LayerOptions, build_model, layer_seed
from allcnn.specs import ZOO, layer_shapes, parse

backends = pytest.mark.backends
# Layers that Keras needs beside those of a spec.
HELPERS = ("_padding", "_flatten", "_leaky_relu", "_elu")


@pytest.mark.parametrize("name", ZOO)
def test_a_published_network_is_what_the_arithmetic_says(name) -> None:
    network = ZOO[name]
    model = build_model(name, initializer="glorot_uniform", seed=0)
    rows = layer_shapes(network.spec, network.input_shape, network.classes)
    assert model.count_params() == sum(row.parameters for row in rows)
    assert [layer.name for layer in model.layers if not layer.name.endswith(HELPERS)] == [
        "image",
        *(row.name for row in rows),
    ]
    for row in rows:
        layer = model.get_layer(row.name)
        assert layer.output.shape == (None, *row.output_shape), row.name
        assert layer.count_params() == row.parameters, row.name
    assert model.input_shape == (None, *network.input_shape)
    assert model.output_shape == (None, network.classes)
    assert model.name == name.replace("-", "_")


def test_all_c_as_table_1_and_2_print_it() -> None:
    model = build_model("ALL-CNN-C")
    assert model.count_params() == 1_369_738
    kernels = {layer.name: (*layer.kernel.shape, *layer.strides) for layer in model.layers if "conv" in layer.name}
    assert kernels == {
        "conv1": (3, 3, 3, 96, 1, 1),
        "conv2": (3, 3, 96, 96, 1, 1),
        "conv3": (3, 3, 96, 96, 2, 2),
        "conv4": (3, 3, 96, 192, 1, 1),
        "conv5": (3, 3, 192, 192, 1, 1),
        "conv6": (3, 3, 192, 192, 2, 2),
        "conv7": (3, 3, 192, 192, 1, 1),
        "conv8": (1, 1, 192, 192, 1, 1),
        "conv9": (1, 1, 192, 10, 1, 1),
    }
    assert all(layer.activation is keras.activations.relu for layer in model.layers if "conv" in layer.name)
    assert [model.get_layer(f"dropout{index}").rate for index in (1, 2, 3)] == [0.2, 0.5, 0.5]


def test_defaults_and_arguments() -> None:
    assert build_model("96C3-NC1-GAP").output_shape == (None, 10)
    assert build_model("96C3-NC1-GAP").input_shape == (None, 32, 32, 3)
    assert build_model("96C3-NC1-GAP").name == "allcnn"
    model = build_model("96C3-NC1-GAP", (12, 9, 1), 7, name="mine")
    assert (model.name, model.input_shape, model.output_shape) == ("mine", (None, 12, 9, 1), (None, 7))
    assert build_model("all-c", classes=100).output_shape == (None, 100)
    assert build_model(parse("NC1-GAP")).count_params() == 3 * 10 + 10


def put(model: keras.Model, name: str, kernel, bias=None) -> None:
    layer = model.get_layer(name)
    shape = layer.kernel.shape
    layer.set_weights([np.asarray(kernel, np.float32).reshape(shape), np.zeros(shape[-1]) if bias is None else bias])


def inside(model: keras.Model, name: str, images) -> np.ndarray:
    return keras.Model(model.input, model.get_layer(name).output).predict_on_batch(np.asarray(images, np.float32))


# A kernel that picks one pixel shows where the window lies. On 4 pixels "same" 3x3/2 pads (0, 1): the centres are
# pixels 1 and 3; one zero on every side: pixels 0 and 2.
CENTRE = np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]])
COUNTED = np.arange(1, 17).reshape(1, 4, 4, 1)


@backends
@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("1C3/2", [[6, 8], [14, 16]]),
        ("1C3/2s", [[6, 8], [14, 16]]),
        ("1C3/2p1", [[1, 3], [9, 11]]),
        ("1C3v", [[6, 7], [10, 11]]),
        ("1C3p0", [[6, 7], [10, 11]]),
        ("1C3p1", [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12], [13, 14, 15, 16]]),
        ("1C3/3p2", [[0, 0], [0, 11]]),
    ],
)
def test_where_windows_lie(token, expected) -> None:
    model = build_model(f"{token}-NC1-GAP", (4, 4, 1))
    put(model, "conv1", CENTRE)
    assert inside(model, "conv1", COUNTED)[0, ..., 0].tolist() == expected


def test_explicit_zeros_are_a_layer_only_where_same_would_put_others() -> None:
    names = [layer.name for layer in build_model("4C3p1-4C5p1-4C3/2p1-4C1p1-NC1-GAP", (16, 16, 3)).layers]
    assert [name for name in names if name.endswith("_padding")] == ["conv2_padding", "conv3_padding", "conv4_padding"]


@backends
@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("MP2", [[6, 8], [14, 16]]),
        ("MP3/2", [[11, 12], [15, 16]]),
        ("MP3/2v", [[11]]),
        # Averages leave padding out: the corner window of 3x3 on the last pixels holds four.
        ("AP3/2", [[6, 7.5], [12, 13.5]]),
    ],
)
def test_pooling_by_hand(token, expected) -> None:
    model = build_model(f"{token}-NC1-GAP", (4, 4, 1))
    assert inside(model, "pool1", COUNTED)[0, ..., 0].tolist() == expected
    if token.startswith("MP"):
        # Padding is -infinity, so that negative values survive it.
        assert inside(model, "pool1", COUNTED - 100)[0, ..., 0].tolist() == (np.array(expected) - 100).tolist()


@backends
@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        (":relu", [0, 0, 3]),
        (":linear", [-2, -0.5, 3]),
        (":leaky_relu(0.33)", [-0.66, -0.165, 3]),
        (":leaky_relu", [-0.4, -0.1, 3]),  # Keras's own slope is 0.2
        (":elu(0.5)", [0.5 * (np.exp(-2) - 1), 0.5 * (np.exp(-0.5) - 1), 3]),
        (":elu", [np.exp(-2) - 1, np.exp(-0.5) - 1, 3]),
        (":tanh", np.tanh([-2, -0.5, 3])),
    ],
)
def test_activations_by_hand(activation, expected) -> None:
    images = np.array([-2, -0.5, 3], np.float32).reshape(1, 1, 3, 1)
    # In a convolution, as a layer of its own, in a fully connected layer.
    model = build_model(f"1C1{activation}-NC1-GAP", (1, 3, 1))
    put(model, "conv1", [1])
    last = [layer.name for layer in model.layers if layer.name.startswith("conv1")][-1]
    np.testing.assert_allclose(inside(model, last, images).ravel(), expected, rtol=1e-6)
    model = build_model(f"{activation}-NC1-GAP", (1, 3, 1))
    np.testing.assert_allclose(inside(model, "activation1", images).ravel(), expected, rtol=1e-6)
    model = build_model(f"3FC{activation}-NFC", (1, 3, 1))
    put(model, "fc1", np.eye(3))
    last = [layer.name for layer in model.layers if layer.name.startswith("fc1")][-1]
    np.testing.assert_allclose(inside(model, last, images).ravel(), expected, rtol=1e-6)


@backends
def test_a_whole_network_against_loops_in_float64() -> None:
    images = np.random.default_rng(0).uniform(-1, 1, (2, 5, 6, 3))
    model = build_model("4C3/2p1-NC1:linear-GAP", (5, 6, 3), 3, seed=1)
    conv1, conv2 = model.get_layer("conv1"), model.get_layer("conv2")
    put(model, "conv1", np.random.default_rng(1).normal(size=(3, 3, 3, 4)), np.array([0.1, -0.2, 0.3, 0]))
    put(model, "conv2", np.random.default_rng(2).normal(size=(1, 1, 4, 3)), np.array([0.5, 0, -0.5]))
    kernel, bias = (weight.astype(np.float64) for weight in conv1.get_weights())
    kernel2, bias2 = (weight.astype(np.float64) for weight in conv2.get_weights())
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    hidden = np.zeros((2, 3, 3, 4))
    for y in range(3):
        for x in range(3):
            window = padded[:, 2 * y : 2 * y + 3, 2 * x : 2 * x + 3]
            hidden[:, y, x] = np.maximum(np.tensordot(window, kernel, axes=3) + bias, 0)
    values = (hidden @ kernel2[0, 0] + bias2).mean(axis=(1, 2))
    chances = np.exp(values) / np.exp(values).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict_on_batch(images.astype(np.float32)), chances, rtol=1e-5)


@backends
def test_the_same_seed_gives_the_same_bits_and_another_does_not() -> None:
    text = "D.2-8C3-BN-8C3-2x(4C1)-16FC-NFC"
    first, again, other = (build_model(text, (6, 6, 3), seed=seed) for seed in (3, 3, 4))
    kernels = 0
    for weight, same, different in zip(first.weights, again.weights, other.weights, strict=True):
        assert np.array_equal(np.asarray(weight), np.asarray(same))
        if "kernel" in weight.path:
            kernels += 1
            assert not np.array_equal(np.asarray(weight), np.asarray(different))
        elif "bias" in weight.path:
            # The classes' begin above 0, for the ReLU after them.
            assert np.all(np.asarray(weight) == (DEFAULT_CLASS_BIAS if weight.path.startswith("fc2/") else 0))
    assert kernels == 6
    # Layers of the same shape start from different numbers.
    assert not np.array_equal(first.get_layer("conv3").get_weights()[0], first.get_layer("conv4").get_weights()[0])


@pytest.mark.parametrize("seed", [-1, 0.5, "1"])
def test_a_seed_is_a_whole_number(seed) -> None:
    with pytest.raises(InputError, match=f"the seed must be a whole number, 0 or more; got {seed}"):
        LayerOptions(seed=seed)
    assert LayerOptions(seed=np.int64(1)).seed == 1


def test_without_a_seed_every_model_differs() -> None:
    first, second = build_model("NC1-GAP"), build_model("NC1-GAP")
    assert not np.array_equal(first.get_layer("conv1").get_weights()[0], second.get_layer("conv1").get_weights()[0])
    assert layer_seed(None, 3) is None
    seeds = {layer_seed(seed, index) for seed in range(50) for index in range(50)}
    assert len(seeds) == 2500 and all(0 <= seed < 1 << 31 for seed in seeds)


@pytest.mark.parametrize(
    ("initializer", "variance"), [("glorot_uniform", 2 / 1152), ("he_normal", 2 / 576), ("lecun_uniform", 1 / 576)]
)
def test_initializers_by_their_spread(initializer, variance) -> None:
    # 3x3 over 64 channels to 64 filters: 576 values in and out of a position, 36,864 weights.
    model = build_model("64C3-NC1-GAP", (8, 8, 64), seed=0, initializer=initializer)
    kernel = np.asarray(model.get_layer("conv1").kernel)
    assert kernel.std() == pytest.approx(np.sqrt(variance), rel=0.02)
    if initializer.endswith("uniform"):
        assert 0.98 * np.sqrt(3 * variance) < abs(kernel).max() <= np.sqrt(3 * variance) * (1 + 1e-6)


def test_quiet_he_normal_is_he_normal_with_a_tenth_in_the_first_layer() -> None:
    text = "D.2-MP2/2-24C3-24C3/2-NC1-GAP"
    quiet, he = (build_model(text, (16, 16, 3), seed=3, initializer=name) for name in ("quiet_he_normal", "he_normal"))
    np.testing.assert_allclose(quiet.get_layer("conv1").kernel, he.get_layer("conv1").kernel / 10, rtol=1e-6)
    for name in ("conv2", "conv3"):
        np.testing.assert_array_equal(quiet.get_layer(name).kernel, he.get_layer(name).kernel)


def test_the_signal_keeps_its_size_in_narrow_wide_and_deep_networks() -> None:
    images = np.random.default_rng(0).normal(size=(8, 16, 16, 3)).astype(np.float32)
    for body in ("12C3-16C3", "256C3-32C3-256C1", "-".join(["32C3"] * 16)):
        model = build_model(f"{body}-NC1-GAP", (16, 16, 3), seed=0)
        below = keras.Model(model.inputs, model.layers[-3].output)
        deviation = np.asarray(below({"image": images}), np.float32).std()
        assert 0.1 / 4 < deviation < 0.1 * 4, body


@pytest.mark.parametrize(
    ("text", "arguments", "error", "message"),
    [
        (
            "NC1-GAP",
            {"initializer": "xavier"},
            InputError,
            'unknown initializer "xavier"; expected one of: glorot_unif',
        ),
        ("NC1-GAP", {"initializer": ""}, InputError, 'unknown initializer ""; expected one of: '),
        ("NC1-GAP", {"weight_decay": -0.001}, InputError, "the weight decay must be 0 or more; got -0.001."),
        ("NC1-GAP", {"weight_decay": float("nan")}, InputError, "the weight decay must be 0 or more; got nan."),
        ("NC1-GAP", {"field": 31}, InputError, "a field of 31 x 31 pixels is smaller than the images, 32 x 32"),
        ("all-d", {}, InputError, 'unknown network "all-d"'),
        ("4C5v-NC1-GAP", {"input_shape": (4, 4, 3)}, SpecError, 'conv1 "4C5v" does not fit: its window is 5 wide'),
    ],
)
def test_what_cannot_be_built(text, arguments, error, message) -> None:
    with pytest.raises(error) as caught:
        build_model(text, **arguments)
    assert str(caught.value).startswith(message)


def test_bfloat16_ends_in_float32() -> None:
    model = build_model("D.2-8C3-BN-MP2-L2P2-8C3:leaky_relu(0.3)-NC1-GAP", (16, 16, 3), dtype="mixed_bfloat16")
    kinds = {layer.name: layer.compute_dtype for layer in model.layers if layer.name != "image"}
    assert kinds.pop("global_pool") == kinds.pop("softmax") == "float32"
    assert set(kinds.values()) == {"bfloat16"} and len(kinds) == 8
    assert {str(variable.dtype) for variable in model.trainable_weights} == {"float32"}
    assert model.output.dtype == "float32"
    # A fully connected layer that gives the classes their values counts as the average does.
    model = build_model("8FC-NFC", (2, 2, 3), dtype="mixed_bfloat16")
    assert [model.get_layer(name).compute_dtype for name in ("fc1", "fc2", "softmax")] == [
        "bfloat16",
        "float32",
        "float32",
    ]


def test_only_stock_layers_but_for_norm_pooling() -> None:
    model = build_model("D.2-8C5p1-BN-MP2-AP2-8C3:leaky_relu(0.3)-:relu-NC1-GAP")
    assert all(type(layer).__module__.startswith("keras.") for layer in model.layers)


def test_the_first_model_of_a_program_is_built_quietly(run_python) -> None:
    program = "import allcnn\nprint(allcnn.build_model('NC1-GAP', (4, 4, 3)).count_params())"
    result = run_python("-c", program, TF_CPP_MIN_LOG_LEVEL=None)
    assert (result.stdout, result.stderr) == ("40\n", "")
