"""The README and the pages in docs/ stay true: their Python runs, their commands exist, their tables are what the
arithmetic and the records say."""

import ast
import importlib
import json
import re
import runpy
import shlex
from pathlib import Path

import pytest

import allcnn
from allcnn.data.order import DRAWS
from allcnn.preprocessing.field import network_shape
from allcnn.runs.recipe import RECIPES, recipe_for
from allcnn.specs import ZOO, count_multiply_adds, count_parameters, parse
from allcnn.training.plan import default_run_dir

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "results/README.md")
}
README = PAGES["README.md"]


def fenced(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGES[page], re.DOTALL)


def rows(page: str, name: str) -> list[list[str]]:
    """The cells of the rows of a page's tables that begin with a network's name."""
    lines = [line for line in PAGES[page].splitlines() if line.startswith(f"| `{name}` |")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 150


def test_the_library_in_ten_lines_runs_as_it_stands(tmp_path, monkeypatch, capsys):
    (program,) = fenced("README.md", "python")
    assert len(program.strip().splitlines()) <= 10
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "README.md", "exec"), {})
    measured, recorded = capsys.readouterr().out.splitlines()[0].split()
    assert measured == recorded


@pytest.mark.parametrize("page", [page for page in PAGES if fenced(page, "python")])
def test_the_python_of_a_page_imports_what_is_there(page):
    for program in fenced(page, "python"):
        for node in ast.walk(ast.parse(program)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("allcnn"):
                module = importlib.import_module(node.module)
                assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


def test_the_reference_has_every_public_name():
    named = set(re.findall(r"^::: (allcnn\S*)", PAGES["docs/reference/python.md"], re.MULTILINE))
    assert {f"allcnn.{name}" for name in allcnn.__all__} <= named
    for name in named:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name


@pytest.mark.parametrize("network", [network for network in ZOO.values() if not network.name.startswith("review-")])
def test_the_table_gives_every_network_its_exact_count(network):
    (_, *cells), (_, text) = rows("docs/networks.md", network.name)
    size = (network.spec, network.input_shape, network.classes)
    assert cells == [
        network.published_name, f"{count_parameters(*size):,}", network.published_parameters,
        f"{count_multiply_adds(*size) / 1e6:,.1f} M", f"{network.published_error_percent:.2f} %",
    ]  # fmt: skip
    assert text == ("Table 5, too long for this table" if network.name == "large-all" else f"`{network.text}`")


def test_the_tables_of_measured_errors_are_those_of_the_records():
    program = runpy.run_path(str(ROOT / "results/tables.py"))
    assert program["PAGES"] == ("README.md", "RESULTS.md")
    for page in program["PAGES"]:
        assert program["with_tables"](PAGES[page]) == PAGES[page], "python results/tables.py writes them anew"
    (strided_c,) = (line for line in README.splitlines() if line.startswith("| strided-c |"))
    summary = json.loads((ROOT / "results/fast/strided-c-cifar10-fast-lr0.02-seed0/summary.json").read_bytes())
    assert f"| 10.19 | {summary['test_error']} | 40 |" in strided_c


def test_both_commands_are_one_line_each_and_ci_runs_the_second():
    commands = [line for line in README.splitlines() if line.startswith("python3 -m venv .venv && ")]
    assert len(commands) == 2
    assert commands[0].endswith("allcnn train --model strided-b --dataset digits --recipe fast")
    assert [line for line in README.splitlines() if line.endswith("-m pytest")] == [commands[1]]


def test_the_first_runs_are_found_where_the_next_commands_look():
    digits = default_run_dir("strided-b", "digits", recipe_for("fast", "digits"), 0)
    cifar = default_run_dir("strided-c", "cifar10", RECIPES["fast"], 0)
    for page in ("README.md", "docs/index.md"):
        assert f"allcnn eval {digits}\n" in PAGES[page]
    for page in ("docs/index.md", "docs/pictures.md", "docs/export.md"):
        assert f" {cifar} " in PAGES[page]


def test_the_large_networks_commands_name_what_is_there():
    section = PAGES["docs/training.md"].split("### Large-All-CNN\n")[1].split("\n## ")[0]
    samples, train, evaluate, small = (shlex.split(line) for line in section.split("```")[1].splitlines()[1:])
    network = ZOO[train[train.index("--model") + 1]]
    assert samples[samples.index("--augment") + 1] == RECIPES[network.recipe].augmentation in DRAWS
    assert evaluate[2] == str(default_run_dir(network.name, "cifar10", RECIPES[network.recipe], 0))
    shape = network_shape((32, 32, 3), int(small[small.index("--field") + 1]))
    assert count_parameters(parse(small[small.index("--spec") + 1]), shape, 10) > 0
    assert small[small.index("--recipe") + 1] in RECIPES


def test_the_page_of_recipes_has_them_all():
    assert set(re.findall(r"^\| `(\w+)` \|", PAGES["docs/training.md"], re.MULTILINE)) == set(RECIPES)


def test_every_option_of_the_commands_exists():
    from typer.main import get_command

    from allcnn_cli.main import app

    commands = get_command(app).commands
    texts = [text for page, text in PAGES.items() if page not in ("CHANGELOG.md", "RESULTS.md")]
    shell = [
        line
        for text in texts
        for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
        for line in block.splitlines()
    ]
    lines = [line.partition(" #")[0] for line in shell if re.search(r"\ballcnn [a-z]+ ", line)]
    assert len(lines) > 40
    lines += [code for text in texts for code in re.findall(r"`(allcnn [a-z]+ -[^`]*)`", text)]
    for line in lines:
        name, rest = re.search(r"allcnn ([a-z]+) (.*)", line).groups()
        known = {option for parameter in commands[name].params for option in parameter.opts}
        assert set(re.findall(r"(?<!\S)--?[a-z][a-z-]*", rest)) <= known, line


def anchor(heading: str) -> str:
    """The anchor that forges and the site give a heading."""
    text = re.sub(r"[`*]|\]\([^)]*\)|\[", "", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    """On a forge. `mkdocs build --strict` checks those of the site."""
    text = re.sub(r"```.*?```", "", PAGES[page], flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"src=\"(.*?)\"", text):
        if re.match(r"https?:", target):
            continue
        path, _, wanted = target.partition("#")
        found = (ROOT / page).parent.joinpath(path).resolve() if path else ROOT / page
        assert found.exists(), target
        if wanted and found.suffix == ".md" and "reference" not in found.parts:
            headings = re.findall(r"^#+ (.*)", found.read_text(encoding="utf-8"), re.MULTILINE)
            assert wanted in map(anchor, headings), target


def test_the_citation_and_the_changelog_have_the_version():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (version,) = re.findall(r'^version = "(.*)"', project, re.MULTILINE)
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    released = re.findall(r"^## \[(\d.*)\] - (.*)", PAGES["CHANGELOG.md"], re.MULTILINE)[0]
    assert (version, re.findall(r"^date-released: (.*)", citation, re.MULTILINE)[0]) == released
    assert f"\nversion: {version}\n" in citation
