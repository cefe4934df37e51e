"""What units see, against which pixels change them, each changed alone."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers, ops

from allcnn import build_model
from allcnn.errors import InputError
from allcnn.preprocessing import make_preprocessing
from allcnn.specs import ZOO, resolve
from allcnn.specs.layers import Conv, Spec
from allcnn.specs.shapes import layer_shapes
from allcnn.visualize.graph import Graph
from allcnn.visualize.receptive import ReceptiveField, preprocessed_image, receptive_field


def opened(model: keras.Model) -> keras.Model:
    """The model with all kernels 1 and biases 0: from an image that is nowhere negative on, every ReLU is open."""
    for weight in model.trainable_weights:
        name = weight.path.rsplit("/", 1)[-1]
        weight.assign(np.full(weight.shape, 0.0 if name in ("bias", "beta") else 1.0, np.float32))
    return model


def seen_boxes(model: keras.Model, layer: str) -> np.ndarray:
    """The boxes of the pixels that change each unit of a layer: (height, width, 4) of its map, measured.

    All pixels are 0 but one, for each one: where nothing arrives, everything is 0.
    """
    _, height, width, channels = model.input_shape
    images = np.eye(height * width, dtype=np.float32).reshape(-1, height, width, 1).repeat(channels, axis=3)
    outputs = keras.Model(model.input, model.get_layer(layer).output)
    values = ops.convert_to_numpy(outputs(images, training=False))
    changed = (values != 0).any(axis=-1).reshape(height, width, *(values.shape[1:3] if values.ndim == 4 else (1, 1)))
    boxes = np.zeros((*changed.shape[2:], 4), int)
    for place in np.ndindex(*changed.shape[2:]):
        rows, columns = (np.flatnonzero(changed[:, :, *place].any(axis=axis)) for axis in (1, 0))
        if len(rows):
            boxes[place] = rows[0], columns[0], rows[-1] + 1, columns[-1] + 1
    return boxes


def all_positions(field: ReceptiveField) -> np.ndarray:
    return np.stack(np.indices((len(field.height.seen), len(field.width.seen))), axis=-1)


def assert_seen(field: ReceptiveField, measured: np.ndarray) -> None:
    boxes = field.field_of(all_positions(field))
    assert boxes.shape == measured.shape
    empty = (measured == 0).all(axis=-1)
    assert np.array_equal(boxes[~empty], measured[~empty])
    heights, widths = boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1]
    assert ((heights == 0) | (widths == 0))[empty].all()
    # Uncut, all have one size, move by the jump, and hold what is seen.
    whole = field.field_of(all_positions(field), clipped=False)
    assert (whole[..., 2:] - whole[..., :2] == field.size).all()
    assert (whole[~empty][:, :2] <= boxes[~empty][:, :2]).all() and (boxes[~empty][:, 2:] <= whole[~empty][:, 2:]).all()
    inner = (boxes == whole).all(axis=-1)
    assert inner.any() or max(field.size) > min(field.image_size) - 2 * max(field.jump)


def graph(build, size: tuple[int, int] = (13, 16)) -> keras.Model:
    inputs = keras.Input((*size, 2), name="image")
    outputs = build(inputs)
    return opened(keras.Model(inputs, layers.Identity(name="end")(outputs)))


def residual(x):
    short = layers.Conv2D(3, 1, strides=2)(x)
    long = layers.Conv2D(3, 3, strides=2, padding="same", activation="relu")(x)
    long = layers.BatchNormalization()(layers.Conv2D(3, 3, padding="same")(long))
    return layers.ReLU()(layers.Add()([short, long]))


def inception(x):
    branches = [
        layers.Conv2D(2, 1, padding="same")(x),
        layers.Conv2D(2, (1, 5), padding="same")(x),
        layers.Conv2D(2, (3, 1), padding="same", dilation_rate=2)(x),
        layers.MaxPooling2D(3, strides=1, padding="same")(x),
    ]
    return layers.Concatenate()(branches)


def nested(x):
    inner = keras.Sequential([layers.Conv2D(2, 3, padding="same"), layers.MaxPooling2D(2)], name="nested")
    return layers.Conv2D(2, 3)(inner(x))


BUILT = {
    "even sizes": lambda x: layers.Conv2D(2, 4, padding="same")(layers.Conv2D(2, 2, strides=2, padding="same")(x)),
    "explicit padding": lambda x: layers.Conv2D(2, 3, strides=2)(layers.ZeroPadding2D(((2, 1), (0, 3)))(x)),
    "padding alone": lambda x: layers.ZeroPadding2D(2)(layers.Conv2D(2, 3)(x)),
    "rounded down, then padded": lambda x: layers.Conv2D(2, 3, padding="same")(layers.MaxPooling2D(3, 2)(x)),
    "gaps": lambda x: layers.Conv2D(2, 3, padding="same")(layers.Conv2D(2, 1, strides=3)(x)),
    "dilation": lambda x: layers.Conv2D(2, 3, dilation_rate=(2, 3), padding="same")(layers.AveragePooling2D(2)(x)),
    "depthwise, separable": lambda x: layers.SeparableConv2D(2, 3, padding="same")(
        layers.DepthwiseConv2D(5, strides=2, padding="same")(x)
    ),
    "cropping": lambda x: layers.Conv2D(2, 3, padding="same")(layers.Cropping2D(((1, 2), (3, 0)))(x)),
    "residual": residual,
    "inception": inception,
    "nested": nested,
    "global context": lambda x: layers.Conv2D(2, 3)(x + layers.GlobalAveragePooling2D(keepdims=True)(x)),
    "row by row": lambda x: layers.LayerNormalization(axis=2, epsilon=1.0)(layers.Conv2D(2, 3)(x)),
    "channels": lambda x: ops.relu(layers.Conv2D(2, 3)(layers.UnitNormalization(axis=-1)(x)) * 2.0),
    "fully connected": lambda x: layers.Dense(3)(layers.Flatten()(layers.Conv2D(2, 3, strides=2)(x))),
    "an image again": lambda x: layers.Conv2D(2, 3)(layers.Reshape((4, 5, 1))(layers.Dense(20)(layers.Flatten()(x)))),
}


@pytest.mark.parametrize("build", BUILT.values(), ids=BUILT)
def test_a_unit_sees_the_pixels_that_change_it(build) -> None:
    model = graph(build)
    assert_seen(receptive_field(model, "end"), seen_boxes(model, "end"))


# Both families, all paddings, rounding down, p-norm pooling.
@pytest.mark.parametrize("text", ["a", "all-c", "review-b", "2C5p1-L2P3/2v-2C3p2-2C2/2-AP3-NC1-GAP", "4C3/2-8FC-NFC"])
def test_our_networks_see_the_pixels_that_change_them(text) -> None:
    spec = thin(text)
    model = opened(build_model(spec, input_shape=(32, 32, 3)))
    rows = layer_shapes(spec)[:-1]
    for row in [row for row in rows if row.name.startswith(("conv", "pool", "fc"))][-3:]:
        assert_seen(receptive_field(model, row.name), seen_boxes(model, row.name))


def thin(text: str) -> Spec:
    """The network with one filter a convolution, but for the classes': the same geometry."""
    return Spec(
        tuple(
            replace(layer, filters=layer.filters and 1) if isinstance(layer, Conv) else layer
            for layer in resolve(text)[0]
        )
    )


