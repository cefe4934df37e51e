"""The training state: what goes on after it is what would have gone on without a stop."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from allcnn.errors import CheckpointError
from allcnn.runs.checkpoint import apply_state, capture_state, load_state, save_state
from allcnn.runs.folder import RunFolder
from allcnn.runs.recipe import Recipe
from allcnn.specs import parse
from allcnn.training.network import compile_for_training, make_training_model, set_dropout_step

backends = pytest.mark.backends
ROWS = [{"epoch": 1, "learning_rate": 0.05, "loss": 2.25, "test_error": 100 / 3, "penalty": None}]
RANDOM = np.random.default_rng(0)
IMAGES, LABELS = RANDOM.normal(size=(8, 6, 6, 3)).astype(np.float32), RANDOM.integers(0, 3, 8).astype(np.int32)


def make(text: str = "D.2-4C3-BN-D.5-NC1-GAP", dtype: str = "float32", seed: int = 1) -> keras.Model:
    model = make_training_model(
        parse(text), (6, 6, 3), 3, Recipe("mine", initializer="glorot_uniform"), seed=seed, dtype=dtype,
    )  # fmt: skip
    compile_for_training(model, keras.optimizers.SGD(0.05, 0.9), keras.backend.backend() == "jax")
    model.optimizer.build(model.trainable_variables)
    return model


def step(model: keras.Model, steps: int = 1) -> None:
    for _ in range(steps):
        model.train_on_batch({"images": IMAGES}, LABELS)


def values(model: keras.Model) -> list[np.ndarray]:
    return [np.asarray(variable) for variable in (*model.weights, *model.optimizer.variables)]


@backends
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_going_on_from_a_state_gives_the_same_bits(tmp_path, dtype) -> None:
    folder = RunFolder(tmp_path)
    straight = make(dtype=dtype)
    step(straight, 3)
    save_state(folder, capture_state(straight, epochs_done=1, steps_done=3, rows=ROWS))
    step(straight, 2)

    state = load_state(folder)
    assert state is not None
    assert (state.epochs_done, state.steps_done, state.rows) == (1, 3, ROWS)
    resumed = make(dtype=dtype, seed=1)
    apply_state(resumed, state)
    set_dropout_step(resumed, state.steps_done)
    step(resumed, 2)
    assert all(np.array_equal(a, b) for a, b in zip(values(straight), values(resumed), strict=True))


def test_a_state_is_a_copy() -> None:
    model = make()
    state = capture_state(model, 0, 0, ROWS)
    before = {name: array.copy() for name, array in state.arrays.items()}
    step(model)
    assert all(np.array_equal(before[name], state.arrays[name]) for name in before)
    assert any(not np.array_equal(before[name], array) for name, array in capture_state(model, 0, 1, []).arrays.items())


@pytest.fixture
def two_states(tmp_path) -> RunFolder:
    folder, model = RunFolder(tmp_path), make()
    for epoch in (1, 2, 3):
        step(model)
        save_state(folder, capture_state(model, epoch, 10 * epoch, ROWS))
    return folder


def damage(path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    content[-8:] = b"\0" * 8
    path.write_bytes(content[: len(content) * 2 // 3])


def test_the_state_before_is_kept_and_taken_if_the_last_is_missing_or_damaged(two_states) -> None:
    assert sorted(path.name for path in two_states.path.iterdir()) == ["state.h5", "state.previous.h5"]
    assert load_state(two_states).steps_done == 30
    content, said = two_states.state.read_bytes(), []
    two_states.state.unlink()  # as between the two renames of a new state
    assert load_state(two_states, said.append).steps_done == 20 and said == []
    two_states.state.write_bytes(content)
    damage(two_states.state)
    assert load_state(two_states, said.append).steps_done == 20
    assert said[0].startswith(f"{two_states.state}: damaged or edited")
    assert said[0].endswith("It was set aside as state.damaged-1.h5; going on from the state before it.")


def test_two_damaged_states(two_states) -> None:
    damage(two_states.state)
    damage(two_states.previous_state)
    with pytest.raises(CheckpointError) as caught:
        load_state(two_states)
    first, second = str(caught.value).splitlines()
    assert first.startswith(f"{two_states.state}: damaged")
    assert second.startswith(f"Nor can the state before it be used: {two_states.previous_state}: damaged")
    assert sorted(path.name for path in two_states.path.iterdir()) == ["state.h5", "state.previous.h5"]


def test_no_state_yet(tmp_path) -> None:
    assert load_state(RunFolder(tmp_path)) is None


def test_a_state_of_another_version(tmp_path) -> None:
    from allcnn.files import write_arrays

    write_arrays(tmp_path / "state.h5", {}, {"format": 99})
    with pytest.raises(CheckpointError) as caught:
        load_state(RunFolder(tmp_path))
    assert str(caught.value) == f"{tmp_path / 'state.h5'}: a training state of another version of allcnn."


def test_another_network_is_refused_and_left_alone() -> None:
    state = capture_state(make(), 1, 1, ROWS)
    wider = make("D.2-5C3-BN-D.5-NC1-GAP")
    before = values(wider)
    with pytest.raises(CheckpointError) as caught:
        apply_state(wider, state)
    assert str(caught.value) == (
        "the training state is of another network: model/conv1/kernel is (3, 3, 3, 4), expected (3, 3, 3, 5)."
    )
    assert all(np.array_equal(a, b) for a, b in zip(before, values(wider), strict=True))
    with pytest.raises(CheckpointError) as caught:
        apply_state(make("D.2-4C3-D.5-NC1-GAP"), state)
    assert str(caught.value) == (
        "the training state is of another network: model/norm1/beta is in only one of the two."
    )
