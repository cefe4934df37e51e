"""What all figures of plotly on the page have in common, and how they lie in it: as JSON, drawn by page.js."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup, escape

# Seen on white and on black; page.css sets the letters' and the lines' own colours where it can.
_GREY, _LINE = "#808080", "rgba(128, 128, 128, 0.3)"
_LABEL = {"align": "left", "bgcolor": "#242c38", "bordercolor": _GREY, "font": {"color": "#ffffff", "size": 13}}
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"


class Plot(NamedTuple):
    """A figure for the template.

    identity: of its box, unique on the page. name: what it shows, for those who do not see it. kind: a class of
    page.css. height: in pixels; the width is the page's. document: what to draw, as JSON that can stand in a script.
    """

    identity: str
    name: str
    kind: str
    height: int
    document: Markup


def plot(
    identity: str,
    name: str,
    kind: str,
    height: int,
    traces: Sequence[dict[str, Any]],
    xaxis: dict[str, Any],
    yaxis: dict[str, Any],
) -> Plot:
    """A figure, checked by plotly; see `Plot`."""
    import plotly.graph_objects as go
    import plotly.io

    layout = {
        "template": "none", "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)", "height": height,
        "font": {"family": _FONT, "size": 12, "color": _GREY}, "margin": {"l": 8, "r": 12, "t": 28, "b": 8},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": _GREY, "activecolor": _GREY},
        "showlegend": False, "hovermode": "closest", "hoverlabel": _LABEL,
        "xaxis": xaxis, "yaxis": yaxis,
    }  # fmt: skip
    document = plotly.io.to_json(go.Figure(list(traces), layout), remove_uids=False)
    # A text with "</script>" must not end the script; as JSON it is the same.
    document = document.replace("<", "\\u003c").replace("&", "\\u0026")
    return Plot(identity, name, kind, height, Markup(document))  # JSON of plotly's, made safe above


def axis(title: str, **settings: Any) -> dict[str, Any]:
    """An axis as all of the page's are; titles never take part in a drag."""
    lines = {"gridcolor": _LINE, "linecolor": _LINE, "zerolinecolor": _LINE, "zerolinewidth": 1}
    return {"title": {"text": title, "standoff": 6}, "automargin": True, **lines, **settings}


def plain(text: str) -> str:
    """A text of others for plotly, which would read some tags in it."""
    return str(escape(spaced(text)))


def spaced(text: str) -> str:
    """A text with spaces for what nobody can see."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def figures(values: Iterable[float | None]) -> list[float | None]:
    """Numbers for JSON, to six digits; what is none, or is not finite, is a gap."""
    return [None if value is None or not math.isfinite(value) else float(f"{value:.6g}") for value in values]
