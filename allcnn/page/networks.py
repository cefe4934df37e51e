"""The section that looks into networks: confusion, mistakes, filters and patches of the best of each kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from allcnn.errors import AllcnnError
from allcnn.page.choice import LOOKED_INTO, best_of_each_network
from allcnn.page.learned import filters, strongest
from allcnn.page.looked import Looked, Onlooker
from allcnn.page.markup import Html, escape, join, paragraph, section
from allcnn.page.mistakes import confusion, samples
from allcnn.runs.collected import CollectedRun

TITLE = "What they get wrong, and what they learned"
# What a file that is damaged, or too large, raises beside the errors of ours.
_REFUSED = (AllcnnError, OSError, MemoryError)


def networks(runs: Sequence[CollectedRun], names: Sequence[str], announce: Callable[[str], None]) -> Html:
    """The section; what cannot be shown of a network has a line in its place."""
    best = best_of_each_network(runs)
    if not best:
        return section("networks", TITLE, paragraph("No run has finished, so no network was looked into.", "missing"))
    chosen = best[:LOOKED_INTO]
    which = "The best finished run of each network"
    if len(best) > len(chosen):
        which = f"The best finished runs of {len(chosen)} of the {len(best)} networks"
    names_by_run = {id(run): name for run, name in zip(runs, names, strict=True)}
    # Those of the same data one after the other, so that these are loaded once; then back in the order of errors.
    onlooker, parts = Onlooker(), {}
    for run in sorted(chosen, key=lambda run: (run.dataset, run.digest)):
        announce(f"looking into {names_by_run[id(run)]} ...")
        anchor = f"network{next(index for index, one in enumerate(chosen) if one is run)}"
        parts[anchor] = _network(run, names_by_run[id(run)], anchor, onlooker, announce)
    return section(
        "networks",
        TITLE,
        paragraph(f"{which}, chosen and ordered by the test error; the images are those of each one's own test set."),
        *(parts[f"network{index}"] for index in range(len(chosen))),
    )


def _network(run: CollectedRun, name: str, anchor: str, onlooker: Onlooker, announce: Callable[[str], None]) -> Html:
    heading = Html(f"<h3>{escape(run.model)} on {escape(run.dataset)}</h3>")
    try:
        looked = onlooker.look(run)
    except _REFUSED as error:
        announce(f"{name} is left out: {_reason(error, run)}")
        return join([heading, _about(run, name), paragraph(f"Not looked into: {_reason(error, run)}", "missing")])
    count = len(looked.labels)
    found = Html(f"{looked.errors:,} of {count:,} test images wrong ({100 * looked.errors / count:.2f}&nbsp;%).")
    left = [confusion(looked, f"{anchor}-confusion"), _guarded(filters, "filters", looked, run, name, announce)]
    return join(
        [
            heading,
            _about(run, name),
            paragraph(found, "lead"),
            Html(f'<div class="halves"><div>{join(left)}</div>{samples(looked)}</div>'),
            _guarded(strongest, "strongest patches", looked, run, name, announce),
        ]
    )


def _guarded(
    part: Callable[[Looked], Html],
    what: str,
    looked: Looked,
    run: CollectedRun,
    name: str,
    announce: Callable[[str], None],
) -> Html:
    try:
        return part(looked)
    except _REFUSED as error:
        announce(f"the {what} of {name} are left out: {_reason(error, run)}")
        return paragraph(f"No {what}: {_reason(error, run)}", "missing")


def _about(run: CollectedRun, name: str) -> Html:
    return Html(f'<p class="quiet lead">{escape(name)}<br><code>{escape(run.config.get("spec", ""))}</code></p>')


def _reason(error: BaseException, run: CollectedRun) -> str:
    """The first line, without the folders that the run and the user's own lie in: pages are passed on."""
    said = (str(error) or type(error).__name__).splitlines()[0]
    for folder, name in ((run.folder.path.absolute(), run.name), (run.folder.path, run.name), (Path.home(), "~")):
        said = said.replace(str(folder), name)
    return said[:400]
