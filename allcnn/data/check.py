"""Reading a whole data set to see whether it is sound."""

from __future__ import annotations

from pathlib import Path

from allcnn.data.dataset import Dataset
from allcnn.data.packed import check_shards, holds_packed
from allcnn.data.streamed import StreamedImages, in_blocks

_BLOCK = 256


def damaged_files(data: Dataset, folder: Path | None = None) -> list[str]:
    """The files of a data set that are damaged: image files that do not decode, shards with another SHA-256.

    Args:
        data: one that is streamed; what is in memory was decoded when it was loaded.
        folder: where it lies; of a packed data set its shards are read and held against their checksums.
    """
    if folder is not None and holds_packed(folder):
        return [str(folder / name) for name in check_shards(folder)]
    found: list[str] = []
    for images in (data.train_images, data.test_images):
        if isinstance(images, StreamedImages):
            looked_at = StreamedImages(images.encoded, images.rule, skip_damaged=True)
            for _ in in_blocks(looked_at, _BLOCK):
                pass
            found += looked_at.damage.names.values()
    return sorted(found)
