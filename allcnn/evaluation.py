"""A model of raw images + labelled images -> error, per-class figures, confusion.

Every published error comes through `evaluate`, with one fixed batch size, from the float32 model: the error
in metrics.csv and that of `allcnn eval` agree to the last digit on the same machine.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from allcnn.backend import ignore_retracing_of_keras, load_keras
from allcnn.data.dataset import Dataset
from allcnn.data.folders import image_files
from allcnn.data.images import IMAGE_SUFFIXES, ResizeRule, check_image_size, check_memory, read_image
from allcnn.data.layouts import CLASSES
from allcnn.data.load import DATASETS, load_data
from allcnn.data.order import DRAWS
from allcnn.data.streamed import Images, ImageStack, as_images
from allcnn.device import find_device, jit_compile
from allcnn.errors import DataError, InputError, first_of, printable
from allcnn.models.parts import augmented_model, check_images_fit, check_tests, fitting_batch, takes_images
from allcnn.models.saved import ModelCard, SavedModel, find_model_file, open_saved, read_card
from allcnn.scores import Evaluation as Evaluation
from allcnn.scores import score
from allcnn.tables import facts_html

if TYPE_CHECKING:
    import keras

#: What functions take as a model: a model of raw images, an opened one, the path of a .keras file or of a run, or
#: what `allcnn.train` returned.
Model: TypeAlias = "keras.Model | SavedModel | str | PathLike[str]"

#: Images in one batch of an evaluation, fewer only where the network's maps are so large that these would not fit
#: (`fitting_batch`). Part of the contract: another size may give other last bits.
BATCH_SIZE = 250
# No run has a seed this large, so a test never repeats the draws of a training.
_TEST_SEED = 1 << 32


@dataclass(frozen=True)
class Prediction:
    """The likeliest classes of one image, first the likeliest, each with its probability."""

    image: str
    classes: tuple[tuple[str, float], ...]

    def __repr__(self) -> str:
        first = ", ".join(f"{name} {100 * probability:.2f} %" for name, probability in self.classes[:3])
        return f"Prediction({self.image}: {first}{', ...' if len(self.classes) > 3 else ''})"

    def _repr_html_(self) -> str:
        return facts_html(self.image, {name: f"{100 * probability:.2f} %" for name, probability in self.classes})


def probabilities(
    model: keras.Model, images: Images, batch_size: int = BATCH_SIZE, draws: np.ndarray | None = None
) -> np.ndarray:
    """Class probabilities (n, classes) float32 of raw images (n, height, width, 3), 0..255, in fixed batches.

    draws: (n, ...), the second input of a model that `augmented_model` gave.
    """
    ignore_retracing_of_keras()
    if model.compiled is False:
        model.jit_compile = jit_compile(find_device())
    batch_size = fitting_batch(model, batch_size)
    parts = []
    for start, block in zip(range(0, len(images), batch_size), as_images(images).blocks(batch_size), strict=True):
        # The last batch is filled up: one shape is compiled, and the bits do not depend on how many are left.
        batch = np.zeros((batch_size, *images.shape[1:]), np.float32)
        batch[: len(block)] = block
        inputs: Any = batch
        if draws is not None:
            inputs = [batch, np.zeros((batch_size, *draws.shape[1:]), draws.dtype)]
            inputs[1][: len(block)] = draws[start : start + batch_size]
        parts.append(np.asarray(model.predict_on_batch(inputs))[: len(block)])
    return np.concatenate(parts)


def mean_of_tests(saved: SavedModel, images: Images, tests: int) -> np.ndarray:
    """Class probabilities (n, classes) float32 of raw images (n, height, width, 3), the mean over several passes.

    In each pass every image is augmented anew. The draws depend only on the image's number and the pass, so the same
    call gives the same figures. The paper compares with Graham's 12 and 100 tests (Table 4).
    """
    assert saved.card is not None and saved.card.augmentation is not None  # noqa: S101  (check_tests)
    kind = DRAWS[saved.card.augmentation]
    model = saved.model if kind.on_host else augmented_model(saved.model, saved.card)
    total = np.zeros((len(images), model.output_shape[-1]))
    for test in range(tests):
        draws = kind.draw(_TEST_SEED, test, 0, len(images))
        if kind.on_host:
            total += probabilities(model, as_images(images).crops(draws))
        else:
            total += probabilities(model, images, draws=draws)
    return (total / tests).astype(np.float32)


def evaluate(
    model: Model,
    images: Images | Dataset | str | PathLike[str] | None = None,
    labels: np.ndarray | Sequence[int] | None = None,
    class_names: tuple[str, ...] | None = None,
    tests: int = 1,
) -> Evaluation:
    """Measure a model of raw images: the error is the share of images whose likeliest class is not theirs.

    Args:
        model: a model that takes raw images and gives probabilities, or the path of a saved one, a run's folder, or
            what `allcnn.train` returned.
        images: (n, height, width, 3), 0..255, with `labels`; or a `Dataset`, or a folder as `allcnn.load_data` takes it
            for `data_dir`: its test images. None: the test images of the data that the saved model was trained on.
        labels: (n,) whole numbers, or (n, 1) as `keras.datasets` gives them.
        class_names: by default the data set's or the saved model's, else the numbers.
        tests: 1: the images as they are. More: the mean of the probabilities over so many passes. In each the images
            are augmented anew, as in the model's training. Every call makes the same draws.

    Raises:
        InputError: images or labels that do not fit the model; several tests of one trained without augmentation.
        CheckpointError: a path that holds no model.
        DataError: a folder's images are missing or broken.
    """
    saved, data = None, images if isinstance(images, Dataset) else None
    if images is None or isinstance(images, str | PathLike):
        saved, data = open_with_data(model, tests, data_dir=images)
    saved = saved or _opened(model)
    network = saved.model
    classes = network.output_shape[-1]
    if data is not None:
        if labels is not None:
            raise InputError(f"labels were given beside the data set {data.name}, which has its own; leave them out.")
        images, labels = data.test_images, data.test_labels
        if saved.card:
            _refuse_other_classes(saved.path, saved.card.class_names, data.name, data.class_names)
        if classes != data.classes:
            raise InputError(f"{saved.path}: knows {classes} classes; the data set {data.name} has {data.classes}.")
        class_names = class_names or data.class_names
    elif labels is None:
        raise InputError("the images have no labels; expected them as the next argument, or a Dataset or a folder.")
    images = as_images(images)
    labels = np.asarray(labels)
    check_images_fit(network, images)
    if labels.shape == (len(images), 1):
        labels = labels[:, 0]
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise InputError(
            f"the labels are {labels.dtype} of shape {labels.shape}; expected whole numbers of shape (n,)."
        )
    if len(images) != len(labels) or len(images) == 0:
        raise InputError(f"got {len(images)} images and {len(labels)} labels; expected as many, and at least one.")
    if labels.min() < 0 or labels.max() >= classes:
        raise InputError(f"labels run from {labels.min()} to {labels.max()}; the model knows 0 to {classes - 1}.")
    check_tests(tests, saved.path, saved.card)
    names = tuple(class_names) if class_names else _class_names(saved)
    if len(names) != classes:
        raise InputError(f"{len(names)} class names were given; the model knows {classes} classes.")
    chances = probabilities(network, images) if tests == 1 else mean_of_tests(saved, images, tests)
    read = ~images.is_damaged()
    if not read.any():
        raise InputError("not one of the images can be read; expected at least one.")
    return score(chances[read], labels[read], names, skipped=int(np.count_nonzero(~read)))


def open_with_data(model: Model, tests: int = 1, **where: Any) -> tuple[SavedModel, Dataset]:
    """Open a model and its data; `where` goes to `load_own_data`. The data are found before Keras loads.

    Raises:
        CheckpointError: there is no such model.
        InputError: the data set's classes, the size of its images, or so many tests do not fit the model.
        DataError: the images are missing or broken.
    """
    if isinstance(model, str | PathLike):
        path = find_model_file(model)
        card = read_card(path)
        check_tests(tests, path, card)
        data = load_own_data(path, card, **where)
        return _opened(path), data
    saved = _opened(model)
    if saved.card is None:
        if where.get("data_dir") is None:
            raise InputError(
                f'no images were given for the model "{saved.path}", which does not say what it was trained on.\n'
                "Expected images and labels, a Dataset, or a folder that holds a data set."
            )
        where["image_size"] = saved.model.input_shape[1]
    return saved, load_own_data(saved.path, saved.card, **where)


def load_own_data(
    path: Path,
    card: ModelCard | None,
    dataset: str | None = None,
    data_dir: str | Path | None = None,
    image_size: int | None = None,
    mirror: str | None = None,
    stream: bool = False,
    skip_damaged: bool = False,
) -> Dataset:
    """The data set to measure a saved model on, by default the one that it was trained on.

    Args:
        dataset, data_dir, image_size, mirror, stream, skip_damaged: as for `allcnn.load_data`. The classes and the
            image size must be the model's.
    """
    if card is None and dataset is None and data_dir is None:
        raise InputError(
            f"{path}: was not saved by allcnn, so it does not say which data it belongs to.\n"
            "Pass --dataset or --data-dir."
        )
    shorter_side = None
    if card is not None:
        if data_dir is None and dataset in (None, card.dataset):
            data_dir = card.data_dir
            if data_dir is not None and card.dataset in DATASETS and not os.path.exists(data_dir):
                data_dir = None  # trained on another machine: look where data sets are kept on this one
        if dataset is None:
            # A folder is read as what it holds; digits are in none.
            by_name = card.dataset in DATASETS and (card.dataset != "digits" or data_dir is None)
            dataset = card.dataset if by_name else "cifar10"
        image_size = image_size if image_size is not None else card.image_shape[0]
        if data_dir is None and dataset in CLASSES:
            # Known beforehand, and perhaps a long download away.
            _refuse_other_classes(path, card.class_names, dataset, CLASSES[dataset])
        if image_size == card.image_shape[0]:
            shorter_side = ResizeRule.of(card.resize, image_size).shorter_side
    data = load_data(
        dataset or "cifar10", data_dir, image_size=image_size, mirror=mirror, stream=stream,
        shorter_side=shorter_side, skip_damaged=skip_damaged,
    )  # fmt: skip
    if card is not None:
        _refuse_other_classes(path, card.class_names, data.name, data.class_names)
        if data.image_shape != card.image_shape:
            raise InputError(
                f"{path}: takes images of {card.image_shape}; those of {data.source} are {data.image_shape}."
            )
    return data


def is_data_of_training(card: ModelCard, data: Dataset) -> bool | None:
    """Whether these are the images that a model was trained on, in their order.

    None if that cannot be known: the model knows a digest of their pixels, and the images are streamed.
    """
    if card.streamed is False and data.streamed:
        return None
    return card.digest == (data.files_digest if card.streamed else data.digest)


def predict(
    model: Model,
    images: str | PathLike[str] | np.ndarray | ImageStack | Sequence[Any],
    top: int = 5,
    skip_damaged: bool = False,
) -> list[Prediction]:
    """The likeliest classes of images, which are brought to the model's size as in training.

    Args:
        model: as in `evaluate`.
        images: a file, a folder, or several; a folder stands for all images in it, to any depth, in the order of their
            names. Or arrays of raw RGB, 0..255: (n, height, width, 3), one image (height, width, 3), or a list of
            uint8 images of any sizes.
        top: how many classes to give for an image.
        skip_damaged: give a file that cannot be read no classes, instead of refusing.

    Raises:
        CheckpointError: `model` is not a saved model.
        DataError: an image cannot be read; the message names it.
        InputError: no images, or a model that does not take square RGB images of one size.
    """
    if isinstance(model, str | PathLike):
        model = find_model_file(model)
        card = read_card(model)
    else:
        card = model.card if isinstance(model, SavedModel) else None
    named, wanted = _listed(images)
    if not named:
        raise InputError("no images given; expected at least one image file.")
    # Where the card tells the size, an unreadable image is refused at once, not after Keras has loaded.
    damaged: set[int] | None = set() if skip_damaged else None
    pixels = _fitted(wanted, ResizeRule.of(card.resize, card.image_shape[0]), damaged) if card else None
    saved = _opened(model)
    shape = saved.model.input_shape
    if not takes_images(saved.model) or shape[1] is None or shape[1:] != (shape[1], shape[1], 3):
        raise InputError(
            f"{saved.path}: takes {shape}; expected a model of square images of one size, (None, 32, 32, 3)."
        )
    if pixels is None or pixels.shape[1] != shape[1]:
        pixels = _fitted(wanted, ResizeRule(shape[1], shape[1]), damaged)
    chances = probabilities(saved.model, pixels, min(len(pixels), BATCH_SIZE))
    classes = _class_names(saved)
    result = []
    for number, (name, row) in enumerate(zip(named, chances, strict=True)):
        order = np.argsort(-row, kind="stable")[: 0 if damaged and number in damaged else top]
        result.append(Prediction(name, tuple((classes[index], float(row[index])) for index in order)))
    return result


def _listed(images: Any) -> tuple[list[str], Sequence[Any] | Images]:
    """The names of the images to predict, and the images: paths of files, also those in folders, or arrays."""
    if isinstance(images, ImageStack) or hasattr(images, "shape"):
        images = as_images(images if len(images.shape) != 3 else np.asarray(images)[None])
        return [f"image {index}" for index in range(len(images))], images
    if isinstance(images, str | PathLike):
        images = [images]
    if not isinstance(images, Iterable):
        raise InputError(f"the images are a {type(images).__name__}; expected files, folders or arrays.")
    listed: list[tuple[str, Any]] = []
    for index, image in enumerate(images):
        if not isinstance(image, str | PathLike):
            listed.append((f"image {index}", np.asarray(image)))
            continue
        path = Path(image).expanduser()
        listed += _in_folder(path) if path.is_dir() else [(fspath(image), path)]
    return [name for name, _ in listed], [image for _, image in listed]


def _in_folder(folder: Path) -> list[tuple[str, Path]]:
    try:
        files = image_files(folder)
    except OSError as error:
        raise DataError(f"{printable(error.filename or folder)}: cannot be read ({error.strerror}).") from None
    if not files:
        raise InputError(f"{printable(folder)}: holds no images; expected files ending in {', '.join(IMAGE_SUFFIXES)}.")
    return [(str(file), file) for file in files]


def _fitted(images: Sequence[Any] | Images, rule: ResizeRule, damaged: set[int] | None) -> Images:
    """Images as (n, size, size, 3), each read and resized alone: many whole photographs would fill the memory.

    damaged: takes the numbers of the files that cannot be read; these are black. None: they are refused.
    """
    size = rule.size
    check_image_size(size)
    if isinstance(images, ImageStack) and images.shape[1:] == (size, size, 3):
        return images
    check_memory(len(images), size, "the images to predict")
    pixels = np.empty((len(images), size, size, 3), np.uint8)
    for index in range(len(images)):
        image = images[index : index + 1][0]
        try:
            pixels[index] = rule.centre(read_image(image) if isinstance(image, Path) else _checked_pixels(image, index))
        except DataError:
            if damaged is None:
                raise
            damaged.add(index)
            pixels[index] = 0
    return pixels


def _checked_pixels(image: np.ndarray, index: int) -> np.ndarray:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise InputError(
            f"image {index} is {image.dtype} of shape {image.shape}; expected uint8 of shape (height, width, 3)."
        )
    return image


def _refuse_other_classes(path: Path, own: tuple[str, ...], name: str, others: tuple[str, ...]) -> None:
    if own != others:
        raise InputError(
            f"{path}: was trained on {_classes_in_words(own)}; the data set {name} has {_classes_in_words(others)}.\n"
            "Pass the data set that fits with --dataset or --data-dir."
        )


def _classes_in_words(names: tuple[str, ...]) -> str:
    return f"{len(names)} classes ({first_of(names, 3)})"


def _class_names(saved: SavedModel) -> tuple[str, ...]:
    """The names of a model's classes; their numbers if it names none."""
    return saved.card.class_names if saved.card else tuple(map(str, range(saved.model.output_shape[-1])))


def _opened(model: Model) -> SavedModel:
    if isinstance(model, str | PathLike):
        load_keras()
        return open_saved(model)
    return model if isinstance(model, SavedModel) else SavedModel(Path(model.name), model, None)
