"""What the tests of the page share: reading a page back, and one small network that was really trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path

import pytest

import allcnn
from allcnn.page import write_page
from allcnn.reports.collected import collect_runs

_VOID = {"meta", "link", "img", "input", "br", "line"}


class ReadPage(HTMLParser):
    """A page as a browser takes it apart. tags: each with its attributes; text: what is read, scripts left out."""

    def __init__(self, source: str):
        super().__init__(convert_charrefs=True)
        self.source = source
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(source)
        self.close()
        assert self._open == [], "every tag is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self._open):
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of every such tag."""
        return [attributes for name, attributes in self.tags if name == tag]


MakePage = Callable[..., ReadPage]


@pytest.fixture
def make_page(tmp_path: Path) -> MakePage:
    """Make a page of the runs in some folders and read it back: make_page(folder, ..., said=lines)."""

    def make(*paths: Path, said: list[str] | None = None) -> ReadPage:
        runs, problems = collect_runs(paths)
        assert problems == []
        file = tmp_path / "page.html"
        write_page(runs, file, announce=(said if said is not None else []).append)
        return ReadPage(file.read_text(encoding="utf-8"))

    return make


@pytest.fixture(scope="session")
def trained_runs(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Path]:
    """The folders of two short runs on the digits: one that is worse than the other, of the same network."""
    folder = tmp_path_factory.mktemp("trained")
    spec = "8C3/2-16C3/2-16C3-NC1:linear-GAP"
    for epochs in (1, 3):
        allcnn.train(spec, dataset="digits", epochs=epochs, run_dir=folder / f"{epochs}-epochs")
    return sorted(folder.iterdir())
