"""One run, one process: a lock on the run folder that goes with the process, however that ends."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from filelock import FileLock, Timeout

from allcnn.errors import RunError
from allcnn.runs.folder import RunFolder


@contextmanager
def only_process(folder: RunFolder) -> Iterator[None]:
    """Hold the run folder, made if need be, for this process alone while the block lasts.

    The operating system frees the lock when the process is gone, by SIGKILL too. A folder in which no run was begun
    is left as it was found.

    Raises:
        RunError: another process, which still lives, holds it.
    """
    made = [path for path in (folder.path, *folder.path.parents) if not path.exists()]
    holder = _holder(folder)
    folder.path.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.lock)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise RunError(
            f"{folder.path}: {holder or 'another process'} is at work on this run.\n"
            "Wait for its end, stop it, or choose another folder with --run-dir."
        ) from None
    try:
        with suppress(OSError):  # a full disk, say: the lock holds all the same
            folder.lock.write_text(f"process {os.getpid()} on {socket.gethostname()}\n", encoding="utf-8")
        yield
    finally:
        if not folder.holds_run():
            folder.lock.unlink(missing_ok=True)
        lock.release()
        for path in made if not folder.holds_run() else []:
            with suppress(OSError):  # somebody put something there meanwhile
                path.rmdir()


def _holder(folder: RunFolder) -> str:
    """What the process that holds, or held, the lock wrote of itself."""
    try:
        return folder.lock.read_text(encoding="utf-8").strip()[:200]
    except (OSError, ValueError):
        return ""
