"""A small network, and whether two runs of it ended in the same bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import allcnn
from allcnn.runs.folder import read_metrics

SPEC = "D.2-8C3-8C3/2-D.5-12C3v-NC1-GAP"


def weights(run_dir: Path) -> list[np.ndarray]:
    return allcnn.load_model(run_dir).get_weights()


def assert_same_bits(first: Path, second: Path) -> None:
    for one, other in zip(weights(first), weights(second), strict=True):
        np.testing.assert_array_equal(one, other)
    timeless = [
        [{key: value for key, value in row.items() if key not in ("seconds", "images_per_second")} for row in rows]
        for rows in (read_metrics(first / "metrics.csv"), read_metrics(second / "metrics.csv"))
    ]
    assert timeless[0] == timeless[1]
