"""Images decoded when they are needed: the same pixels as those read at once, whatever is asked for, in any order."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from photo_files import jpeg, write_photographs
from PIL import Image

from allcnn.data import load_data
from allcnn.data.images import ResizeRule, read_image
from allcnn.data.order import CROP_LEFT, CROP_TOP, MIRROR, crop_mirror_draws
from allcnn.data.pipeline import BatchOrder, training_batches
from allcnn.data.streamed import as_images
from allcnn.errors import DataError, InputError
from allcnn.evaluation import is_data_of_training
from allcnn.models.saved import ModelCard
from allcnn.preprocessing import make_preprocessing
from allcnn.preprocessing.base import channel_statistics
from allcnn.preprocessing.store import FIT_IMAGES, fit_preprocessing


@pytest.fixture
def photos(tmp_path):
    return write_photographs(tmp_path / "photos")


def test_streamed_and_read_at_once_are_the_same_images(photos):
    held, streamed = load_data(data_dir=photos), load_data(data_dir=photos, stream=True)
    assert streamed.streamed and not held.streamed
    assert streamed.image_shape == held.image_shape == (32, 32, 3)
    assert streamed.class_names == held.class_names and streamed.resize == held.resize
    for split in ("train", "test"):
        images = getattr(streamed, f"{split}_images")
        assert np.array_equal(images[:], getattr(held, f"{split}_images"))
        assert np.array_equal(getattr(streamed, f"{split}_labels"), getattr(held, f"{split}_labels"))
    # Of files, not of pixels: another digest, and one that a changed size of a file changes.
    assert streamed.digest == held.files_digest != held.digest
    (photos / "train/n00000000/photo_4.JPEG").write_bytes(jpeg(77))
    assert load_data(data_dir=photos, stream=True).digest != streamed.digest


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("measured", [False, True])
def test_the_images_of_a_training_are_known_again(photos, trained, measured):
    data = load_data(data_dir=photos, stream=trained)
    card = ModelCard("a", "NC1", "photos", data.digest, data.class_names, (32, 32, 3), "none", "none", "paper", 1)
    card = replace(card, streamed=trained)
    found = is_data_of_training(card, load_data(data_dir=photos, stream=measured))
    assert found is (None if measured and not trained else True)
    (photos / "train/n00000000/photo_4.JPEG").write_bytes(jpeg(77))
    assert not is_data_of_training(card, load_data(data_dir=photos, stream=measured))


def test_threads_decode_without_holding_back_what_others_say(tmp_path, monkeypatch):
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "a.tif")
    monkeypatch.setattr("allcnn.data.images.hold_standard_error", lambda: pytest.fail("standard error is held"))
    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(read_image, tmp_path / "a.tif").result().shape == (4, 4, 3)


def test_streamed_images_and_an_array_are_sliced_alike(photos):
    streamed = load_data(data_dir=photos, stream=True).train_images
    whole = streamed[:]
    assert as_images(streamed) is streamed
    for images in (streamed, as_images(whole)):
        assert images.shape == whole.shape == (20, 32, 32, 3) and (images.ndim, len(images)) == (4, 20)
        assert images.dtype == whole.dtype and np.array_equal(images[3:7], whole[3:7])
        assert np.array_equal(images[np.array([5, 1])], whole[[5, 1]])
        chosen = as_images(images).part(np.array([9, 2, 4]))
        assert type(chosen) is type(images) and np.array_equal(chosen[:], whole[[9, 2, 4]])
        assert np.array_equal(chosen.part(np.array([2]))[:], whole[[4]])
        assert [len(block) for block in images.blocks(8)] == [8, 8, 4]
        assert np.array_equal(np.concatenate(list(images.blocks(8))), whole)
        assert not images.is_damaged().any() and not images.find_damage()
    assert as_images(whole).part(np.array([3]))[:].tolist() == whole[[3]].tolist()
    draws = crop_mirror_draws(0, 0, 0, 20)
    cropped = np.stack([streamed.training_image(index, draws[index])[0] for index in range(20)])
    assert np.array_equal(streamed.crops(draws)[:], cropped)
    with pytest.raises(InputError, match="expected streamed images, got an array"):
        as_images(whole).crops(draws)


def test_a_preprocessing_is_fitted_to_the_first_images(photos, monkeypatch):
    assert FIT_IMAGES == 10_000
    monkeypatch.setattr("allcnn.preprocessing.store.FIT_IMAGES", 7)
    images = load_data(data_dir=photos, stream=True).train_images
    for kind in ("gcn-zca", "standardize"):
        found, expected = fit_preprocessing(kind, images).arrays(), make_preprocessing(kind).adapt(images[:7]).arrays()
        assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_a_class_index_and_odd_files(photos):
    """A grey JPEG, one in CMYK and a PNG that is called JPEG are images like any other."""
    (photos / "synset_words.txt").write_text("n00000000 tench, Tinca tinca\nn00000001 goldfish, Carassius auratus\n")
    data = load_data(data_dir=photos, stream=True)
    assert data.class_names == ("tench", "goldfish")
    names = data.train_images.encoded.names.tolist()
    grey = data.train_images[names.index(b"n00000001/photo_1.JPEG") :][0]
    assert (grey[..., 0] == grey[..., 1]).all() and (grey[..., 1] == grey[..., 2]).all()
    for odd in (b"n00000000/photo_2.JPEG", b"n00000001/photo_3.JPEG"):
        assert np.ptp(data.train_images[names.index(odd) :][0].astype(int), axis=-1).max() > 20


class TestCrops:
    rule = ResizeRule(size=24, shorter_side=28)

    def test_the_centre_is_that_of_the_scaled_image(self):
        image = np.asarray(Image.fromarray(np.arange(56 * 80 * 3, dtype=np.uint32).astype(np.uint8).reshape(56, 80, 3)))
        scaled = np.asarray(Image.fromarray(image).resize((40, 28), Image.Resampling.BILINEAR))
        assert np.abs(self.rule.centre(image).astype(int) - scaled[2:26, 8:32].astype(int)).max() <= 1

    @pytest.mark.parametrize("scale", [1, 2])
    def test_draws_reach_every_place_and_none_outside(self, scale):
        y, x = np.mgrid[0 : 28 * scale, 0 : 40 * scale] // scale
        image = np.stack([y * 4, x * 4, 0 * x], axis=-1).astype(np.uint8)
        last = 2**31 - 1
        corners = [self.rule.crop(image, top, left) for top in (0, last) for left in (0, last)]
        middle = [crop[12, 12, :2].astype(int) for crop in corners]
        assert [crop.shape for crop in corners] == [(24, 24, 3)] * 4
        expected = [[(top + 12) * 4, (left + 12) * 4] for top in (0, 4) for left in (0, 16)]
        assert np.abs(np.array(middle) - expected).max() <= (0 if scale == 1 else 2)
        tops = {int(self.rule.crop(image, draw, 0)[12, 12, 0]) for draw in range(0, last, last // 50)}
        assert len(tops) == 5

    def test_an_image_that_needs_no_scaling_keeps_its_pixels(self):
        image = np.random.default_rng(0).integers(0, 256, (28, 33, 3), np.uint8)
        assert np.array_equal(self.rule.crop(image, 2**30, 0), image[2:26, 0:24])

    @pytest.mark.parametrize("size", [(28, 28), (29, 28), (30, 301), (57, 56), (1, 1), (5, 400)])
    def test_no_size_falls_out_of_the_image(self, size):
        image = np.zeros((*size, 3), np.uint8)
        for draw in (0, 2**30, 2**31 - 1):
            assert self.rule.crop(image, draw, draw).shape == (24, 24, 3)
        assert self.rule.centre(image).shape == (24, 24, 3)

    def test_the_rule_says_itself_and_is_read_back(self):
        text = "shorter side to 256, bilinear with antialiasing, centre crop of 224"
        assert str(ResizeRule(224, 256)) == text and ResizeRule.of(text, 224) == ResizeRule(224, 256)
        assert ResizeRule.of("none", 32) == ResizeRule.of(str(ResizeRule(32, 32)), 32) == ResizeRule(32, 32)

    def test_draws(self):
        draws = crop_mirror_draws(3, 1, 4, 5000)
        assert draws.dtype == np.int32 and draws.min() >= 0 and set(draws[:, MIRROR].tolist()) == {0, 1}
        for column in (CROP_TOP, CROP_LEFT):
            assert abs(draws[:, column].astype(float).mean() / 2**31 - 0.5) < 0.02
        # The bits of every machine: a run that is resumed must meet the same draws.
        assert hashlib.sha256(draws.astype("<i4").tobytes()).hexdigest().startswith("1de0a3e2994f59b0")
        assert not np.array_equal(draws, crop_mirror_draws(3, 1, 5, 5000))


@pytest.mark.backends
def test_batches_are_the_crops_of_the_draws_in_the_order(photos):
    data = load_data(data_dir=photos, image_size=16, shorter_side=20, stream=True)
    order = BatchOrder(20, 6, seed=5, augmentation="crop-mirror", streamed=True)
    batches = list(training_batches(data.train_images, data.train_labels, order, 2, 7).as_numpy_iterator())
    assert len(batches) == 5
    for (inputs, labels), (indices, draws) in zip(batches, order.steps(2, 7), strict=True):
        assert set(inputs) == {"images"} and inputs["images"].dtype == np.uint8
        assert np.array_equal(labels, data.train_labels[indices])
        for image, index, draw in zip(inputs["images"], indices.tolist(), draws, strict=True):
            assert np.array_equal(image, data.train_images.training_image(index, draw)[0])
            unmirrored = image[:, ::-1] if draw[MIRROR] else image
            plain = draw * np.array([0, 1, 1])
            assert np.array_equal(unmirrored, data.train_images.training_image(index, plain)[0])


class TestDamage:
    @staticmethod
    def bad(folder):
        return [folder / name for name in ("train/n00000000/photo_6.JPEG", "val/n00000001/photo_3.JPEG")]

    @pytest.fixture
    def damaged(self, photos):
        for path in self.bad(photos):
            path.write_bytes(path.read_bytes()[:300])
        return photos

    def test_it_is_named(self, damaged):
        for arguments in ({}, {"stream": True}):
            with pytest.raises(DataError, match="photo_6.JPEG: the image cannot be read"):
                load_data(data_dir=damaged, **arguments).train_images[:]

    def test_it_is_passed_over_on_request_and_noted(self, damaged):
        data = load_data(data_dir=damaged, skip_damaged=True)
        images = data.train_images
        bad = images.encoded.names.tolist().index(b"n00000000/photo_6.JPEG")
        assert not images.damage.names and data.damaged_files() == sorted(map(str, self.bad(damaged)))
        assert not images.damage.names
        pixels = images[:]
        good = pixels[np.arange(20) != bad]
        mean, deviation = channel_statistics(images)
        np.testing.assert_allclose(mean, good.mean(axis=(0, 1, 2)))
        np.testing.assert_allclose(deviation, good.std(axis=(0, 1, 2)))
        np.testing.assert_array_equal(
            fit_preprocessing("gcn-zca", images).matrix, fit_preprocessing("gcn-zca", good).matrix
        )
        assert not pixels[bad].any() and images.is_damaged().tolist() == [index == bad for index in range(20)]
        assert images.damage.names == {bad: str(damaged / "train/n00000000/photo_6.JPEG")}
        # In training the next image takes its place, with its own label.
        image, index = images.training_image(bad)
        assert index == (bad + 1) % 20 and np.array_equal(image, pixels[index])
        order = BatchOrder(20, 5, seed=1, streamed=True)
        for inputs, labels in training_batches(images, data.train_labels, order, 0, 4).as_numpy_iterator():
            for image, label in zip(inputs["images"], labels.tolist(), strict=True):
                (found,) = np.flatnonzero((pixels == image).all(axis=(1, 2, 3)))
                assert data.train_labels[found] == label and found != bad

    def test_nothing_but_damage(self, photos):
        for path in photos.glob("train/*/*"):
            path.write_bytes(b"none")
        images = load_data(data_dir=photos, skip_damaged=True).train_images
        with pytest.raises(DataError, match="not one image can be read"):
            images.training_image(0)


def test_a_crop_must_fit(photos):
    with pytest.raises(InputError, match="shorter side must be at least the image size, 32; got 20"):
        load_data(data_dir=photos, shorter_side=20)
