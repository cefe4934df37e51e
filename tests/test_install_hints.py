"""Hints that work wherever allcnn was installed from: they name the packages, not an extra of an index."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError

import pytest

from allcnn.errors import install_hint, installed_versions

METADATA = ["tensorflow>=2.18", "keras>=3", "tf2onnx>=1.17; extra == 'export'", 'onnx[a]>=1; extra == "export"']


@pytest.mark.parametrize(
    ("extra", "packages"),
    [("export", '"tf2onnx>=1.17" "onnx[a]>=1"'), ("tensorflow", '"tensorflow>=2.18"'), ("ray", '".[ray]"')],
)
def test_the_packages_of_the_metadata_are_named(monkeypatch, extra, packages) -> None:
    monkeypatch.setattr("importlib.metadata.requires", lambda name: METADATA)
    assert install_hint(extra) == f"Install it with: pip install {packages}"


def test_a_copy_that_was_never_installed_is_itself_named(monkeypatch) -> None:
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.requires", missing)
    assert install_hint("export") == 'Install it with: pip install ".[export]"'


def test_versions_are_of_what_is_installed() -> None:
    assert list(installed_versions(("numpy", "no-such-package", "keras"))) == ["numpy", "keras"]
