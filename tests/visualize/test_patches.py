"""The strongest patches of each unit, against a sort of all activations and patches cut by hand."""

from __future__ import annotations

import weakref
from collections.abc import Iterator

import keras
import numpy as np
import pytest
from keras import layers, ops
from matplotlib.text import Text

from allcnn import build_model
from allcnn.errors import InputError
from allcnn.preprocessing import make_preprocessing
from allcnn.visualize import patches as module
from allcnn.visualize.attribution import Attributor
from allcnn.visualize.patches import Patches, strongest_patches
from allcnn.visualize.receptive import receptive_field

SPEC = "6C3-6C3/2-5C3v-NC1-GAP"
SHAPE = (12, 15, 3)
ARRAYS = ("units", "images", "positions", "activations", "boxes", "patches", "reconstructions")


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 4, (43, *SHAPE)).astype(np.uint8)


@pytest.fixture(scope="module")
def exact() -> keras.Model:
    """Small whole numbers all the way: the same bits on any backend, in any batches, and many equally strong images."""
    model = build_model(SPEC, SHAPE, seed=3, classes=4)
    random = np.random.default_rng(4)
    model.set_weights([random.integers(-1, 2, weight.shape).astype(np.float32) for weight in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def whitened(images) -> keras.Model:
    return build_model(SPEC, SHAPE, preprocessing=make_preprocessing("gcn-zca").adapt(images), seed=3, classes=4)


def all_activations(model: keras.Model, layer: str, images: np.ndarray) -> np.ndarray:
    outputs = keras.Model(model.input, model.get_layer(layer).output)
    return ops.convert_to_numpy(outputs(images.astype(np.float32), training=False))


def assert_same(one: Patches, other: Patches) -> None:
    for name in ARRAYS:
        assert np.array_equal(getattr(one, name), getattr(other, name)), name


@pytest.mark.backends
def test_against_a_sort_of_all_activations(exact, images) -> None:
    found = strongest_patches(exact, images, "conv3", k=6)
    values = all_activations(exact, "conv3", images)
    height, width, units = values.shape[1:]
    field = receptive_field(exact, "conv3")
    assert (found.layer, found.method, found.field) == ("conv3", "guided", field)
    assert found.units.tolist() == list(range(units))
    assert found.patches.shape == found.reconstructions.shape == (units, 6, *field.size, 3)
    assert (found.patches.dtype, found.reconstructions.dtype) == (np.uint8, np.float32)
    attributor = Attributor(exact, "conv3", "guided")
    for unit in range(units):
        largest = values[..., unit].reshape(len(images), -1).max(axis=1)
        # Python's sort: by activation, and of equals the earlier image.
        expected = sorted(range(len(images)), key=lambda image: (-largest[image], image))[:6]
        assert found.images[unit].tolist() == expected
        assert found.activations[unit].tolist() == largest[expected].tolist()
        for slot, image in enumerate(expected):
            y, x = found.positions[unit, slot]
            assert y * width + x == values[image, ..., unit].argmax()  # the first, where several are largest
            top, left, bottom, right = found.boxes[unit, slot]
            assert [top, left, bottom, right] == field.field_of((y, x)).tolist()
            patch, inside = cut_by_hand(images[image], field, (y, x))
            assert np.array_equal(found.patches[unit, slot], patch)
            assert np.array_equal(found.inside[unit, slot], inside)
            assert inside.sum() == (bottom - top) * (right - left)
        signal = attributor(images[expected], unit, found.positions[unit]).maps
        for slot, image in enumerate(signal):
            patch, _ = cut_by_hand(image, field, found.positions[unit, slot])
            assert np.array_equal(found.reconstructions[unit, slot], patch)
            # Nothing of it was cut away.
            assert np.count_nonzero(image) == np.count_nonzero(found.reconstructions[unit, slot])
    assert np.count_nonzero(found.reconstructions) > 0
    ties = (found.activations[:, 1:] == found.activations[:, :-1]).any(axis=1)
    assert ties.any()


def cut_by_hand(image: np.ndarray, field, position) -> tuple[np.ndarray, np.ndarray]:
    """The patch pixel by pixel, 0 where there is no image, and where there is."""
    top, left, bottom, right = field.field_of(position, clipped=False)
    patch, inside = np.zeros((*field.size, image.shape[-1]), image.dtype), np.zeros(field.size, bool)
    for row in range(top, bottom):
        for column in range(left, right):
            if 0 <= row < image.shape[0] and 0 <= column < image.shape[1]:
                patch[row - top, column - left] = image[row, column]
                inside[row - top, column - left] = True
    return patch, inside


def test_batches_of_any_size_give_the_same(exact, images) -> None:
    expected = strongest_patches(exact, images, "conv2", k=5)
    some = strongest_patches(exact, images, "conv2", k=5, units=np.array([4, 0]), batch_size=7)
    assert some.units.tolist() == [4, 0]
    for name in ARRAYS:
        assert np.array_equal(getattr(some, name), getattr(expected, name)[[4, 0]]), name
    batches = [images[:1], images[1:30], images[30:30], images[30:]]
    assert_same(strongest_patches(exact, iter(batches), "conv2", k=5, batch_size=8), expected)
    labelled = ((images[start : start + 3], np.zeros(3)) for start in range(0, len(images), 3))
    assert_same(strongest_patches(exact, labelled, "conv2", k=5, batch_size=16), expected)


def test_memory_does_not_grow_with_the_data_set(monkeypatch) -> None:
    model = build_model("3C3-NC1-GAP", (16, 16, 3), seed=0)
    random = np.random.default_rng(1)
    seen: list[weakref.ref] = []
    most_alive, most_kept = 0, 0
    see = module._Best.see

    def watched(best, block, peaks) -> None:
        nonlocal most_kept
        see(best, block, peaks)
        most_kept = max(most_kept, len(best.kept))
        assert all(image.base is None for image in best.kept.values())

    def batches() -> Iterator[np.ndarray]:
        nonlocal most_alive
        for _ in range(80):
            batch = random.normal(size=(10, 16, 16, 3)).astype(np.float32)
            seen.append(weakref.ref(batch))
            most_alive = max(most_alive, sum(reference() is not None for reference in seen))
            yield batch
            del batch

    monkeypatch.setattr(module._Best, "see", watched)
    found = strongest_patches(model, batches(), "conv1", k=2, batch_size=20)
    assert len(seen) == 80 and found.images.max() > 100
    assert most_kept <= 3 * 2
    assert most_alive <= 4  # two wait until they fill a block, and one is on its way


def test_equal_images_and_fewer_than_k() -> None:
    model = build_model("3C3-NC1-GAP", (8, 8, 3), seed=0)
    same = np.full((3, 8, 8, 3), 128, np.uint8)
    found = strongest_patches(model, same, "conv1", k=10)
    assert found.images.tolist() == [[0, 1, 2]] * 3
    assert (found.activations == found.activations[:, :1]).all()
    # A unit that fires nowhere has activation 0, and nothing comes back from it.
    model.get_layer("conv1").bias.assign([-1e6, 0, 0])
    dead = strongest_patches(model, same, "conv1", k=2)
    assert dead.activations[0].tolist() == [0, 0] and not dead.reconstructions[0].any()


def test_an_image_counts_once() -> None:
    model = build_model("1C1-NC1-GAP", (4, 4, 3), seed=0)
    model.get_layer("conv1").kernel.assign(np.ones((1, 1, 3, 1)))
    images = np.zeros((4, 4, 4, 3), np.float32)
    images[2], images[1, 3, 2], images[3, 0, 1] = 5.0, 7.5, 0.25
    found = strongest_patches(model, images, "conv1", k=3)
    assert found.images.tolist() == [[1, 2, 3]]
    assert found.activations.tolist() == [[22.5, 15.0, 0.75]]
    assert found.positions.tolist() == [[[3, 2], [0, 0], [0, 1]]]
    assert found.boxes.tolist() == [[[3, 2, 4, 3], [0, 0, 1, 1], [0, 1, 1, 2]]]
    assert found.patches.dtype == np.float32 and found.patches[0, 0, 0, 0].tolist() == [7.5, 7.5, 7.5]
    assert found.inside.all() and found.inside.shape == (1, 3, 1, 1)


@pytest.mark.backends
def test_vectors_nested_layers_and_shared_ones() -> None:
    front = keras.Sequential(
        [keras.Input((10, 10, 3)), layers.Conv2D(4, 3, activation="relu", name="in")], name="front"
    )
    shared = layers.Conv2D(4, 3, padding="same", activation="relu", name="shared")
    image = keras.Input((10, 10, 3))
    outputs = layers.Dense(5, activation="relu", name="dense")(layers.Flatten()(shared(shared(front(image)))))
    model = keras.Model(image, outputs)
    images = np.random.default_rng(0).normal(size=(9, 10, 10, 3)).astype(np.float32)
    vector = strongest_patches(model, images, "dense", k=2)
    values = ops.convert_to_numpy(model(images))
    assert np.array_equal(vector.images, np.argsort(-values, axis=0, kind="stable")[:2].T)
    assert not vector.positions.any() and (vector.boxes == [0, 0, 10, 10]).all()
    # Its field reaches over the border by the padding of the two convolutions that keep the size.
    assert vector.patches.shape == (5, 2, 14, 14, 3)
    assert np.array_equal(vector.patches[0, 0, 2:12, 2:12], images[vector.images[0, 0]])
    assert strongest_patches(model, images, "front/in", k=1, method=None).field.size == (3, 3)
    last = strongest_patches(model, images, "shared", k=1, method=None)
    assert last.field.size == (7, 7) and last.reconstructions is None
    twice = ops.convert_to_numpy(shared(shared(front(images)))).max(axis=(1, 2))
    np.testing.assert_allclose(last.activations[:, 0], twice.max(axis=0), rtol=1e-5)


def test_behind_a_preprocessing(whitened, images) -> None:
    def marked(maps: np.ndarray) -> np.ndarray:
        assert maps.shape[1:] == SHAPE
        return np.broadcast_to(np.arange(SHAPE[1])[:, None], (*maps.shape[:3], 1))

    found = strongest_patches(whitened, images, "conv1", k=1, picture=marked)
    assert found.reconstructions.shape == (6, 1, 3, 3, 1)
    for unit in range(6):
        column = found.positions[unit, 0, 1]
        expected = [x if 0 <= x < SHAPE[1] else 0 for x in range(column - 1, column + 2)]
        assert found.reconstructions[unit, 0, 1, :, 0].tolist() == expected
    signal = Attributor(whitened, "conv1", "guided", "zca_image")(images[found.images[2]], 2, found.positions[2]).maps[
        0
    ]
    plain = strongest_patches(whitened, images, "conv1", k=1, units=[2])
    np.testing.assert_allclose(plain.reconstructions[0, 0], cut_by_hand(signal, plain.field, plain.positions[0, 0])[0])
    # Down to the image itself, before contrast normalisation and whitening, every unit sees everything.
    literal = strongest_patches(whitened, images, "conv1", k=1, down_to="image")
    assert literal.field.jump == (0, 0) and (literal.boxes == [0, 0, 12, 15]).all()
    with pytest.raises(InputError, match=r'layer "conv2" gives \(6, 8\), the images are \(12, 15\)'):
        strongest_patches(whitened, images, "conv3", down_to="conv2")


@pytest.mark.backends
def test_the_model_is_left_as_it_was(exact, images) -> None:
    weights = [weight.copy() for weight in exact.get_weights()]
    nodes = [(len(layer._inbound_nodes), len(layer._outbound_nodes)) for layer in exact.layers]
    strongest_patches(exact, images, "conv2", k=1, units=[0])
    assert nodes == [(len(layer._inbound_nodes), len(layer._outbound_nodes)) for layer in exact.layers]
    assert all(np.array_equal(old, new) for old, new in zip(weights, exact.get_weights(), strict=True))
    assert exact.compiled is False


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": "conv9"}, 'no layer "conv9"; expected, for example: conv4, conv3'),
        ({"k": 0}, "k is 0 and batch_size 250; expected at least 1"),
        ({"images": []}, "no images were given"),
        ({"images": np.zeros((0, *SHAPE))}, "no images were given"),
        ({"images": np.zeros(SHAPE)}, r"images of shape \(12, 15, 3\); expected \(n, any, any, any\)"),
        (
            {"images": np.zeros((2, 9, 9, 3))},
            r"images of shape \(2, 9, 9, 3\); expected \(n, 12, 15, 3",
        ),
        ({"images": [np.zeros((2, *SHAPE)), np.zeros((2, 9, 9, 3))]}, r"\(2, 9, 9, 3\); expected \(n, 12, 15, 3\)"),
        ({"units": [5]}, r"the units are \[5\]; expected a list of whole numbers from 0 to 4"),
        ({"units": []}, r"the units are \[\]; expected"),
        ({"method": "magic"}, 'unknown method "magic"'),
    ],
)
def test_wrong_calls(exact, images, arguments, message) -> None:
    with pytest.raises(InputError, match=message):
        strongest_patches(**{"model": exact, "images": images, "layer": "conv3", **arguments})


