"""Collected runs -> one HTML file."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from shlex import quote

from allcnn.errors import InputError
from allcnn.files import write_text
from allcnn.page.choice import names_of
from allcnn.page.curves import curves
from allcnn.page.document import document
from allcnn.page.markup import Html, escape, paragraph
from allcnn.page.networks import TITLE, networks
from allcnn.page.overview import counted, overview
from allcnn.page.plots import check_plotly
from allcnn.page.results import results
from allcnn.runs.collected import CollectedRun

_PACKAGES = ("allcnn", "keras", "tensorflow", "tensorflow-cpu", "jax", "numpy", "plotly")


def write_page(
    runs: Sequence[CollectedRun], path: str | Path, announce: Callable[[str], None] = lambda line: None
) -> None:
    """Write a self-contained page about runs, in one step: it loads nothing from anywhere when it is opened.

    The best network of each kind, six at most, is loaded and looks at its own test images. Where that cannot be, the
    page says so and goes on.

    Args:
        runs: as `allcnn.runs.collected.collect_runs` gives them.
        path: the HTML file; replaced if it is there.
        announce: called with lines worth telling a person.

    Raises:
        InputError: no runs, or a path that is a folder.
        AllcnnError: plotly is not installed.
        OSError: the file cannot be written.
    """
    path = Path(path)
    if not runs:
        raise InputError("there are no runs to make a page of.")
    if path.is_dir():
        raise InputError(f"{path}: is a folder; expected a name for the page, such as report.html.")
    check_plotly()
    names = names_of(runs)
    sections = [
        ("results", "Results", results(runs)),
        ("runs", "Runs", overview(runs, names)),
        ("curves", "Learning curves", curves(runs, names)),
        ("networks", TITLE, networks(runs, names, announce)),
    ]
    text = document(
        "All Convolutional Net: report",
        _head(runs, path),
        [(anchor, title) for anchor, title, _ in sections],
        [content for _, _, content in sections],
    )
    write_text(path, text)


def _head(runs: Sequence[CollectedRun], path: Path) -> Html:
    installed = ", ".join(f"{name} {found}" for name in _PACKAGES if (found := _version(name)))
    made = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    command = f"allcnn report {quote(_common_folder(runs))} --html {quote(path.name)}"
    return Html(
        f"{paragraph(f'{counted(runs)}. Made on {made}.')}"
        f'{paragraph(installed, "quiet")}<pre aria-label="The command to make this page again">{escape(command)}</pre>'
    )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _common_folder(runs: Sequence[CollectedRun]) -> str:
    """The folder that holds all runs, from where the command was given; elsewhere its name alone.

    A page is passed on: it should not tell how somebody's folders are called.
    """
    folders = [run.folder.path.absolute() for run in runs]
    common = Path(os.path.commonpath(folders))
    here = Path.cwd()
    return str(common.relative_to(here)) if common.is_relative_to(here) else common.name
