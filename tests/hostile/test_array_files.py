"""HDF5 files that end in a good SHA-256 and that allcnn did not write: nothing outside of them is read."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from allcnn.errors import CheckpointError
from allcnn.files import read_arrays, seal_of


def external(file: h5py.File, secret: str) -> None:
    file.create_dataset("weights", (8,), "u1", external=[(secret, 0, 8)])


def virtual(file: h5py.File, secret: str) -> None:
    layout = h5py.VirtualLayout((8,), "u1")
    layout[:] = h5py.VirtualSource(secret, "weights", (8,))
    file.create_virtual_dataset("weights", layout)


def texts(file: h5py.File, secret: str) -> None:
    file.create_dataset("weights", data=np.array([b"text"]))


def attributes(file: h5py.File, secret: str) -> None:
    file.attrs["attributes"] = "[" * 100_000


def seal(path) -> None:
    """Anyone can compute a SHA-256: it does not show who wrote a file."""
    path.write_bytes(path.read_bytes() + seal_of(path.read_bytes()))


@pytest.mark.parametrize("make", [external, virtual, texts, attributes, None])
def test_other_content_than_numbers_in_the_file_is_refused(tmp_path, make) -> None:
    path, secret = tmp_path / "state.h5", tmp_path / "secret"
    secret.write_bytes(b"password")
    if make is None:
        path.write_bytes(b"\x89HDF\r\n\x1a\n" + b"not HDF5")
    else:
        with h5py.File(path, "w") as file:
            file.attrs["attributes"] = "{}"
            make(file, str(secret))
    seal(path)
    with pytest.raises(CheckpointError) as caught:
        read_arrays(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: not a readable file of allcnn (") and "\n" not in message


def test_links_out_of_the_file_are_not_followed(tmp_path) -> None:
    path, other = tmp_path / "state.h5", tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["weights"] = np.arange(3.0)
    with h5py.File(path, "w") as file:
        file["weights"] = h5py.ExternalLink(str(other), "/weights")
        file.attrs["attributes"] = "{}"
    seal(path)
    assert read_arrays(path) == ({}, {})
