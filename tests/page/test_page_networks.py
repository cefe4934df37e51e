"""What the page shows of networks: trained here, on the digits."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from photo_files import write_photographs
from read_page import HOSTILE, ReadPage

import allcnn
from allcnn.errors import DataError
from allcnn.models.saved import read_card
from allcnn.page.figures import confusion
from allcnn.page.networks import CORRECT, TOP, WORST, Inspected, inspect, samples
from allcnn.page.overview import best_of_each_network
from allcnn.page.write import environment
from allcnn.runs.collected import CollectedRun, collect_runs


@pytest.fixture(scope="module")
def best(trained_runs) -> CollectedRun:
    """The better of two runs of one network."""
    runs, _ = collect_runs(trained_runs)
    (best,) = best_of_each_network(runs)
    assert best.test_error == min(run.test_error for run in runs)
    return best


@pytest.fixture(scope="module")
def inspected(best) -> Inspected:
    return inspect(best, {})


def test_it_sees_what_an_evaluation_sees(best, inspected) -> None:
    found = allcnn.evaluate(best.folder.path)
    np.testing.assert_array_equal(inspected.evaluation.confusion, found.confusion)
    assert inspected.evaluation.errors == found.errors
    assert found.error_percent == best.test_error


def test_the_page_shows_it(trained_runs, make_page, best, inspected) -> None:
    said: list[str] = []
    page = make_page(trained_runs[0].parent, said=said)
    assert said == [f"looking into {best.name} ..."]
    errors, labels = inspected.evaluation.errors, inspected.labels
    assert f"{errors:,} of {len(labels):,} test images wrong" in page.text
    for heading in ("Worst mistakes", "Correct:", "Filters of conv1", "Strongest patches of conv2"):
        assert heading in page.text
    assert re.findall(r'<p class="missing">(.*?)</p>', page.source) == []
    pictures = page.all("img")
    assert len(pictures) >= 1 + CORRECT + min(WORST, errors)
    assert all((picture["src"] or "").startswith("data:image/png;base64,") and picture["alt"] for picture in pictures)

    # Each patch has its image's class, and what was predicted.
    captions = re.findall(r"<figcaption>(unit \d+, activations .*?)</figcaption>", page.source)
    assert captions and all(len(re.findall(r"<span>\d → \d \d+ %", caption)) == TOP for caption in captions)
    assert "lilac is outside the image" in page.text

    # The worst mistakes come first.
    sure = []
    for index, true, guess in re.findall(r'alt="test image (\d+): (\w+), taken for (\w+)"', page.source):
        assert (labels[int(index)], inspected.guesses[int(index)]) == (int(true), int(guess))
        sure.append(inspected.chances[int(index)].max())
    assert sure == sorted(sure, reverse=True)
    assert sure[0] == inspected.chances[inspected.guesses != labels].max()

    # The heat map holds the shares.
    documents = re.findall(r'<script type="application/json">(.*?)</script>', page.source, re.DOTALL)
    trace = next(trace for text in documents for trace in json.loads(text)["data"] if trace["type"] == "heatmap")
    np.testing.assert_allclose(np.sum(trace["z"], axis=1), 100, atol=0.06)
    counts = [cell[2] for row in trace["customdata"] for cell in row]
    assert counts == inspected.evaluation.confusion.ravel().tolist()


def test_streamed_images_are_those_of_the_run_and_damaged_ones_are_left_out(tmp_path, monkeypatch) -> None:
    folder = write_photographs(tmp_path / "photos")
    (folder / "val/n00000001/photo_3.JPEG").write_bytes(b"none")
    allcnn.train(
        "4C3/2-NC1:linear-GAP", data_dir=folder, image_size=16, stream=True, skip_damaged=True, epochs=1, batch_size=10,
        preprocessing="none", run_dir=tmp_path / "run",
    )  # fmt: skip
    (run,), _ = collect_runs([tmp_path / "run"])
    loaded = {}
    seen = inspect(run, loaded)
    assert seen.images.shape == (5, 16, 16, 3) and seen.images.any(axis=(1, 2, 3)).all()
    assert seen.evaluation.error_percent == run.test_error
    (data,) = loaded.values()
    monkeypatch.setattr("allcnn.data.dataset.HELD_BYTES", 4 * 16 * 16 * 3)  # 0, 1, 3 and 4, which is the damaged one
    part = inspect(run, loaded)
    assert len(part.images) == len(part.labels) == 3 and part.images.any(axis=(1, 2, 3)).all()
    assert list(loaded.values()) == [data], "read once"


def test_what_cannot_be_looked_into_has_a_line(trained_runs, make_page, best, tmp_path, monkeypatch) -> None:
    shutil.copytree(best.folder.path, tmp_path / "damaged" / "run")
    file = tmp_path / "damaged" / "run" / "model.keras"
    file.write_bytes(file.read_bytes()[:-1000])
    said: list[str] = []
    page = make_page(tmp_path / "damaged", said=said)
    assert str(tmp_path) not in page.source.partition("</pre>")[2]  # the command, which is before, has the paths given
    assert "Not looked into: run/model.keras: " in page.text and any("left out" in line for line in said)

    def too_large(inspected) -> None:
        raise MemoryError("too large")

    monkeypatch.setattr("allcnn.page.networks._strongest", too_large)
    page = make_page(trained_runs[0].parent, said=said)
    assert "No strongest patches: too large" in page.text and "Filters of conv1" in page.text
    assert said[-1] == f"the strongest patches of {best.name} are left out: too large"

    monkeypatch.setattr("allcnn.data.dataset.Dataset.digest", property(lambda data: "1" * 64))
    assert "other images than the run was trained on" in make_page(trained_runs[0].parent).text


def shown(chances: np.ndarray, images: np.ndarray, labels: np.ndarray, names: tuple[str, ...]) -> str:
    """A network's confusion and samples, as the page has them."""
    inspected = Inspected(None, images, labels, names, chances)
    page = environment().from_string(
        '{% import "parts.html" as parts %}{{ parts.figure(confusion) }}{{ parts.samples(network) }}'
    )
    return page.render(confusion=confusion(inspected.evaluation, "one"), network=samples(inspected))


