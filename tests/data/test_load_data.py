"""A name or a folder -> a data set; the digits; and what a `Dataset` refuses to be made of."""

from __future__ import annotations

import numpy as np
import pytest
from cifar_writers import cifar10_files, random_images, write
from sklearn.datasets import load_digits

from allcnn.data import Dataset, load_data
from allcnn.data.images import ResizeRule
from allcnn.errors import DataError, InputError

LABELS = [3, 8, 8, 0, 6, 6, 1, 6, 3, 1, 0, 9]


def message(*arguments, kind=DataError, **options) -> str:
    with pytest.raises(kind) as error:
        load_data(*arguments, **options)
    assert error.value.exit_code == 2 and len(str(error.value).splitlines()) <= 2
    return str(error.value)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("cifar", " Did you mean cifar10 or cifar100?"), ("digit", " Did you mean digits?"), ("imagenet", "")],
)
def test_unknown_name(name, hint):
    assert message(name, kind=InputError) == (
        f"unknown data set {name!r}; expected one of cifar10, cifar100, digits, tfds:NAME.{hint}\n"
        "For images of your own, pass their folder with --data-dir, or in Python a `Dataset` with dataset=."
    )


def test_published_names_are_accepted(tmp_path):
    write(tmp_path, cifar10_files(True, random_images(12), LABELS))
    assert load_data("CIFAR-10", str(tmp_path)).name == "cifar10"


def test_a_folder_is_known_again(tmp_path, monkeypatch):
    write(tmp_path / "here", cifar10_files(True, random_images(12), LABELS))
    monkeypatch.chdir(tmp_path)
    assert load_data(data_dir="here", image_size=16).found_in == str(tmp_path / "here")


def test_missing_and_empty_folder(tmp_path):
    then = "\nPass the folder that holds the data set with --data-dir."
    assert message(data_dir=tmp_path / "none") == f"{tmp_path}/none: there is no such folder.{then}"
    assert message(data_dir=tmp_path) == f"{tmp_path}: the folder is empty.{then}"
    assert message(data_dir="", kind=InputError).startswith("the data folder's name is empty")
    assert message(data_dir="a\0b").startswith("a\\x00b: ")


def test_what_was_looked_for_is_listed(tmp_path):
    (tmp_path / "readme.txt").write_text("hello")
    assert message(data_dir=tmp_path) == (
        f"{tmp_path}: no data set found. Looked for cifar-10-batches-py/, cifar-10-batches-bin/, "
        "cifar-10-python.tar.gz, cifar-10-binary.tar.gz, folders of images (train/CLASS/* with test/CLASS/* or "
        "val/CLASS/*), a data set prepared by TensorFlow Datasets.\n"
        "Pass the folder that holds one of them with --data-dir."
    )
    write(tmp_path / "cifar-10-batches-py", cifar10_files(False, random_images(12), LABELS))
    assert message("cifar100", tmp_path).endswith("\nIt holds cifar10: ask for the data set cifar10.")


def test_a_file_that_is_no_archive(tmp_path):
    path = tmp_path / "data.zip"
    path.write_bytes(b"PK")
    assert message(data_dir=path) == (
        f"{path}: not an official archive of cifar10; expected cifar-10-python.tar.gz or cifar-10-binary.tar.gz.\n"
        "Pass one of them, or the folder that holds the data set."
    )


def test_folder_and_mirror(tmp_path):
    found = message(data_dir=tmp_path, mirror="https://example.org/", kind=InputError)
    assert found.startswith("both a data folder and a mirror were given; expected one of them.")


def test_cifar_in_another_size(tmp_path):
    images = random_images(12)
    data = load_data(data_dir=write(tmp_path, cifar10_files(True, images, LABELS)), image_size=16)
    assert data.image_shape == (16, 16, 3)
    assert data.resize == "shorter side to 16, bilinear with antialiasing, centre crop"
    np.testing.assert_array_equal(data.test_images[1], ResizeRule(16, 16).centre(images[11]))
    cut = load_data(data_dir=tmp_path, shorter_side=40)
    assert cut.resize == "shorter side to 40, bilinear with antialiasing, centre crop of 32"
    np.testing.assert_array_equal(cut.test_images[1], ResizeRule(32, 40).centre(images[11]))


def test_a_folder_that_may_not_be_read(tmp_path, monkeypatch):
    (tmp_path / "x").write_text("")

    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied", str(tmp_path / "locked"))

    monkeypatch.setattr("allcnn.data.layouts.find_layout", refuse)
    assert message(data_dir=tmp_path) == f"{tmp_path}/locked: cannot be read (Permission denied)."


# The digits


@pytest.fixture(scope="module")
def digits():
    return load_data("digits")


