"""The training state: everything that decides how a run goes on, in one checked file."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from allcnn.data.stored_images import StoredImages
from allcnn.errors import CheckpointError
from allcnn.files import read_arrays, write_arrays
from allcnn.runs.folder import Row, RunFolder

_FORMAT = 1


@dataclass(frozen=True)
class TrainingState:
    """Weights and momentum by variable path, the steps and epochs done, and the rows of metrics.csv so far.

    The order of images, the draws and the dropout masks are functions of seed, epoch and step, so the count is all
    that is kept of them.
    """

    arrays: dict[str, np.ndarray]
    epochs_done: int
    steps_done: int
    rows: list[Row]


def capture_state(model: keras.Model, epochs_done: int, steps_done: int, rows: list[Row]) -> TrainingState:
    """The state of a compiled model, its optimizer built, at the end of an epoch."""
    arrays = {key: keras.ops.convert_to_numpy(variable.value) for key, variable in _variables(model).items()}
    return TrainingState(arrays, epochs_done, steps_done, list(rows))


def apply_state(model: keras.Model, state: TrainingState) -> None:
    """Put a state's weights and momentum into a compiled model whose optimizer is built.

    Raises:
        CheckpointError: the variables are not the model's; the message names the first that differs.
    """
    variables = _variables(model)
    if odd := sorted(set(variables) ^ set(state.arrays)):
        raise CheckpointError(f"the training state is of another network: {odd[0]} is in only one of the two.")
    for key, variable in variables.items():
        found = state.arrays[key]
        if tuple(variable.shape) != found.shape:
            raise CheckpointError(
                f"the training state is of another network: {key} is {found.shape}, expected {tuple(variable.shape)}."
            )
        variable.assign(found)


def save_state(folder: RunFolder, state: TrainingState) -> None:
    """Write state.h5 in one step, and keep the state before it as state.previous.h5."""
    attributes: dict[str, Any] = {
        "format": _FORMAT,
        "epochs_done": state.epochs_done,
        "steps_done": state.steps_done,
        "rows": state.rows,
    }
    if folder.state.exists():
        keep_as_previous(folder)
    write_arrays(folder.state, state.arrays, attributes)


def keep_as_previous(folder: RunFolder) -> None:
    """Give the last state a second name; the rename of the new one over it takes only the first name away."""
    folder.previous_state.unlink(missing_ok=True)
    try:
        os.link(folder.state, folder.previous_state)
    except OSError:  # a file system without hard links
        shutil.copy2(folder.state, folder.previous_state)


def load_state(folder: RunFolder) -> TrainingState | None:
    """The last good training state of a run; None where none was saved yet.

    Raises:
        CheckpointError: neither the last state nor the one before can be read.
    """
    failure: CheckpointError | None = None
    for path in (folder.state, folder.previous_state):
        if not path.exists():
            continue
        try:
            arrays, attributes = read_arrays(path)
            if attributes.get("format") != _FORMAT:
                raise CheckpointError(f"{path}: a training state of another version of allcnn.")
            return TrainingState(arrays, attributes["epochs_done"], attributes["steps_done"], attributes["rows"])
        except CheckpointError as error:
            failure = failure or error
    if failure is not None:
        raise failure
    return None


def _variables(model: keras.Model) -> dict[str, keras.Variable]:
    """Every variable that training changes, by a name that is the same in every process."""
    layers = [layer for layer in model.layers if not isinstance(layer, StoredImages)]
    variables = {f"model/{variable.path}": variable for layer in layers for variable in layer.weights}
    for index, variable in enumerate(model.optimizer.variables):
        # Keras numbers the variables of an optimiser in a fixed order; their paths hold names it makes up.
        variables[f"optimizer/{index:03d}"] = variable
    return variables
