"""Everything runs on JAX too, and sees the same images: tests marked `backends` again, and numbers side by side."""

from __future__ import annotations

import os
from importlib.util import find_spec

import numpy as np
import pytest
from backend_sample import EXACT, sample

ON_TENSORFLOW = os.environ["KERAS_BACKEND"] == "tensorflow"

pytestmark = [
    pytest.mark.skipif(not ON_TENSORFLOW, reason="this session is the other backend's"),
    pytest.mark.skipif(find_spec("jax") is None, reason="JAX is not installed: pip install jax"),
]


@pytest.fixture
def on_jax(run_python, tmp_path):
    """Run Python with JAX as the backend; what it compiles twice is compiled once."""
    compiled = {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }

    def run(*arguments: str, check: bool = True):
        return run_python(*arguments, check=check, timeout=7200, KERAS_BACKEND="jax", **compiled)

    return run


def test_images_are_the_same_on_both_backends(on_jax, tmp_path) -> None:
    on_jax("tests/backend_sample.py", str(tmp_path / "jax.npz"))
    here = sample()
    with np.load(tmp_path / "jax.npz") as there:
        assert set(there) == set(here)
        for name, values in here.items():
            assert there[name].dtype == values.dtype and there[name].shape == values.shape
            if name in EXACT:
                assert np.array_equal(there[name], values), name
            else:
                np.testing.assert_allclose(there[name], values, atol=1e-4, err_msg=name)


@pytest.mark.slow
def test_tests_marked_backends_pass_on_jax(on_jax) -> None:
    result = on_jax("-m", "pytest", "-m", "backends", "-n", "0", "-q", "-p", "no:cacheprovider", "tests", check=False)
    assert result.returncode == 0, f"on JAX:\n{result.stdout[-6000:]}\n{result.stderr[-2000:]}"
    passed = [line for line in result.stdout.splitlines() if " passed" in line][-1]
    assert int(passed.split(" passed")[0].split()[-1]) > 50, passed
