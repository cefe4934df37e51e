"""Sound files of every kind that others make and allcnn reads, what reads them, and ways to damage them.

The tests use them, and `tests/studies/fuzz_readers.py` with more damage.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import numpy as np
from cifar_writers import (
    array,
    cifar10_files,
    number,
    pickled,
    planes,
    random_images,
    records,
    sequence,
    short_text,
    write,
    write_archive,
)
from image_bytes import PIXELS, encoded
from PIL import Image

from allcnn.data import layouts, load_data, read_image
from allcnn.errors import DataError, InputError

WELL_FORMED, REFUSED = "still well-formed", "refused"

_IMAGES, _LABELS = random_images(12), [3, 8, 8, 0, 6, 6, 1, 6, 3, 1, 0, 9]
_LAYOUTS = {(layout.dataset, layout.form): layout for layout in layouts.LAYOUTS}


@dataclass(frozen=True)
class Kind:
    """A kind of file: a sound one, and what reads it, given a folder to work in and the file's content."""

    content: bytes
    read: Callable[[Path, bytes], object]
    #: Whether there is an official checksum, so that no damage at all may be accepted.
    has_checksum: bool = False


def examine(kind: Kind, folder: Path, content: bytes) -> str:
    """WELL_FORMED or REFUSED; any other exception, or a message that is not fit for people, is a fault of ours."""
    try:
        kind.read(folder, content)
    except InputError as error:
        lines = str(error).split("\n")
        assert len(lines) <= 2, error
        assert all(line.isprintable() and len(line) < 1000 for line in lines), error
        assert isinstance(error, DataError) and str(folder) in lines[0], error
        return REFUSED
    return WELL_FORMED


def damage(content: bytes, draw: random.Random, way: str) -> bytes:
    """The content with a few bits turned over, cut short, or with some bytes overwritten, put in or taken out."""
    place = draw.randrange(max(1, len(content)))
    match way:
        case "bits":
            changed = bytearray(content)
            # Half of the time near the beginning, where headers are.
            reach = draw.choice([min(200, len(content)), len(content)])
            for _ in range(draw.choice([1, 1, 2, 8])):
                changed[draw.randrange(reach)] ^= 1 << draw.randrange(8)
            return bytes(changed)
        case "cut":
            return content[: draw.choice([place, min(place, draw.randrange(300))])]
        case "overwritten":
            new = draw.choice([bytes(4), b"\xff" * 4, draw.randbytes(draw.randrange(1, 40))])
            return content[:place] + new + content[place + len(new) :]
        case "put in":
            return content[:place] + draw.randbytes(draw.randrange(1, 40)) + content[place:]
        case _:
            return content[:place] + content[place + draw.randrange(1, 40) :]


def _in_layout(dataset: str, form: str, files: dict[str, bytes], name: str) -> Kind:
    """A file of an official folder, read with the others."""

    def read(folder: Path, content: bytes) -> object:
        if not (folder / "others").exists():
            write(folder, files)
            (folder / "others").touch()
        (folder / name).write_bytes(content)
        return load_data(dataset, folder)

    return Kind(files[name], read)


def _cifar100(form: str) -> dict[str, bytes]:
    fine, coarse = [19, 29, 0, 99, 1], [11, 15, 4, 14, 1]
    files = {}
    for name, part in (("train", slice(0, 3)), ("test", slice(3, 5))):
        if form == "binary":
            files[f"{name}.bin"] = records(_IMAGES[part], coarse[part], fine[part])
        else:
            items = {"fine_labels": sequence([number(label) for label in fine[part]])}
            files[name] = pickled(items | {"data": array(planes(_IMAGES[part]))})
    names = layouts.CLASSES["cifar100"]
    if form == "binary":
        return files | {"fine_label_names.txt": "\n".join(names).encode()}
    return files | {"meta": pickled({"fine_label_names": sequence([short_text(name) for name in names])})}


