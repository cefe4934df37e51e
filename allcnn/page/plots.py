"""What all figures of plotly on the page have in common, and how they lie in it: as JSON, drawn by page.js."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from allcnn.errors import AllcnnError
from allcnn.page.markup import Html, escape

# Seen on white and on black; page.css sets the letters' and the lines' own colours where it can.
_GREY, _LINE = "#808080", "rgba(128, 128, 128, 0.3)"
_LABEL = {"align": "left", "bgcolor": "#242c38", "bordercolor": _GREY, "font": {"color": "#ffffff", "size": 13}}
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"


def check_plotly() -> None:
    """Refuse to begin where plotly is missing. Raises AllcnnError."""
    try:
        import plotly  # noqa: F401
    except ImportError:
        raise AllcnnError("the page needs plotly, which is not installed.\nInstall it: pip install plotly") from None


def plotly_script() -> str:
    """The whole of plotly.js, as it comes inside the Python package."""
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()


def axis(title: str, **settings: Any) -> dict[str, Any]:
    """An axis as all of the page's are; titles never take part in a drag."""
    lines = {"gridcolor": _LINE, "linecolor": _LINE, "zerolinecolor": _LINE, "zerolinewidth": 1}
    return {"title": {"text": escape(title), "standoff": 6}, "automargin": True, **lines, **settings}


def plot(
    identity: str,
    name: str,
    traces: Sequence[dict[str, Any]],
    xaxis: dict[str, Any],
    yaxis: dict[str, Any],
    *,
    height: int,
    kind: str = "",
    **layout: Any,
) -> Html:
    """A figure: the box that it is drawn into, and what to draw, checked by plotly.

    Args:
        identity: of the box, unique on the page.
        name: what the figure shows, for those who do not see it.
        height: in pixels; the width is the page's.
        kind: a class of page.css.
    """
    import plotly.graph_objects as go
    import plotly.io

    settings = {
        "template": "none", "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)", "height": height,
        "font": {"family": _FONT, "size": 12, "color": _GREY}, "margin": {"l": 8, "r": 12, "t": 28, "b": 8},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": _GREY, "activecolor": _GREY},
        "showlegend": False, "hovermode": "closest", "hoverlabel": _LABEL,
        "xaxis": xaxis, "yaxis": yaxis,
    }  # fmt: skip
    document = plotly.io.to_json(go.Figure(list(traces), {**settings, **layout}), remove_uids=False)
    # A text with "</script>" must not end the script; as JSON it is the same.
    document = document.replace("<", "\\u003c").replace("&", "\\u0026")
    return Html(
        f'<figure class="drawn {escape(kind)}"><figcaption>{escape(name)}</figcaption>'
        f'<div class="plot" id="{escape(identity)}" role="img" aria-label="{escape(name)}" style="height:{height}px">'
        f'</div><script type="application/json">{document}</script></figure>'
    )


def figures(values: Iterable[float | None]) -> list[float | None]:
    """Numbers for JSON, to six digits; what is none, or is not finite, is a gap."""
    return [None if value is None or not math.isfinite(value) else float(f"{value:.6g}") for value in values]
