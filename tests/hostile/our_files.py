"""Every kind of file that allcnn writes, its reader, and ways to damage it."""

from __future__ import annotations

import random
import shutil
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from allcnn.errors import AllcnnError
from allcnn.models.saved import CARD_MEMBER, open_saved
from allcnn.preprocessing.store import cache_folder, fit_preprocessing, load_preprocessing
from allcnn.runs.checkpoint import load_state
from allcnn.runs.folder import RunFolder, metrics_digest, read_json, read_metrics

REFUSED, ACCEPTED, FAULT = "refused", "accepted", "fault"


@dataclass(frozen=True)
class Kind:
    """A file that allcnn wrote, where in it damage is done (all of it, or a part), and the function that reads it."""

    name: str
    path: Path
    read: Callable[[Path], object]
    part: tuple[int, int | None] = (0, None)


def make_kinds(run: Path) -> list[Kind]:
    """The files of a finished run, and one of the cache."""
    folder = RunFolder(run)
    digest = metrics_digest(folder.metrics)
    model = folder.model.read_bytes()
    with zipfile.ZipFile(folder.model) as archive:
        card = archive.getinfo(CARD_MEMBER).header_offset
        directory = archive.start_dir
    return [
        Kind("config.json", folder.config, read_json),
        Kind("summary.json", folder.summary, read_json),
        Kind("metrics.csv", folder.metrics, lambda path: read_metrics(path, digest)),
        Kind("preprocessing.h5", folder.preprocessing, load_preprocessing),
        Kind("whitening in the cache", cached_whitening(), load_preprocessing),
        Kind("state.h5", folder.state, lambda path: load_state(RunFolder(path.parent))),
        Kind("model.keras", folder.model, open_saved),
        Kind("model.keras: its card", folder.model, open_saved, (card, directory)),
        Kind("model.keras: its directory", folder.model, open_saved, (directory, len(model) - 78)),
        Kind("model.keras: its end", folder.model, open_saved, (len(model) - 100, None)),
    ]


def cached_whitening() -> Path:
    """A whitening of small images in the user's cache of allcnn."""
    before = set(cache_folder().rglob("*.h5"))
    fit_preprocessing("gcn-zca", np.random.default_rng(len(before)).integers(0, 256, (50, 8, 8, 3)).astype("uint8"))
    (path,) = set(cache_folder().rglob("*.h5")) - before
    return path


def damage(content: bytes, way: int, random: random.Random) -> bytes:
    """One bit flipped, or several; bytes overwritten; cut short; the end lost to zeros, as after a power cut."""
    damaged, start = bytearray(content), random.randrange(len(content))
    match way:
        case 0 | 1:
            for _ in range(random.randint(2, 20) if way else 1):
                damaged[random.randrange(len(content))] ^= 1 << random.randrange(8)
        case 2:
            length = min(random.randint(2, 1000), len(content) - start)
            damaged[start : start + length] = random.randbytes(length)
        case 3:
            del damaged[start:]
        case 4:
            damaged[start:] = bytes(len(content) - start)
    return bytes(damaged)


def corrupt(kind: Kind, good: bytes, number: int, random: random.Random) -> bytes:
    """The bytes of a file after one corruption, different from before."""
    start, stop, _ = slice(*kind.part).indices(len(good))
    while True:
        damaged = damage(good[start:stop], number % 5, random)
        # If the part is cut short, all after it is gone too.
        content = good[:start] + damaged + (good[stop:] if len(damaged) == stop - start else b"")
        if content != good:
            return content


def examine(kind: Kind, content: bytes, folder: Path) -> tuple[str, str]:
    """Read a damaged file, alone in a folder: the outcome and the message.

    A fault is anything but an error of one or two lines that names the file, and any change in the folder.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    path = folder / kind.path.name
    path.write_bytes(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            kind.read(path)
    except AllcnnError as error:
        message = str(error)
        lines = message.split("\n")
        named = message.startswith(f"{path}: ") and len(lines) <= 2 and all(line.isprintable() for line in lines)
        outcome = REFUSED if named and error.exit_code in (1, 2) else FAULT
    except Exception as error:
        outcome, message = FAULT, f"{type(error).__name__}: {error}"
    else:
        outcome, message = ACCEPTED, ""
    if [each.name for each in folder.iterdir()] != [path.name] or path.read_bytes() != content:
        outcome, message = FAULT, f"the folder was changed; {message}"
    return outcome, message.replace(str(path), path.name)
