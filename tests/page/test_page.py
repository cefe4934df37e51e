"""The page of run folders without networks to look into: its sections, its texts, its size."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from page_names import HOSTILE
from read_page import ReadPage
from run_folders import write_run

from allcnn.errors import AllcnnError, InputError
from allcnn.page import plots, write_page
from allcnn.runs.collected import collect_runs


def test_sections_and_every_run_are_there(tmp_path, make_page) -> None:
    write_run(tmp_path / "runs" / "good", "all-c", level=9.5)
    write_run(tmp_path / "runs" / "going-on", "all-b", epochs=3, of_epochs=12, status=None)
    write_run(tmp_path / "runs" / "not-begun", "all-a", epochs=0, status=None)
    for status in ("interrupted", "stopped", "diverged", "dead"):
        write_run(tmp_path / "runs" / status, "a", epochs=4, status=status, summary={"reason": f"why it is {status}"})
    page = make_page(tmp_path / "runs")
    assert [one["id"] for one in page.all("section")] == ["results", "runs", "curves", "networks"]
    assert "7 runs: 1 finished, 1 stopped, 1 interrupted, 1 diverged, 1 dead, 2 unfinished" in page.text
    for status in ("diverged", "dead"):
        assert f"why it is {status}" in page.text
    for name in ("good", "going-on", "not-begun"):
        assert name in page.text
    # A run that has no epoch yet has no curve.
    assert len(page.all("input")) == 6
    assert page.text.count("Not looked into") == 1


def test_the_page_refers_to_nothing_outside_itself(tmp_path, make_page) -> None:
    write_run(tmp_path / "runs" / "one")
    page = make_page(tmp_path / "runs")
    for tag, attributes in page.tags:
        for name in ("src", "href", "action", "srcset", "data", "poster"):
            assert (attributes.get(name) or "#").startswith(("#", "data:")), f"<{tag} {name}={attributes[name]}>"
    styles = re.findall(r"<style>(.*?)</style>", page.source, re.DOTALL)
    assert "url(" not in styles[0] and "@import" not in styles[0]
    policy = next(one["content"] for one in page.all("meta") if one.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none'; script-src 'sha256-")


@pytest.mark.parametrize("hostile", HOSTILE)
def test_texts_of_run_folders_stay_texts(tmp_path, make_page, hostile) -> None:
    write_run(tmp_path / "runs" / "plain", "all-c")
    plain = make_page(tmp_path / "runs" / "plain")
    config = {
        "model": hostile, "dataset": hostile, "spec": hostile, "backend": hostile, "precision": hostile,
        "device": {"name": hostile},
    }  # fmt: skip
    folder = hostile.replace("/", "∕")  # of all characters only this cannot stand in a name
    write_run(tmp_path / "runs" / folder, config=config, summary={"reason": hostile, "status": "finished"})
    page = make_page(tmp_path / "runs" / folder)
    assert sorted({tag for tag, _ in page.tags} - {tag for tag, _ in plain.tags}) in ([], ["ol"])
    assert not [attributes for _, attributes in page.tags if any(name.startswith("on") for name in attributes)]
    assert len(page.all("script")) == len(plain.all("script"))
    assert plots.plain(hostile) in page.source
    assert "alert" not in "".join(re.findall(r"<[a-z][^>]*alert[^>]*>", page.source.replace(plots.plain(hostile), "")))


def test_home_and_other_folders_are_not_told(tmp_path, make_page, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write_run(tmp_path / "runs" / "one")
    assert str(tmp_path) not in make_page(tmp_path / "runs").source


def test_the_command_is_given_from_where_it_was_called(tmp_path, make_page, monkeypatch) -> None:
    write_run(tmp_path / "some runs" / "one")
    write_run(tmp_path / "some runs" / "two")
    monkeypatch.chdir(tmp_path)
    assert "allcnn report 'some runs' --html page.html" in make_page(tmp_path / "some runs").text


def test_the_command_names_every_folder_that_was_given(tmp_path, monkeypatch) -> None:
    write_run(tmp_path / "some runs" / "one")
    write_run(tmp_path / "more" / "two")
    (tmp_path / "here").mkdir()
    folders = [tmp_path / "some runs", "../more"]
    monkeypatch.chdir(tmp_path / "here")
    runs, _ = collect_runs(folders)
    write_page(runs, "page.html", folders=folders)
    assert "allcnn report 'some runs' more --html page.html" in ReadPage(Path("page.html").read_text()).text


def test_runs_of_the_same_name_are_told_apart(tmp_path, make_page) -> None:
    write_run(tmp_path / "runs" / "monday" / "all-c")
    write_run(tmp_path / "runs" / "friday" / "all-c")
    page = make_page(tmp_path / "runs")
    assert "monday/all-c" in page.text and "friday/all-c" in page.text


def test_validation_errors_have_a_figure_where_there_are_any(tmp_path, make_page) -> None:
    write_run(tmp_path / "with" / "one", validation=True)
    write_run(tmp_path / "without" / "one")
    assert "Validation error" in make_page(tmp_path / "with").text
    assert "Validation error" not in make_page(tmp_path / "without").text


def test_no_finished_run_is_a_page_too(tmp_path, make_page) -> None:
    write_run(tmp_path / "runs" / "one", epochs=0, status=None)
    page = make_page(tmp_path / "runs")
    assert "No run has finished" in page.text and "No run has come to the end of an epoch" in page.text


def test_forty_eight_long_runs_fit_into_a_page_of_a_few_megabytes(tmp_path, make_page) -> None:
    for model in ("a", "b", "c"):
        for kind in ("", "strided-", "convpool-", "all-"):
            for rate in (0.25, 0.1, 0.05, 0.01):
                name = f"{kind}{model}"
                write_run(tmp_path / "runs" / f"{name}-{rate}", name, epochs=350, learning_rate=rate, level=9 + rate)
    page = make_page(tmp_path / "runs")
    assert len(page.source.encode()) < 8_000_000
    ticks = page.all("input")
    assert len(ticks) == 48
    assert len([tick for tick in ticks if "checked" in tick]) == 12, "the best of each network"
    assert page.text.count("Not looked into") == 6
    assert "6 of the 12 networks" in page.text


def test_what_cannot_be_written_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="no runs"):
        write_page([], tmp_path / "page.html")
    write_run(tmp_path / "runs" / "one")
    runs, _ = collect_runs([tmp_path / "runs"])
    with pytest.raises(InputError, match="is a folder"):
        write_page(runs, tmp_path)


@pytest.mark.parametrize("library", ["plotly", "jinja2"])
def test_what_is_not_installed_is_named(tmp_path, monkeypatch, library) -> None:
    import sys

    write_run(tmp_path / "runs" / "one")
    runs, _ = collect_runs([tmp_path / "runs"])
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(AllcnnError, match=f"pip install {library}"):
        write_page(runs, tmp_path / "page.html")
    assert not Path(tmp_path / "page.html").exists()


def test_a_page_that_fails_leaves_the_one_before(tmp_path, monkeypatch) -> None:
    write_run(tmp_path / "runs" / "one")
    runs, _ = collect_runs([tmp_path / "runs"])
    file = tmp_path / "page.html"
    file.write_text("before")
    monkeypatch.setattr("jinja2.Template.render", lambda *parts: "\ud800")
    with pytest.raises(UnicodeEncodeError):
        write_page(runs, file)
    assert file.read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html", "runs"]