def _cifar10(binary: bool) -> dict[str, bytes]:
    names = layouts.CLASSES["cifar10"]
    files = cifar10_files(binary, _IMAGES, _LABELS)
    if binary:
        return files | {"batches.meta.txt": "\n".join([*names, "", ""]).encode()}
    return files | {"batches.meta": pickled({"label_names": sequence([short_text(name) for name in names])})}


def _archive(folder: Path, binary: bool) -> Kind:
    """An archive like the official one, whose checksum takes the place of the official one's."""
    layout = _LAYOUTS["cifar10", "binary" if binary else "python"]
    sound = write_archive(folder / layout.archive, layout.folder, _cifar10(binary)).read_bytes()
    official = replace(layout, checksum=layouts.file_checksum(folder / layout.archive, layout.checksum)[1])

    def read(folder: Path, content: bytes) -> object:
        (folder / layout.archive).write_bytes(content)
        with mock.patch.object(layouts, "LAYOUTS", (official,)):
            return load_data(data_dir=folder / layout.archive)

    return Kind(sound, read, has_checksum=True)


def _image(content: bytes) -> Kind:
    def read(folder: Path, content: bytes) -> object:
        (folder / "image").write_bytes(content)
        pixels = read_image(folder / "image")
        assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.size
        return pixels

    return Kind(content, read)


def make_kinds(folder: Path) -> dict[str, Kind]:
    """Every kind of file by its name; `folder` is worked in."""
    picture = Image.fromarray(PIXELS)
    exif = Image.Exif()
    exif[274] = 6
    moving = {"save_all": True, "append_images": [picture.rotate(90), picture.rotate(180)]}
    deep = np.arange(600, dtype=np.uint16).reshape(20, 30) * 100
    kinds = {
        "CIFAR-10 batch": _in_layout("cifar10", "python", _cifar10(False), "data_batch_3"),
        "CIFAR-10 batches.meta": _in_layout("cifar10", "python", _cifar10(False), "batches.meta"),
        "CIFAR-10 binary batch": _in_layout("cifar10", "binary", _cifar10(True), "data_batch_3.bin"),
        "CIFAR-10 batches.meta.txt": _in_layout("cifar10", "binary", _cifar10(True), "batches.meta.txt"),
        "CIFAR-100 train": _in_layout("cifar100", "python", _cifar100("python"), "train"),
        "CIFAR-100 meta": _in_layout("cifar100", "python", _cifar100("python"), "meta"),
        "CIFAR-100 train.bin": _in_layout("cifar100", "binary", _cifar100("binary"), "train.bin"),
        "archive": _archive(folder, False),
        "binary archive": _archive(folder, True),
        "PNG": _image(encoded("PNG", exif=exif)),
        "PNG, palette": _image(encoded("PNG", picture.convert("P"), transparency=3)),
        "PNG, 16 bits": _image(encoded("PNG", deep)),
        "PNG, animated": _image(encoded("PNG", **moving)),
        "JPEG": _image(encoded("JPEG", exif=exif)),
        "JPEG, progressive": _image(encoded("JPEG", progressive=True)),
        "JPEG, CMYK": _image(encoded("JPEG", picture.convert("CMYK"))),
        "GIF": _image(encoded("GIF")),
        "GIF, animated": _image(encoded("GIF", **moving)),
        "BMP": _image(encoded("BMP")),
        "BMP, palette": _image(encoded("BMP", picture.convert("P"))),
        "WebP": _image(encoded("WEBP")),
        "WebP, lossless, animated": _image(encoded("WEBP", lossless=True, **moving)),
        "TIFF": _image(encoded("TIFF")),
        "TIFF, LZW": _image(encoded("TIFF", compression="tiff_lzw")),
        "TIFF, JPEG": _image(encoded("TIFF", compression="jpeg")),
        "TIFF, pages, deflate": _image(encoded("TIFF", compression="tiff_adobe_deflate", **moving)),
    }
    for name, kind in kinds.items():
        (folder / name).mkdir()
        assert examine(kind, folder / name, kind.content) == WELL_FORMED, name
    return kinds