# One of each geometry: the others differ from these in how often a layer comes.
@pytest.mark.parametrize(
    "name",
    ["a", "strided-b", "all-c", "review-b", "review-strided-a", "review-all-c", "large-all", "imagenet-all-b"],
)
def test_the_graph_gives_what_the_account_of_the_spec_gives(name) -> None:
    """Of the last layers, which depend on all others: the geometry of `allcnn params`, from the built network."""
    shape = ZOO[name].input_shape
    graph = Graph(build_model(thin(name), input_shape=shape, classes=2), "backpropagation")
    for row in layer_shapes(thin(name), shape, 2)[-4:]:
        field = receptive_field(graph, row.name)
        assert (field.height.axis, field.width.axis) == row.axes, row.name


def test_by_hand() -> None:
    field = receptive_field(build_model(thin("all-c")), "conv6")
    # 3, 5, 7 by the 3x3s, then by steps of 2: 11, 15, 19; on even sizes, what cannot be halved pads at the far side.
    assert (field.size, field.jump, field.offset) == ((19, 19), (4, 4), (3.0, 3.0))
    assert field.field_of((0, 0), clipped=False).tolist() == [-6, -6, 13, 13]
    assert field.field_of((0, 3)).tolist() == [0, 6, 13, 25]
    assert field.field_of([(0, 0), (7, 7)]).tolist() == [[0, 0, 13, 13], [22, 22, 32, 32]]
    with pytest.raises(InputError, match=r"no such position: \[8 0\]; expected \(y, x\) from \(0, 0\) to \(7, 7\)"):
        field.field_of((8, 0))


