"""One run, one process: a lock on a folder that goes with the process, however that ends."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from allcnn.errors import RunError
from allcnn.runs.folder import RunFolder

#: Held by a sweep, in the folder of its runs; a run's own lock is another file.
SWEEP_LOCK = ".sweep.lock"


@contextmanager
def only_process(folder: RunFolder) -> Iterator[None]:
    """Hold the run folder, made if need be, for this process alone while the block lasts.

    The operating system frees the lock when the process is gone, by SIGKILL too. A folder in which no run was begun
    is left as it was found.

    Raises:
        RunError: another process, which still lives, holds it.
    """
    made = [path for path in (folder.path, *folder.path.parents) if not path.exists()]
    with _held(folder.lock, "is at work on this run", "--run-dir") as lock:
        try:
            yield
        finally:
            _leave(lock, keep=folder.holds_run(), made=made)


@contextmanager
def only_sweep(runs_dir: Path) -> Iterator[None]:
    """Hold a folder of runs, made if need be, for one sweep while the block lasts; each run has its own lock besides.

    Raises:
        RunError: another process, which still lives, sweeps it.
    """
    made = [path for path in (runs_dir, *runs_dir.parents) if not path.exists()]
    with _held(runs_dir / SWEEP_LOCK, "is sweeping this folder", "--runs-dir") as lock:
        try:
            yield
        finally:
            _leave(lock, keep=any(path.name != SWEEP_LOCK for path in runs_dir.iterdir()), made=made)


def holder_of(folder: RunFolder) -> str | None:
    """The process that works on a run, "process 123 on somewhere"; None where none does."""
    if not folder.lock.exists():
        return None
    holder = _holder(folder.lock)
    lock = FileLock(folder.lock)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return holder or "another process"
    lock.release()
    return None


@contextmanager
def _held(path: Path, at_work: str, option: str) -> Iterator[FileLock]:
    holder = _holder(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise RunError(
            f"{path.parent}: {holder or 'another process'} {at_work}.\n"
            f"Wait for its end, stop it, or choose another folder with {option}."
        ) from None
    with suppress(OSError):  # a full disk, say: the lock holds all the same
        path.write_text(f"process {os.getpid()} on {socket.gethostname()}\n", encoding="utf-8")
    try:
        yield lock
    finally:
        lock.release()


def _leave(lock: FileLock, keep: bool, made: list[Path]) -> None:
    """Take away the lock, and the folders that were made for it, where nothing was begun."""
    if not keep:
        Path(lock.lock_file).unlink(missing_ok=True)
    lock.release()
    for path in made if not keep else []:
        with suppress(OSError):  # somebody put something there meanwhile
            path.rmdir()


def _holder(path: Path) -> str:
    """What the process that holds, or held, the lock wrote of itself."""
    try:
        return path.read_text(encoding="utf-8").strip()[:200]
    except (OSError, ValueError):
        return ""
