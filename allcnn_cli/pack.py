"""`allcnn data DIR --pack OUT`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from allcnn.errors import InputError
from allcnn_cli.output import only_results_on_stdout, show, show_json, show_table

if TYPE_CHECKING:
    from allcnn.data.packed import Manifest


def pack(folder: Path | None, out: Path, shard_megabytes: int | None, skip_damaged: bool, as_json: bool) -> None:
    """Pack folders of images and say what became of them."""
    if folder is None:
        raise InputError("--pack needs the folder to pack: allcnn data DIR --pack OUT.")
    if shard_megabytes is not None and shard_megabytes < 1:
        raise InputError(f"the size of a shard must be at least 1 MB; got {shard_megabytes}.")
    with only_results_on_stdout():
        from rich.console import Console
        from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

        from allcnn.backend import load_tensorflow
        from allcnn.data.pack import SHARD_BYTES, pack_images

        load_tensorflow()  # it writes the shards
        columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
        console = Console(stderr=True)
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
            tasks = {split: bars.add_task(f"{split} images", total=None) for split in ("train", "test")}
            manifest = pack_images(
                folder,
                out,
                shard_bytes=SHARD_BYTES if shard_megabytes is None else shard_megabytes << 20,
                skip_damaged=skip_damaged,
                progress=lambda split, done, total: bars.update(tasks[split], completed=done, total=total),
            )
    if as_json:
        show_json(_document(manifest, out))
    else:
        _show(manifest, out)


def _document(manifest: Manifest, out: Path) -> dict[str, object]:
    return {
        "packed": str(out),
        "name": manifest.name,
        "classes": len(manifest.class_names),
        "digest": manifest.digest,
        "shards": [
            {"file": shard.file, "images": shard.images, "bytes": shard.bytes, "sha256": shard.sha256}
            for shard in manifest.shards
        ],
        "skipped": {split: list(names) for split, names in manifest.skipped.items()},
    }


def _show(manifest: Manifest, out: Path) -> None:
    show(f"{manifest.name}: {len(manifest.class_names):,} classes, packed into {out}")
    show(f"digest    {manifest.digest}")
    for split, names in manifest.skipped.items():
        if names:
            show(
                f"damaged   {len(names):,} {split} images, left out: {', '.join(names[:5])}{', ...' * (len(names) > 5)}"
            )
    show()
    rows = [(shard.file, f"{shard.images:,}", f"{shard.bytes:,}", shard.sha256[:12]) for shard in manifest.shards]
    total = ("total", f"{sum(shard.images for shard in manifest.shards):,}")
    rows.append((*total, f"{sum(shard.bytes for shard in manifest.shards):,}", ""))
    show_table(("shard", "images", "bytes", "SHA-256"), rows, total=True)
