"""The same images on both backends. `.ci/run` runs the tests marked `backends` on JAX too."""

from __future__ import annotations

import os

import numpy as np
import pytest
from backend_sample import EXACT, TOLERANCES, sample


@pytest.mark.slow
@pytest.mark.skipif(os.environ["KERAS_BACKEND"] != "tensorflow", reason="this session is the other backend's")
def test_images_are_the_same_on_both_backends(run_python, tmp_path) -> None:
    pytest.importorskip("jax")
    run_python("tests/backend_sample.py", str(tmp_path / "jax.npz"), KERAS_BACKEND="jax")
    here = sample()
    with np.load(tmp_path / "jax.npz") as there:
        assert set(there) == set(here)
        for name, values in here.items():
            assert there[name].dtype == values.dtype and there[name].shape == values.shape
            if name in EXACT:
                assert np.array_equal(there[name], values), name
            else:
                np.testing.assert_allclose(there[name], values, atol=TOLERANCES[name], err_msg=name)
