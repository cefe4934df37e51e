"""Several runs as one figure, and which of several learning rates is the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

#: How a run failed, as opposed to came to no end.
FAILED = ("diverged", "dead")


@dataclass(frozen=True)
class Statistic:
    """n values: their mean and sample standard deviation, which a single value does not have."""

    n: int
    mean: float
    deviation: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Statistic | None:
        """None of no values."""
        return cls(len(values), fmean(values), stdev(values) if len(values) > 1 else None) if values else None


def rate_rank(failed: int, mean: float | None, learning_rate: float) -> tuple[int, float, float]:
    """What the best of several learning rates has least of.

    First the runs that diverged or died: the mean of those that survived would hide them. Then the mean error in
    percent; then the rate itself.
    """
    # Means of the same errors in another order may differ in their last bits.
    return failed, math.inf if mean is None else round(mean, 9), learning_rate
