"""One self-contained file: its card, its safety, and that it works where allcnn is not installed."""

from __future__ import annotations

import hashlib
import json
import sys
import zipfile
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from allcnn.errors import CheckpointError, InputError
from allcnn.export import export_model
from allcnn.models.build import build_model
from allcnn.models.saved import CARD_MEMBER, ModelCard, load_model, open_saved, save_model, seal_archive
from allcnn.preprocessing import make_preprocessing

CARD = ModelCard(
    model="strided-a",
    spec="4C3/2p1-4C3:leaky_relu(0.33)-NC1-GAP",
    dataset="cifar10",
    digest="0123abcd",
    class_names=("cat", "dog", "caf\N{LATIN SMALL LETTER E WITH ACUTE}"),
    image_shape=(6, 6, 3),
    resize="none",
    preprocessing="gcn-zca",
    recipe="paper",
    parameters=187,
    data_dir="/data/cifar",
    augmentation="flip-shift",
)
IMAGES = np.random.default_rng(0).integers(0, 256, (40, 6, 6, 3)).astype(np.uint8)


def make_model() -> keras.Model:
    zca = make_preprocessing("gcn-zca").adapt(IMAGES)
    return build_model(CARD.spec, (6, 6, 3), 3, seed=0, preprocessing=zca)


@pytest.fixture
def saved(tmp_path):
    model = make_model()
    save_model(model, CARD, tmp_path / "run" / "model.keras")
    return model, tmp_path / "run" / "model.keras"


@pytest.mark.backends
def test_the_card_and_the_model_come_back(saved) -> None:
    model, path = saved
    for given in (path, str(path), path.parent):  # a run folder holds it too
        found = open_saved(given)
        assert (found.path, found.card) == (path, CARD)
        assert np.array_equal(found.model.predict_on_batch(IMAGES), model.predict_on_batch(IMAGES))
    assert [file.name for file in path.parent.iterdir()] == ["model.keras"]
    assert load_model(path).get_layer("conv2").kernel.shape == (3, 3, 4, 4)


@pytest.mark.backends
def test_keras_alone_predicts_the_same_from_raw_images(saved, tmp_path, run_python) -> None:
    model, path = saved
    np.save(tmp_path / "images.npy", IMAGES)
    program = (
        "import sys\n"
        "sys.modules['allcnn'] = None\n"
        "import keras, numpy\n"
        "model = keras.saving.load_model(sys.argv[1])\n"
        "images = numpy.load(sys.argv[2])\n"
        "assert images.dtype == numpy.uint8\n"
        "numpy.save(sys.argv[3], model.predict_on_batch(images))\n"
        "assert not any(name.startswith('allcnn.') for name in sys.modules)\n"
    )
    run_python("-I", "-c", program, str(path), str(tmp_path / "images.npy"), str(tmp_path / "chances.npy"))
    chances = np.load(tmp_path / "chances.npy")
    np.testing.assert_allclose(chances, model.predict_on_batch(IMAGES), atol=1e-6)
    np.testing.assert_allclose(chances.sum(axis=1), 1, rtol=1e-5)
    assert np.ptp(chances, axis=0).min() > 0.001


def test_a_model_that_keras_alone_wrote_has_no_card(tmp_path) -> None:
    build_model("NC1-GAP", (2, 2, 3)).save(tmp_path / "own.keras")
    found = open_saved(tmp_path / "own.keras")
    assert found.card is None and found.model.output_shape == (None, 10)


