"""What the page shows of networks: trained here, on the digits."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
from page_names import HOSTILE
from read_page import ReadPage

import allcnn
from allcnn.page.looked import Looked, Onlooker
from allcnn.page.networks import WORST, confusion, samples
from allcnn.page.overview import best_of_each_network
from allcnn.page.write import environment
from allcnn.runs.collected import collect_runs


@pytest.fixture(scope="module")
def looked(trained_runs):
    runs, _ = collect_runs(trained_runs)
    return Onlooker().look(best_of_each_network(runs)[0])


def test_it_sees_what_an_evaluation_sees(trained_runs, looked) -> None:
    runs, _ = collect_runs(trained_runs)
    best = best_of_each_network(runs)
    assert len(best) == 1, "two runs of one network"
    assert best[0].test_error == min(run.test_error for run in runs)
    found, _ = allcnn.evaluation.evaluate_saved(best[0].folder.path)
    np.testing.assert_array_equal(looked.confusion, found.confusion)
    assert looked.errors == found.errors
    assert found.error_percent == best[0].test_error


def test_the_page_shows_it(trained_runs, make_page, looked) -> None:
    said: list[str] = []
    page = make_page(trained_runs[0].parent, said=said)
    assert said == [f"looking into {best_of_each_network(collect_runs(trained_runs)[0])[0].name} ..."]
    assert f"{looked.errors:,} of {len(looked.labels):,} test images wrong" in page.text
    for heading in ("Worst mistakes", "Right:", "Filters of conv1", "Strongest patches of conv2"):
        assert heading in page.text
    assert re.findall(r'<p class="missing">(.*?)</p>', page.source) == []
    pictures = page.all("img")
    assert len(pictures) >= 1 + 6 + min(WORST, looked.errors)
    assert all((picture["src"] or "").startswith("data:image/png;base64,") and picture["alt"] for picture in pictures)


def test_the_worst_mistakes_come_first(trained_runs, make_page, looked) -> None:
    page = make_page(trained_runs[0].parent)
    shown = re.findall(r'alt="test image (\d+): (\w+), taken for (\w+)"', page.source)
    sure = []
    for index, true, guess in ((int(index), true, guess) for index, true, guess in shown):
        assert (looked.labels[index], looked.guesses[index]) == (int(true), int(guess))
        sure.append(looked.chances[index].max())
    assert sure == sorted(sure, reverse=True)
    wrong = looked.guesses != looked.labels
    assert sure[0] == looked.chances[wrong].max()


def test_the_heat_map_holds_the_shares(trained_runs, make_page, looked) -> None:
    page = make_page(trained_runs[0].parent)
    documents = re.findall(r'<script type="application/json">(.*?)</script>', page.source, re.DOTALL)
    trace = next(trace for text in documents for trace in json.loads(text)["data"] if trace["type"] == "heatmap")
    np.testing.assert_allclose(np.sum(trace["z"], axis=1), 100, atol=0.06)
    assert [field[2] for row in trace["customdata"] for field in row] == looked.confusion.ravel().tolist()


def test_what_cannot_be_looked_into_has_a_line(trained_runs, make_page, tmp_path, monkeypatch) -> None:
    best = best_of_each_network(collect_runs(trained_runs)[0])[0].folder.path
    shutil.copytree(best, tmp_path / "damaged" / "run")
    file = tmp_path / "damaged" / "run" / "model.keras"
    file.write_bytes(file.read_bytes()[:-1000])
    said: list[str] = []
    page = make_page(tmp_path / "damaged", said=said)
    assert str(tmp_path) not in page.source
    assert "Not looked into: run/model.keras: " in page.text and any("left out" in line for line in said)

    monkeypatch.setattr("allcnn.data.dataset.Dataset.digest", property(lambda data: "1" * 64))
    page = make_page(trained_runs[0].parent)
    assert "other images than the run was trained on" in page.text


def shown(looked: Looked) -> str:
    """A network's confusion and samples, as the page has them."""
    page = environment().from_string(
        '{% import "parts.html" as parts %}{{ parts.drawn(confusion) }}{{ parts.mistakes(network) }}'
    )
    return page.render(confusion=confusion(looked, "one"), network=samples(looked))


def test_class_names_stay_texts_and_any_number_fits() -> None:
    random = np.random.default_rng(0)
    for names in (HOSTILE, tuple(f"class {index}" for index in range(100)), ("same", "same")):
        chances = random.dirichlet(np.ones(len(names)), 200).astype(np.float32)
        images = random.integers(0, 256, (200, 120, 120, 3), np.uint8)
        looked = Looked(None, images, random.integers(0, len(names), 200), names, chances)
        page = ReadPage(shown(looked))
        assert {tag for tag, _ in page.tags} == {"figure", "figcaption", "div", "script", "h4", "img", "strong", "br"}
        assert {tuple(attributes) for attributes in page.all("img")} == {("src", "width", "height", "alt")}
        assert {attributes["width"] for attributes in page.all("img")} == {"96"}
        assert page.source.count("</script>") == 1
        assert len([name for name in names if name in page.text]) >= min(3, len(names))


def test_no_mistakes_and_nothing_right() -> None:
    images, labels = np.zeros((4, 8, 8, 3), np.uint8), np.array([0, 1, 0, 1])
    right = shown(Looked(None, images, labels, ("a", "b"), np.eye(2, dtype=np.float32)[labels]))
    wrong = shown(Looked(None, images, labels, ("a", "b"), np.eye(2, dtype=np.float32)[1 - labels]))
    assert "Worst" not in right and "Right" in right
    assert "Worst" in wrong and "Right" not in wrong


def test_nothing_is_downloaded_for_a_page(trained_runs, tmp_path, monkeypatch) -> None:
    from dataclasses import replace

    from allcnn.errors import DataError
    from allcnn.models.saved import read_card

    runs, _ = collect_runs(trained_runs)
    card = replace(read_card(runs[0].folder.model), dataset="cifar10", data_dir=str(tmp_path / "gone"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("ALLCNN_DATA", raising=False)
    monkeypatch.setattr("allcnn.page.looked.read_card", lambda path: card)
    monkeypatch.setattr("allcnn.data.download._download", lambda *arguments: pytest.fail("a download was begun"))
    with pytest.raises(DataError, match="not on this machine"):
        Onlooker().look(runs[0])
