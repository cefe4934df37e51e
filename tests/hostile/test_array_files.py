"""HDF5 files with a good SHA-256 that allcnn did not write: what they ask of HDF5 is refused."""

from __future__ import annotations

import hashlib

import h5py
import numpy as np
import pytest

from allcnn.errors import CheckpointError
from allcnn.files import read_arrays, write_arrays


def refusal(path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_arrays(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message.removeprefix(f"{path}: ")


def seal(path) -> None:
    """Put the SHA-256 in front of an HDF5 file with an empty user block, as whoever means harm can do too."""
    content = path.read_bytes()
    assert content[512:520] == b"\x89HDF\r\n\x1a\n"
    header = f"allcnn sha256 {hashlib.sha256(content[512:]).hexdigest()}\n".encode()
    path.write_bytes(header.ljust(512, b"\0") + content[512:])


def external(file: h5py.File, secret: str) -> None:
    file.create_dataset("weights", (8,), "u1", external=[(secret, 0, 8)])


def virtual(file: h5py.File, secret: str) -> None:
    layout = h5py.VirtualLayout((8,), "u1")
    layout[:] = h5py.VirtualSource(secret, "weights", (8,))
    file.create_virtual_dataset("weights", layout)


def bomb(file: h5py.File, secret: str) -> None:
    file.create_dataset("weights", (1 << 40,), "f8", chunks=(1 << 20,), compression="gzip", fillvalue=1)


def hole(file: h5py.File, secret: str) -> None:
    file.create_dataset("weights", (1 << 40,), "f8", fillvalue=1)


def texts(file: h5py.File, secret: str) -> None:
    file.create_dataset("weights", data=np.array([b"text"]))


@pytest.mark.parametrize("make", [external, virtual, bomb, hole, texts])
def test_values_that_are_not_plain_numbers_in_the_file_are_refused(tmp_path, make) -> None:
    """Each with a good SHA-256, which anyone can compute."""
    path, secret = tmp_path / "state.h5", tmp_path / "secret"
    secret.write_bytes(b"password")
    with h5py.File(path, "w", userblock_size=512) as file:
        make(file, str(secret))
        file.attrs["attributes"] = "{}"
    seal(path)
    assert refusal(path).startswith("not a readable file of allcnn (/weights ")


def test_links_out_of_the_file_are_not_followed(tmp_path) -> None:
    path, other = tmp_path / "state.h5", tmp_path / "other.h5"
    write_arrays(other, {"weights": np.arange(3.0)}, {})
    with h5py.File(path, "w", userblock_size=512) as file:
        file["weights"] = h5py.ExternalLink(str(other), "/weights")
        file.attrs["attributes"] = "{}"
    seal(path)
    assert read_arrays(path) == ({}, {})


def test_a_file_with_the_checksum_that_is_not_ours(tmp_path) -> None:
    path = tmp_path / "state.h5"
    path.write_bytes(bytes(512) + b"\x89HDF\r\n\x1a\n" + b"not HDF5")
    seal(path)
    assert refusal(path).startswith("not a readable file of allcnn (")
    for attributes in ("{", "[" * 100_000):
        with h5py.File(path, "w", userblock_size=512) as file:
            file.attrs["attributes"] = attributes
        seal(path)
        assert refusal(path).startswith("not a readable file of allcnn (")
