"""`allcnn report`, on the run of a real training and on what is no run."""

from __future__ import annotations

import csv
import io
import shutil
import sys
import types


def test_table_3_of_a_run(allcnn, digits_run) -> None:
    outcome = allcnn("report", digits_run, "--table", "3")
    assert outcome.code == 0 and outcome.err == ""
    lines = outcome.out.splitlines()
    assert lines[0] == "Table 3: comparison between the base and derived models on the CIFAR-10 dataset"
    assert sum("missing" in line for line in lines) == 12
    assert "Not in this table: 1 run of other networks. `--table lr` shows them." in lines


def test_every_table_is_at_most_80_columns_wide(allcnn, digits_run) -> None:
    for table in ("3", "4", "review", "lr"):
        out = allcnn("report", digits_run, "--table", table).out
        lines = out.split("\n\n", 1)[1].split("\n\n  1  ")[0].splitlines()
        rows = [line for line in lines if "missing" in line or line.startswith(("─", "model", "method", "network"))]
        assert rows and max(map(len, rows)) <= 80


def test_a_wider_table_leaves_out_columns_until_asked(allcnn, write_run, tmp_path) -> None:
    for seed, error in enumerate((10.0, 10.4)):
        for rate in (0.05, 0.01):
            write_run(
                "review-convpool-a", error, lr=rate, seed=seed, validation=0.1, dataset="a_folder_with_a_long_name"
            )
    for seed in (2, 3):
        write_run(
            "review-convpool-a", None, lr=0.25, seed=seed, validation=0.1, dataset="a_folder_with_a_long_name",
            status="diverged", reason="no number",
        )  # fmt: skip

    def rule_and_text(*more: str) -> tuple[int, str]:
        out = allcnn("report", tmp_path / "runs", "--table", "lr", *more).out
        return len(next(line for line in out.splitlines() if line.startswith("─"))), out

    width, out = rule_and_text()
    assert width <= 80 and "Left out for their width: data set, epochs. --wide shows them.\n" in out
    width, out = rule_and_text("--wide")
    assert width > 80 and "Left out" not in out and "a_folder_with_a_long_name" in out


def test_table_lr_shows_the_run(allcnn, digits_run) -> None:
    document = allcnn("report", digits_run, "--table", "lr", "--json").document
    (row,) = document["rows"]
    assert (row["spec"], row["n"], row["dataset"]) == ("8C3/2-NC1-GAP", 1, "digits")
    assert row["runs"][0]["folder"] == str(digits_run)


def test_forms_and_files(allcnn, digits_run, tmp_path) -> None:
    assert allcnn("report", digits_run, "--format", "markdown").out.startswith("**Table 3")
    assert r"\toprule" in allcnn("report", digits_run, "--format", "latex").out
    assert len(list(csv.DictReader(io.StringIO(allcnn("report", digits_run, "--format", "csv").out)))) == 12
    for name, begins in (("t.md", "**Table 4"), ("t.tex", "% "), ("t.csv", "section,"), ("t.json", "{")):
        outcome = allcnn("report", digits_run, "--table", "4", "-o", tmp_path / name)
        assert (outcome.code, outcome.out) == (0, "")
        assert (tmp_path / name).read_text().startswith(begins)
    assert allcnn("report", digits_run, "--format", "terminal", "-o", tmp_path / "t.txt").code == 0
    text = (tmp_path / "t.txt").read_text()
    assert text.startswith("Table 3: ") and "params" in text and "Left out" not in text
    outcome = allcnn("report", digits_run, "-o", tmp_path / "u.txt")
    assert outcome.code == 2 and "its form is not known by its name" in outcome.err


def test_a_damaged_run_is_named_and_the_rest_reported(allcnn, digits_run, tmp_path) -> None:
    shutil.copytree(digits_run, tmp_path / "whole")
    shutil.copytree(digits_run, tmp_path / "broken")
    (tmp_path / "broken" / "summary.json").write_text("{")
    outcome = allcnn("report", tmp_path, "--table", "lr", "--json")
    assert outcome.code == 0 and len(outcome.document["rows"]) == 1
    assert outcome.err.startswith(f"left out: {tmp_path / 'broken' / 'summary.json'}: ")
    assert outcome.err.count("\n") == 1


def test_a_name_cannot_steer_the_terminal(allcnn, digits_run, tmp_path) -> None:
    shutil.copytree(digits_run, tmp_path / "\x1b[31mred" / "whole")
    shutil.copytree(digits_run, tmp_path / "\x1b[31mred" / "broken")
    (tmp_path / "\x1b[31mred" / "broken" / "summary.json").write_text("{")
    for form in ("terminal", "markdown", "csv", "json"):
        outcome = allcnn("report", tmp_path, "--table", "lr", "--format", form)
        assert outcome.code == 0 and "\x1b" not in outcome.out + outcome.err
        assert f"{tmp_path}/\\x1b[31mred/broken/summary.json: " in outcome.err


def test_nothing_but_damaged_runs(allcnn, tmp_path) -> None:
    (tmp_path / "config.json").write_text("{")
    outcome = allcnn("report", tmp_path)
    assert outcome.code == 2
    assert outcome.err.splitlines()[1] == "error: none of the runs found can be read; nothing to report."


def test_html_writes_the_page_alone(allcnn, digits_run, tmp_path, monkeypatch) -> None:
    written = []
    page = types.ModuleType("allcnn.page")
    page.write_page = lambda runs, path, announce, folders: written.append((len(runs), path, *folders))
    monkeypatch.setitem(sys.modules, "allcnn.page", page)
    outcome = allcnn("report", digits_run, "--html", tmp_path / "report.html")
    assert (outcome.code, outcome.out, written) == (0, "", [(1, tmp_path / "report.html", digits_run)])
    assert "missing" in allcnn("report", digits_run, "--table", "3", "--html", tmp_path / "report.html").out
