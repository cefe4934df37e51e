"""What a refusal is: one or two lines that name the file, exit code 1 or 2 at the shell, and nothing else touched."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from allcnn.errors import AllcnnError
from allcnn_cli.main import main


def snapshot(folder: Path) -> dict[str, tuple]:
    """Everything under a folder: kind, size, time of change and content, to compare with later."""
    found: dict[str, tuple] = {}
    for parent, folders, names in os.walk(os.fsencode(folder)):
        for name in (*folders, *names):
            path = os.path.join(parent, name)
            status = os.lstat(path)
            content = b""
            if stat.S_ISREG(status.st_mode) and status.st_size < 2**24:
                with open(path, "rb") as file:
                    content = hashlib.sha256(file.read()).digest()
            found[repr(path)] = (stat.S_IFMT(status.st_mode), status.st_size, status.st_mtime_ns, content)
    return found


def refused(call: Callable[[], object], named: str) -> str:
    """Call what must be refused as wrong input with `named` in the message; the message."""
    with pytest.raises(AllcnnError) as error:
        call()
    check_lines(str(error.value), named)
    assert error.value.exit_code in (1, 2)
    return str(error.value)


def refused_by_shell(capfd: pytest.CaptureFixture[str], arguments: list[object], named: str) -> str:
    """Run a command that must be refused, with `named` in what it says; what it says."""
    capfd.readouterr()
    code = main([str(argument) for argument in arguments])
    out, err = capfd.readouterr()
    assert code in (1, 2), err
    assert out == ""
    assert err.startswith("error: ") and "Traceback" not in err and "unexpected" not in err, err
    check_lines(err.rstrip("\n"), named)
    return err


def check_lines(message: str, named: str) -> None:
    assert named in message, message
    lines = message.split("\n")
    assert len(lines) <= 2 and all(line.isprintable() and len(line) < 1000 for line in lines), message
