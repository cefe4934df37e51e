"""Names that others chose, made fit for a message of one line."""

from __future__ import annotations

from pathlib import Path


def printable(name: str | Path) -> str:
    """A name as it is; with line breaks, control characters or undecodable bytes in it, with all of those escaped."""
    text = str(name)
    return text if text.isprintable() else repr(text)[1:-1]