def test_the_digits(digits):
    assert digits.train_images.shape == (1438, 32, 32, 3) and digits.test_images.shape == (359, 32, 32, 3)
    assert digits.train_images.dtype == np.uint8 and digits.train_labels.dtype == np.int32
    assert digits.classes == 10 and digits.class_names == tuple("0123456789")
    assert (digits.name, digits.layout) == ("digits", "scikit-learn") and digits.source.startswith("scikit-learn ")
    assert digits.resize == "shorter side to 32, bilinear with antialiasing, centre crop"
    # Every fifth is a test image. Images 0 to 5 are the digits 0 to 5; number 4 is the first test image.
    assert digits.test_labels.tolist() == load_digits().target[4::5].tolist()
    assert digits.train_labels[:5].tolist() == [0, 1, 2, 3, 5] and digits.test_labels[0] == 4


def test_pixels_of_the_digits_by_hand(digits):
    """0..16 becomes 0..255 (8 * 255 / 16 = 127.5, to the even 128), grey three times."""
    bunch, small = load_digits(), load_data("digits", image_size=8)
    found = small.train_images[0]
    for value, expected in ((0, 0), (1, 16), (5, 80), (8, 128), (15, 239), (16, 255)):
        assert (found[bunch.images[0] == value] == expected).all()
    np.testing.assert_array_equal(found[:, :, 0], found[:, :, 2])
    # Enlarged from 8 to 32, bilinear: beyond the centre of the outermost pixel its value stays.
    np.testing.assert_array_equal(digits.train_images[:, 0, 0], small.train_images[:, 0, 0])
    np.testing.assert_array_equal(digits.train_images[:, 31, 31], small.train_images[:, 7, 7])


@pytest.mark.parametrize(("option", "given"), [({"data_dir": "."}, "data folder"), ({"mirror": "http://x"}, "mirror")])
def test_the_digits_need_nothing(option, given):
    found = message("digits", kind=InputError, **option)
    assert found == f"digits: a {given} was given, but the digits come with scikit-learn.\nLeave it out."


# The type


def dataset(**changes) -> Dataset:
    pieces = {
        "name": "two",
        "train_images": np.zeros((2, 4, 5, 3), np.uint8),
        "train_labels": np.array([0, 1], np.int32),
        "test_images": np.zeros((1, 4, 5, 3), np.uint8),
        "test_labels": np.array([1], np.int32),
        "class_names": ("a", "b"),
        "source": "here",
        "layout": "folders",
        "resize": "none",
    }
    return Dataset(**(pieces | changes))


def test_digest_depends_on_pixels_shapes_labels_and_order():
    data = dataset()
    images = np.zeros((2, 4, 5, 3), np.uint8)
    images[1, 0, 0, 0] = 1
    others = [
        dataset(train_images=images),
        dataset(train_images=images[::-1]),
        dataset(train_labels=np.array([1, 0], np.int32)),
        dataset(test_labels=np.array([0], np.int32)),
        dataset(train_images=np.zeros((2, 5, 4, 3), np.uint8), test_images=np.zeros((1, 5, 4, 3), np.uint8)),
    ]
    assert len({data.digest, *(other.digest for other in others)}) == 6
    assert dataset(name="other", source="there").digest == data.digest
    assert data.classes == 2 and data.image_shape == (4, 5, 3)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"train_images": np.zeros((2, 4, 5, 3), np.float32)}, "the training images are float32"),
        ({"test_images": np.zeros((1, 4, 5, 1), np.uint8)}, "the test images are uint8 of shape (1, 4, 5, 1)"),
        ({"test_images": np.zeros((1, 5, 5, 3), np.uint8)}, "training images are (4, 5, 3), test images (5, 5, 3)"),
        ({"train_labels": np.array([0], np.int32)}, "the training labels are int32 of shape (1,)"),
        ({"train_labels": np.array([0, 2], np.int32)}, "the training labels run from 0 to 2; expected 0 to 1"),
        (
            {"class_names": ("a", "b\n\x1b[31m")},
            'a class is named "b\\n\\x1b[31m"; expected 1 to 255 characters on one line',
        ),
        ({"class_names": ("a", "")}, 'a class is named ""; expected 1 to 255 characters'),
        ({"class_names": ("a", "b" * 256)}, f'a class is named "{"b" * 255}"; expected 1 to 255 characters'),
        (
            {"test_images": np.zeros((0, 4, 5, 3), np.uint8), "test_labels": np.zeros(0, np.int32)},
            "there are no test images; expected at least one",
        ),
    ],
)
def test_pieces_that_do_not_fit(changes, found):
    with pytest.raises(DataError) as error:
        dataset(**changes)
    assert str(error.value).startswith(f"here: {found}")


def test_a_data_set_is_shown_in_short(digits):
    assert repr(digits) == "Dataset(digits: 1,438 training and 359 test images of 32x32, 10 classes)"
    assert "10: 0, 1, 2" in digits._repr_html_() and len(digits._repr_html_()) < 1000