@pytest.mark.backends
def test_activations_that_are_no_numbers_are_refused() -> None:
    model = build_model("2C3:linear-NC1-GAP", (6, 6, 3), seed=0)
    images = np.ones((4, 6, 6, 3), np.float32)
    images[3] = np.nan
    with pytest.raises(InputError, match="image 3 gives activations that are not finite"):
        strongest_patches(model, images, "conv1", k=1, method=None, batch_size=2)


def test_what_would_not_fit_in_memory_is_refused_before_the_pass(exact, images, monkeypatch) -> None:
    monkeypatch.setattr(module, "physical_memory", lambda: 20_000)
    with pytest.raises(InputError, match=r"5 x 10 patches of 9 x 9 need .* Ask for fewer units, or a smaller k"):
        strongest_patches(exact, images, "conv3")


def test_patches_are_plotted_with_what_came_back(exact, images) -> None:
    found = strongest_patches(exact, images, "conv2", k=3, units=[0, 4])
    assert repr(found) == "Patches(conv2: 2 units, 3 patches of 5x5 for each, guided reconstructions)"
    assert "5x5" in found._repr_html_()
    texts = " ".join(text.get_text() for text in found.plot().findobj(Text))
    assert "units of conv2" in texts and "unit 4" in texts and "guided" in texts
    without = strongest_patches(exact, images, "conv2", k=3, units=[0], method=None).plot()
    assert "guided" not in " ".join(text.get_text() for text in without.findobj(Text))
