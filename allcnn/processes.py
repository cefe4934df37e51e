"""`allcnn` in a process of its own, which ends with the one that made it, and why it failed."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_IMPORTED_FROM = Path(__file__).resolve().parents[1]
_FAILURE = re.compile(r"^(error: |unexpected |Fatal |Traceback )")


def spawn(
    command: Sequence[str],
    log: Path,
    environment: Mapping[str, str | None],
    at_death: signal.Signals = signal.SIGTERM,
) -> tuple[subprocess.Popen[bytes], int]:
    """Begin `allcnn COMMAND...`; gives the process, and where what it says begins in its log.

    It hears neither the terminal's Ctrl-C nor its hang-up.

    Args:
        environment: changes to this process's own, None taking a name away.
        at_death: what the process gets when this one is gone.
    """
    changed = {**os.environ, **python_path(), **environment}
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as file:
        file.write(f"\n{time.strftime('%Y-%m-%d %H:%M:%S')} $ {shlex.join(['allcnn', *command])}\n".encode())
        file.flush()
        orphan = str(Path(__file__).with_name("orphan.py"))
        launcher = [sys.executable, "-E", "-S", orphan, str(os.getpid()), str(int(at_death))]
        process = subprocess.Popen(
            [*launcher, sys.executable, "-m", "allcnn_cli", *command],
            stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, start_new_session=True,
            env={name: value for name, value in changed.items() if value is not None},
        )  # fmt: skip
        return process, file.tell()


def python_path() -> dict[str, str]:
    """PYTHONPATH as it must be for a process to find this package, where it is not installed."""
    if _IMPORTED_FROM.name in ("site-packages", "dist-packages"):
        return {}
    return {"PYTHONPATH": os.pathsep.join(filter(None, (str(_IMPORTED_FROM), os.environ.get("PYTHONPATH"))))}


def failure_of(code: int, log: Path, begun_at: int) -> str | None:
    """Why a process that ended failed, in a line; None where it did not."""
    if code == 0:
        return None
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return f"killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    said = last_words(log, begun_at)
    return f"exit code {code}: {said}" if said else f"exit code {code}"


def last_words(log: Path, begun_at: int) -> str:
    """The line of a log in which a process says why it failed, else its last; of what it wrote since it began."""
    try:
        with open(log, "rb") as file:
            file.seek(begun_at)
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    failures = [line for line in lines if _FAILURE.match(line)]
    said = failures[-1] if failures and not failures[-1].startswith("Traceback") else (lines or [""])[-1]
    return said.removeprefix("error: ")[:300]
