"""The page in a real browser that reaches no network: drawn, switched, in four looks, and nobody's script run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import Page, chromium, find_chromium
from page_names import HOSTILE
from run_folders import write_run

from allcnn.page import write_page
from allcnn.runs.collected import collect_runs

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_chromium() is None, reason="no chromium on this machine"),
]
_CURVES = "[...document.querySelectorAll('.curves .plot')].map(p => p.querySelectorAll('.scatterlayer .trace').length)"


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    with chromium() as page:
        yield page
        assert page.problems == []
        assert [request for request in page.requests if not request.startswith("file:")] == []


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, trained_runs) -> Path:
    """A page of a run of each status and two trained networks, some of them with hostile names."""
    folder = tmp_path_factory.mktemp("report")
    for index, name in enumerate(HOSTILE):
        config = {"model": name, "dataset": name}
        write_run(
            folder / "runs" / f"{index} {name.replace('/', '∕')}", config=config, summary={"reason": name}, level=99
        )
    write_run(folder / "runs" / "dead", status="dead", summary={"reason": "every value is zero"})
    runs, _ = collect_runs([folder / "runs", trained_runs[0].parent])
    write_page(runs, folder / "report.html")
    return folder / "report.html"


def test_everything_is_drawn_and_no_console_error(browser: Page, report: Path) -> None:
    browser.open(report)
    browser.wait_for("document.querySelectorAll('.plot .main-svg').length > 0")
    ticks = browser.evaluate("document.querySelectorAll('#key input').length")
    assert ticks == len(HOSTILE) + 3
    assert browser.evaluate(_CURVES) == [ticks] * 4
    assert browser.evaluate("document.querySelectorAll('.plot').length") == 5
    assert browser.evaluate("[...document.querySelectorAll('.heatmaplayer image')].every(i => i.href.baseVal)")
    assert browser.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert browser.evaluate("document.querySelectorAll('script').length") == 5 + 2
    assert browser.problems == []


def test_curves_are_switched_on_and_off(browser: Page, report: Path) -> None:
    browser.open(report)
    (ticks, *others) = browser.evaluate(_CURVES)
    browser.click("#key input[value=run1]")
    browser.wait_for(f"{_CURVES}.every(count => count === {ticks - 1})")
    assert browser.evaluate("document.querySelector('.curves .plot').data[1].visible") is False
    browser.click("#key button[data-show=none]")
    browser.wait_for(f"{_CURVES}.every(count => count === 0)")
    browser.click("#key input[value=run0]")
    browser.wait_for(f"{_CURVES}.every(count => count === 1)")
    browser.click("#key button[data-show=all]")
    browser.wait_for(f"{_CURVES}.every(count => count === {ticks})")
    assert others == [ticks] * 3 and browser.problems == []


def test_pointing_at_a_curve_shows_its_values_as_text(browser: Page, report: Path) -> None:
    browser.open(report)
    browser.click("#key button[data-show=none]")
    browser.click("#key input[value=run0]")
    browser.wait_for(f"{_CURVES}.every(count => count === 1)")
    browser.evaluate("document.querySelector('.curves .plot').scrollIntoView({block: 'center'})")
    x, y = browser.evaluate(
        "(() => { const b = document.querySelector('.curves .scatterlayer .point').getBoundingClientRect();"
        "return [b.x + b.width / 2, b.y + b.height / 2]; })()"
    )
    browser.point_at(x - 3, y)
    browser.point_at(x, y)
    browser.wait_for("document.querySelector('.hoverlayer .hovertext') !== null")
    said = browser.evaluate("document.querySelector('.hoverlayer .hovertext').textContent")
    assert "epoch 1: " in said and " %" in said
    assert "<script>alert(1)<∕script>" in said, "the name as it is, not as markup"


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_its_window_and_follows_light_and_dark(browser: Page, report: Path, width: int, dark: bool) -> None:
    browser.open(report, width, dark=dark, phone=width < 600)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width, "nothing sticks out sideways"
    assert browser.evaluate("[...document.querySelectorAll('.plot')].every(p => p.scrollWidth <= p.clientWidth + 1)")
    paper, ink = browser.evaluate(
        "[getComputedStyle(document.body).backgroundColor, "
        "getComputedStyle(document.querySelector('.plot .xtick text')).fill]"
    )
    assert (paper, ink) == (
        ("rgb(20, 24, 31)", "rgb(230, 234, 240)") if dark else ("rgb(255, 255, 255)", "rgb(28, 36, 48)")
    )
    assert browser.problems == []


def test_a_finger_on_a_figure_scrolls_the_page(browser: Page, report: Path) -> None:
    browser.open(report, 390, 844, phone=True)
    for figure in (".curves .plot", ".confusion .plot"):
        x, y, before = browser.evaluate(
            f"(() => {{ const e = document.querySelector('{figure}'); e.scrollIntoView({{block: 'center'}});"
            "const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2, scrollY]; })()"
        )
        browser.swipe_up(x, y, 200)
        browser.wait_for(f"scrollY > {before} + 100")


def test_it_prints(browser: Page, report: Path, tmp_path: Path) -> None:
    browser.open(report, dark=True)
    browser.pdf(tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")


def test_forty_eight_long_runs_open_in_seconds(browser: Page, tmp_path: Path) -> None:
    for model in range(12):
        for rate in (0.25, 0.1, 0.05, 0.01):
            write_run(
                tmp_path / "runs" / f"{model}-{rate}", f"m{model}", epochs=350, learning_rate=rate, level=9 + rate
            )
    write_page(collect_runs([tmp_path / "runs"])[0], tmp_path / "page.html")
    browser.open(tmp_path / "page.html")
    assert browser.evaluate(_CURVES) == [12] * 4
    browser.click("#key button[data-show=all]")
    browser.wait_for(f"{_CURVES}.every(count => count === 48)")
    browser.click("#key button[data-show=first]")
    browser.wait_for(f"{_CURVES}.every(count => count === 12)")
