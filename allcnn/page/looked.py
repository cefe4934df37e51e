"""Loads a finished run's network and its own test images, and lets it say what is in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from allcnn.backend import load_keras
from allcnn.data.dataset import Dataset
from allcnn.data.download import find_kept
from allcnn.data.layouts import CLASSES
from allcnn.errors import CheckpointError, DataError, InputError
from allcnn.evaluation import check_images_fit, load_own_data, probabilities
from allcnn.models.saved import ModelCard, find_model_file, open_saved, read_card
from allcnn.runs.collected import CollectedRun

if TYPE_CHECKING:
    from allcnn.models.saved import SavedModel


@dataclass(frozen=True)
class Looked:
    """A network and what it made of its test images.

    chances: (n, classes), the probabilities; confusion[i][j]: images of class i that were taken for class j.
    """

    saved: SavedModel
    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    chances: np.ndarray

    @property
    def guesses(self) -> np.ndarray:
        """(n,) the likeliest class of each image."""
        return self.chances.argmax(axis=1)

    @property
    def errors(self) -> int:
        """How many images were taken for another class."""
        return int(np.count_nonzero(self.guesses != self.labels))

    @property
    def confusion(self) -> np.ndarray:
        """(classes, classes), counted."""
        counts = np.zeros((len(self.class_names),) * 2, np.int64)
        np.add.at(counts, (self.labels, self.guesses), 1)
        return counts


class Onlooker:
    """Looks into one run after the other. Runs of the same data in a row load them once."""

    def __init__(self) -> None:
        self._kept: tuple[tuple[object, ...], Dataset] | None = None

    def look(self, run: CollectedRun) -> Looked:
        """Load a run's network and data, and predict.

        Raises:
            CheckpointError: the network is missing, damaged, or asks for code.
            DataError: the images are missing or are not those of the run. Nothing is downloaded for a page.
            InputError: the images do not fit the network.
        """
        path = find_model_file(run.folder.path)
        card = read_card(path)
        if card is None:
            raise CheckpointError(f"{path}: has no card of allcnn.")
        data = self._data(path, card)
        if data.digest != run.digest:
            raise DataError(f"{data.source}: holds other images than the run was trained on.")
        load_keras()
        saved = open_saved(path)
        check_images_fit(saved.model, data.test_images)
        if saved.model.output_shape[-1] != data.classes:
            raise InputError(f"{path}: knows {saved.model.output_shape[-1]} classes; the data have {data.classes}.")
        images, labels = data.test_set_in_memory()
        return Looked(saved, images, labels, data.class_names, probabilities(saved.model, images))

    def _data(self, path: Path, card: ModelCard) -> Dataset:
        key = (card.dataset, card.data_dir, card.image_shape, card.class_names)
        if self._kept is None or self._kept[0] != key:
            self._kept = None  # not two data sets in memory
            given = card.data_dir is not None and Path(card.data_dir).exists()
            if card.dataset in CLASSES and not given and find_kept(card.dataset) is None:
                raise DataError(f"{card.dataset} is not on this machine any more where it was kept.")
            self._kept = key, load_own_data(path, card)
        return self._kept[1]
