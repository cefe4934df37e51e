"""A disk that fills while a run saves: is anything lost, and does it go on once there is room?

    sudo python tests/studies/full_disk.py

Mounts a small tmpfs, for which it must be root, trains the digits on it with the real command, and fills it while the
run goes, at a different moment each time. The run must end with exit code 1 and a line that names the disk, leave a
readable state, go on once the filling is deleted, and end in the bits of a run on a disk with room.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from kills import LONGEST, Study, differences, finish

from allcnn.runs.checkpoint import load_state
from allcnn.runs.folder import RunFolder

MEGABYTE = 1 << 20


@contextmanager
def small_disk(folder: Path, megabytes: int):
    """A tmpfs of so many megabytes at `folder`. Raises PermissionError where this process may not mount."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        raise PermissionError("mounting a tmpfs needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(disk: Path, leave: int) -> Path:
    """Fill a disk but for `leave` bytes; the file that does."""
    filling = disk / "filling"
    room = os.statvfs(disk)
    with open(filling, "wb") as file:
        file.write(b"\0" * max(room.f_bavail * room.f_bsize - leave, 0))
    return filling


def one_disk(study: Study, number: int) -> tuple[str, list[str]]:
    """Fill the disk in the middle of a run: what the run said, and what went wrong."""
    choice = random.Random(number)
    whole, duration = study.undisturbed(0)
    with small_disk(study.folder / f"disk-{number}", 8) as disk:
        run = disk / "run"
        process = study.start(run, 0, choice.choice((None, 1, 7)))
        after = choice.randint(1, 4)
        seen, last, until = 0, None, time.monotonic() + LONGEST
        while seen < after and process.poll() is None and time.monotonic() < until:
            modified = (run / "state.h5").stat().st_mtime_ns if (run / "state.h5").exists() else None
            seen, last = seen + (modified is not None and modified != last), modified
            time.sleep(0.001)
        filling = fill(disk, choice.choice((0, 4096, 20_000)))
        _, errors = process.communicate(timeout=LONGEST)
        said = next((line for line in errors.splitlines() if "no space" in line), errors[-300:])
        wrong = []
        if process.returncode != 1 or "no space is left on the disk" not in said or "Traceback" in errors:
            wrong.append(f"it ended with {process.returncode}: {errors[-300:]}")
        if load_state(RunFolder(run)) is None:
            wrong.append("no state is left")
        filling.unlink()
        finish(study.start(run, 0, None))
        return said, wrong + differences(whole, run)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--disks", type=int, default=10)
    arguments = parser.parse_args()
    good = 0
    with tempfile.TemporaryDirectory() as folder:
        study = Study(Path(folder), "tensorflow")
        for number in range(arguments.disks):
            said, wrong = one_disk(study, number)
            good += not wrong
            print(f"disk {number}: {said.removeprefix(folder)}\n    {'; '.join(wrong) or 'resumed to the same bits'}")
    print(f"\n{good} of {arguments.disks} runs lost nothing and went on to the same bits")
    sys.exit(good < arguments.disks)


if __name__ == "__main__":
    main()
