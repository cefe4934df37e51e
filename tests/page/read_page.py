"""A page taken apart, as a browser does, and names that it must show as they are."""

from __future__ import annotations

from html.parser import HTMLParser

#: Names that would be markup, a script, or a template, if they were not taken for text.
HOSTILE = (
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    '"><img src=x onerror=alert(3)>',
    "' onmouseover='alert(4)",
    "<b>%{x} %{y}<br></b>",
    "<!-- <script> &lt;i&gt; ${alert(5)}",
    '<a href="javascript:alert(6)">x</a>',
)
_VOID = {"meta", "link", "img", "input", "br", "line"}


class ReadPage(HTMLParser):
    """tags: each with its attributes; text: what is read, scripts left out."""

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
