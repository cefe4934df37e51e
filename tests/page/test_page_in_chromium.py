"""The page in a real browser that reaches no network: drawn, switched, in four looks, and nobody's script run."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from read_page import HOSTILE
from run_folders import write_run
from selenium import webdriver
from selenium.webdriver.support.wait import WebDriverWait

from allcnn.page import write_page
from allcnn.runs.collected import collect_runs

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no chromium and chromedriver on this machine"),
]
# Against a browser that hangs; a slow machine must not meet it.
PATIENCE_SECONDS = 600
CURVES = "[...document.querySelectorAll('.curves .plot')].map(p => p.querySelectorAll('.scatterlayer .trace').length)"
# Plotly draws after the page has loaded: until every curve that is ticked is there, a click would meet half a page.
DRAWN = (
    "[...document.querySelectorAll('.plot')].every(plot => plot.querySelector('.main-svg')) && "
    f"{CURVES}.every(count => count === document.querySelectorAll('#key input:checked').length)"
)
RATES = (0.1, 0.05, 0.01)
MIDDLE = """const element = document.querySelector(arguments[0]); element.scrollIntoView({block: 'center'});
const box = element.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2];"""


class Browser:
    """Chromium with one page."""

    def __init__(self) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        # No name leads anywhere: what a page asks the network for fails, and shows.
        for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "host-resolver-rules=MAP * ~NOTFOUND"):
            options.add_argument(f"--{argument}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
        self.driver.set_page_load_timeout(PATIENCE_SECONDS)
        self.driver.set_script_timeout(PATIENCE_SECONDS)
        self.send: Callable[..., Any] = lambda command, **values: self.driver.execute_cdp_cmd(command, values)

    def open(self, path: Path, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Open a file in a window of so many pixels, a phone's if it is narrow."""
        phone, scheme = width < 600, "dark" if dark else "light"
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        self.send("Emulation.setTouchEmulationEnabled", enabled=phone)
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.driver.get(path.resolve().as_uri())
        self.wait_for(DRAWN)

    def evaluate(self, expression: str) -> Any:
        return self.driver.execute_script(f"return {expression}")

    def wait_for(self, condition: str) -> None:
        patience = WebDriverWait(self.driver, PATIENCE_SECONDS, poll_frequency=0.05)
        patience.until(lambda driver: self.evaluate(condition), condition)

    def click(self, selector: str) -> None:
        self.driver.find_element("css selector", selector).click()

    def problems(self) -> list[str]:
        """The console's errors and warnings since the last call, and requests that left the machine."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        urls = [one["params"]["request"]["url"] for one in events if one["method"] == "Network.requestWillBeSent"]
        said = [one["message"] for one in self.driver.get_log("browser") if one["level"] in ("SEVERE", "WARNING")]
        return said + [url for url in urls if not url.startswith(("file:", "data:"))]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    browser = Browser()
    yield browser
    browser.driver.quit()


@pytest.fixture(autouse=True)
def nothing_goes_wrong(browser: Browser) -> Iterator[None]:
    yield
    assert browser.problems() == []


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, trained_runs) -> Path:
    """A page of more runs than are shown at first: some with hostile names, others of one network, two trained."""
    folder = tmp_path_factory.mktemp("report")
    for index, name in enumerate(HOSTILE):
        config = {"model": name, "dataset": name}
        write_run(folder / "runs" / f"{index} {name.replace('/', '∕')}", error=99.0, config=config, reason=name)
    write_run(folder / "runs" / "dead", status="dead", reason="every value is zero")
    for rate in RATES:
        write_run(folder / "runs" / f"lr-{rate}", error=9 + rate, lr=rate)
    runs, _ = collect_runs([folder / "runs", trained_runs[0].parent])
    write_page(runs, folder / "report.html")
    return folder / "report.html"


def test_everything_is_drawn_and_no_console_error(browser: Browser, report: Path) -> None:
    browser.open(report)
    ticks = browser.evaluate("document.querySelectorAll('#key input').length")
    assert ticks == len(HOSTILE) + 3 + len(RATES)
    assert browser.evaluate(CURVES) == [len(HOSTILE) + 2] * 4, "the best of each network"
    assert browser.evaluate("document.querySelectorAll('.plot').length") == 5
    assert browser.evaluate("[...document.querySelectorAll('.heatmaplayer image')].every(i => i.href.baseVal)")
    assert browser.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert browser.evaluate("document.querySelectorAll('script').length") == 5 + 2


def test_curves_are_switched_on_and_off(browser: Browser, report: Path) -> None:
    browser.open(report)
    (first, *others) = browser.evaluate(CURVES)
    ticks = browser.evaluate("document.querySelectorAll('#key input').length")
    assert others == [first] * 3 and first < ticks
    browser.click("#key input[value=run1]")
    browser.wait_for(f"{CURVES}.every(count => count === {first - 1})")
    assert browser.evaluate("document.querySelector('.curves .plot').data[1].visible") is False
    for selector, count in (
        ("button[data-show=none]", 0), ("input[value=run0]", 1), ("button[data-show=all]", ticks),
        ("button[data-show=first]", first),
    ):  # fmt: skip
        browser.click(f"#key {selector}")
        browser.wait_for(f"{CURVES}.every(count => count === {count})")


def test_pointing_at_a_curve_shows_its_values_as_text(browser: Browser, report: Path) -> None:
    browser.open(report)
    browser.click("#key button[data-show=none]")
    browser.click("#key input[value=run0]")
    browser.wait_for(f"{CURVES}.every(count => count === 1)")
    x, y = browser.driver.execute_script(MIDDLE, ".curves .scatterlayer .point")
    for near in (x - 3, x):
        browser.send("Input.dispatchMouseEvent", type="mouseMoved", x=near, y=y)
    browser.wait_for("document.querySelector('.hoverlayer .hovertext') !== null")
    said = browser.evaluate("document.querySelector('.hoverlayer .hovertext').textContent")
    assert "epoch 1: " in said and " %" in said
    assert "<script>alert(1)<∕script>" in said, "the name as it is, not as markup"


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_its_window_and_follows_light_and_dark(browser: Browser, report: Path, width: int, dark: bool) -> None:
    browser.open(report, width, dark=dark)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width, "nothing sticks out sideways"
    assert browser.evaluate("[...document.querySelectorAll('.plot')].every(p => p.scrollWidth <= p.clientWidth + 1)")
    if width < 600:
        shown = "[...document.querySelectorAll('td')].every(cell => cell.matches(':empty') || cell.offsetWidth > 0)"
        assert browser.evaluate(shown), "every cell is there"
        assert browser.evaluate("[...document.querySelectorAll('.scroll')].every(b => b.scrollWidth <= b.clientWidth)")
    colours = (
        "[getComputedStyle(document.body).backgroundColor, "
        "getComputedStyle(document.querySelector('.plot .xtick text')).fill]"
    )
    on_paper, in_the_dark = ["rgb(255, 255, 255)", "rgb(28, 36, 48)"], ["rgb(20, 24, 31)", "rgb(230, 234, 240)"]
    assert browser.evaluate(colours) == (in_the_dark if dark else on_paper)


@pytest.mark.parametrize("figure", [".curves .plot", ".confusion .plot"])
def test_a_finger_on_a_figure_scrolls_the_page(browser: Browser, report: Path, figure: str) -> None:
    browser.open(report, 390, 844)
    x, y = browser.driver.execute_script(MIDDLE, figure)
    before = browser.evaluate("scrollY")
    browser.send("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
    for moved in range(0, 200, 25):
        browser.send("Input.dispatchTouchEvent", type="touchMove", touchPoints=[{"x": x, "y": y - moved}])
    browser.send("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    browser.wait_for(f"scrollY > {before} + 100")


def test_it_prints(browser: Browser, report: Path) -> None:
    browser.open(report, dark=True)
    assert base64.b64decode(browser.driver.print_page()).startswith(b"%PDF")
