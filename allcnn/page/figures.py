"""Learning curves of all runs, and a confusion of a network, as JSON that page.js draws with plotly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
import plotly.io
from markupsafe import Markup, escape

from allcnn.page.overview import best_of_each_network
from allcnn.runs.collected import CollectedRun
from allcnn.scores import Evaluation

# Unlike each other, white and black.
_COLOURS = (
    "#3b82f6", "#f07818", "#22a35a", "#e0344f", "#9461e8", "#a5714b", "#e05fb8", "#13a7b5", "#a8a31c", "#7d8796",
    "#5b5bd0", "#6fae1f",
)  # fmt: skip
# As plotly names them, and as SVG draws them in the key.
_DASHES = (("solid", ""), ("dash", "8 4"), ("dot", "2 3"), ("dashdot", "8 3 2 3"))
#: The most curves that are on at first. With more runs, only the best of each network are on.
BEGIN_WITH = 12
# A curve of so few points shows each.
_FEW = 40
# Column of metrics.csv, title, unit in the hover text, axis.
_PANELS: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("test_error", "Test error (%)", " %", {"rangemode": "tozero"}),
    ("train_error", "Training error, dropout on (%)", " %", {"rangemode": "tozero"}),
    ("validation_error", "Validation error (%)", " %", {"rangemode": "tozero"}),
    ("loss", "Training loss, without the penalty", "", {}),
    ("learning_rate", "Learning rate", "", {"type": "log", "tickformat": "~g", "dtick": 1}),
)
# The most classes for which there is room for a number in each cell of the confusion, and for a name at each row, and
# whose names in the cells' hover texts do not take tens of megabytes.
_NUMBERED, _NAMED, _HOVERED = 12, 30, 100
# From the page's own colour to a blue on which both black and white text can be read.
_SCALE = [[0, "rgba(59, 130, 246, 0.0)"], [0.02, "rgba(59, 130, 246, 0.12)"], [1, "rgba(59, 130, 246, 0.75)"]]
# Visible on white and on black; page.css sets the colours of text and lines where it can.
_GREY, _LINE = "#808080", "rgba(128, 128, 128, 0.3)"
_LABEL = {"align": "left", "bgcolor": "#242c38", "bordercolor": _GREY, "font": {"color": "#ffffff", "size": 13}}
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"


class Plot(NamedTuple):
    """A figure for the template.

    identity: the id of its box. name: what it shows. kind: a class of page.css. height: in pixels; the width is the
    page's. document: what to draw, as JSON that can stand in a script.
    """

    identity: str
    name: str
    kind: str
    height: int
    document: Markup


@dataclass(frozen=True)
class Curve:
    """How a run is drawn, and its line of the key. dash, dashes: as plotly and as SVG have them. on: shown at first."""

    run: CollectedRun
    name: str
    colour: str
    dash: str
    dashes: str
    on: bool

    @property
    def result(self) -> str:
        return f"{self.run.test_error:.2f} %" if self.run.test_error is not None else self.run.status


def curves(runs: Sequence[CollectedRun], names: Sequence[str]) -> tuple[list[Curve], list[Plot]]:
    """The runs that have finished an epoch, as the key lists them, and the figures of their curves."""
    drawn = [(run, name) for run, name in zip(runs, names, strict=True) if run.rows]
    styles = _styles([run for run, _ in drawn])
    on = _begin_with([run for run, _ in drawn])
    key = [
        Curve(run, name, colour, *dash, shown)
        for (run, name), (colour, dash), shown in zip(drawn, styles, on, strict=True)
    ]
    measured = {column for run, _ in drawn for row in run.rows for column, value in row.items() if value is not None}
    return key, [_panel(key, *panel) for panel in _PANELS if panel[0] in measured]


def _styles(runs: Sequence[CollectedRun]) -> list[tuple[str, tuple[str, str]]]:
    """A colour and a dash for each run: a colour of its own if there are enough, else its network's."""
    if len(runs) <= len(_COLOURS):
        return [(colour, _DASHES[0]) for colour in _COLOURS[: len(runs)]]
    networks = [(run.model, run.dataset) for run in runs]
    colours = dict(zip(dict.fromkeys(networks), cycle(_COLOURS), strict=False))
    return [
        (colours[network], _DASHES[networks[:index].count(network) % len(_DASHES)])
        for index, network in enumerate(networks)
    ]


def _begin_with(runs: Sequence[CollectedRun]) -> list[bool]:
    if len(runs) <= BEGIN_WITH:
        return [True] * len(runs)
    best = best_of_each_network(runs)[:BEGIN_WITH] or runs[:BEGIN_WITH]
    return [run in best for run in runs]