@pytest.mark.parametrize("names", [HOSTILE, tuple(f"class {index}" for index in range(100)), ("same", "same")])
def test_class_names_stay_texts_and_any_number_fits(names) -> None:
    random = np.random.default_rng(0)
    chances = random.dirichlet(np.ones(len(names)), 200).astype(np.float32)
    images = random.integers(0, 256, (200, 120, 120, 3), np.uint8)
    page = ReadPage(shown(chances, images, random.integers(0, len(names), 200), names))
    assert {tag for tag, _ in page.tags} == {"figure", "figcaption", "div", "script", "h4", "img", "strong", "br"}
    assert {tuple(attributes) for attributes in page.all("img")} == {("src", "width", "height", "alt")}
    assert {attributes["width"] for attributes in page.all("img")} == {"96"}
    assert page.source.count("</script>") == 1
    assert len([name for name in names if name in page.text]) >= min(3, len(names))


def test_the_names_of_a_thousand_classes_do_not_fill_the_page() -> None:
    labels, names = np.arange(1000), tuple(f"a class named {index}" for index in range(1000))
    chances = np.eye(1000, dtype=np.float32)
    plot = confusion(Inspected(None, np.zeros((1000, 1, 1, 3), np.uint8), labels, names, chances).evaluation, "one")
    assert len(plot.document) < 6_000_000
    (trace,) = json.loads(plot.document)["data"]
    assert "customdata" not in trace and trace["hovertemplate"].startswith("class %{y}, taken for class %{x}:")


def test_no_mistakes_and_nothing_correct() -> None:
    images, labels = np.zeros((4, 8, 8, 3), np.uint8), np.array([0, 1, 0, 1])
    correct = shown(np.eye(2, dtype=np.float32)[labels], images, labels, ("a", "b"))
    wrong = shown(np.eye(2, dtype=np.float32)[1 - labels], images, labels, ("a", "b"))
    assert "Worst" not in correct and "Correct" in correct
    assert "Worst" in wrong and "Correct" not in wrong


def test_nothing_is_downloaded_for_a_page(best, tmp_path, monkeypatch) -> None:
    card = replace(read_card(best.folder.model), dataset="cifar10", data_dir=str(tmp_path / "gone"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("ALLCNN_DATA", raising=False)
    monkeypatch.setattr("allcnn.page.networks.read_card", lambda path: card)
    monkeypatch.setattr("allcnn.data.download._download", lambda *arguments: pytest.fail("a download was begun"))
    with pytest.raises(DataError, match="not on this machine"):
        inspect(best, {})
