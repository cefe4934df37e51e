"""CIFAR without a folder given: where data sets are kept on this machine, else from the official host."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit

from allcnn.backend import load_keras
from allcnn.data import layouts
from allcnn.data.layouts import Layout
from allcnn.errors import DataError, InputError

OFFICIAL_HOST = "https://www.cs.toronto.edu/~kriz/"

#: A host that stays silent for this long is given up.
_TIMEOUT_SECONDS = 30.0


def find_or_download(dataset: str, mirror: str | None = None) -> tuple[Layout, Path]:
    """The layout of "cifar10" or "cifar100" and where it lies: found in a cache, or downloaded into Keras's.

    Looks in the folder that ALLCNN_DATA names, then in `~/.keras/datasets` (or under KERAS_HOME). An archive
    there counts only with its official checksum. Raises DataError where the download fails; nothing
    half-written stays.
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
    layout = _python_layout(dataset)
    _check_host(layout, url)
    folder = _keras_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Beside its final place, so that moving it there is one step: never half a file under the final name.
        with tempfile.TemporaryDirectory(prefix=".allcnn-", dir=folder) as partial, _silent_host_given_up():
            load_keras()  # slow, and only needed here
            import keras

            with contextlib.redirect_stdout(_progress_stream()):
                keras.utils.get_file(
                    layout.archive, url, file_hash=layout.checksum, cache_dir=partial, cache_subdir=partial
                )
            Path(partial, layout.archive).replace(folder / layout.archive)
    except Exception as error:  # get_file raises bare Exception
        reason = str(error).removeprefix(f"URL fetch failure on {url}: ").removeprefix("None -- ")
        raise _failure(layout, url, " ".join(reason.split())[:200].rstrip(".")) from None
    return layout, folder / layout.archive


def _check_host(layout: Layout, url: str) -> None:
    """Without a network, say so at once rather than after Keras has loaded."""
    parts = urlsplit(url)
    # A proxy looks the host up itself.
    if parts.hostname is None or parts.scheme in urllib.request.getproxies():
        return
    try:
        socket.getaddrinfo(parts.hostname, None)
    except OSError:
        raise _failure(layout, url, f"the host {parts.hostname} is not found (is there a network?)") from None


def _progress_stream() -> TextIO:
    """Not standard output, which may be a JSON document; and nothing where a progress bar would fill a log."""
    return sys.stderr if sys.stderr.isatty() else io.StringIO()


@contextlib.contextmanager
def _silent_host_given_up() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _failure(layout: Layout, url: str, reason: str) -> DataError:
    return DataError(
        f"{url} cannot be downloaded: {reason}.\n"
        f"Put {layout.archive} into {_keras_folder()} or pass its folder with --data-dir; "
        "--dataset digits needs no download."
    )