def _panel(key: Sequence[Curve], column: str, title: str, unit: str, settings: dict[str, Any]) -> Plot:
    logarithmic = settings.get("type") == "log"

    def drawn(value: float) -> float | None:
        """To six digits; what cannot be drawn is a gap."""
        return float(f"{value:.6g}") if math.isfinite(value) and (value > 0 or not logarithmic) else None

    traces = []
    for index, curve in enumerate(key):
        # A quantity that was not measured in every epoch is a line from measurement to measurement.
        rows = [row for row in curve.run.rows if row.get(column) is not None]
        traces.append(
            {
                "type": "scatter",
                "uid": f"run{index}",
                "name": plain(curve.name),
                # Not in the template itself, since a name could hold "%{...}".
                "meta": plain(curve.name),
                "x": [row["epoch"] for row in rows],
                "y": [drawn(row[column]) for row in rows],
                "mode": "lines+markers" if len(rows) <= _FEW else "lines",
                "line": {
                    "color": curve.colour, "dash": curve.dash, "width": 2, "shape": "hvh" if logarithmic else "linear",
                },
                "marker": {"size": 5, "color": curve.colour},
                "visible": curve.on,
                "hovertemplate": f"%{{meta}}<br>epoch %{{x}}: %{{y:.4~g}}{unit}<extra></extra>",
            }
        )  # fmt: skip
    few = {"tickmode": "linear", "dtick": 1} if max(len(curve.run.rows) for curve in key) <= 10 else {}
    return _plot(f"curves-{column}", title, "curves", 340, traces, _axis("epoch", **few), _axis("", **settings))


def confusion(evaluation: Evaluation, identity: str) -> Plot:
    """A heat map, a row for each class: the share of its images that was taken for each."""
    counts = evaluation.confusion
    totals = counts.sum(axis=1, keepdims=True)
    names = [plain(name) for name in evaluation.class_names]
    # Numbers as places, names as their labels: plotly would merge two classes of one name.
    places = list(range(len(names)))
    numbered = len(names) <= _NUMBERED
    trace: dict[str, Any] = {
        "type": "heatmap",
        "x": places,
        "y": places,
        "z": np.round(100.0 * counts / np.maximum(totals, 1), 2).tolist(),
        "zmin": 0,
        "zmax": 100,
        "colorscale": _SCALE,
        "showscale": False,
        "xgap": 1 if numbered else 0,
        "ygap": 1 if numbered else 0,
        "text": [[str(count) if count else "" for count in row] for row in counts.tolist()] if numbered else None,
        "texttemplate": "%{text}" if numbered else None,
        "textfont": {"size": 11},
        "hovertemplate": "class %{y}, taken for class %{x}:<br>%{z:.1f} % of its images<extra></extra>",
    }
    if len(names) <= _HOVERED:
        trace["customdata"] = [
            [[names[row], names[column], int(counts[row, column]), int(totals[row, 0])] for column in places]
            for row in places
        ]
        trace["hovertemplate"] = (
            "%{customdata[0]}, taken for %{customdata[1]}:<br>%{customdata[2]} of %{customdata[3]} "
            "images (%{z:.1f} %)<extra></extra>"
        )
    short = [plain(name if len(name) <= 16 else f"{name[:15]}…") for name in evaluation.class_names]
    settings: dict[str, Any] = {"showgrid": False, "zeroline": False, "ticks": ""}
    if len(names) <= _NAMED:
        settings |= {"tickvals": places, "ticktext": short}
    return _plot(
        identity,
        "Confusion: rows are the true classes, columns what they were taken for; on the diagonal what is right",
        "confusion",
        460,
        [trace],
        _axis("taken for", tickangle=-45, **settings),
        _axis("true class", autorange="reversed", **settings),
    )


def _plot(
    identity: str,
    name: str,
    kind: str,
    height: int,
    traces: Sequence[dict[str, Any]],
    xaxis: dict[str, Any],
    yaxis: dict[str, Any],
) -> Plot:
    """A figure, checked by plotly; see `Plot`."""
    layout = {
        "template": "none", "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)", "height": height,
        "font": {"family": _FONT, "size": 12, "color": _GREY}, "margin": {"l": 8, "r": 12, "t": 28, "b": 8},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": _GREY, "activecolor": _GREY},
        "showlegend": False, "hovermode": "closest", "hoverlabel": _LABEL,
        "xaxis": xaxis, "yaxis": yaxis,
    }  # fmt: skip
    document = plotly.io.to_json(go.Figure(list(traces), layout), remove_uids=False)
    # A text with "</script>" must not end the script; escaped, it is the same text in JSON.
    document = document.replace("<", "\\u003c").replace("&", "\\u0026")
    return Plot(identity, name, kind, height, Markup(document))  # plotly's JSON, made safe above


def _axis(title: str, **settings: Any) -> dict[str, Any]:
    lines = {"gridcolor": _LINE, "linecolor": _LINE, "zerolinecolor": _LINE, "zerolinewidth": 1}
    return {"title": {"text": title, "standoff": 6}, "automargin": True, **lines, **settings}


def plain(text: str) -> str:
    """Someone else's text for plotly, which would read some tags in it."""
    return str(escape(spaced(text)))


def spaced(text: str) -> str:
    """The text with a space for each character that cannot be seen."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
