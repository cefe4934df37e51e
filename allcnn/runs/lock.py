"""One run, one process: a lock on a folder that ends with the process, however that ends."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from allcnn.errors import RunError
from allcnn.runs.folder import RunFolder

#: Held by a sweep, in the folder of its runs; each run has its own lock besides.
SWEEP_LOCK = ".sweep.lock"


def only_process(folder: RunFolder) -> AbstractContextManager[None]:
    """Hold the run folder for this process alone during the block; the folder is made if it does not exist.

    The operating system frees the lock when the process is gone, even by SIGKILL. A folder in which no run was begun is
    left as it was.

    Raises:
        RunError: another living process holds it.
    """
    return _alone(folder.lock, "is at work on this run", "--run-dir", folder.holds_run)


def only_sweep(runs_dir: Path) -> AbstractContextManager[None]:
    """Hold a folder of runs for one sweep during the block; the folder is made if it does not exist.

    Raises:
        RunError: another living process sweeps it.
    """
    return _alone(
        runs_dir / SWEEP_LOCK, "is sweeping this folder", "--runs-dir",
        lambda: any(path.name != SWEEP_LOCK for path in runs_dir.iterdir()),
    )  # fmt: skip


def holder_of(folder: RunFolder) -> str | None:
    """The process that works on a run, such as "process 123 on host"; None if none does."""
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
def _alone(path: Path, at_work: str, option: str, keep: Callable[[], bool]) -> Iterator[None]:
    """Hold a lock file. Unless `keep()` is true at the end, remove it and the folders that were made for it."""
    made = [folder for folder in path.parents if not folder.exists()]
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
    with suppress(OSError):  # a full disk, for example: the lock holds all the same
        path.write_text(f"process {os.getpid()} on {socket.gethostname()}\n", encoding="utf-8")
    try:
        yield
    finally:
        kept = keep()
        if not kept:
            path.unlink(missing_ok=True)
        lock.release()
        for folder in [] if kept else made:
            with suppress(OSError):  # another process put something there meanwhile
                folder.rmdir()


def _holder(path: Path) -> str:
    """What the process that holds, or held, the lock wrote into it."""
    try:
        return path.read_text(encoding="utf-8").strip()[:200]
    except (OSError, ValueError):
        return ""
