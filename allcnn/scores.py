"""Class probabilities + labels -> error, top-5 error, per-class figures, confusion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from allcnn.errors import InputError
from allcnn.tables import Column, html, tabulate, value

#: With more classes than this the top-5 error is measured too.
FEW_CLASSES = 10
_TOP = 5
# Keeps the logarithm finite where a probability underflowed; as Keras does.
_SMALLEST_PROBABILITY = 1e-7


@dataclass(frozen=True)
class Evaluation:
    """How a model did on labelled images. confusion[i][j]: images of class i that were taken for class j.

    top5_error_percent: the share of images whose class is not among the five likeliest; None with ten classes or fewer.
    skipped: images left out because they could not be read.
    """

    images: int
    errors: int
    error_percent: float
    cross_entropy: float
    class_names: tuple[str, ...]
    confusion: np.ndarray
    top5_error_percent: float | None = None
    skipped: int = 0

    def __repr__(self) -> str:
        return f"Evaluation({self._in_words()})"

    def _in_words(self) -> str:
        found = f"{self.error_percent:.2f} % error: {self.errors:,} of {self.images:,} images"
        return f"{found}, cross-entropy {self.cross_entropy:.4f}"

    def _repr_html_(self) -> str:
        found = zip(self.class_names, self.confusion.sum(axis=1).tolist(), self.class_errors(), strict=True)
        rows = [({"class": name, "images": images, "error": error}, ()) for name, images, error in found]
        remarks = []
        if len(rows) > FEW_CLASSES:
            rows = sorted(rows, key=lambda row: -(row[0]["error"] or 0.0))[:FEW_CLASSES]
            remarks = [f"Those of {len(self.class_names)} classes with the largest errors."]
        columns = [Column("class", value("class", ""), left=True), Column("images", value("images", ","))]
        columns.append(Column("error %", value("error")))
        return html(tabulate("", self._in_words(), columns, rows, remarks))

    def class_errors(self) -> list[float | None]:
        """The error of each class in percent; None for a class without images."""
        counts, right = self.confusion.sum(axis=1).tolist(), self.confusion.diagonal().tolist()
        return [100.0 * (count - good) / count if count else None for count, good in zip(counts, right, strict=True)]

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON."""
        return {
            "images": self.images,
            "errors": self.errors,
            "error_percent": self.error_percent,
            "top5_error_percent": self.top5_error_percent,
            "cross_entropy": self.cross_entropy,
            "skipped": self.skipped,
            "class_error_percent": dict(zip(self.class_names, self.class_errors(), strict=True)),
            "class_names": list(self.class_names),
            "confusion": self.confusion.tolist(),
        }


def score(chances: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...], skipped: int = 0) -> Evaluation:
    """Compare probabilities (n, classes) with labels (n,). The guess is the likeliest class, of equals the first.

    Raises:
        InputError: a probability is no number: the network diverged.
    """
    count, classes = chances.shape
    if not np.isfinite(chances).all():
        raise InputError("the model gives probabilities that are no numbers; its weights have diverged.")
    guesses = chances.argmax(axis=1)
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (labels, guesses), 1)
    errors = int(np.count_nonzero(guesses != labels))
    own = chances[np.arange(count), labels]
    logarithms = np.log(np.maximum(own.astype(np.float64), _SMALLEST_PROBABILITY))
    beyond = int(np.count_nonzero(_ranks(chances, labels) >= _TOP)) if classes > FEW_CLASSES else None
    return Evaluation(
        images=count,
        errors=errors,
        error_percent=100.0 * errors / count,
        cross_entropy=float(-logarithms.mean()),
        class_names=class_names,
        confusion=confusion,
        top5_error_percent=None if beyond is None else 100.0 * beyond / count,
        skipped=skipped,
    )


def _ranks(chances: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many classes rank before an image's own, (n,): the likelier ones, and equally likely ones before it."""
    own = chances[np.arange(len(labels)), labels][:, None]
    earlier = np.arange(chances.shape[1])[None, :] < labels[:, None]
    return ((chances > own) | ((chances == own) & earlier)).sum(axis=1)
