"""Makes the model that comes with the package, allcnn/pretrained, of a finished run: weights in float16, record, card.

    python results/pretrained.py RUN DATA_DIR

The record's last test error is measured anew, with the weights as they are then: the run's own may differ by an image.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np

import allcnn
from allcnn.hub_card import model_readme
from allcnn.models.saved import CARD_MEMBER, PRETRAINED_RUN, read_card, seal_archive
from allcnn.runs.folder import RunFolder, metrics_digest, read_json, read_metrics, write_json, write_metrics

NOTE = """
## The images

The photographs are CIFAR-10's own, with its own split, but each went through JPEG once: an error on the official files
may differ by some images. [RESULTS.md](../../RESULTS.md#what-does-jpeg-do) compares both.
"""


def in_float16(weights: bytes) -> bytes:
    """An HDF5 file of weights with half as many bytes a number. Keras reads it into its float32 variables."""
    halved = io.BytesIO()
    with h5py.File(io.BytesIO(weights)) as file, h5py.File(halved, "w") as written:

        def copy(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Dataset):
                written.create_dataset(name, data=item[()].astype(np.float16))
            else:
                written.require_group(name)
            written[name].attrs.update(item.attrs)

        file.visititems(copy)
    return halved.getvalue()


def main() -> None:
    run, made = RunFolder(Path(sys.argv[1])), RunFolder(PRETRAINED_RUN)
    rows, summary = read_metrics(run.metrics), read_json(run.summary)
    made.path.mkdir(exist_ok=True)
    shutil.copy(run.config, made.config)
    with zipfile.ZipFile(run.model) as archive, zipfile.ZipFile(made.model, "w") as written:
        for member in archive.infolist():
            content = archive.read(member)
            if member.filename == CARD_MEMBER:  # the images lie elsewhere on other machines
                content = json.dumps({**json.loads(content), "data_dir": None}, indent=1).encode()
            written.writestr(member.filename, in_float16(content) if member.filename.endswith(".h5") else content)
    seal_archive(made.model)
    measured = allcnn.evaluate(made.model, sys.argv[2])
    rows[-1]["test_error"] = measured.error_percent
    write_metrics(made.metrics, rows)
    write_json(
        made.summary,
        {**summary, "test_error": measured.error_percent, "metrics_sha256": metrics_digest(made.metrics)},
    )
    card = read_card(made.model)
    assert card is not None  # noqa: S101  (allcnn wrote it)
    (made.path / "README.md").write_text(model_readme(made.model, card) + NOTE)
    size, own = made.model.stat().st_size, summary["test_error"]
    print(f"{made.path}: {size:,} bytes, {measured.error_percent} % test error; the run's: {own} %")


if __name__ == "__main__":
    main()
