"""The same table as lines of text, markdown, LaTeX, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from allcnn.reports.report import TABLES, report_table
from allcnn.tables import Column, Table, csv_text, facts_html, json_text, latex, markdown, tabulate, terminal, value

ODD = tabulate(
    "odd",
    "50 % of {a_b} & #1 ~ ^ \\ $",
    [
        Column("name", value("name", ""), left=True),
        Column("error", value("error")),
        Column("empty", lambda values: "-", optional=True),
    ],
    [
        ({"section": "first", "name": "[1] x_y | *bold* <b>", "error": 10.345}, ['100% "sure" [x](y)…']),
        ({"section": "second", "name": "≈ 1 M > 0.5 M", "error": -0.14}, ()),
        ({"section": "second", "name": "b,c\n", "error": None}, ["twice", '100% "sure" [x](y)…', "twice"]),
    ],
    ["a `remark`"],
)


@pytest.fixture
def tables(write_run, runs_below) -> list[Table]:
    write_run("all-c", 9.0)
    write_run("all-c", 9.4, seed=1)
    write_run("all-c", None, lr=0.25, status="diverged", reason="loss_1 is {nan} & 100% bad")
    write_run("8C3-NC1:leaky_relu(0.33)-GAP", 50.0, dataset="my_photos & more")
    return [*(report_table(runs_below(), name) for name in TABLES), ODD]


def test_terminal() -> None:
    table = replace(
        ODD, title="a title", rows=ODD.rows[:2], footnotes=ODD.footnotes[:1], remarks=("a remark of some words",)
    )
    assert terminal(table, width=12).splitlines() == [
        "a title",
        "",
        "name                  error  notes",
        "─" * 34,
        "first",
        "[1] x_y | *bold* <b>  10.35      1",
        "",
        "second",
        "≈ 1 M > 0.5 M         -0.14",
        "",
        "  1  100%",
        '     "sure"',
        "     [x](y)…",
        "a remark of",
        "some words",
    ]
    assert terminal(table).splitlines()[-2:] == ['  1  100% "sure" [x](y)…', "a remark of some words"]


def test_spare_columns_are_left_out_of_a_terminal_that_is_too_narrow() -> None:
    columns = [
        Column("name", value("name", ""), left=True),
        Column("first", value("first", ""), spare=True),
        Column("last", value("last", ""), spare=True),
    ]
    table = tabulate("odd", "a title", columns, [({"name": "all-c", "first": 1, "last": 2}, ["note"])])

    def headings(width: int | None) -> list[str]:
        return terminal(table, columns_width=width).splitlines()[2].split()

    assert headings(None) == headings(25) == ["name", "first", "last", "notes"]
    assert headings(24) == headings(19) == ["name", "first", "notes"]
    assert headings(18) == headings(5) == ["name", "notes"]
    assert (
        terminal(table, columns_width=5).splitlines()[-1] == "Left out for their width: first, last. --wide shows them."
    )


def test_markdown() -> None:
    assert markdown(ODD) == (
        "**50 % of {a\\_b} & #1 ~ ^ \\\\ $**\n\n"
        "| name | error | notes |\n|---|---:|---:|\n"
        "| **first** |  |  |\n"
        "| [1] x\\_y \\| \\*bold\\* \\<b> | 10.35 | 1 |\n"
        "| **second** |  |  |\n"
        "| ≈ 1 M > 0.5 M | -0.14 |  |\n"
        "| b,c\n | - | 1,2 |\n\n"
        '1. 100% "sure" [x\\](y)…\n'
        "2. twice\n\n"
        "a \\`remark\\`\n"
    )


def test_markdown_has_as_many_cells_everywhere(tables) -> None:
    for table in tables[:-1]:
        rows = [line for line in markdown(table).splitlines() if line.startswith("|")]
        counts = {len(re.findall(r"(?<!\\)\|", row)) for row in rows}
        assert counts == {len(table.columns) + 1}


def test_latex() -> None:
    text = latex(ODD)
    assert r"\caption{50 \% of \{a\_b\} \& \#1 \textasciitilde{} \textasciicircum{} \textbackslash{} \$}" in text
    assert r"{}[1] x\_y $|$ *bold* $<$b$>$ & 10.35 & 1 \\" in text
    assert r"$\approx$ 1 M $>$ 0.5 M & $-0.14$ &  \\" in text
    assert r"\multicolumn{3}{l}{\textit{second}} \\" in text
    assert r"\textsuperscript{1} 100\% ``sure'' [x](y)\dots{}\par" in text


def test_latex_is_balanced(tables) -> None:
    for table in tables:
        text = latex(table)
        bare = re.sub(r"\\[{}$%&#_\\]", "", text)
        assert bare.count("{") == bare.count("}")
        assert bare.count("$") % 2 == 0
        opened = re.findall(r"\\begin\{(\w+)\}", text)
        assert sorted(opened) == sorted(re.findall(r"\\end\{(\w+)\}", text)) == ["minipage", "table", "tabular"]
        body = text.split(r"\toprule")[1].split(r"\bottomrule")[0]
        cells = [len(re.findall(r"(?<!\\)&", line)) for line in body.splitlines() if line.endswith(r"\\")]
        assert set(cells) <= {0, len(table.columns) - 1}


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex")
def test_latex_compiles(tables, tmp_path) -> None:
    pages = "\n".join(map(latex, tables))
    (tmp_path / "t.tex").write_text(
        "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n" + pages + "\\end{document}\n"
    )
    result = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"],
        cwd=tmp_path, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-2000:]


def test_csv_reads_back(tables) -> None:
    for table in tables:
        rows = list(csv.DictReader(io.StringIO(csv_text(table))))
        assert len(rows) == len(table.rows)
        for row, ours in zip(rows, table.rows, strict=True):
            assert list(row) == [*ours.values, "notes"]
            assert row["notes"] == " ".join(ours.notes)
    first = next(csv.DictReader(io.StringIO(csv_text(tables[0]))))
    assert (first["published_error_percent"], first["measured_error_percent"]) == ("12.47", "")
    assert [row["name"] for row in csv.DictReader(io.StringIO(csv_text(ODD)))][-1] == "b,c\n"


KEYS = {
    "3": "network published_name published_error_percent published_parameters parameters review_error_percent",
    "4": "section method published_error_percent published_parameters network parameters",
    "review": "network published_name review_error_percent review_minutes review_learning_rate",
}
MEASURED = (
    "dataset digest recipe epochs n measured_error_percent deviation validation_error_percent learning_rate chosen_by "
    "searched minutes seeds runs not_counted difference notes"
)
KEYS_OF_LR = (
    "network spec dataset digest recipe validation learning_rate n test_error_percent deviation "
    "validation_error_percent validation_deviation minutes best chosen_by not_counted runs notes"
)


def test_json_has_stable_keys(tables) -> None:
    for table in tables[:-1]:
        document = json.loads(json_text(table))
        assert list(document) == ["table", "title", "rows", "remarks"]
        expected = KEYS_OF_LR if table.name == "lr" else f"{KEYS[table.name]} {MEASURED}"
        assert {tuple(row) for row in document["rows"]} == {tuple(expected.split())}
    assert json.loads(json_text(ODD))["rows"][-1]["notes"] == ['100% "sure" [x](y)…', "twice"]


def test_a_table_shows_itself() -> None:
    assert repr(ODD) == "Table('odd': 3 rows of name, error, notes)"
    assert str(ODD) == terminal(ODD)
    shown = ODD._repr_html_()
    document = ElementTree.fromstring(f"<div>{shown}</div>")
    assert [cell.text for cell in document.iter("th")] == ["name", "error", "notes", "first", "second"]
    assert [cell.text for cell in document.iter("td")][:3] == ["[1] x_y | *bold* <b>", "10.35", "1"]
    assert "colo" not in shown.replace("colspan", "")  # the notebook's own, light or dark
    facts = facts_html("a & b", {"one": 1, "none": None})
    assert "a &amp; b" in facts and "one" in facts and "none" not in facts
