"""Backend, precision and jit; and what is shown while a backend loads."""

from __future__ import annotations

import os

import pytest

from allcnn import device
from allcnn.device import (
    Device,
    choose_backend,
    jit_compile,
    keep_images_on_device,
    resolve_precision,
    steps_per_execution,
)
from allcnn.errors import InputError

CPU = Device("tensorflow", "cpu", "Some processor", 1, bfloat16=False)
FAST_CPU = Device("tensorflow", "cpu", "Some processor with AVX-512 bf16", 1, bfloat16=True)
GPU = Device("tensorflow", "gpu", "Some GPU", 1, bfloat16=True)
JAX_CPU = Device("jax", "cpu", "Some processor", 1, bfloat16=False)


@pytest.mark.parametrize(
    ("precision", "on", "expected"),
    [
        ("auto", CPU, "float32"),
        ("auto", FAST_CPU, "mixed_bfloat16"),
        ("auto", GPU, "mixed_bfloat16"),
        ("float32", GPU, "float32"),
        ("mixed_bfloat16", CPU, "mixed_bfloat16"),
    ],
)
def test_precision(precision, on, expected) -> None:
    assert resolve_precision(precision, on) == expected


def test_an_unknown_precision_lists_the_known() -> None:
    with pytest.raises(InputError) as caught:
        resolve_precision("float16", CPU)
    assert str(caught.value) == 'unknown precision "float16"; expected one of: auto, float32, mixed_bfloat16.'


@pytest.mark.parametrize(("on", "expected"), [(CPU, False), (FAST_CPU, False), (GPU, True), (JAX_CPU, True)])
def test_xla_compiles_everywhere_but_for_tensorflow_on_a_processor(on, expected) -> None:
    assert jit_compile(on) is expected


CPUINFO = """processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Intel(R) Xeon(R) @ 2.70GHz: a colon
flags\t\t: fpu vme {flags}

processor\t: 1
model name\t: another
"""


@pytest.mark.parametrize(
    ("flags", "expected"), [("avx512_bf16", True), ("amx_bf16", True), ("avx512f avx512_bf16_not", False)]
)
def test_bfloat16_of_a_processor(tmp_path, monkeypatch, flags, expected) -> None:
    (tmp_path / "cpuinfo").write_text(CPUINFO.format(flags=flags))
    monkeypatch.setattr(device, "Path", lambda _: tmp_path / "cpuinfo")
    assert device.cpu_multiplies_bfloat16() is expected
    assert device.processor_name() == "Intel(R) Xeon(R) @ 2.70GHz: a colon"


def test_a_system_that_does_not_describe_its_processor(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(device, "Path", lambda _: tmp_path / "missing")
    assert device.processor_name() == "CPU"
    assert device.cpu_multiplies_bfloat16() is False


@pytest.fixture
def no_keras(monkeypatch) -> None:
    """As in a process that has not loaded Keras."""
    monkeypatch.setitem(device.sys.modules, "keras", None)
    monkeypatch.setenv("KERAS_BACKEND", "")
    monkeypatch.setattr(device, "find_spec", lambda name: name if name == "tensorflow" else None)


def test_tensorflow_is_the_default(no_keras) -> None:
    assert choose_backend() == "tensorflow"
    assert os.environ["KERAS_BACKEND"] == "tensorflow"


def test_the_environment_chooses_and_an_argument_comes_first(no_keras, monkeypatch) -> None:
    monkeypatch.setattr(device, "find_spec", lambda name: name)
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
    assert str(caught.value) == 'the backend "jax" is not installed. Install it with: pip install "allcnn[jax]"'


def test_keras_already_runs_on_another(monkeypatch) -> None:
    import keras

    monkeypatch.setattr(device, "find_spec", lambda name: name)
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
from allcnn.device import hold_standard_error
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
    program = "import os; os.close(2)\nfrom allcnn.device import hold_standard_error\n"
    program += "with hold_standard_error():\n    print('inside')"
    assert run_python("-c", program).stdout == "inside\n"


@pytest.mark.backends
def test_loading_keras_is_quiet_and_finds_a_device(run_python) -> None:
    program = (
        "from allcnn.device import load_keras, find_device; load_keras(); d = find_device(); print(d.backend, d.count)"
    )
    result = run_python("-c", program, TF_CPP_MIN_LOG_LEVEL=None)
    assert result.stderr == ""
    backend, count = result.stdout.split()
    assert backend == os.environ["KERAS_BACKEND"] and int(count) >= 1


def test_memory_is_a_plausible_number_of_bytes() -> None:
    assert 1 << 28 < device.physical_memory() < 1 << 50


@pytest.mark.parametrize(
    ("on", "counts", "expected"),
    [
        (GPU, (250,), 50),
        (GPU, (240,), 48),
        (GPU, (251,), 1),
        (GPU, (7,), 7),
        (GPU, (20_000, 200_000, 400_000, 450_000), 50),
        (GPU, (250, 40), 10),
        (FAST_CPU, (250,), 1),
    ],
)
def test_an_execution_ends_wherever_a_callback_has_work(on, counts, expected) -> None:
    assert steps_per_execution(on, *counts) == expected


def test_images_stay_on_a_gpu_that_has_room_for_them() -> None:
    assert keep_images_on_device(GPU, 614_400_000)
    assert not keep_images_on_device(GPU, 150_000_000_000)
    assert not keep_images_on_device(FAST_CPU, 1)


def test_the_shell_loads_keras_without_what_it_does_not_need(run_python) -> None:
    program = """
import sys
from allcnn import device
device.leave_out_optional_imports()
device.load_keras()
print("sklearn" in sys.modules)
import sklearn.datasets
print(len(sklearn.datasets.load_digits().images))
"""
    assert run_python("-c", program).stdout.split() == ["False", "1797"]
    assert run_python("-c", "import sklearn\n" + program).stdout.split() == ["True", "1797"]
