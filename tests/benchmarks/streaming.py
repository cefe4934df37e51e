"""How fast images are decoded from folders, beside how fast the ImageNet network trains.

    python tests/benchmarks/streaming.py DIR [--rounds 3] [--no-train]

DIR holds one folder of photographs for each class, such as a thousand of ImageNet's. Measured in turn, for the
photographs as they are and enlarged to 500 pixels (ImageNet's usual size): the training pipeline alone (shorter side to
256, random 224 crop, mirror, batches of 64), with the files in the system's cache and, where it can be emptied,
without. Then `allcnn.train` of imagenet-all-b on the same images.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from PIL import Image

import allcnn
from allcnn.data import load_data
from allcnn.data.pipeline import BatchOrder, training_batches

BATCH, STEPS = 64, 30


def lay_out(source: Path, folder: Path, width: int | None) -> Path:
    """train/ of all photographs and val/ of the first of every class, in a fresh folder; `width` enlarges them."""
    for path in sorted(source.glob("*/*")):
        target = folder / "train" / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if width is None:
            shutil.copy(path, target)
        else:
            with Image.open(path) as image:
                height = round(image.height * width / image.width)
                image.convert("RGB").resize((width, height)).save(target, "JPEG", quality=90)
        first = folder / "val" / path.parent.name / path.name
        if not first.parent.exists():
            first.parent.mkdir(parents=True)
            shutil.copy(target, first)
    return folder


def forget(folder: Path) -> None:
    """Have the system drop what it holds of the files from its cache."""
    os.sync()
    for path in folder.rglob("*"):
        if path.is_file():
            file = os.open(path, os.O_RDONLY)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(file)


def pipeline_rate(folder: Path, seed: int, cold: bool) -> float:
    """Images a second of the training pipeline alone."""
    data = load_data(data_dir=folder, image_size=224, shorter_side=256)
    if cold:
        forget(folder)
    order = BatchOrder(len(data.train_images), BATCH, seed, augmentation="crop-mirror", streamed=True)
    batches = iter(training_batches(data.train_images, data.train_labels, order, 0, STEPS + 1))
    next(batches)
    begun = time.perf_counter()
    count = sum(len(labels) for _, labels in batches)
    return count / (time.perf_counter() - begun)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, metavar="DIR")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-train", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folders: dict[str, Path] = {}
        for name, width in (("as they are", None), ("500 wide", 500)):
            folder = folders[name] = lay_out(arguments.source, Path(scratch, f"of-{width}"), width)
            sizes = [path.stat().st_size for path in folder.rglob("*.JPEG")]
            print(f"{name}: {len(sizes):,} files of {statistics.mean(sizes) / 1e3:.1f} kB")
        rates: dict[tuple[str, bool], list[float]] = {}
        for seed in range(arguments.rounds):
            for name, folder in folders.items():
                for cold in (False, True):
                    rates.setdefault((name, cold), []).append(pipeline_rate(folder, seed, cold))
        for (name, cold), found in rates.items():
            each = ", ".join(f"{rate:.0f}" for rate in found)
            print(f"{name:24} {'cold' if cold else 'warm'}  {statistics.median(found):7.0f} images/s  ({each})")
        if not arguments.no_train:
            result = allcnn.train(
                "imagenet-all-b", recipe="imagenet", data_dir=folders["500 wide"], steps=STEPS, test_every=1000,
                run_dir=Path(scratch, "run"),
            )  # fmt: skip
            print(f"train, 500 wide: {STEPS * BATCH / result.seconds:.1f} images/s")


if __name__ == "__main__":
    main()
