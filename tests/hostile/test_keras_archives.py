"""Model files that are made to hurt: archives with places outside, bombs, weights in other files, endless networks."""

from __future__ import annotations

import re
import resource
import sys
import time
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras_forgery import (
    FLAGS,
    KERNEL,
    METHOD,
    PLACE,
    SIZE,
    STORED_SIZE,
    config_with,
    forge_entry,
    good_members,
    kernel_with,
    layer_with,
    weights_with,
    write_keras,
)

from allcnn.errors import CheckpointError
from allcnn.models.saved import open_saved

# The most that any of these may take: in seconds of the processor, which no other program lengthens, and beyond the
# memory that a good file takes. The memory is the peak of the whole process: what a test before has taken hides some.
SECONDS, BYTES = 20, 400 << 20


def peak_memory() -> int:
    """Of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def refusal(path: Path) -> str:
    """What opening the file says; that it took little, and that nothing beside it was made or changed."""
    before = {each: each.stat() for each in path.parent.rglob("*")}
    peak, begun = peak_memory(), time.process_time()
    with pytest.raises(CheckpointError) as caught:
        open_saved(path)
    assert time.process_time() - begun < SECONDS
    assert peak_memory() - peak < BYTES
    assert {each: each.stat().st_mtime_ns for each in path.parent.rglob("*")} == {
        each: found.st_mtime_ns for each, found in before.items()
    }
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and message.isprintable() and len(message) < 320 + len(str(path))
    return message.removeprefix(f"{path}: ")


@pytest.fixture
def path(tmp_path) -> Path:
    open_saved(write_keras(tmp_path / "model.keras"))  # what a good one takes is not counted
    return tmp_path / "model.keras"


@pytest.mark.parametrize(
    "name", ["../evil", "../../evil", "/tmp/evil", "a/../../evil", "..\\evil", "C:\\evil", "C:/evil"]
)
def test_a_path_out_of_the_archive(path, name) -> None:
    write_keras(path, more=[(name, b"evil"), ("assets/more", b"")])
    assert refusal(path) == f"its member {name!a} names a place outside of the archive."
    assert sorted(each.name for each in path.parent.iterdir()) == ["model.keras"]


def test_a_link_in_the_archive(path) -> None:
    link = zipfile.ZipInfo("assets/link")
    link.external_attr = 0o120777 << 16
    assert refusal(write_keras(path, more=[(link, b"/etc/passwd")])) == "its member 'assets/link' is a link."


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice(path) -> None:
    assert refusal(write_keras(path, more=[("config.json", b"{}")])) == "has two members named 'config.json'."


def test_encrypted(path) -> None:
    forge_entry(path, "config.json", FLAGS, 1)
    assert refusal(path) == "its member 'config.json' is encrypted."


def test_what_keras_does_not_write(path) -> None:
    for method in (zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2):
        write_keras(path, compression=method)
        assert refusal(path) == "its member 'metadata.json' is compressed in a way that Keras does not use."
    write_keras(path)
    forge_entry(path, "config.json", METHOD, 99)
    assert refusal(path) == "its member 'config.json' is compressed in a way that Keras does not use."
    for missing in ("config.json", "model.weights.h5"):
        assert missing in refusal(write_keras(path, without=missing))


def test_a_legacy_file_renamed(path) -> None:
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = "{}"
    assert refusal(path) == "not a saved model, or one cut short; expected a .keras file, a zip archive."


def test_very_many_members(path) -> None:
    write_keras(path, more=[(f"assets/{index}", b"") for index in range(1000)])
    assert refusal(path) == "has 1,003 members; at most 1,000 are read."


def test_a_bomb_in_the_archive(path) -> None:
    """A member of a few kilobytes that unpacks to gigabytes, truly or only by its own account."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in good_members().items():
            with archive.open(name, "w") as member:
                member.write(content)
                if name == "model.weights.h5":
                    for _ in range(600):
                        member.write(bytes(1 << 20))
    assert path.stat().st_size < 4 << 20
    assert refusal(path).endswith("at most 536,870,912 are read.")

    write_keras(path, compression=zipfile.ZIP_DEFLATED)
    forge_entry(path, "model.weights.h5", SIZE, 600 << 20)
    assert refusal(path).startswith("its compressed members unpack to 629,")
    forge_entry(path, "model.weights.h5", SIZE, 0xFFFFFFF0)
    assert re.fullmatch(r"its members have 4,294,[0-9,]+ bytes; at most 4,294,967,296 are read\.", refusal(path))
    write_keras(path)
    forge_entry(path, "model.weights.h5", SIZE, 0xFFFFFFF0)
    assert refusal(path) == "its member 'model.weights.h5' has two different sizes."
    forge_entry(path, "model.weights.h5", STORED_SIZE, 0xFFFFFFF0)
    assert re.fullmatch(r"its members have 4,294,[0-9,]+ bytes; at most 4,294,967,296 are read\.", refusal(path))


