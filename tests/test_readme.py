"""The README stays true: its Python runs as it stands, its table is what the arithmetic gives."""

import re
import shlex
from pathlib import Path

import pytest

from allcnn.data.order import DRAWS
from allcnn.preprocessing.field import network_shape
from allcnn.runs.recipe import RECIPES
from allcnn.specs import ZOO, count_parameters, parse
from allcnn.training.plan import default_run_dir

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_library_in_ten_lines_runs_as_it_stands(tmp_path, monkeypatch, capsys):
    (program,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(program.strip().splitlines()) <= 10
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "README.md", "exec"), {})
    measured, recorded = capsys.readouterr().out.split()
    assert measured == recorded


@pytest.mark.parametrize("network", [network for network in ZOO.values() if not network.name.startswith("review-")])
def test_the_table_gives_every_network_its_exact_count(network):
    (row,) = [line for line in README.splitlines() if line.startswith(f"| `{network.name}` |")]
    assert f" {count_parameters(network.spec, network.input_shape, network.classes):,} |" in row
    assert f" {network.published_error_percent:.2f} %" in row and network.published_name in row
    if f"`{network.text}`" not in row:
        assert len(network.text) > 120


def test_both_commands_are_one_line_each_and_ci_runs_the_second():
    commands = [line for line in README.splitlines() if line.startswith("python3 -m venv .venv && ")]
    assert len(commands) == 2
    assert commands[0].endswith("allcnn train --model strided-b --dataset digits --recipe fast")
    assert [line for line in README.splitlines() if line.endswith("-m pytest")] == [commands[1]]


def test_the_large_networks_commands_name_what_is_there():
    section = README.split("## Large-All-CNN\n")[1].split("\n## ")[0]
    samples, train, evaluate, small = (shlex.split(line) for line in section.split("```")[1].splitlines()[1:])
    network = ZOO[train[train.index("--model") + 1]]
    assert samples[samples.index("--augment") + 1] == RECIPES[network.recipe].augmentation in DRAWS
    assert evaluate[2] == str(default_run_dir(network.name, "cifar10", RECIPES[network.recipe], 0))
    shape = network_shape((32, 32, 3), int(small[small.index("--field") + 1]))
    assert count_parameters(parse(small[small.index("--spec") + 1]), shape, 10) > 0
    assert small[small.index("--recipe") + 1] in RECIPES


def test_every_option_of_its_commands_exists():
    from typer.main import get_command

    from allcnn_cli.main import app

    commands = get_command(app).commands
    lines = [line for line in README.splitlines() if re.match(r"(srun .*)?allcnn [a-z]+ ", line)]
    assert len(lines) > 15
    for line in lines:
        name, rest = re.search(r"allcnn ([a-z]+) (.*)", line).groups()
        known = {option for parameter in commands[name].params for option in parameter.opts}
        assert set(re.findall(r"(?<!\S)--?[a-z][a-z-]*", rest)) <= known, line
