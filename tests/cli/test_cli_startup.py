"""Start-up is cheap: what a command does not need, it does not load."""

from __future__ import annotations

import json

# Not Rich: older versions of Typer load it by themselves.
PROGRAM = """
import json, os, sys
from allcnn_cli.main import main
heavy = {
    "keras", "tensorflow", "jax", "numpy", "h5py", "PIL", "sklearn", "matplotlib", "allcnn.training",
    "allcnn.evaluation",
}
for call in json.loads(sys.argv[1]):
    os.environ.update(COMP_WORDS=f"allcnn {call}", COMP_CWORD=str(call.count(" ") + 1))
    code = main(call.split())
    print("outcome:", json.dumps([call, code, sorted(heavy & set(sys.modules))]), file=sys.stderr)
"""


def outcomes(run_python, *calls: str, **environment: str) -> list[list]:
    """[call, exit code, what is loaded by then] of calls one after another in one process."""
    lines = run_python("-c", PROGRAM, json.dumps(calls), **environment).stderr.splitlines()
    found = [json.loads(line.removeprefix("outcome:")) for line in lines if line.startswith("outcome:")]
    assert [call for call, *_ in found] == list(calls)
    return found


def assert_loads_none_of(names: set[str], found: list[list], code: int) -> None:
    for call, ended, loaded in found:
        assert ended == code and not names & set(loaded), f"{call}: code {ended}, {loaded}"


def test_help_and_params_load_nothing_heavy(run_python):
    calls = ("--help", "train --help", "params", "params --layers --json", "params D.2-96C3-NC1-GAP --layers")
    assert outcomes(run_python, *calls) == [[call, 0, []] for call in calls]


def test_wrong_input_is_refused_before_keras_loads(run_python):
    found = outcomes(
        run_python,
        "train --model strided-q --dataset digits",
        "train --spec 96Q3-GAP",
        "train --model a --lr -1",
        "train --model a --data-dir no/such/folder",
        "eval no/such/run",
        "predict no/such/run x.png",
        "bench --model allx",
        "bench --precision half",
    )
    assert_loads_none_of({"keras", "tensorflow", "jax"}, found, code=2)


def test_completing_names_loads_no_keras(run_python):
    words = ("train --model s", "train --recipe ", "visualize m --method ")
    found = outcomes(run_python, *words, _ALLCNN_COMPLETE="complete_bash")
    assert_loads_none_of({"keras", "tensorflow", "jax"}, found, code=0)


def test_tables_of_finished_runs_load_no_keras(run_python, digits_run):
    found = outcomes(run_python, f"report {digits_run} --table lr")
    assert_loads_none_of({"keras", "tensorflow", "jax", "h5py", "matplotlib"}, found, code=0)
