"""Learning curves of all runs: a figure for each quantity, and one key that switches a run on and off in all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from allcnn.page.choice import best_of_each_network
from allcnn.page.markup import Html, escape, join, paragraph, section
from allcnn.page.plots import axis, figures, plot
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


def curves(runs: Sequence[CollectedRun], names: Sequence[str]) -> Html:
    """The section of the learning curves."""
    drawn = [index for index, run in enumerate(runs) if run.rows]
    if not drawn:
        return section("curves", "Learning curves", paragraph("No run has come to the end of an epoch yet."))
    looks = _looks([runs[index] for index in drawn])
    on = _begin_with([runs[index] for index in drawn])
    panels = [
        _panel([runs[index] for index in drawn], [names[index] for index in drawn], looks, on, *panel)
        for panel in _PANELS
        if any(row.get(panel[0]) is not None for run in runs for row in run.rows)
    ]
    return section(
        "curves",
        "Learning curves",
        paragraph(
            "A tick switches a run on and off in every figure. Pointing at a curve, or touching it, shows values."
        ),
        _key([runs[index] for index in drawn], [names[index] for index in drawn], looks, on),
        Html(f'<div class="side-by-side">{join(panels)}</div>'),
    )


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


def _panel(
    runs: Sequence[CollectedRun],
    names: Sequence[str],
    looks: Sequence[tuple[str, tuple[str, str]]],
    on: Sequence[bool],
    column: str,
    title: str,
    unit: str,
    settings: dict[str, Any],
) -> Html:
    traces = []
    for index, (run, name, (colour, (dash, _)), shown) in enumerate(zip(runs, names, looks, on, strict=True)):
        # What was not measured at every epoch is a line from measurement to measurement; what was no number a gap.
        rows = [row for row in run.rows if row.get(column) is not None]
        values = figures(row[column] for row in rows)
        if settings.get("type") == "log":
            values = [value if value and value > 0 else None for value in values]
        traces.append(
            {
                "type": "scatter",
                "uid": f"run{index}",
                "name": escape(name),
                # Not in the template itself, where a name could hold "%{...}".
                "meta": escape(name),
                "x": [row["epoch"] for row in rows],
                "y": values,
                "mode": "lines+markers" if len(rows) <= _FEW else "lines",
                "line": {"color": colour, "dash": dash, "width": 2, "shape": "hvh" if "type" in settings else "linear"},
                "marker": {"size": 5, "color": colour},
                "visible": shown,
                "hovertemplate": f"%{{meta}}<br>epoch %{{x}}: %{{y:.4~g}}{unit}<extra></extra>",
            }
        )
    epochs = max(len(run.rows) for run in runs)
    few = {"tickmode": "linear", "dtick": 1} if epochs <= 10 else {}
    return plot(
        f"curves-{column}", title, traces, axis("epoch", **few), axis("", **settings), height=_HEIGHT, kind="curves"
    )


def _key(
    runs: Sequence[CollectedRun],
    names: Sequence[str],
    looks: Sequence[tuple[str, tuple[str, str]]],
    on: Sequence[bool],
) -> Html:
    """The ticks, and buttons for all of them at once."""
    ticks = []
    for index, (run, name, (colour, (_, dashes)), shown) in enumerate(zip(runs, names, looks, on, strict=True)):
        error = f"{run.test_error:.2f} %" if run.test_error is not None else run.status
        ticks.append(
            f'<label><input type="checkbox" value="run{index}"{" checked" * shown} autocomplete="off">'
            f'<svg width="28" height="8" aria-hidden="true"><line x1="0" y1="4" x2="28" y2="4" stroke="{colour}" '
            f'stroke-width="3" stroke-dasharray="{dashes}"/></svg>'
            f'<span class="name">{escape(name)}</span> <span class="quiet">{escape(error)}</span></label>'
        )
    buttons = [("all", "All"), ("none", "None")]
    if not all(on):
        buttons.append(("first", "Best of each network"))
    pressed = "".join(f'<button type="button" data-show="{what}">{text}</button>' for what, text in buttons)
    return Html(
        f'<fieldset id="key"><legend>Runs</legend><div class="buttons">{pressed}</div>'
        f'<div class="ticks">{"".join(ticks)}</div></fieldset>'
    )
