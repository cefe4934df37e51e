"""Collected runs -> one HTML file: the content is gathered here, page.html says how it looks."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from allcnn.errors import AllcnnError, InputError
from allcnn.files import write_text
from allcnn.reports.report import TABLES, report_table
from allcnn.runs.collected import CollectedRun

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

_HERE = Path(__file__).parent
_PACKAGES = ("allcnn", "keras", "tensorflow", "tensorflow-cpu", "jax", "numpy", "plotly")


def write_page(
    runs: Sequence[CollectedRun],
    path: str | Path,
    announce: Callable[[str], None] = lambda line: None,
    folders: Sequence[str | Path] = (),
) -> None:
    """Write a self-contained page about runs, in one step: it loads nothing from anywhere when it is opened.

    The best network of each kind, six at most, is loaded and looks at its own test images. Where that cannot be, the
    page says so and goes on.

    Args:
        runs: as `allcnn.runs.collected.collect_runs` gives them.
        path: the HTML file; replaced if it is there.
        announce: called with lines worth telling a person.
        folders: where the runs were collected, for the command that makes the page again; by default the folder that
            holds all of them.

    Raises:
        InputError: no runs, or a path that is a folder.
        AllcnnError: plotly or jinja2 is not installed.
        OSError: the file cannot be written.
    """
    path = Path(path)
    if not runs:
        raise InputError("there are no runs to make a page of.")
    if path.is_dir():
        raise InputError(f"{path}: is a folder; expected a name for the page, such as report.html.")
    try:
        from allcnn.page.curves import curves
        from allcnn.page.networks import networks
        from allcnn.page.overview import counted, names_of, overview

        scripts = [_plotly(), _text("page.js")]
        template = environment().get_template("page.html")
    except ImportError as error:
        missing = (error.name or "").partition(".")[0]
        raise AllcnnError(
            f"the page needs {missing}, which is not installed.\nInstall it: pip install {missing}"
        ) from None
    names = names_of(runs)
    tables = [report_table(runs, name) for name in TABLES]
    # The search has no published rows beside ours, so that it is never empty.
    filled = [one for one in tables if one.name == "lr" or any(row.values.get("n") for row in one.rows)]
    key, panels = curves(runs, names)
    content = {
        "scripts": scripts,
        "policy": _policy(scripts),
        "style": _text("page.css"),
        "counted": counted(runs),
        "made": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "installed": ", ".join(f"{name} {found}" for name in _PACKAGES if (found := _version(name))),
        "command": " ".join(["allcnn report", *_shown(folders or [_common_folder(runs)]), "--html", quote(path.name)]),
        "tables": filled,
        "empty": [one.title for one in tables if one not in filled],
        "runs": overview(runs, names),
        "key": key,
        "panels": panels,
        "networks": networks(runs, names, announce),
    }
    write_text(path, template.render(content))


def environment() -> Environment:
    """Where page.html finds what it uses. Every text in it is escaped; only what is `Markup` is ours."""
    import jinja2
    from markupsafe import Markup, escape

    from allcnn.page.plots import spaced

    def as_text(value: Any) -> Any:
        return spaced(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    def with_code(text: str) -> Markup:
        """A text with what it has between backquotes as code."""
        return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(spaced(text)))))  # escaped

    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE), autoescape=True, finalize=as_text, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    found.filters["with_code"] = with_code
    return found


def _text(name: str) -> Markup:
    from markupsafe import Markup

    return Markup((_HERE / name).read_text(encoding="utf-8"))  # a file of ours


def _plotly() -> Markup:
    """The whole of plotly.js, as it comes inside the Python package."""
    import plotly.offline
    from markupsafe import Markup

    return Markup(plotly.offline.get_plotlyjs())  # a library's


def _policy(scripts: Sequence[str]) -> str:
    """Only these scripts run, named by their SHA-256: a text that came through as markup would still be no program.

    What plotly draws is styled by plotly, hence the inline styles.
    """
    digests = (hashlib.sha256(script.encode("utf-8")).digest() for script in scripts)
    sources = " ".join(f"'sha256-{base64.b64encode(digest).decode('ascii')}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {sources}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _common_folder(runs: Sequence[CollectedRun]) -> str:
    """The folder that holds all runs."""
    return os.path.commonpath([run.folder.path.absolute() for run in runs])


def _shown(folders: Sequence[str | Path]) -> list[str]:
    """Folders as they are called from where the command was given; elsewhere their names alone.

    A page is passed on: it should not tell how somebody's folders are called.
    """
    here = Path.cwd()
    absolute = [Path(os.path.normpath(Path(folder).absolute())) for folder in folders]
    return [quote(str(one.relative_to(here)) if one.is_relative_to(here) else one.name) for one in absolute]
