"""The package as a user meets it: its names, its version, its types, and `python -m allcnn`."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

import allcnn
from allcnn.errors import SpecError
from allcnn.specs import ZOO


def test_only_public_names_are_shown_and_each_is_there() -> None:
    names = dir(allcnn)
    assert {"build_model", "evaluate", "list_models", "load_data", "predict", "train", "__version__"} <= set(names)
    assert set(allcnn.__all__) < set(names) and not {"TYPE_CHECKING", "annotations", "_HOMES"} & set(names)
    for name in names:
        assert getattr(allcnn, name)
    with pytest.raises(AttributeError, match="module 'allcnn' has no attribute 'trian'"):
        _ = allcnn.trian


def test_the_version_is_the_installed_one(monkeypatch) -> None:
    assert allcnn.__version__ == version("allcnn")

    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", missing)
    assert allcnn.__version__ == "0+unknown"


def test_the_networks_are_listed() -> None:
    assert allcnn.list_models() == list(ZOO)
    assert allcnn.list_models("all-*") == ["all-a", "all-b", "all-c"]
    assert allcnn.list_models("resnet*") == []


def test_a_name_is_parsed_like_its_text() -> None:
    assert allcnn.parse("ALL-CNN-C") == allcnn.parse("all-c") == allcnn.parse(ZOO["all-c"].text) == ZOO["all-c"].spec
    with pytest.raises(ValueError, match="unknown network .* all-c"):
        allcnn.parse("all-cc")
    with pytest.raises(SpecError):
        allcnn.parse("96C3-NC1-GAPP")


def test_its_types_are_for_others_too() -> None:
    assert (Path(allcnn.__file__).parent / "py.typed").is_file()


def test_the_package_runs_as_the_command(run_python) -> None:
    result = run_python("-m", "allcnn", "params", "all-c", "--json")
    assert '"all-c"' in result.stdout and result.stderr == ""
    assert run_python("-m", "allcnn", "params", "nonsense", check=False).returncode == 2
