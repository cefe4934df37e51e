"""Start-up is cheap: what a command does not need, it does not load."""

from __future__ import annotations

import pytest

# Not Rich: older versions of Typer load it by themselves.
LOADED = """
import sys
from allcnn_cli.main import main
code = main({arguments!r})
heavy = (
    "keras", "tensorflow", "jax", "numpy", "h5py", "PIL", "sklearn", "matplotlib", "allcnn.training",
    "allcnn.evaluation",
)
print("loaded:", *[name for name in heavy if name in sys.modules], "code:", code, file=sys.stderr)
"""


def loaded(run_python, arguments):
    return run_python("-c", LOADED.format(arguments=arguments)).stderr.splitlines()[-1]


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["eval", "--help"]])
def test_help_loads_nothing_heavy(run_python, arguments):
    assert loaded(run_python, arguments) == "loaded: code: 0"


@pytest.mark.parametrize(
    "arguments", [["params"], ["params", "--layers", "--json"], ["params", "D.2-96C3-NC1-GAP", "--layers"]]
)
def test_params_loads_neither_numpy_nor_keras(run_python, arguments):
    assert loaded(run_python, arguments) == "loaded: code: 0"


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--model", "strided-q", "--dataset", "digits"],
        ["train", "--spec", "96Q3-GAP"],
        ["train", "--model", "a", "--lr", "-1"],
        ["train", "--model", "a", "--data-dir", "no/such/folder"],
        ["eval", "no/such/run"],
        ["predict", "no/such/run", "x.png"],
        ["bench", "--model", "allx"],
        ["bench", "--precision", "half"],
    ],
)
def test_wrong_input_is_refused_before_keras_loads(run_python, arguments):
    line = loaded(run_python, arguments)
    assert line.endswith("code: 2")
    assert not {"keras", "tensorflow", "jax"} & set(line.split())


@pytest.mark.parametrize("words", ["allcnn train --model s", "allcnn train --recipe ", "allcnn visualize m --method "])
def test_completing_names_loads_no_keras(run_python, words):
    asked = {"_ALLCNN_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    line = run_python("-c", LOADED.format(arguments=[]), **asked).stderr.splitlines()[-1]
    assert line.endswith("code: 0")
    assert not {"keras", "tensorflow", "jax"} & set(line.split())


def test_tables_of_finished_runs_load_no_keras(run_python, digits_run):
    line = loaded(run_python, ["report", str(digits_run), "--table", "lr"])
    assert line.endswith("code: 0")
    assert not {"keras", "tensorflow", "jax", "h5py", "matplotlib"} & set(line.split())
