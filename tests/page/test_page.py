"""The page of run folders without networks to look into: its sections, its texts, its size."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from read_page import HOSTILE, ReadPage

from allcnn.errors import InputError
from allcnn.page import write_page
from allcnn.page.figures import plain
from allcnn.runs.collected import collect_runs


def test_sections_and_every_run_are_there(write_run, tmp_path, make_page) -> None:
    write_run("all-c", 9.5, name="good")
    write_run("all-b", name="going-on", status="unfinished")
    write_run("all-a", name="not-begun", epochs=0, status="unfinished")
    for status in ("interrupted", "stopped", "diverged", "dead"):
        write_run("a", name=status, status=status, reason=f"why it is {status}")
    page = make_page(tmp_path / "runs")
    assert [one["id"] for one in page.all("section")] == ["results", "runs", "curves", "networks"]
    assert "7 runs: 1 finished, 1 stopped, 1 interrupted, 1 diverged, 1 dead, 2 unfinished" in page.text
    for text in ("diverged: why it is diverged", "dead: why it is dead", "good", "going-on", "not-begun"):
        assert text in page.text
    assert "All computed with tensorflow, float32, a machine." in page.text
    # A run that has no epoch yet has no curve.
    assert len(page.all("input")) == 6
    assert page.text.count("Not looked into") == 1


def test_every_table_with_our_results_is_there(write_run, tmp_path, make_page) -> None:
    write_run("all-c", 9.1)
    page = make_page(tmp_path / "runs")
    assert page.source.count('<p class="caption">') == 5
    assert "No finished run belongs into" not in page.text
    write_run("8C3-NC1-GAP", 50.0, under="others")
    page = make_page(tmp_path / "others")
    assert page.source.count('<p class="caption">') == 2
    assert re.search("No finished run belongs into: Table 3: .*; Table 4: .*; The review's Table 2", page.text)


def test_the_page_refers_to_nothing_outside_itself(write_run, tmp_path, make_page) -> None:
    write_run()
    page = make_page(tmp_path / "runs")
    for tag, attributes in page.tags:
        for name in ("src", "href", "action", "srcset", "data", "poster"):
            assert (attributes.get(name) or "#").startswith(("#", "data:")), f"<{tag} {name}={attributes[name]}>"
    styles = re.findall(r"<style>(.*?)</style>", page.source, re.DOTALL)
    assert "url(" not in styles[0] and "@import" not in styles[0]
    policy = next(one["content"] for one in page.all("meta") if one.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none'; script-src 'sha256-")


@pytest.mark.parametrize("hostile", HOSTILE)
def test_texts_of_run_folders_stay_texts(write_run, tmp_path, make_page, hostile) -> None:
    folder = hostile.replace("/", "∕")  # of all characters only this cannot stand in a name
    config = dict.fromkeys(("model", "dataset", "spec", "backend", "precision"), hostile)
    write_run(name=f"{folder}/run", reason=hostile, config={**config, "device": {"name": hostile}})
    plain_page, page = (make_page(write_run(under="plain", reason="said")), make_page(tmp_path / "runs"))
    assert {tag for tag, _ in page.tags} <= {tag for tag, _ in plain_page.tags}
    assert not [attributes for _, attributes in page.tags if any(name.startswith("on") for name in attributes)]
    assert len(page.all("script")) == len(plain_page.all("script"))
    assert plain(hostile) in page.source
    assert "alert" not in "".join(re.findall(r"<[a-z][^>]*alert[^>]*>", page.source.replace(plain(hostile), "")))


def test_home_and_other_folders_are_not_told(write_run, tmp_path, make_page, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write_run()
    assert str(tmp_path) not in make_page(tmp_path / "runs").source


@pytest.mark.parametrize(
    "folders, page, command",
    [
        (["some runs", "more"], "page.html", "'some runs' more --html page.html"),
        (["../here/some runs"], "out/the page.html", "'../here/some runs' --html 'out/the page.html'"),
        (["{home}/here/some runs", "{home}"], "{home}/page.html", "~/'here/some runs' ~ --html ~/page.html"),
        ([], "page.html", "'some runs/{run}' --html page.html"),
    ],
)
def test_the_command_makes_the_page_again(write_run, tmp_path, monkeypatch, folders, page, command) -> None:
    """Pasted into a shell in the same folder, it gives the same folders and page."""
    run = write_run(under="here/some runs")
    (tmp_path / "here" / "out").mkdir()
    (tmp_path / "here" / "more").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path / "here")
    page, *folders = (text.format(home=tmp_path) for text in (page, *folders))
    write_page(collect_runs([run.parent])[0], page, folders=folders)
    command = "allcnn report " + command.format(run=run.name)
    shown = ReadPage((tmp_path / "here" / page).read_text()).text
    assert f"{command}\n" in shown and str(tmp_path) not in shown
    words = subprocess.run(
        ["sh", "-c", f"printf '%s\\n' {command.removeprefix('allcnn ')}"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert words == ["report", *(folders or [f"some runs/{run.name}"]), "--html", page]


def test_networks_without_a_run_are_one_line(write_run, make_page) -> None:
    page = make_page(write_run("all-c", 9.1))
    assert "missing" not in page.text
    assert "No run has finished for 11 of the 12 networks" in page.text and "Model A" not in page.text


def test_runs_of_the_same_name_are_told_apart(write_run, tmp_path, make_page) -> None:
    write_run(name="monday/all-c")
    write_run(name="friday/all-c")
    page = make_page(tmp_path / "runs")
    assert "monday/all-c" in page.text and "friday/all-c" in page.text


@pytest.mark.parametrize("given", [".", "..", "../.."])
def test_a_run_that_is_the_current_folder_has_its_name(write_run, make_page, monkeypatch, given) -> None:
    run = write_run("all-c", 9.1, name="mine")
    inside = run / "inner" / "most"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside.joinpath(*[".."] * (2 - given.count(".."))))
    said: list[str] = []
    page = make_page(Path(given), said=said)
    assert said[0] == "looking into mine ..."
    assert "Not looked into: mine: the folder holds no model.keras; a" in page.text
    assert str(run) not in page.text


def test_validation_errors_have_a_figure_where_there_are_any(write_run, make_page) -> None:
    assert "Validation error" in make_page(write_run(validation_error=12.0)).text
    assert "Validation error" not in make_page(write_run()).text


def test_no_finished_run_is_a_page_too(write_run, make_page) -> None:
    page = make_page(write_run(epochs=0, status="unfinished"))
    assert "No run has finished" in page.text and "No run has come to the end of an epoch" in page.text


def test_forty_eight_long_runs_fit_into_a_page_of_a_few_megabytes(write_run, tmp_path, make_page) -> None:
    for model in (f"{kind}{network}" for network in "abc" for kind in ("", "strided-", "convpool-", "all-")):
        for rate in (0.25, 0.1, 0.05, 0.01):
            write_run(model, 9 + rate, epochs=350, lr=rate)
    page = make_page(tmp_path / "runs")
    assert len(page.source.encode()) < 8_000_000
    ticks = page.all("input")
    assert len(ticks) == 48
    assert len([tick for tick in ticks if "checked" in tick]) == 12, "the best of each network"
    assert page.text.count("Not looked into") == 6
    assert "6 of the 12 networks" in page.text


def test_what_cannot_be_written_is_refused(write_run, tmp_path) -> None:
    with pytest.raises(InputError, match="no runs"):
        write_page([], tmp_path / "page.html")
    runs, _ = collect_runs([write_run()])
    with pytest.raises(InputError, match="is a folder"):
        write_page(runs, tmp_path)


def test_a_page_that_fails_leaves_the_one_before(write_run, tmp_path, monkeypatch) -> None:
    runs, _ = collect_runs([write_run()])
    file = tmp_path / "page.html"
    file.write_text("before")
    monkeypatch.setattr("jinja2.Template.render", lambda *parts: "\ud800")
    with pytest.raises(UnicodeEncodeError):
        write_page(runs, file)
    assert file.read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html", "runs"]
