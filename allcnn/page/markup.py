"""Text -> HTML in which it is nothing but text, whoever wrote it."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence


class Html(str):
    """Markup of ours, whose texts were escaped when it was made."""


def escape(value: object) -> Html:
    """Anything as text inside HTML or an attribute; `Html` as it is."""
    if isinstance(value, Html):
        return value
    return Html(html.escape("".join(letter if letter.isprintable() else " " for letter in str(value))))


def join(parts: Iterable[object], separator: str = "\n") -> Html:
    """The parts one after the other, each escaped unless it is `Html`."""
    return Html(separator.join(escape(part) for part in parts))


def paragraph(text: object, kind: str = "") -> Html:
    """A paragraph; `kind` is its class in page.css."""
    return Html(f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>")


def section(anchor: str, title: str, *content: object) -> Html:
    """A part of the page, with its heading."""
    return Html(f'<section id="{escape(anchor)}"><h2>{escape(title)}</h2>\n{join(content)}\n</section>')


def table(
    headings: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    text_columns: Iterable[int] = (0,),
    caption: str,
    parts: Sequence[str | None] = (),
) -> Html:
    """A table that scrolls sideways in a box of its own.

    Args:
        text_columns: which are texts; the others are figures, which end under each other.
        parts: for each row the heading under which it stands, written where it changes.
    """
    texts = set(text_columns)

    def line(cells: Sequence[object], tag: str) -> str:
        return "".join(
            f"<{tag}>{escape(cell)}</{tag}>" if index in texts else f'<{tag} class="figure">{escape(cell)}</{tag}>'
            for index, cell in enumerate(cells)
        )

    body, part = [], None
    for row, above in zip(rows, parts or [None] * len(rows), strict=True):
        if above != part:
            part = above
            body.append(
                f'<tr class="part"><th colspan="{len(headings)}" scope="rowgroup">{escape(above or "")}</th></tr>'
            )
        body.append(f"<tr>{line(row, 'td')}</tr>")
    return Html(
        # Above the box and not in the table, whose own caption would scroll sideways with it.
        f'<p class="caption">{escape(caption)}</p>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}">'
        f"<table><thead><tr>{line(headings, 'th')}</tr></thead>\n"
        f"<tbody>\n{join(map(Html, body))}\n</tbody></table></div>"
    )
