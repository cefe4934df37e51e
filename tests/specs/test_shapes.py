"""Sizes, parameters, multiply-adds and receptive fields, against numbers worked out by hand."""

import math

import pytest

from allcnn.errors import InputError, SpecError
from allcnn.specs import (
    ZOO,
    Axis,
    Conv,
    LayerShape,
    Pool,
    count_multiply_adds,
    count_parameters,
    layer_names,
    layer_shapes,
    parse,
)


def row(text: str, name: str, input_shape: tuple[int, int, int] = (32, 32, 3), classes: int = 10) -> LayerShape:
    return next(row for row in layer_shapes(parse(text), input_shape, classes) if row.name == name)


# all-c at 32x32: name, output, parameters, multiply-adds, receptive field, jump, offset.
ALL_C = [
    ("dropout1", (32, 32, 3), 0, 0, 1, 1, 0.0),
    ("conv1", (32, 32, 96), 27 * 96 + 96, 1024 * 27 * 96, 3, 1, 0.0),
    ("conv2", (32, 32, 96), 864 * 96 + 96, 1024 * 864 * 96, 5, 1, 0.0),
    ("conv3", (16, 16, 96), 864 * 96 + 96, 256 * 864 * 96, 7, 2, 1.0),  # pads (0, 1): centred on pixel 1, not 0
    ("dropout2", (16, 16, 96), 0, 0, 7, 2, 1.0),
    ("conv4", (16, 16, 192), 864 * 192 + 192, 256 * 864 * 192, 11, 2, 1.0),
    ("conv5", (16, 16, 192), 1728 * 192 + 192, 256 * 1728 * 192, 15, 2, 1.0),
    ("conv6", (8, 8, 192), 1728 * 192 + 192, 64 * 1728 * 192, 19, 4, 3.0),
    ("dropout3", (8, 8, 192), 0, 0, 19, 4, 3.0),
    ("conv7", (6, 6, 192), 1728 * 192 + 192, 36 * 1728 * 192, 27, 4, 7.0),
    ("conv8", (6, 6, 192), 192 * 192 + 192, 36 * 192 * 192, 27, 4, 7.0),
    ("conv9", (6, 6, 10), 1920 + 10, 36 * 1920, 27, 4, 7.0),
    ("global_pool", (10,), 0, 0, 47, 4, 17.0),
    ("softmax", (10,), 0, 0, 47, 4, 17.0),
]


def test_all_c_row_by_row() -> None:
    rows = layer_shapes(ZOO["all-c"].spec)
    assert [
        (r.name, r.output_shape, r.parameters, r.multiply_adds, r.receptive_field, r.jump, r.offset) for r in rows
    ] == ALL_C
    assert rows[1].token == "96C3"
    assert rows[1].input_shape == (32, 32, 3)
    assert rows[-1].layer is None
    assert count_parameters(ZOO["all-c"].spec) == 1_369_738
    assert count_multiply_adds(ZOO["all-c"].spec) == 270_798_336


# A layer, the size of a square input, the size that comes out, and the offset of the first unit.
SLIDES = [
    ("8C3", 32, 32, 0.0),
    ("8C3/2", 32, 16, 1.0),  # 1 zero in all, on the far side
    ("8C3/2", 33, 17, 0.0),  # 1 on either side
    ("8C3/2p1", 32, 16, 0.0),
    ("8C3v", 32, 30, 1.0),
    ("8C2", 32, 32, 0.5),
    ("8C2v", 126, 125, 0.5),
    ("8C5p1", 32, 30, 1.0),
    ("8C11/4", 224, 56, 2.0),  # 7 zeros in all: 3 before, 4 after
    ("8C1/2", 32, 16, 0.0),
    ("8C1/2", 31, 16, 0.0),
    ("MP3/2", 32, 16, 1.0),
    ("MP3/2", 8, 4, 1.0),
    ("MP3/2v", 30, 14, 1.0),
    ("MP3/2v", 12, 5, 1.0),
    ("AP2", 7, 4, 0.5),
    ("AP2v", 7, 3, 0.5),
    ("L2P3/2", 1, 1, 0.0),
    ("8C3/5", 6, 2, 0.0),  # (2 - 1) 5 + 3 - 6 = 2: one zero before
]


@pytest.mark.parametrize(("token", "size", "output", "offset"), SLIDES)
def test_a_window_slides(token: str, size: int, output: int, offset: float) -> None:
    first = layer_shapes(parse(f"{token}-NC1-GAP"), (size, size, 3))[0]
    assert first.output_shape[:2] == (output, output)
    assert first.offset == offset


