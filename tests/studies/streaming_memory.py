"""Memory while streaming: the peak of a training process over small images, ten times as many, in folders and prepared
by TensorFlow Datasets.

    python tests/studies/streaming_memory.py [--images 10000,100000]

Prints the resident peak of `allcnn train` (one epoch of a small network, and its test pass) for each number of images,
as the system measured it for the whole process, and the ratio to the first.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from allcnn.processes import python_path

CLASSES = 10
NETWORK = "8C3/4-NC1-GAP"


def make_images(folder: Path, images: int, test: int = 1000) -> Path:
    """So many training images of 48 x 48 in JPEG, every file of its own content, and `test` to test on."""
    random = np.random.default_rng(0)
    blocks = random.integers(0, 256, (64, 6, 6, 3), np.uint8).repeat(8, axis=1).repeat(8, axis=2)
    for split, count in (("train", images), ("val", test)):
        for label in range(CLASSES):
            (folder / split / f"class{label}").mkdir(parents=True)
        for index in range(count):
            pixels = blocks[index % len(blocks)].copy()
            pixels[:8, :8] = [index % 256, index // 256 % 256, index // 65536]
            name = folder / split / f"class{index % CLASSES}" / f"image_of_the_study_{index:07d}.jpg"
            Image.fromarray(pixels).save(name, quality=70)
    return folder


def prepare(images: Path, root: Path) -> Path:
    """The same images as a data set of TensorFlow Datasets, made by a process of its own; its folder."""
    program = """
import sys
from pathlib import Path
import tensorflow_datasets as tfds

class Images(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        names = sorted(path.name for path in Path(sys.argv[1], "train").iterdir())
        features = {"image": tfds.features.Image(), "label": tfds.features.ClassLabel(names=names)}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(Path(sys.argv[1], folder))
                for split, folder in (("train", "train"), ("test", "val"))}

    def _generate_examples(self, folder):
        for path in folder.glob("*/*"):
            yield path.name, {"image": path, "label": path.parent.name}

Images(data_dir=sys.argv[2], file_format="array_record").download_and_prepare()
"""
    subprocess.run([sys.executable, "-c", program, str(images), str(root)], check=True, stderr=subprocess.DEVNULL)
    return root / "images" / "1.0.0"


def peak_megabytes(arguments: list[str]) -> float:
    """Run `allcnn` with these arguments; the largest resident set of its process, in MB."""
    environment = {**os.environ, **python_path()}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "allcnn_cli", *arguments], env=environment, stdout=log, stderr=log
        )
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            log.seek(0)
            raise SystemExit(log.read().decode())
    return usage.ru_maxrss * 1024 / 1e6


def measure(counts: list[int], scratch: Path) -> dict[tuple[str, int], float]:
    """The peaks in MB by layout and number of images."""
    peaks = {}
    for count in counts:
        folder = make_images(scratch / f"images-{count}", count)
        for layout, data in (("folders", folder), ("tfds", prepare(folder, scratch / f"tfds-{count}"))):
            run = scratch / f"run-{layout}-{count}"
            arguments = ["train", "--spec", NETWORK, "--data-dir", str(data), "--stream", "--image-size", "32"]
            arguments += ["--epochs", "1", "--preprocessing", "center", "--batch-size", "100", "--run-dir", str(run)]
            peaks[layout, count] = peak_megabytes(arguments)
            print(f"{layout:8} {count:8,} images  {peaks[layout, count]:8.1f} MB", flush=True)
        shutil.rmtree(folder)
    return peaks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", default="10000,100000")
    counts = [int(count) for count in parser.parse_args().images.split(",")]
    with tempfile.TemporaryDirectory() as scratch:
        peaks = measure(counts, Path(scratch))
    for layout in ("folders", "tfds"):
        for count in counts[1:]:
            ratio = peaks[layout, count] / peaks[layout, counts[0]]
            print(f"{layout}: {count:,} images take {ratio:.3f} times the memory of {counts[0]:,}")


if __name__ == "__main__":
    main()