def test_a_published_network() -> None:
    """Araujo, Norris and Sim, "Computing receptive fields of convolutional neural networks" (2019): MobileNet, 315."""
    model = keras.applications.MobileNet(weights=None, include_top=False, alpha=0.25, input_shape=(224, 224, 3))
    field = receptive_field(model, "conv_pw_13_relu")
    assert (field.size, field.jump) == ((315, 315), (32, 32))


@pytest.mark.parametrize(
    ("kind", "ends"), [("gcn-zca", "zca_image"), ("gcn", "gcn_image"), ("standardize", None), ("none", None)]
)
def test_behind_a_preprocessing_over_the_whole_image(kind, ends) -> None:
    images = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3)).astype(np.uint8)
    model = build_model("4C3-4C3/2-NC1-GAP", (8, 8, 3), preprocessing=make_preprocessing(kind).adapt(images))
    assert preprocessed_image(Graph(model, "backpropagation")) == ends
    local = receptive_field(build_model("4C3-4C3/2-NC1-GAP", (8, 8, 3)), "conv2")
    assert receptive_field(model, "conv2", down_to=ends) == local
    if ends is not None:
        literally = receptive_field(model, "conv2")
        assert literally.field_of((2, 2)).tolist() == [0, 0, 8, 8] and literally.jump == (0, 0)


def test_in_nested_models_and_from_a_layer_on() -> None:
    front = keras.Sequential([keras.Input((12, 12, 3)), layers.Conv2D(2, 3, name="first"), layers.ReLU()], name="front")
    model = keras.Sequential([keras.Input((12, 12, 3)), front, layers.Conv2D(2, 3, strides=2, name="second")])
    assert receptive_field(model, "front/first").size == (3, 3)
    assert receptive_field(model, "second").size == (5, 5)
    behind = receptive_field(model, "second", down_to="first")
    assert (behind.size, behind.image_size, behind.field_of((1, 1)).tolist()) == ((3, 3), (10, 10), [2, 2, 5, 5])
    with pytest.raises(InputError, match='layer "first" does not depend on second'):
        receptive_field(model, "first", down_to="second")


def test_images_of_any_size() -> None:
    model = keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(2, 3, strides=2, padding="same", name="c")])
    with pytest.raises(InputError, match="images of any size; pass image_size"):
        receptive_field(model, "c")
    assert receptive_field(model, "c", image_size=(7, 8)).field_of((0, 0)).tolist() == [0, 0, 2, 3]


def up(x):
    return layers.UpSampling2D(name="up")(layers.Conv2D(2, 3)(x))


def two_strides(x):
    return layers.Add(name="both")([layers.Conv2D(2, 1, strides=2)(x), layers.Cropping2D(((3, 3), (4, 4)))(x)])


def channels_first(x):
    return layers.MaxPooling2D(2, data_format="channels_first", name="first")(x)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (up, r'what the units of layer "up" \(UpSampling2D\) see; expected a layer before it, or down_to behind it'),
        (two_strides, r'layer "both" \(Add\) joins branches of strides \[1, 2\]'),
        (channels_first, r'layer "first" \(MaxPooling2D\) has its channels first; expected channels last'),
        (lambda x: layers.Reshape((13, 32), name="rows")(x), r'layer "rows" \(Reshape\) gives outputs of rank 3'),
    ],
)
def test_what_is_not_known_is_refused(build, message) -> None:
    inputs = keras.Input((13, 16, 2))
    model = keras.Model(inputs, layers.Identity(name="end")(build(inputs)))
    with pytest.raises(InputError, match=message):
        receptive_field(model, "end")


def test_wrong_calls() -> None:
    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__(name="own")
            self.convolution = layers.Conv2D(2, 3, name="c")

        def call(self, images):
            return self.convolution(images)

    with pytest.raises(InputError, match='"own" has no graph of layers; expected a functional or sequential model'):
        receptive_field(Own(), "c")
    two = [keras.Input((8, 8, 3)), keras.Input((8, 8, 3))]
    with pytest.raises(InputError, match="has 2 inputs; expected one of images"):
        receptive_field(keras.Model(two, layers.Add(name="add")(two)), "add")