def test_a_compressed_member_that_is_damaged_or_not_there(path) -> None:
    content = bytearray(write_keras(path, compression=zipfile.ZIP_DEFLATED).read_bytes())
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo("model.weights.h5")
    begin = entry.header_offset + 30 + len(entry.filename)
    content[begin : begin + 8] = b"\xff" * 8
    path.write_bytes(content)
    assert refusal(path) == "its member 'model.weights.h5' does not have the size that it says."
    write_keras(path, compression=zipfile.ZIP_DEFLATED)
    forge_entry(path, "model.weights.h5", PLACE, path.stat().st_size - 2)
    assert refusal(path) == "its member 'model.weights.h5' does not have the size that it says."


def test_members_that_unpack_to_more_than_they_say(path) -> None:
    write_keras(path, {"model.weights.h5": bytes(100 << 20)}, compression=zipfile.ZIP_DEFLATED)
    forge_entry(path, "model.weights.h5", SIZE, 1000)
    assert refusal(path) == "its member 'model.weights.h5' does not have the size that it says."


def test_members_that_share_their_place(path) -> None:
    """Overlapping members: each is as large as it says, all together are more than the file."""
    write_keras(path, more=[(f"assets/{index}", b"") for index in range(2)])
    size = path.stat().st_size
    for index in range(2):
        for field in (STORED_SIZE, SIZE):
            forge_entry(path, f"assets/{index}", field, size - 2000)
    assert refusal(path) == "its members overlap."


def test_a_huge_configuration(path) -> None:
    text = good_members()["config.json"] + b" " * (17 << 20)
    size = len(text)
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        write_keras(path, {"config.json": text}, compression=compression)
        assert refusal(path) == f"its config.json has {size:,} bytes; at most 16,777,216 are read."


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 100_000, b'{"a":' * 100_000 + b"1" + b"}" * 100_000, b'[{"a":' * 500 + b"1" + b"}]" * 500,
        config_with(lambda config: config["config"].update(name=[[] for _ in range(10)])),
        b'{"a": 1' + b"0" * 10_000 + b"}",
    ],
    ids=range(5),
)  # fmt: skip
def test_a_configuration_without_end(path, text) -> None:
    write_keras(path, {"config.json": text})
    assert refusal(path).startswith(("cannot be loaded as a Keras model: ", "its config.json holds no network"))


@pytest.mark.parametrize("units", [10**8, 10**9, 10**12, 10**30])
def test_a_network_without_end(path, units) -> None:
    """Keras would allocate the weights first, and compare them with the file afterwards."""
    write_keras(path, {"config.json": layer_with("fc", config={"units": units})})
    assert refusal(path) == f"its network has {4 * (112 + 5 * units):,} bytes of weights, the file 508."
    peak = peak_memory()
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])  # nothing of it waits for its memory
    assert peak_memory() - peak < BYTES


@pytest.mark.parametrize("config", [{"units": -3}, {"units": 0}, {"units": "many"}, {"units": 1.5}, {"units": None}])
def test_a_network_that_is_none(path, config) -> None:
    write_keras(path, {"config.json": layer_with("fc", config=config)})
    assert refusal(path).startswith("cannot be loaded as a Keras model: ")


