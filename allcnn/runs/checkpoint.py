"""The training state: everything that decides how a run goes on, in one file."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from allcnn.errors import CheckpointError
from allcnn.files import read_arrays, write_arrays
from allcnn.runs.folder import Row, RunFolder

if TYPE_CHECKING:
    import keras

_FORMAT = 3
_METRIC = "metrics/"


@dataclass(frozen=True)
class TrainingState:
    """Weights and momentum by variable path, the steps and whole epochs done, and the rows of metrics.csv so far.

    In the middle of an epoch also the sums of its metrics, and the seconds that it has taken. The order of images, the
    draws and the dropout masks are functions of seed, epoch and step, so they need only the count of steps.
    """

    arrays: dict[str, np.ndarray]
    epochs_done: int
    steps_done: int
    rows: list[Row]
    seconds: float = 0.0


def capture_state(
    model: keras.Model,
    epochs_done: int,
    steps_done: int,
    rows: list[Row],
    metrics: Sequence[keras.metrics.Metric] = (),
    seconds: float = 0.0,
) -> TrainingState:
    """The state of a compiled model between two steps; its optimizer is built.

    metrics, seconds: of the half-done epoch.
    """
    from keras import ops

    bring_up_to_date(model)
    variables = {**_variables(model), **_metric_variables(metrics)}
    arrays = {key: ops.convert_to_numpy(variable.value) for key, variable in variables.items()}
    return TrainingState(arrays, epochs_done, steps_done, list(rows), seconds)


def bring_up_to_date(model: keras.Model) -> None:
    """Give the variables of a model in training their values; Keras on JAX holds the values elsewhere meanwhile."""
    if hasattr(model, "jax_state_sync"):
        model.jax_state_sync()


def apply_state(model: keras.Model, state: TrainingState) -> None:
    """Put a state's weights and momentum into a compiled model whose optimizer is built.

    Raises:
        CheckpointError: the variables are not the model's; the message names the first that differs.
    """
    _assign(_variables(model), {key: array for key, array in state.arrays.items() if not key.startswith(_METRIC)})


def apply_metrics(metrics: Sequence[keras.metrics.Metric], state: TrainingState) -> None:
    """Put the sums of a half-done epoch into its metrics, after Keras set them to zero at the epoch's beginning."""
    _assign(_metric_variables(metrics), {key: array for key, array in state.arrays.items() if key.startswith(_METRIC)})


def save_state(folder: RunFolder, state: TrainingState) -> None:
    """Write state.h5 in one step, and keep the state before it as state.previous.h5."""
    attributes = {"format": _FORMAT, **{key: value for key, value in vars(state).items() if key != "arrays"}}
    write_arrays(folder.state, state.arrays, attributes, keep_previous=folder.previous_state)


def load_state(folder: RunFolder, announce: Callable[[str], None] = lambda line: None) -> TrainingState | None:
    """The last whole training state of a run; None if none was saved yet.

    If the last state is damaged, it is set aside, this is announced, and the state before it is taken.

    Raises:
        CheckpointError: neither the last state nor the one before it can be read.
    """
    if not folder.state.exists():  # no state yet, or killed between the two renames of a new one
        return _read_state(folder.previous_state) if folder.previous_state.exists() else None
    try:
        return _read_state(folder.state)
    except CheckpointError as failure:
        if not folder.previous_state.exists():
            raise
        try:
            state = _read_state(folder.previous_state)
        except CheckpointError as other:
            raise CheckpointError(f"{failure}\nNor can the state before it be used: {other}") from None
        aside = _set_aside(folder.state)
        announce(f"{failure} It was set aside as {aside.name}; going on from the state before it.")
        return state


def _read_state(path: Path) -> TrainingState:
    arrays, attributes = read_arrays(path)
    if attributes.pop("format", None) != _FORMAT:
        raise CheckpointError(f"{path}: a training state of another version of allcnn.")
    return TrainingState(arrays, **attributes)


def _set_aside(path: Path) -> Path:
    """Give a damaged file a name under which it is never read; a file set aside before keeps its own."""
    number = 1
    while (aside := path.with_name(f"{path.stem}.damaged-{number}{path.suffix}")).exists():
        number += 1
    os.replace(path, aside)
    return aside


def _assign(variables: dict[str, keras.Variable], arrays: dict[str, np.ndarray]) -> None:
    """Give every variable its array. Raises CheckpointError, before any is changed, if they do not fit."""
    if odd := sorted(set(variables) ^ set(arrays)):
        raise CheckpointError(f"the training state is of another network: {odd[0]} is in only one of the two.")
    for key, variable in variables.items():
        if tuple(variable.shape) != arrays[key].shape:
            raise CheckpointError(
                f"the training state is of another network: {key} is {arrays[key].shape}, "
                f"expected {tuple(variable.shape)}."
            )
    for key, variable in variables.items():
        variable.assign(arrays[key])


def _variables(model: keras.Model) -> dict[str, keras.Variable]:
    """Every variable that training changes, by a name that is the same in every process."""
    from allcnn.data.stored_images import StoredImages

    layers = [layer for layer in model.layers if not isinstance(layer, StoredImages)]
    variables = {f"model/{variable.path}": variable for layer in layers for variable in layer.weights}
    for index, variable in enumerate(model.optimizer.variables):
        # Keras keeps the variables of an optimiser in a fixed order; their paths contain generated names.
        variables[f"optimizer/{index:03d}"] = variable
    return variables


def _metric_variables(metrics: Sequence[keras.metrics.Metric]) -> dict[str, keras.Variable]:
    return {f"{_METRIC}{metric.name}/{variable.name}": variable for metric in metrics for variable in metric.variables}
