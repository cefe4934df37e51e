"""The choice of a backend, and what is shown while it loads."""

from __future__ import annotations

import os

import pytest

from allcnn import backend
from allcnn.backend import choose_backend
from allcnn.errors import InputError, install_hint


@pytest.fixture
def no_keras(monkeypatch) -> None:
    """As in a process that has not loaded Keras."""
    monkeypatch.setitem(backend.sys.modules, "keras", None)
    monkeypatch.setenv("KERAS_BACKEND", "")
    monkeypatch.setattr(backend, "find_spec", lambda name: name if name == "tensorflow" else None)


def test_tensorflow_is_the_default(no_keras) -> None:
    assert choose_backend() == "tensorflow"
    assert os.environ["KERAS_BACKEND"] == "tensorflow"


def test_the_environment_chooses_and_an_argument_comes_first(no_keras, monkeypatch) -> None:
    monkeypatch.setattr(backend, "find_spec", lambda name: name)
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert choose_backend() == "jax"
    assert choose_backend("tensorflow") == "tensorflow"
    assert os.environ["KERAS_BACKEND"] == "tensorflow"


def test_other_backends_are_refused(no_keras, monkeypatch) -> None:
    message = 'unknown backend "torch"; expected one of: tensorflow, jax.'
    with pytest.raises(InputError) as caught:
        choose_backend("torch")
    assert str(caught.value) == message
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    with pytest.raises(InputError) as caught:
        choose_backend()
    assert str(caught.value) == message


def test_a_backend_that_is_not_installed(no_keras) -> None:
    with pytest.raises(InputError) as caught:
        choose_backend("jax")
    assert str(caught.value) == f'the backend "jax" is not installed. {install_hint("jax")}'


def test_keras_already_runs_on_another(monkeypatch) -> None:
    import keras

    monkeypatch.setattr(backend, "find_spec", lambda name: name)
    running = keras.backend.backend()
    other = "jax" if running == "tensorflow" else "tensorflow"
    monkeypatch.setenv("KERAS_BACKEND", running)
    assert choose_backend(running) == running
    with pytest.raises(InputError) as caught:
        choose_backend(other)
    assert str(caught.value) == (
        f'Keras is already running on "{running}", so "{other}" cannot be chosen any more. '
        "Set KERAS_BACKEND before Keras is imported."
    )


HOLD = """
import os, sys
from allcnn.backend import hold_standard_error
os.write(2, b"before;")
try:
    with hold_standard_error():
        os.write(2, b"held by number;")
        print("held by name;", file=sys.stderr, end="")
        os.system("echo 'held from a child;' >&2")
        if sys.argv[1:] == ["fail"]:
            raise ValueError("it failed")
except ValueError as error:
    os.write(2, f"{error};".encode())
os.write(2, b"after")
"""


def test_standard_error_is_held_back(run_python) -> None:
    assert run_python("-c", HOLD).stderr == "before;after"


def test_standard_error_is_shown_when_the_block_fails(run_python) -> None:
    expected = "before;held by number;held by name;held from a child;\nit failed;after"
    assert run_python("-c", HOLD, "fail").stderr == expected


def test_a_process_without_standard_error(run_python) -> None:
    program = "import os; os.close(2)\nfrom allcnn.backend import hold_standard_error\n"
    program += "with hold_standard_error():\n    print('inside')"
    assert run_python("-c", program).stdout == "inside\n"


@pytest.mark.backends
def test_the_shell_loads_keras_quietly_deterministic_and_without_what_it_does_not_need(run_python) -> None:
    program = """
import os, sys
from allcnn import backend
from allcnn.device import find_device
backend.leave_out_optional_imports()
backend.load_keras(deterministic=True)
device = find_device()
print(device.backend, device.count)
if device.backend == "jax":
    print("--xla_gpu_deterministic_ops=true" in os.environ["XLA_FLAGS"].split())
else:
    from tensorflow.python.framework.config import is_op_determinism_enabled
    print(is_op_determinism_enabled())
print("sklearn" in sys.modules)
import sklearn.datasets
print(len(sklearn.datasets.load_digits().images))
"""
    result = run_python("-c", program, TF_CPP_MIN_LOG_LEVEL=None)
    assert result.stderr == ""
    name, count, *others = result.stdout.split()
    assert name == os.environ["KERAS_BACKEND"] and int(count) >= 1
    assert others == ["True", "False", "1797"]


def test_what_is_loaded_is_not_hidden() -> None:
    loaded = backend.sys.modules["pytest"]
    with backend.hidden_modules(("pytest",)):
        assert backend.sys.modules["pytest"] is loaded
    assert backend.sys.modules["pytest"] is loaded


def test_jax_computes_right_values_on_a_cpu(run_python) -> None:
    """jaxlib 0.10.2 gives 1065369600 by itself (jax issue 39103)."""
    pytest.importorskip("jax")
    program = """
from allcnn.backend import load_keras
load_keras()
import jax, jax.numpy as jnp
rows = jnp.stack([jnp.arange(32769.0), jnp.zeros(32769), jnp.zeros(32769)], axis=1)
norms = jax.jit(jax.vmap(lambda row: jnp.sum((jnp.eye(3) @ row) ** 2)))(rows)
print(int(norms[-1]))
"""
    assert run_python("-c", program, KERAS_BACKEND="jax").stdout.split() == [str(32768**2)]