def seen_by(specs: list[Conv | Pool], sizes: list[int], unit: int) -> tuple[int, int]:
    """First and last input position that a unit sees, going back layer by layer."""
    first = last = unit
    for layer, size in reversed(list(zip(specs, sizes, strict=True))):
        if layer.padding == "same":
            total = max((math.ceil(size / layer.stride) - 1) * layer.stride + layer.size - size, 0)
            before = total // 2
        else:
            before = 0 if layer.padding == "valid" else int(layer.padding)
        first, last = first * layer.stride - before, last * layer.stride - before + layer.size - 1
    return first, last


@pytest.mark.parametrize("name", ["all-c", "strided-b", "convpool-a", "review-all-a", "large-all", "imagenet-all-b"])
def test_receptive_fields_going_backwards(name: str) -> None:
    network = ZOO[name]
    slid: list[Conv | Pool] = []
    sizes: list[int] = []
    for r in layer_shapes(network.spec, network.input_shape, network.classes):
        if isinstance(r.layer, Conv | Pool):
            slid.append(r.layer)
            sizes.append(r.input_shape[0])
            for unit in (0, 1, r.output_shape[0] - 1):
                first, last = seen_by(slid, sizes, unit)
                assert last - first + 1 == r.receptive_field
                assert (first + last) / 2 == r.offset + unit * r.jump


def test_rectangular_images_keep_their_axes_apart() -> None:
    rows = layer_shapes(parse("8C3/2-NC1-GAP"), (32, 33, 1))
    assert rows[0].output_shape == (16, 17, 8)
    assert rows[0].axes == (Axis(16, 3, 2, 1.0), Axis(17, 3, 2, 0.0))
    assert rows[2].axes == (Axis(1, 33, 2, 16.0), Axis(1, 35, 2, 16.0))
    assert rows[2].receptive_field == 35


def test_fully_connected_layers_flatten() -> None:
    rows = layer_shapes(parse("16FC-D.5-NFC"), (4, 4, 1), 3)
    assert [(r.name, r.output_shape, r.parameters, r.multiply_adds) for r in rows] == [
        ("fc1", (16,), 16 * 16 + 16, 256),
        ("dropout1", (16,), 0, 0),
        ("fc2", (3,), 16 * 3 + 3, 48),
        ("softmax", (3,), 0, 0),
    ]
    assert rows[0].receptive_field == 4
    assert rows[0].offset == 1.5


def test_batch_normalisation_counts_its_moving_statistics_too() -> None:
    spec = parse("8C3:linear-BN-:relu-NC1-GAP")
    norm = layer_shapes(spec)[1]
    assert (norm.name, norm.parameters) == ("norm1", 32)
    assert count_parameters(spec) == (27 * 8 + 8) + 32 + (80 + 10)


def test_names_count_by_kind() -> None:
    spec = parse("D.2-8C3:linear-BN-:relu-MP2-D.5-8C1-NC1-GAP-4FC-NFC")
    assert layer_names(spec) == (
        *("dropout1", "conv1", "norm1", "activation1", "pool1", "dropout2", "conv2", "conv3"),
        *("global_pool", "fc1", "fc2"),
    )


def test_n_is_the_number_of_classes() -> None:
    assert row("NC1-GAP", "conv1", classes=100).output_shape == (32, 32, 100)
    assert count_parameters(parse("NC1-GAP"), classes=100) == 400


def test_a_network_that_no_longer_fits_is_named() -> None:
    with pytest.raises(SpecError) as caught:
        layer_shapes(ZOO["a"].spec, (8, 8, 3))
    assert str(caught.value) == (
        'conv3 "192C3v" does not fit: its window is 3 wide and only 2 positions are left; '
        "give larger images, or let it or a layer before it keep the size (padding s)"
    )
    with pytest.raises(SpecError, match=r'pool1 "MP2v" does not fit: .* only 1 position is left'):
        layer_shapes(parse("MP2v-NC1-GAP"), (4, 1, 3))


@pytest.mark.parametrize(
    "shape",
    [(), (32, 32), (32, 32, 3, 1), (0, 32, 3), (32, -1, 3), (32, 32.0, 3), ("32", "32", "3"), (10**9, 32, 3), 32, None],
)
def test_input_shapes_that_make_no_sense(shape) -> None:
    with pytest.raises(InputError, match=r"the input shape must be \(height, width, channels\).*for example \(32, 32"):
        layer_shapes(parse("NC1-GAP"), shape)


@pytest.mark.parametrize("classes", [0, -1, 2.5, "10", None, 10**9])
def test_numbers_of_classes_that_make_no_sense(classes) -> None:
    with pytest.raises(InputError, match="the number of classes must be a whole number from 1 to 65,536; got"):
        layer_shapes(parse("NC1-GAP"), classes=classes)
