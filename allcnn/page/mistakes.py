"""What a network gets wrong: its confusion as a heat map, and the images it was surest and wrong about."""

from __future__ import annotations

import numpy as np

from allcnn.page.images import image, small
from allcnn.page.looked import Looked
from allcnn.page.markup import Html, escape, join
from allcnn.page.plots import axis, plot

#: Images shown.
WORST, RIGHT = 12, 6
# More classes than this have no room for a number in each field.
_NUMBERED = 12
# From nothing, which is the page's own colour, to all.
# Never so deep that black letters, or white ones in the dark, could not be read on it.
_SCALE = [[0, "rgba(59, 130, 246, 0.0)"], [0.02, "rgba(59, 130, 246, 0.12)"], [1, "rgba(59, 130, 246, 0.75)"]]


def confusion(looked: Looked, identity: str) -> Html:
    """A heat map, a row for each class: the share of its images that was taken for each."""
    counts = looked.confusion
    sums = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shares = 100.0 * counts / sums
    names = [escape(name) for name in looked.class_names]
    # Numbers as places, names as their labels: two classes may have one name, and plotly would merge them.
    places = list(range(len(names)))
    numbered = len(names) <= _NUMBERED
    trace = {
        "type": "heatmap",
        "x": places,
        "y": places,
        "z": np.round(shares, 2).tolist(),
        "zmin": 0,
        "zmax": 100,
        "colorscale": _SCALE,
        "showscale": False,
        "xgap": 1 if numbered else 0,
        "ygap": 1 if numbered else 0,
        "text": [[str(count) if count else "" for count in row] for row in counts.tolist()] if numbered else None,
        "texttemplate": "%{text}" if numbered else None,
        "textfont": {"size": 11},
        "customdata": [
            [[names[row], names[column], int(counts[row, column]), int(counts[row].sum())] for column in places]
            for row in places
        ],
        "hovertemplate": "%{customdata[0]}, taken for %{customdata[1]}:<br>%{customdata[2]} of %{customdata[3]} "
        "images (%{z:.1f} %)<extra></extra>",
    }  # fmt: skip
    labels = {"tickvals": places, "ticktext": [_short(name) for name in looked.class_names]} if len(names) <= 30 else {}
    return plot(
        identity,
        "Confusion: rows are the true classes, columns what they were taken for; on the diagonal what is right",
        [trace],
        axis("taken for", **labels, tickangle=-45, showgrid=False, zeroline=False, ticks=""),
        axis("true class", **labels, autorange="reversed", ticks="", showgrid=False, zeroline=False),
        height=460,
        kind="confusion",
    )


def samples(looked: Looked) -> Html:
    """The worst mistakes, by the probability of the wrong class, and the first images that were right."""
    guesses, rows = looked.guesses, np.arange(len(looked.labels))
    sure = looked.chances[rows, guesses]
    wrong = np.flatnonzero(guesses != looked.labels)
    worst = wrong[np.argsort(-sure[wrong], kind="stable")][:WORST]
    right = np.flatnonzero(guesses == looked.labels)[:RIGHT]
    parts: list[Html] = []
    if len(worst):
        parts += [Html("<h4>Worst mistakes: surest of a wrong class</h4>"), _gallery(looked, worst, "wrong")]
    if len(right):
        parts += [Html("<h4>Right: the first such test images, not chosen</h4>"), _gallery(looked, right, "right")]
    return Html(f"<div>{join(parts)}</div>")


def _gallery(looked: Looked, chosen: np.ndarray, kind: str) -> Html:
    shown = [_sample(looked, int(index)) for index in chosen]
    return Html(f'<div class="samples {kind}">{join(shown)}</div>')


def _sample(looked: Looked, index: int) -> Html:
    true, guess = (looked.class_names[int(labels[index])] for labels in (looked.labels, looked.guesses))
    own, sure = (100 * float(looked.chances[index, labels[index]]) for labels in (looked.labels, looked.guesses))
    if true == guess:
        says, caption = f"{true}", f"<strong>{escape(guess)}</strong> {sure:.1f}&nbsp;%"
    else:
        says = f"{true}, taken for {guess}"
        caption = f"<strong>{escape(guess)}</strong> {sure:.1f}&nbsp;%<br>is {escape(true)}, {own:.1f}&nbsp;%"
    picture = image(small(looked.images[index]), f"test image {index}: {says}")
    return Html(f"<figure>{picture}<figcaption>{caption}<br>image {index}</figcaption></figure>")


def _short(name: str) -> Html:
    return escape(name if len(name) <= 16 else f"{name[:15]}…")
