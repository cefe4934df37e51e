"""The fit in a file, and the cache that only saves time."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from allcnn.errors import CheckpointError, InputError
from allcnn.files import write_arrays
from allcnn.preprocessing import PREPROCESSINGS, ZCAWhitening, make_preprocessing, store
from allcnn.preprocessing.store import cache_folder, fit_preprocessing, load_preprocessing, save_preprocessing

IMAGES = np.random.default_rng(3).integers(0, 256, (30, 4, 4, 3)).astype(np.uint8)


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("ALLCNN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "preprocessing"


@pytest.mark.parametrize("kind", PREPROCESSINGS)
def test_what_was_fitted_comes_back(tmp_path, kind) -> None:
    fitted = make_preprocessing(kind).adapt(IMAGES)
    save_preprocessing(fitted, tmp_path / "preprocessing.h5")
    restored = load_preprocessing(tmp_path / "preprocessing.h5")
    assert (restored.kind, restored.fitted_shape()) == (kind, (4, 4, 3))
    assert restored.arrays().keys() == fitted.arrays().keys()
    for name, array in fitted.arrays().items():
        assert restored.arrays()[name].dtype == array.dtype
        assert np.array_equal(restored.arrays()[name], array)


def test_unfitted_is_not_saved(tmp_path) -> None:
    with pytest.raises(InputError, match="the preprocessing gcn-zca is not fitted yet"):
        save_preprocessing(make_preprocessing("gcn-zca"), tmp_path / "preprocessing.h5")
    assert list(tmp_path.iterdir()) == []


def test_files_that_hold_no_fit_are_named(tmp_path) -> None:
    path = tmp_path / "preprocessing.h5"
    with pytest.raises(CheckpointError) as caught:
        load_preprocessing(path)
    assert str(caught.value) == f"{path}: no such file."

    write_arrays(path, {}, {"format": 99, "kind": "scale", "image_shape": [4, 4, 3]})
    with pytest.raises(CheckpointError) as caught:
        load_preprocessing(path)
    assert str(caught.value) == f"{path}: format 99, expected 2; fit it again."

    write_arrays(path, {}, {"something": "else"})
    with pytest.raises(CheckpointError) as caught:
        load_preprocessing(path)
    assert str(caught.value) == f"{path}: does not hold a fitted preprocessing ('format')."

    write_arrays(path, {}, {"format": 2, "kind": "zca", "image_shape": [4, 4, 3]})
    with pytest.raises(CheckpointError, match="does not hold a fitted preprocessing .unknown preprocessing"):
        load_preprocessing(path)


def test_whitening_is_fitted_once_and_then_read(cache, monkeypatch) -> None:
    first = fit_preprocessing("gcn-zca", IMAGES)
    assert len(list(cache.iterdir())) == 1

    def adapt(self, images):
        raise AssertionError("fitted again")

    monkeypatch.setattr(ZCAWhitening, "adapt", adapt)
    second = fit_preprocessing("gcn-zca", IMAGES)
    assert np.array_equal(first.arrays()["matrix"], second.arrays()["matrix"])
    with pytest.raises(AssertionError, match="fitted again"):
        fit_preprocessing("gcn-zca", IMAGES[::-1])  # other images are another fit


def test_a_fit_of_an_older_kind_is_made_anew_in_the_cache_and_kept_in_a_run(cache, tmp_path, monkeypatch) -> None:
    save_preprocessing(fit_preprocessing("gcn-zca", IMAGES), tmp_path / "preprocessing.h5")
    monkeypatch.setattr(store, "_FIT", "newer")
    fit_preprocessing("gcn-zca", IMAGES)
    assert len(list(cache.iterdir())) == 2
    assert load_preprocessing(tmp_path / "preprocessing.h5").kind == "gcn-zca"


def test_a_cache_that_cannot_be_read_is_passed_over(cache) -> None:
    first = fit_preprocessing("gcn-zca", IMAGES)
    (path,) = cache.iterdir()
    with h5py.File(path, "r+") as file:
        file["matrix"][0, 0] += 1
    with pytest.raises(CheckpointError, match="damaged or edited"):
        load_preprocessing(path)
    again = fit_preprocessing("gcn-zca", IMAGES)
    assert np.array_equal(again.arrays()["matrix"], first.arrays()["matrix"])
    path.write_bytes(b"not HDF5")
    again = fit_preprocessing("gcn-zca", IMAGES)
    assert np.array_equal(again.arrays()["matrix"], first.arrays()["matrix"])
    assert np.array_equal(load_preprocessing(path).arrays()["matrix"], first.arrays()["matrix"])  # and repaired


def test_a_cache_that_cannot_be_written_is_passed_over(tmp_path, monkeypatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("ALLCNN_CACHE", str(tmp_path / "file"))
    assert fit_preprocessing("gcn-zca", IMAGES).fitted_shape() == (4, 4, 3)


def test_only_whitening_is_cached(cache) -> None:
    fit_preprocessing("standardize", IMAGES)
    assert not cache.exists()


def test_where_the_cache_lies(monkeypatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("ALLCNN_CACHE", "~/elsewhere")
    assert cache_folder() == Path("/home/someone/elsewhere")
    monkeypatch.delenv("ALLCNN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache/someone")
    assert cache_folder() == Path("/var/cache/someone/allcnn")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path("/home/someone/.cache/allcnn")
