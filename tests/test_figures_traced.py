"""Every measured figure of RESULTS.md, the README and the pages in docs/ stands in a record in results/."""

import csv
import json
import re
from functools import cache
from pathlib import Path

import pytest

from allcnn.specs import ZOO, count_parameters

ROOT = Path(__file__).resolve().parents[1]
RESULTS = (ROOT / "RESULTS.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", RESULTS, re.MULTILINE | re.DOTALL))
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
}

DIGITS = r"\d+(?:,\d{3})*(?:\.\d+)?(?:e-?\d+)?"
NUMBER = rf"(?<![\w.,/-])-?{DIGITS}(?![\w/]|[.,]\d)"
# What has a unit and is a rule of the program, not a measurement.
STATED = {"docs/machines.md": ("freezes for 20 seconds",), "docs/training.md": ("within 1 % of",)}
UNITS = r"(?: ?%| (?:s|ms|GB|MB|images/s|GFLOP/s|seconds|minutes|hours|times|points)\b)"


def plain(text: str) -> str:
    """The prose and tables: without code, addresses and comments."""
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    text = re.sub(r"`[^`]*`", "x", text)
    return re.sub(r"\]\([^)]*\)", "]", text)


@cache
def numbers(path: Path) -> frozenset[float]:
    """The numbers of a record: a table's cells, or those of the runs in a folder.

    A run's are the test errors, all of the last epoch, the recipe's, and those of its summary, seconds in minutes too.
    """
    if path.suffix == ".csv":
        with open(path, encoding="utf-8", newline="") as file:
            cells = [cell for row in csv.DictReader(file) for cell in row.values()]
        return frozenset(value(text) for cell in cells for text in re.findall(f"-?{DIGITS}", cell))
    found: list[object] = []
    for run in (file.parent for file in path.rglob("summary.json")):
        summary, config = (json.loads((run / name).read_bytes()) for name in ("summary.json", "config.json"))
        found += [*summary.values(), summary["seconds"] / 60, *config["recipe"].values()]
        if not (run / "metrics.csv").exists():  # it diverged in the first epoch
            continue
        with open(run / "metrics.csv", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        found += [float(text) for text in (*(row["test_error"] for row in rows), *rows[-1].values()) if text]
    return frozenset(number for number in found if isinstance(number, int | float))


def value(text: str) -> float:
    return float(text.replace(",", ""))


PUBLISHED = {error.error_percent for network in ZOO.values() for error in network.errors} | {
    count_parameters(network.spec, network.input_shape, network.classes) for network in ZOO.values()
}


def stands_in(text: str, known: set[float] | frozenset[float]) -> bool:
    """Whether a number, as it is printed, is one of these, rounded."""
    shown = value(text)
    if "e" in text:
        return any(f"{number:.1e}" == f"{shown:.1e}" for number in known)
    step = 10.0 ** -len(text.partition(".")[2])
    return any(abs(number - shown) <= step / 2 * (1 + 1e-9) for number in known)


@pytest.mark.parametrize("title", SECTIONS)
def test_every_figure_of_a_section_is_in_the_records_it_names(title):
    section = SECTIONS[title]
    sources = re.findall(r"\]\((results/[^)#]+)\)", section)
    assert sources and all((ROOT / source).exists() for source in sources)
    known = PUBLISHED.union(*(numbers(ROOT / source) for source in sources))
    shown = [text for text in re.findall(NUMBER, plain(section)) if re.search(r"[.,]|\d{3}", text)]
    shown += re.findall(rf"({NUMBER}){UNITS}", plain(section))
    assert [text for text in dict.fromkeys(shown) if not stands_in(text, known)] == []


def measured_in(unit: str) -> frozenset[float]:
    """What was measured in a unit: percentages are errors of runs or published ones; all else is in measured.csv."""
    if unit == "%":
        return PUBLISHED.union(*(numbers(folder) for folder in (ROOT / "results").iterdir() if folder.is_dir()))
    with open(ROOT / "results/measured.csv", encoding="utf-8", newline="") as file:
        return frozenset(value(row["value"]) for row in csv.DictReader(file) if row["unit"].split(" ")[0] == unit)


@pytest.mark.parametrize("page", PAGES)
def test_every_measured_figure_of_a_page_is_in_a_record(page):
    text = plain(PAGES[page])
    for stated in STATED.get(page, ()):
        assert stated in text
        text = text.replace(stated, "")
    shown = re.findall(rf"({NUMBER})({UNITS})", text)
    assert [pair for pair in dict.fromkeys(shown) if not stands_in(pair[0], measured_in(pair[1].strip()))] == []


def test_a_figure_that_no_record_has_is_found():
    assert stands_in("10.12", {10.1200001}) and stands_in("208", {208.28}) and stands_in("3.6e-7", {3.6e-7})
    assert not stands_in("10.13", {10.12}) and not stands_in("1,117", {1116.0}) and not stands_in("3.7e-7", {3.6e-7})
    assert re.findall(rf"({NUMBER}){UNITS}", "9.34 % of 1,017, 5.9 s; v2.13") == ["9.34", "5.9"]
