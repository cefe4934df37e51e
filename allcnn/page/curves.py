"""Learning curves of all runs: a figure for each quantity, and one key that switches a run on and off in all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from allcnn.page.overview import best_of_each_network
from allcnn.page.plots import Plot, axis, figures, plain, plot
from allcnn.runs.collected import CollectedRun

# Apart from each other, and from white and from black.
_COLOURS = (
    "#3b82f6", "#f07818", "#22a35a", "#e0344f", "#9461e8", "#a5714b", "#e05fb8", "#13a7b5", "#a8a31c", "#7d8796",
    "#5b5bd0", "#6fae1f",
)  # fmt: skip
# In plotly's words, and in SVG's for the key.
_DASHES = (("solid", ""), ("dash", "8 4"), ("dot", "2 3"), ("dashdot", "8 3 2 3"))
_HEIGHT = 340
#: Curves that are on at the beginning; of more runs, the best of each network.
BEGIN_WITH = 12
# Few points are shown as such.
_FEW = 40

# Column of metrics.csv, title, unit in the hover text, axis.
_PANELS: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("test_error", "Test error (%)", " %", {"rangemode": "tozero"}),
    ("train_error", "Training error, dropout on (%)", " %", {"rangemode": "tozero"}),
    ("validation_error", "Validation error (%)", " %", {"rangemode": "tozero"}),
    ("loss", "Training loss, without the penalty", "", {}),
    ("learning_rate", "Learning rate", "", {"type": "log", "tickformat": "~g", "dtick": 1}),
)


@dataclass(frozen=True)
class Curve:
    """How a run is drawn, and its line of the key. dashes: as SVG has them; dash: as plotly has."""

    run: CollectedRun
    name: str
    colour: str
    dash: str
    dashes: str
    on: bool

    @property
    def says(self) -> str:
        return f"{self.run.test_error:.2f} %" if self.run.test_error is not None else self.run.status


def curves(runs: Sequence[CollectedRun], names: Sequence[str]) -> tuple[list[Curve], list[Plot]]:
    """The runs that have come to the end of an epoch, as the key lists them, and the figures that they are in."""
    drawn = [(run, name) for run, name in zip(runs, names, strict=True) if run.rows]
    looks = _looks([run for run, _ in drawn])
    on = _begin_with([run for run, _ in drawn])
    key = [
        Curve(run, name, colour, *dash, shown)
        for (run, name), (colour, dash), shown in zip(drawn, looks, on, strict=True)
    ]
    panels = [
        _panel(key, *panel)
        for panel in _PANELS
        if any(row.get(panel[0]) is not None for run, _ in drawn for row in run.rows)
    ]
    return key, panels


def _looks(runs: Sequence[CollectedRun]) -> list[tuple[str, tuple[str, str]]]:
    """A colour and a dash for each run: a colour of its own where they suffice, else its network's."""
    if len(runs) <= len(_COLOURS):
        return [(_COLOURS[index], _DASHES[0]) for index in range(len(runs))]
    seen: dict[tuple[str, str], int] = {}
    looks = []
    for run in runs:
        key = (run.model, run.dataset)
        earlier = seen.setdefault(key, 0)
        seen[key] += 1
        looks.append((_COLOURS[list(seen).index(key) % len(_COLOURS)], _DASHES[earlier % len(_DASHES)]))
    return looks


def _begin_with(runs: Sequence[CollectedRun]) -> list[bool]:
    """Which curves are on at first."""
    if len(runs) <= BEGIN_WITH:
        return [True] * len(runs)
    best = best_of_each_network(runs)[:BEGIN_WITH] or runs[:BEGIN_WITH]
    return [any(run is one for one in best) for run in runs]


def _panel(key: Sequence[Curve], column: str, title: str, unit: str, settings: dict[str, Any]) -> Plot:
    traces = []
    for index, curve in enumerate(key):
        # What was not measured at every epoch is a line from measurement to measurement; what was no number a gap.
        rows = [row for row in curve.run.rows if row.get(column) is not None]
        values = figures(row[column] for row in rows)
        if settings.get("type") == "log":
            values = [value if value and value > 0 else None for value in values]
        shape = "hvh" if "type" in settings else "linear"
        traces.append(
            {
                "type": "scatter",
                "uid": f"run{index}",
                "name": plain(curve.name),
                # Not in the template itself, where a name could hold "%{...}".
                "meta": plain(curve.name),
                "x": [row["epoch"] for row in rows],
                "y": values,
                "mode": "lines+markers" if len(rows) <= _FEW else "lines",
                "line": {"color": curve.colour, "dash": curve.dash, "width": 2, "shape": shape},
                "marker": {"size": 5, "color": curve.colour},
                "visible": curve.on,
                "hovertemplate": f"%{{meta}}<br>epoch %{{x}}: %{{y:.4~g}}{unit}<extra></extra>",
            }
        )
    epochs = max(len(curve.run.rows) for curve in key)
    few = {"tickmode": "linear", "dtick": 1} if epochs <= 10 else {}
    return plot(f"curves-{column}", title, "curves", _HEIGHT, traces, axis("epoch", **few), axis("", **settings))
