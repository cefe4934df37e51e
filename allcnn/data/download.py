"""Finds CIFAR where data sets are kept on this machine, else downloads it from the official host."""

from __future__ import annotations

import os
import shutil
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

from allcnn.data import layouts
from allcnn.data.layouts import Layout
from allcnn.errors import DataError, InputError, printable
from allcnn.files import atomic_path

OFFICIAL_HOST = "https://www.cs.toronto.edu/~kriz/"

# A host that stays silent for this long is given up.
_TIMEOUT_SECONDS = 30.0


def find_or_download(dataset: str, mirror: str | None = None) -> tuple[Layout, Path]:
    """The layout of "cifar10" or "cifar100" and where it lies: found in a cache, or downloaded into Keras's.

    Looks in the folder that ALLCNN_DATA names, then in `~/.keras/datasets` (or under KERAS_HOME). An archive
    there counts only with its official checksum. A download that fails raises DataError and leaves no file.
    """
    url = _archive_url(dataset, mirror)
    found = find_kept(dataset)
    return found if found is not None else _download(dataset, url)


def _archive_url(dataset: str, mirror: str | None) -> str:
    archive = _python_layout(dataset).archive
    if mirror is None:
        return OFFICIAL_HOST + archive
    parts = urlsplit(mirror)
    if parts.scheme not in ("http", "https", "file") or not (parts.netloc or parts.scheme == "file"):
        raise InputError(
            f"mirror {mirror!r}: expected a URL that begins with https://, of {archive} or of the folder it lies in.\n"
            "For a folder on this machine use --data-dir."
        )
    return mirror if parts.path.endswith((".tar.gz", ".tgz")) else mirror.rstrip("/") + "/" + archive


def _python_layout(dataset: str) -> Layout:
    return next(layout for layout in layouts.LAYOUTS if layout.dataset == dataset and layout.form == "python")


def _keras_folder() -> Path:
    home = os.environ.get("KERAS_HOME")
    return (Path(home) if home else Path("~/.keras").expanduser()) / "datasets"


def find_kept(dataset: str) -> tuple[Layout, Path] | None:
    """The layout of a data set and where it lies, in the folders of `find_or_download`; None where it is in none."""
    named = os.environ.get("ALLCNN_DATA")
    folders = [Path(named).expanduser()] if named else []
    folders.append(_keras_folder())
    # keras.datasets unpacks into a folder of this name.
    folders.append(_keras_folder() / f"{_python_layout(dataset).folder}-target")
    for folder in folders:
        found = layouts.find_layout(dataset, folder, only_sound=True)
        if found is not None:
            return found
    return None


def _download(dataset: str, url: str) -> tuple[Layout, Path]:
    from rich.console import Console
    from rich.progress import wrap_file

    layout, console = _python_layout(dataset), Console(stderr=True)
    archive = _keras_folder() / layout.archive
    try:
        with urlopen(url, timeout=_TIMEOUT_SECONDS) as response, atomic_path(archive) as temporary:
            shown = wrap_file(
                response, int(response.headers.get("Content-Length") or 0), description=layout.archive,
                console=console, disable=not console.is_terminal, transient=True,
            )  # fmt: skip
            with shown as source, open(temporary, "wb") as target:
                shutil.copyfileobj(source, target)
            kind, found = layouts.file_checksum(temporary, layout.checksum)
            if found != layout.checksum:
                raise ValueError(f"its {kind} is {found}, that of the official archive is {layout.checksum}")
    except (OSError, ValueError, HTTPException) as error:
        reason = printable(" ".join(str(getattr(error, "reason", error)).split()))[:200].rstrip(".")
        raise DataError(
            f"{printable(url)} cannot be downloaded: {reason}.\n"
            f"Put {layout.archive} into {_keras_folder()} or pass its folder with --data-dir; "
            "--dataset digits needs no download."
        ) from None
    return layout, archive
