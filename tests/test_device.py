"""Precision, jit, and where images lie, from what a machine has."""

from __future__ import annotations

import pytest

from allcnn import device
from allcnn.device import Device, jit_compile, keep_images_on_device, resolve_precision, steps_per_execution

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


def test_memory_is_a_plausible_number_of_bytes(monkeypatch, tmp_path) -> None:
    limits = [tmp_path / name for name in ("none", "unlimited", "container")]
    limits[1].write_text("max\n")
    monkeypatch.setattr(device, "_CONTAINERS_LIMIT", limits)
    assert 1 << 28 < device.physical_memory() < 1 << 50
    limits[2].write_text(f"{1 << 27}\n")
    assert device.physical_memory() == 1 << 27


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
