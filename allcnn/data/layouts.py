"""The official layouts of CIFAR on disk: the names of their files, their checksums, and how to find them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from allcnn.errors import DataError, printable

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

CIFAR100_CLASSES = tuple(
    """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
    castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
    elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster
    man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck
    pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
    skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger
    tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
    """.split()
)

CLASSES = {"cifar10": CIFAR10_CLASSES, "cifar100": CIFAR100_CLASSES}


@dataclass(frozen=True)
class Layout:
    """One official form of a CIFAR data set: what its folder, archive and files are called."""

    dataset: str
    #: "python" (pickles) or "binary" (records of fixed length).
    form: str
    folder: str
    archive: str
    #: The archive's official SHA-256 (64 digits) or MD5 (32 digits).
    checksum: str
    train_files: tuple[str, ...]
    test_file: str
    names_file: str
    #: In pickles, the keys of the labels and of the class names.
    label_key: str = ""
    names_key: str = ""
    #: In records, how many label bytes there are; the last is the label (CIFAR-100: coarse, then fine).
    label_bytes: int = 1

    @property
    def files(self) -> tuple[str, ...]:
        """The files that hold images."""
        return (*self.train_files, self.test_file)


LAYOUTS = (
    Layout(
        dataset="cifar10",
        form="python",
        folder="cifar-10-batches-py",
        archive="cifar-10-python.tar.gz",
        checksum="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
        train_files=tuple(f"data_batch_{i}" for i in range(1, 6)),
        test_file="test_batch",
        names_file="batches.meta",
        label_key="labels",
        names_key="label_names",
    ),
    Layout(
        dataset="cifar10",
        form="binary",
        folder="cifar-10-batches-bin",
        archive="cifar-10-binary.tar.gz",
        checksum="c32a1d4ab5d03f1284b67883e8d87530",
        train_files=tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
        test_file="test_batch.bin",
        names_file="batches.meta.txt",
    ),
    Layout(
        dataset="cifar100",
        form="python",
        folder="cifar-100-python",
        archive="cifar-100-python.tar.gz",
        checksum="85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
        train_files=("train",),
        test_file="test",
        names_file="meta",
        label_key="fine_labels",
        names_key="fine_label_names",
    ),
    Layout(
        dataset="cifar100",
        form="binary",
        folder="cifar-100-binary",
        archive="cifar-100-binary.tar.gz",
        checksum="03b5dce01913d631647c71ecec9e9cb8",
        train_files=("train.bin",),
        test_file="test.bin",
        names_file="fine_label_names.txt",
        label_bytes=2,
    ),
)


def find_layout(dataset: str, folder: Path, *, only_sound: bool = False) -> tuple[Layout, Path] | None:
    """The layout of "cifar10" or "cifar100" in a folder, and its path: the folder itself, a folder in it, an archive.

    A complete folder goes before an archive, and that before a folder with files missing. With `only_sound`,
    an incomplete folder and an archive with another checksum than the official one do not count.
    """
    layouts = [layout for layout in LAYOUTS if layout.dataset == dataset]
    folders = [(layout, path) for layout in layouts for path in (folder, folder / layout.folder)]
    for layout, path in folders:
        if all((path / name).is_file() for name in layout.files):
            return layout, path
    for layout in layouts:
        path = folder / layout.archive
        if path.is_file() and not (only_sound and file_checksum(path, layout.checksum)[1] != layout.checksum):
            return layout, path
    for layout, path in folders:
        if not only_sound and any((path / name).is_file() for name in layout.files):
            return layout, path
    return None


def layout_of_archive(dataset: str, path: Path) -> Layout:
    """The layout of an official archive given as a file, by its name or its checksum. Raises DataError for others."""
    for layout in LAYOUTS:
        if path.name == layout.archive or file_checksum(path, layout.checksum)[1] == layout.checksum:
            if layout.dataset == dataset:
                return layout
            raise DataError(
                f"{printable(path)}: the archive of {layout.dataset}; expected {dataset}.\n"
                f"Pass --dataset {layout.dataset}."
            )
    archives = " or ".join(layout.archive for layout in LAYOUTS if layout.dataset == dataset)
    raise DataError(
        f"{printable(path)}: not an official archive of {dataset}; expected {archives}.\n"
        "Pass one of them, or the folder that holds the data set."
    )


def file_checksum(path: Path, like: str) -> tuple[str, str]:
    """The name of the kind of checksum that `like` is, and the file's own of that kind."""
    with path.open("rb") as stream:
        return stream_checksum(stream, like)


def stream_checksum(stream: BinaryIO, like: str) -> tuple[str, str]:
    """The same for an opened file, which is read to its end."""
    name = "SHA-256" if len(like) == 64 else "MD5"
    digest = hashlib.new(name.replace("-", ""), usedforsecurity=False)
    while block := stream.read(1 << 20):
        digest.update(block)
    return name, digest.hexdigest()
