"""All the runs in one table: what each was, how far it came, how it ended and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from allcnn.page.markup import Html, escape, paragraph, section, table
from allcnn.runs.collected import STATUSES, CollectedRun

# First what one looks for, since on a phone the rest is beside the window.
_HEADINGS = (
    "Run", "Status", "Test error (%)", "Epochs", "Training time", "Network", "Data", "Recipe", "Learning rate", "Seed",
)  # fmt: skip


def overview(runs: Sequence[CollectedRun], names: Sequence[str]) -> Html:
    """The section of all runs; those that did not finish with their reason, where they gave one."""
    computed = [_computed_with(run) for run in runs]
    rows = [_row(run, name) for run, name in zip(runs, names, strict=True)]
    headings, below = list(_HEADINGS), []
    if len(set(computed)) == 1:
        below = [paragraph(f"All computed with {computed[0]}.", "quiet")]
    else:
        headings.append("Computed with")
        rows = [
            (*row, Html(f'<span class="long">{escape(with_)}</span>'))
            for row, with_ in zip(rows, computed, strict=True)
        ]
    return section(
        "runs",
        "Runs",
        paragraph(
            "The test error is the last epoch's, and of finished runs only; how far the others came is in the curves."
        ),
        table(headings, rows, text_columns=(0, 1, 5, 6, 7, 10), caption=counted(runs)),
        *below,
    )


def counted(runs: Sequence[CollectedRun]) -> str:
    """How many there are of each status: "12 runs: 10 finished, 2 dead"."""
    found = Counter(run.status for run in runs)
    parts = [f"{found[status]} {status}" for status in STATUSES if found[status]]
    return f"{len(runs)} run{'s' * (len(runs) != 1)}: {', '.join(parts)}"


def _row(run: CollectedRun, name: str) -> tuple[object, ...]:
    recipe = run.recipe
    how = [recipe.name, *([recipe.augmentation] if recipe.augmentation != "none" else [])]
    return (
        name,
        _status(run),
        "-" if run.test_error is None else f"{run.test_error:.2f}",
        _epochs(run),
        duration(run.seconds),
        run.model,
        run.dataset,
        ", ".join(how),
        f"{recipe.learning_rate:g}",
        run.seed,
    )


def _computed_with(run: CollectedRun) -> str:
    parts = [run.config.get("backend"), run.config.get("precision"), (run.config.get("device") or {}).get("name")]
    return ", ".join(str(part) for part in parts if part)


def _status(run: CollectedRun) -> Html:
    reason = f'<span class="reason">{escape(run.reason)}</span>' if run.reason else ""
    return Html(f'<span class="status {run.status}">{run.status}</span>{reason}')


def _epochs(run: CollectedRun) -> str:
    of = run.summary.get("of_epochs") if run.summary else None
    if of is None and run.recipe.unit == "epochs":
        of = run.recipe.length
    return f"{len(run.rows)} of {of}" if of is not None else str(len(run.rows))


def duration(seconds: float) -> str:
    """Seconds for reading: "6:46 min", "3:18:43 h"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} h" if hours else f"{minutes}:{rest:02} min"
