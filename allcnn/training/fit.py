"""Keras's fit from any step of a run, also from the middle of an epoch, which Keras cannot begin in."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras

from allcnn.training.callbacks import BeforeEpoch


def fit_from(
    model: keras.Model,
    batches: Callable[[int, int], Any],
    callbacks: Sequence[keras.callbacks.Callback],
    *,
    first_step: int,
    last_step: int,
    steps_per_epoch: int,
    restore_metrics: Callable[[], None],
) -> None:
    """Train a compiled model from `first_step` to before `last_step`, both counted from the beginning of the run.

    The rest of a half-done epoch is a call of fit of its own, so that its callbacks see training begin twice.

    Args:
        batches: gives the batches of the steps first <= step < last.
        restore_metrics: puts back the sums of a half-done epoch, once Keras has set them to zero.
    """

    def fit(first: int, last: int, more: Sequence[keras.callbacks.Callback]) -> None:
        epoch, within = divmod(first, steps_per_epoch)
        model.fit(
            batches(first, last), initial_epoch=epoch, epochs=math.ceil(last / steps_per_epoch),
            steps_per_epoch=steps_per_epoch - within, callbacks=[*more, *callbacks], shuffle=False, verbose=0,
        )  # fmt: skip

    if first_step % steps_per_epoch:
        end = min(math.ceil(first_step / steps_per_epoch) * steps_per_epoch, last_step)
        fit(first_step, end, [BeforeEpoch(restore_metrics)])
        if model.stop_training:  # a callback's wish; the next fit would forget it
            return
        first_step = end
    if first_step < last_step:
        fit(first_step, last_step, [])
