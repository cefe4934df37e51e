"""Collected runs -> one HTML file: the content is gathered here, page.html says how it looks."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shlex
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jinja2
import plotly.offline
from markupsafe import Markup, escape

from allcnn.errors import InputError, installed_versions
from allcnn.files import write_text
from allcnn.page.figures import curves, spaced
from allcnn.page.networks import networks
from allcnn.page.overview import names_of, overview
from allcnn.reports.report import TABLES, measured_only, report_table
from allcnn.runs.collected import CollectedRun

_HERE = Path(__file__).parent
_PACKAGES = ("allcnn", "keras", "tensorflow", "tensorflow-cpu", "jax", "numpy", "plotly")


def write_page(
    runs: Sequence[CollectedRun],
    path: str | Path,
    announce: Callable[[str], None] = lambda line: None,
    folders: Sequence[str | Path] = (),
) -> None:
    """Write a self-contained page about runs, in one step: it loads nothing from anywhere when it is opened.

    The best network of each kind, six at most, is loaded and classifies its own test images. If that fails, the page
    says why and has the rest.

    Args:
        runs: as `allcnn.runs.collected.collect_runs` gives them.
        path: the HTML file; replaced if it is there.
        announce: called with lines worth telling a person.
        folders: where the runs were collected, as they were given, for the command that makes the page again; by
            default the folder that holds all of them.

    Raises:
        InputError: no runs, or a path that is a folder.
        OSError: the file cannot be written.
    """
    path = Path(path)
    if not runs:
        raise InputError("there are no runs to make a page of.")
    if path.is_dir():
        raise InputError(f"{path}: is a folder; expected a name for the page, such as report.html.")
    names = names_of(runs)
    tables = [report_table(runs, name) for name in TABLES]
    # The search has no published rows beside ours, so it is never empty.
    filled = [one for one in tables if one.name == "lr" or any(row.values["n"] for row in one.rows)]
    key, panels = curves(runs, names)
    # The whole of plotly.js comes inside the Python package.
    scripts = [Markup(plotly.offline.get_plotlyjs()), _text("page.js")]  # a library's
    content = {
        "scripts": scripts,
        "policy": _policy(scripts),
        "style": _text("page.css"),
        "made": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "installed": ", ".join(f"{name} {found}" for name, found in installed_versions(_PACKAGES).items()),
        "command": _command(folders or [_common_folder(runs)], path),
        "tables": [measured_only(one) for one in filled],
        "empty": [one.title for one in tables if one not in filled],
        "runs": overview(runs, names),
        "key": key,
        "panels": panels,
        "networks": networks(runs, names, announce),
    }
    write_text(path, environment().get_template("page.html").render(content))


def environment() -> jinja2.Environment:
    """Where page.html finds what it uses. Every text in it is escaped, except `Markup`, which is made here only."""

    def as_text(value: Any) -> Any:
        return spaced(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    def with_code(text: str) -> Markup:
        """The text with everything between backquotes as code."""
        return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(spaced(text)))))  # escaped

    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE), autoescape=True, finalize=as_text, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    found.filters["with_code"] = with_code
    return found


def _text(name: str) -> Markup:
    return Markup((_HERE / name).read_text(encoding="utf-8"))  # a file of ours


def _policy(scripts: Sequence[str]) -> str:
    """Only these scripts run, named by their SHA-256, even if a text came through as markup.

    plotly styles what it draws, hence the inline styles.
    """
    digests = (hashlib.sha256(script.encode("utf-8")).digest() for script in scripts)
    sources = " ".join(f"'sha256-{base64.b64encode(digest).decode('ascii')}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {sources}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _common_folder(runs: Sequence[CollectedRun]) -> Path:
    """The folder that holds all runs, from the current one if it is inside."""
    folder = Path(os.path.commonpath([run.folder.path.absolute() for run in runs]))
    return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder


def _command(folders: Sequence[str | Path], page: Path) -> str:
    """The command that makes the page again in the folder where it was made, with paths as they were given."""
    return " ".join(["allcnn report", *map(_in_shell, folders), "--html", _in_shell(page)])


def _in_shell(path: str | Path) -> str:
    """A path for a shell. The home folder, which a shell puts into paths, is ~: a page is passed on."""
    path = Path(path)
    if path.is_absolute() and path.is_relative_to(Path.home()):
        inside = path.relative_to(Path.home())
        return f"~/{shlex.quote(str(inside))}" if inside.parts else "~"
    return shlex.quote(str(path))