def external_link(file: h5py.File) -> None:
    del file[KERNEL]
    file[KERNEL] = h5py.ExternalLink("secret.h5", "/kernel")


def external_group(file: h5py.File) -> None:
    del file["layers/conv2d"]
    file["layers/conv2d"] = h5py.ExternalLink("secret.h5", "/")


def soft_link(file: h5py.File) -> None:
    del file[KERNEL]
    file[KERNEL] = h5py.SoftLink("/layers/dense/vars/0")


def virtual(file: h5py.File) -> None:
    del file[KERNEL]
    layout = h5py.VirtualLayout((3, 3, 3, 4), "f4")
    layout[:] = h5py.VirtualSource("secret.h5", "kernel", (3, 3, 3, 4))
    file.create_virtual_dataset(KERNEL, layout)


def secret_file(folder: Path) -> None:
    """What the links point to: it would fit, and so be read."""
    with h5py.File(folder / "secret.h5", "w") as file:
        file["kernel"] = np.ones((3, 3, 3, 4), "f4")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (external_link, "its weights hold a link, '0'."),
        (external_group, "its weights hold a link, 'conv2d'."),
        (soft_link, "its weights hold a link, '0'."),
        (virtual, "its weights lie in other files."),
    ],
)
def test_weights_in_another_file(path, change, message, monkeypatch) -> None:
    secret_file(path.parent)
    monkeypatch.chdir(path.parent)
    write_keras(path, {"model.weights.h5": weights_with(change)})
    assert refusal(path) == message


def test_weights_in_a_file_of_the_system(path) -> None:
    outside = kernel_with(shape=(3, 3, 3, 4), dtype="f4", external=[("/etc/passwd", 0, 432)])
    assert refusal(write_keras(path, {"model.weights.h5": outside})) == "its weights lie in other files."


@pytest.mark.parametrize("side", [20_000, 300_000])
@pytest.mark.parametrize("storage", [{"chunks": (1000, 1000), "compression": "gzip"}, {}], ids=["gzip", "hole"])
def test_a_bomb_in_the_weights(path, side, storage) -> None:
    """A few kilobytes of HDF5 that declare 1.6 GB, which Keras would read, or 360 GB, which it would not."""
    bomb = kernel_with(shape=(side, side), dtype="f4", fillvalue=1, **storage)
    assert len(bomb) < 100_000
    assert refusal(write_keras(path, {"model.weights.h5": bomb})) == (
        f"its weights declare {4 * side * side + 76:,} bytes and hold 76; "
        "at most 536,870,912 more than they hold are read."
    )


def test_weights_that_go_in_circles(path) -> None:
    def change(file: h5py.File) -> None:
        file["layers/again"] = file["/"]
        group = file
        for _ in range(3000):
            group = group.create_group("deeper")

    assert open_saved(write_keras(path, {"model.weights.h5": weights_with(change)})).card is None


@pytest.mark.parametrize(
    "dataset",
    [
        {"data": np.zeros((3, 3, 3, 5), "f4")}, {"data": np.zeros((), "f4")}, {"data": h5py.Empty("f4")},
        {"data": np.full((3, 3, 3, 4), b"ab")}, {"data": np.full((3, 3, 3, 4), "text", dtype=h5py.string_dtype())},
    ],
    ids=range(5),
)  # fmt: skip
def test_weights_that_do_not_fit(path, dataset) -> None:
    write_keras(path, {"model.weights.h5": kernel_with(**dataset)})
    assert refusal(path).startswith("cannot be loaded as a Keras model: <Conv2D name=conv1, built=True>: ")


@pytest.mark.parametrize("content", [b"", b"not HDF5", b"\x89HDF\r\n\x1a\n", good_members()["model.weights.h5"][:3000]])
def test_weights_that_are_none(path, content) -> None:
    write_keras(path, {"model.weights.h5": content})
    assert refusal(path).startswith("cannot be loaded as a Keras model: ")
