"""Which configurations are one run, and which differences may be allowed."""

import copy
from pathlib import Path

import pytest

from allcnn.errors import InputError, RunError
from allcnn.runs.recipe import RECIPES, Recipe
from allcnn.training.identity import IDENTITY, check_allowed, differences, refuse_other_run, spread_differences

CONFIG = {
    "spec": "16C3-NC1-GAP", "recipe": RECIPES["paper"].as_dict(), "dataset": "cifar10", "digest": "a" * 64, "seed": 0,
    "validation": 0.0, "backend": "tensorflow", "precision": "float32", "deterministic": False,
    "device": {"backend": "tensorflow", "kind": "cpu", "name": "A processor", "count": 1, "bfloat16": False},
    "versions": {"python": "3.12.1", "keras": "3.15.1", "tensorflow": "2.21.0", "jax": "0.10", "numpy": "2.4"},
}  # fmt: skip


def changed(*path: str, to: object) -> dict:
    config = copy.deepcopy(CONFIG)
    inner = config
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = to
    return config


def test_the_same_is_the_same() -> None:
    assert set(IDENTITY) <= set(CONFIG)
    assert differences(CONFIG, copy.deepcopy(CONFIG)) == []
    # Neither another Python nor another version of the backend that is not used makes another run.
    assert differences(CONFIG, changed("versions", "jax", to="0.11")) == []
    assert differences(CONFIG, changed("versions", "python", to="3.13.0")) == []
    # A run that was begun before recipes had a start, an optimizer and a schedule goes on as it was.
    before = {key: value for key, value in CONFIG["recipe"].items() if key not in ("class_bias", "optimizer")}
    now = Recipe.from_dict(before)
    assert now.class_bias == 0.0
    assert differences(changed("recipe", to=before), changed("recipe", to=now.as_dict())) == []


@pytest.mark.parametrize(
    ("path", "to", "words", "key"),
    [
        (["spec"], "8C3-NC1-GAP", "the network was 16C3-NC1-GAP, now 8C3-NC1-GAP", None),
        (["seed"], 1, "the seed was 0, now 1", None),
        (["digest"], "b" * 64, "the data set was cifar10 (aaaaaaaaaaaa), now bbbbbbbbbbbb", None),
        (["validation"], 0.1, "the held-out fraction was 0.0, now 0.1", None),
        (["recipe", "momentum"], 0.8, "the recipe's momentum was 0.9, now 0.8", None),
        (["recipe", "length"], 400, "the recipe's length was 350, now 400", "epochs"),
        (["recipe", "milestones_of"], 400, "the recipe's milestones of was 350, now 400", "epochs"),
        (["precision"], "mixed_bfloat16", "the precision was float32, now mixed_bfloat16", "precision"),
        (["deterministic"], True, "the determinism was False, now True", None),
        (["device", "name"], "Another", "the machine's name was A processor, now Another", "machine"),
        (["versions", "keras"], "3.16.0", "the version of keras was 3.15.1, now 3.16.0", "machine"),
    ],
)
def test_what_differs_is_named_and_may_be_allowed_where_that_makes_sense(path, to, words, key) -> None:
    config = changed(*path, to=to)
    (found,) = differences(CONFIG, config)
    assert (str(found), found.key) == (words, key)
    with pytest.raises(RunError) as caught:
        refuse_other_run(Path("run"), CONFIG, config, [])
    assert str(caught.value).startswith(f"run: is another run: {words}.\n")
    assert (f"--allow {key}" in str(caught.value)) == (key is not None)
    if key:
        assert refuse_other_run(Path("run"), CONFIG, config, [key]) == [found]


def test_another_backend_brings_its_machine_with_it() -> None:
    config = changed("backend", to="jax")
    config["device"] = {"backend": "jax", "kind": "cpu", "name": "A processor", "count": 8, "bfloat16": False}
    with pytest.raises(RunError, match="--allow backend"):
        refuse_other_run(Path("run"), CONFIG, config, [])
    assert [str(found) for found in refuse_other_run(Path("run"), CONFIG, config, ["backend"])] == [
        "the backend was tensorflow, now jax"
    ]


def test_devices_and_hosts_make_no_other_run() -> None:
    """A run may go on on more or fewer; runs of before devices were counted had one."""
    config = {**changed("device", "count", to=8), "devices": 8, "hosts": 2}
    assert differences(CONFIG, config) == []
    assert [str(found) for found in spread_differences(CONFIG, config)] == [
        "the number of devices was 1, now 8", "the number of hosts was 1, now 2",
    ]  # fmt: skip
    assert spread_differences(config, config) == []


def test_only_known_differences_can_be_allowed() -> None:
    assert check_allowed(["epochs", "machine"]) == ("epochs", "machine")
    with pytest.raises(InputError, match='unknown difference "seed" to allow; expected one of: epochs, backend, prec'):
        check_allowed(["seed"])
