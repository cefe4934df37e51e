"""What images a data set has, before any is decoded; and the two ways to go on: hold them all, or stream them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from allcnn.data.dataset import Dataset
from allcnn.data.encoded import EncodedImages
from allcnn.data.images import ResizeRule, check_memory, fits_memory
from allcnn.data.streamed import StreamedImages


@dataclass(frozen=True)
class Listing:
    """Encoded images in a training and a test split. digest: of the files (`allcnn.data.encoded.files_digest`)."""

    name: str
    class_names: tuple[str, ...]
    train: EncodedImages
    test: EncodedImages
    digest: str
    source: str
    #: "folders" or "packed".
    layout: str

    def fits_memory(self, size: int) -> bool:
        """Whether all images of (size, size, 3) can be held at once."""
        return fits_memory(len(self.train) + len(self.test), size)

    def streamed(self, rule: ResizeRule, skip_damaged: bool = False) -> Dataset:
        """The data set whose images are decoded when they are needed, each brought to its size by `rule`."""
        train, test = (StreamedImages(split, rule, skip_damaged=skip_damaged) for split in (self.train, self.test))
        return self._dataset(train, test, str(rule), self.digest)

    def read(self, size: int) -> Dataset:
        """The data set with all images in memory. Raises DataError naming one that cannot be read."""
        check_memory(len(self.train) + len(self.test), size, self.source)
        rule = ResizeRule(size, size)
        train, test = StreamedImages(self.train, rule), StreamedImages(self.test, rule)
        pixels = train[:], test[:]
        fitted = train.any_resized or test.any_resized
        return self._dataset(*pixels, str(rule) if fitted else "none", None)

    def _dataset(
        self, train: np.ndarray | StreamedImages, test: np.ndarray | StreamedImages, resize: str, digest: str | None
    ) -> Dataset:
        return Dataset(
            name=self.name, train_images=train, train_labels=self.train.labels, test_images=test,
            test_labels=self.test.labels, class_names=self.class_names, source=self.source, layout=self.layout,
            resize=resize, stated_digest=digest,
        )  # fmt: skip