def test_saving_replaces_the_file_in_one_step(saved, monkeypatch) -> None:
    model, path = saved
    before = path.read_bytes()

    def fail(*_, **__):
        raise OSError("the disk is full")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", fail)
    with pytest.raises(OSError, match="the disk is full"):
        save_model(model, CARD, path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["model.keras"]


def refusal(path) -> str:
    with pytest.raises(CheckpointError) as caught:
        open_saved(path)
    assert caught.value.exit_code == 2 and str(caught.value).startswith(f"{path}: ")
    return str(caught.value).removeprefix(f"{path}: ")


def test_missing(tmp_path) -> None:
    assert refusal(tmp_path / "model.keras") == "no such file; expected a .keras file or a run folder."
    assert refusal(tmp_path) == (
        "the folder holds no model.keras; a run writes it when it ends, or is interrupted after its first epoch.\n"
        f"If this is a run, go on with: allcnn train --resume --run-dir {tmp_path}"
    )


def test_a_folder_of_runs_is_not_a_run(saved, tmp_path) -> None:
    _, path = saved
    runs = tmp_path / "my runs"
    for name in ("b", "a"):
        (runs / name).mkdir(parents=True)
        (runs / name / "model.keras").write_bytes(path.read_bytes())
    assert refusal(runs) == (
        f"holds 2 runs and is none itself; expected one of them, such as '{runs}/a' or '{runs}/b'.\n"
        f"For all of them in one table: allcnn report '{runs}'"
    )


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A stand-in for the download: folder/OWNER/NAME is what the hub has."""

    def snapshot_download(repo_id: str, allow_patterns: list[str]) -> str:
        if not (tmp_path / "hub" / repo_id).is_dir():
            raise OSError(f"404 {repo_id}")
        assert "model.keras" in allow_patterns and "*" not in "".join(allow_patterns)
        return str(tmp_path / "hub" / repo_id)

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(snapshot_download=snapshot_download))
    monkeypatch.setenv("ALLCNN_CACHE", str(tmp_path / "cache"))
    (tmp_path / "hub" / "me" / "net").mkdir(parents=True)
    return tmp_path / "hub" / "me" / "net"


def test_a_model_on_the_hub_is_read_as_safely_as_a_file(saved, hub, tmp_path, monkeypatch) -> None:
    model, file = saved
    wanted = model.predict_on_batch(IMAGES[:2])
    with zipfile.ZipFile(file) as archive:
        archive.extractall(hub)  # as Keras lays a model out there
    for path in ("hf://me/net", Path("hf://me/net")):
        opened = open_saved(path)
        assert opened.card == CARD and np.array_equal(opened.model.predict_on_batch(IMAGES[:2]), wanted)
    config = hub / "config.json"
    config.write_text(config.read_text().replace('"class_name": "Conv2D"', '"class_name": "Lambda"'))
    with pytest.raises(CheckpointError, match="holds a Lambda, which runs code that comes with the file; refused"):
        load_model("hf://me/net")
    config.unlink()
    with pytest.raises(CheckpointError) as caught:
        load_model("hf://me/net")
    assert str(caught.value) == "hf://me/net: holds no model.keras, nor the members of a .keras file."
    (hub / "model.keras").write_bytes(file.read_bytes())
    assert np.array_equal(load_model("hf://me/net").predict_on_batch(IMAGES[:2]), wanted)
    monkeypatch.chdir(tmp_path)
    assert export_model("hf://me/net", "card").path == Path("README.md")
    assert (tmp_path / "README.md").is_file() and not (hub / "README.md").exists()


def test_what_cannot_be_fetched_says_so(hub, monkeypatch) -> None:
    with pytest.raises(CheckpointError, match="^hf://me/other: cannot be fetched: 404 me/other$"):
        load_model("hf://me/other")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match="not installed. Install it with: pip install huggingface_hub$"):
        load_model("hf://me/net")


NO_ZIP = "not a saved model, or one cut short; expected a .keras file, a zip archive."


@pytest.mark.parametrize("content", [b"", b"plain text", b"\x89HDF\r\n\x1a\n", b"PK\5\6"])
def test_not_a_zip(tmp_path, content) -> None:
    (tmp_path / "model.keras").write_bytes(content)
    assert refusal(tmp_path / "model.keras") == NO_ZIP


def test_the_sha256_lies_at_the_end(saved) -> None:
    _, path = saved
    content = path.read_bytes()
    assert content[-78:] == f"allcnn sha256 {hashlib.sha256(content[:-78]).hexdigest()}".encode()
    with zipfile.ZipFile(path) as archive:
        assert archive.comment == content[-78:] and archive.testzip() is None


def test_damage_is_noticed_before_json_or_keras_see_the_file(saved, monkeypatch, damaged) -> None:
    _, path = saved
    good = path.read_bytes()

    def parse(*_, **__):
        raise AssertionError("a damaged file was parsed")

    monkeypatch.setattr(json, "loads", parse)
    monkeypatch.setattr(keras.saving, "load_model", parse)
    monkeypatch.setattr(zipfile.ZipFile, "read", parse)
    end = len(good) - 78 - 22  # the end-of-central-directory record, then the comment
    for index in (0, 30, len(good) // 3, end - 40, *range(end, len(good))):
        for bit in range(8) if index >= end else (0,):
            content = bytearray(good)
            content[index] ^= 1 << bit
            path.write_bytes(content)
            assert refusal(path) in (damaged(len(good)), NO_ZIP), index
    for size in (0, len(good) // 2, *range(end, len(good))):
        path.write_bytes(good[:size])
        assert refusal(path) in (damaged(size), NO_ZIP), size
    path.write_bytes(good + b"\0")
    assert refusal(path) == damaged(len(good) + 1)


@pytest.mark.parametrize("comment", [b"", b"mine"])
def test_what_another_program_changed_is_refused(saved, damaged, comment) -> None:
    """With or without a SHA-256: the card says that the file was allcnn's."""
    _, path = saved
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("notes.txt", "mine")
    assert refusal(path) == damaged(path.stat().st_size)
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = comment
    assert refusal(path) == damaged(path.stat().st_size)


@pytest.mark.parametrize("member", ["model.weights.h5", "config.json"])
def test_damage_with_a_good_sha256(saved, member) -> None:
    _, path = saved
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        found = archive.getinfo(member)
    middle = found.header_offset + found.compress_size // 2
    content[middle : middle + 50] = bytes(50)
    path.write_bytes(content)
    seal_archive(path)
    assert refusal(path) == f"its member '{member}' is damaged. Use a whole copy of the file."


def replace_card(path, content: str) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, member in {**members, CARD_MEMBER: content}.items():
            archive.writestr(name, member)
    seal_archive(path)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "Expecting property name enclosed in double quotes"),
        ("[" * 100_000, "maximum recursion depth exceeded"),
        ("[]", ""),
        ("{}", "'image_shape'"),
        (json.dumps({**asdict(CARD), "image_shape": [32, 32]}), "not enough values to unpack"),
        (json.dumps({**asdict(CARD), "colour": "red"}), "unexpected keyword argument 'colour'"),
        (json.dumps({**asdict(CARD), "spec": 7}), "spec is 7"),
        (json.dumps({**asdict(CARD), "data_dir": ["/etc"]}), "data_dir is ['/etc']"),
        (json.dumps({**asdict(CARD), "augmentation": 3}), "augmentation is 3"),
        (json.dumps({**asdict(CARD), "version": 2}), "it is of version 2, expected 1"),
    ],
    ids=range(10),
)
def test_a_card_that_cannot_be_read(saved, content, why) -> None:
    _, path = saved
    replace_card(path, content)
    message = refusal(path)
    assert message.startswith("its allcnn.json cannot be read (") and why in message


def test_a_card_of_before_augmentations_were_noted(saved) -> None:
    _, path = saved
    fields = asdict(CARD)
    del fields["augmentation"]
    replace_card(path, json.dumps(fields))
    assert open_saved(path).card == replace(CARD, augmentation=None)
