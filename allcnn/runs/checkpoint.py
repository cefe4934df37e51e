"""The training state: everything that decides how a run goes on, in one checked file."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from allcnn.data.stored_images import StoredImages
from allcnn.errors import CheckpointError
from allcnn.files import read_arrays, write_arrays
from allcnn.runs.folder import Row, RunFolder

_FORMAT = 2
_METRIC = "metrics/"


@dataclass(frozen=True)
class TrainingState:
    """Weights and momentum by variable path, the steps and whole epochs done, and the rows of metrics.csv so far.

    In the middle of an epoch also the sums of its metrics so far, and the seconds that it has taken.

    The order of images, the draws and the dropout masks are functions of seed, epoch and step, so the count is all
    that is kept of them.
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
    """The state of a compiled model, its optimizer built, between two steps.

    metrics, seconds: of the epoch that is half done.
    """
    bring_up_to_date(model)
    variables = {**_variables(model), **_metric_variables(metrics)}
    arrays = {key: keras.ops.convert_to_numpy(variable.value) for key, variable in variables.items()}
    return TrainingState(arrays, epochs_done, steps_done, list(rows), seconds)


def bring_up_to_date(model: keras.Model) -> None:
    """Give the variables of a model that trains their values: meanwhile, Keras on JAX holds these elsewhere."""
    if hasattr(model, "jax_state_sync"):
        model.jax_state_sync()


def apply_state(model: keras.Model, state: TrainingState) -> None:
    """Put a state's weights and momentum into a compiled model whose optimizer is built.

    Raises:
        CheckpointError: the variables are not the model's; the message names the first that differs.
    """
    _assign(_variables(model), {key: array for key, array in state.arrays.items() if not key.startswith(_METRIC)})


def apply_metrics(metrics: Sequence[keras.metrics.Metric], state: TrainingState) -> None:
    """Put the sums of a half-done epoch into its metrics, after Keras began the epoch by setting them to zero."""
    _assign(_metric_variables(metrics), {key: array for key, array in state.arrays.items() if key.startswith(_METRIC)})


def save_state(folder: RunFolder, state: TrainingState) -> None:
    """Write state.h5 in one step, and keep the state before it as state.previous.h5."""
    attributes: dict[str, Any] = {
        "format": _FORMAT,
        "epochs_done": state.epochs_done,
        "steps_done": state.steps_done,
        "rows": state.rows,
        "seconds": state.seconds,
    }
    write_arrays(folder.state, state.arrays, attributes, keep_previous=folder.previous_state)


def load_state(folder: RunFolder, announce: Callable[[str], None] = lambda line: None) -> TrainingState | None:
    """The last good training state of a run; None where none was saved yet.

    A last state that is damaged is set aside, which is announced, and the one before is taken.

    Raises:
        CheckpointError: neither the last state nor the one before can be read.
    """
    try:
        return _read_state(folder.state)
    except FileNotFoundError:
        return _read_state(folder.previous_state) if folder.previous_state.exists() else None
    except CheckpointError as failure:
        try:
            state = _read_state(folder.previous_state)
        except FileNotFoundError:
            raise failure from None
        except CheckpointError as other:
            raise CheckpointError(f"{failure}\nNor can the state before it be used: {other}") from None
        aside = _set_aside(folder.state)
        announce(f"{failure} It was set aside as {aside.name}; going on from the state before it.")
        return state


def _read_state(path: Path) -> TrainingState:
    if not path.exists():
        raise FileNotFoundError(path)
    arrays, attributes = read_arrays(path)
    if attributes.get("format") != _FORMAT:
        raise CheckpointError(f"{path}: a training state of another version of allcnn.")
    counts = attributes["epochs_done"], attributes["steps_done"]
    return TrainingState(arrays, *counts, attributes["rows"], attributes["seconds"])


def _set_aside(path: Path) -> Path:
    """Give a damaged file a name under which it is never read; one set aside before keeps its own."""
    number = 1
    while (aside := path.with_name(f"{path.stem}.damaged-{number}{path.suffix}")).exists():
        number += 1
    os.replace(path, aside)
    return aside


def _assign(variables: dict[str, keras.Variable], arrays: dict[str, np.ndarray]) -> None:
    """Give every variable its array. Raises CheckpointError, before any is changed, where they do not fit."""
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
    layers = [layer for layer in model.layers if not isinstance(layer, StoredImages)]
    variables = {f"model/{variable.path}": variable for layer in layers for variable in layer.weights}
    for index, variable in enumerate(model.optimizer.variables):
        # Keras numbers the variables of an optimiser in a fixed order; their paths hold names it makes up.
        variables[f"optimizer/{index:03d}"] = variable
    return variables


def _metric_variables(metrics: Sequence[keras.metrics.Metric]) -> dict[str, keras.Variable]:
    return {f"{_METRIC}{metric.name}/{variable.name}": variable for metric in metrics for variable in metric.variables}
