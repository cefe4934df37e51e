"""The whole HTML file: style, plotly.js and the sections, with a policy that lets it load nothing from anywhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

from allcnn.page.markup import Html, escape, join
from allcnn.page.plots import plotly_script

_HERE = Path(__file__).parent


def document(title: str, head: Html, contents: Sequence[tuple[str, str]], sections: Sequence[Html]) -> str:
    """The file's text.

    Only the two scripts of this file run, named by their SHA-256: a text of a run folder that came through as markup
    would still be no program. What plotly draws is styled by plotly, hence the inline styles.

    Args:
        title: as plain text.
        head: what stands below it.
        contents: anchors and titles of the sections to jump to.
    """
    scripts = [plotly_script(), (_HERE / "page.js").read_text(encoding="utf-8")]
    policy = (
        f"default-src 'none'; script-src {' '.join(map(_source, scripts))}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    links = join(Html(f'<li><a href="#{escape(anchor)}">{escape(text)}</a></li>') for anchor, text in contents)
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            '<link rel="icon" href="data:,">',
            f"<title>{escape(title)}</title>",
            f"<style>{(_HERE / 'page.css').read_text(encoding='utf-8')}</style>",
            "</head>",
            "<body>",
            f"<header><h1>{escape(title)}</h1>",
            head,
            f'<nav aria-label="Contents"><ul>{links}</ul></nav></header>',
            "<noscript><p class='missing'>The curves need JavaScript, which is switched off.</p></noscript>",
            f"<main>{join(sections)}</main>",
            *(f"<script>{script}</script>" for script in scripts),
            "</body>",
            "</html>",
            "",
        ]
    )


def _source(script: str) -> str:
    """A script as a source in a policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode('utf-8')).digest()).decode('ascii')}'"
