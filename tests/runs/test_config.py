"""What a run is asked for: from Python, a file, a run's config.json and the shell to one value, and back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from allcnn.data.dataset import Dataset
from allcnn.errors import AllcnnError, InputError
from allcnn.runs.config import RunConfig, options_of_run, read_options
from allcnn.runs.recipe import RECIPES, Recipe
from allcnn.specs import ZOO, Spec, parse
from allcnn.training.plan import load_images

TINY = "8C3/2-NC1-GAP"
LABELS = np.arange(2, dtype=np.int32)


def asked(**options) -> RunConfig:
    return RunConfig().with_options(**options)


def test_options_by_name_and_the_recipe_that_follows() -> None:
    config = asked(model="All-CNN-C", lr=0.01, epochs=35, seed=3, patience=None)
    assert (config.model, config.network, config.seed, config.patience) == ("all-c", ZOO["all-c"], 3, None)
    published, mine = config.settle_recipe("cifar10")
    assert published == RECIPES["paper"]
    assert (mine.learning_rate, mine.length, mine.drops) == (0.01, 35, (20, 25, 30))
    # Later options replace earlier ones of the same name, and no others.
    later = config.with_options(learning_rate=0.02, batch_size=50, seed=None)
    assert (later.seed, later.numbers) == (3, {"learning_rate": 0.02, "epochs": 35, "batch_size": 50})


@pytest.mark.parametrize(
    ("options", "recipe"),
    [
        ({"model": "large-all"}, "large"),  # the network's own
        ({"model": "large-all", "recipe": "review"}, "review"),
        ({"model": ZOO["large-all"].text}, "paper"),  # a text has none
        ({"model": TINY, "recipe": Recipe("mine")}, "mine"),
    ],
)
def test_the_recipe_is_the_one_named_else_the_networks_own_else_the_papers(options, recipe) -> None:
    assert asked(**options).settle_recipe("cifar10")[1].name == recipe


def test_a_text_is_parsed_once() -> None:
    config = asked(model=" 8C3/2 - NC1-GAP")
    assert isinstance(config.model, Spec) and config.spec is config.model and config.network is None
    assert asked(model=parse(TINY)) == config and asked(model=ZOO["a"]).model == "a"


def test_defaults_of_the_data_set_and_of_large_images() -> None:
    config = asked(model=TINY, dataset="digits", recipe="fast")
    assert config.settle_recipe("digits")[1].augmentation == "none"
    assert asked(model=TINY).settle_recipe("flowers", (224, 224, 3))[1].preprocessing == "standardize"
    explicit = asked(model=TINY, preprocessing="gcn-zca")
    assert explicit.settle_recipe("flowers", (224, 224, 3))[1].preprocessing == "gcn-zca"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"bach_size": 3}, 'a run has no option "bach_size". Did you mean batch_size?'),
        ({"tset_every": 3}, 'a run has no option "tset_every". Did you mean test_every or save_every?'),
        ({"colour": "red"}, 'a run has no option "colour"; expected one of: alternate_flips, augmentation, backend, '),
        ({"length": 3}, 'a run has no option "length"'),
        ({"backend": "torch"}, 'unknown backend "torch"; expected one of: tensorflow, jax.'),
        ({"precision": "float16"}, 'unknown precision "float16"; expected one of: auto, float32, mixed_bfloat16.'),
        ({"seed": -1}, "the seed must be a whole number from 0 to 4294967295; got -1."),
        ({"seed": True}, "the seed must be a whole number from 0 to 4294967295; got True."),
        ({"validation": 1}, "the held-out fraction must be at least 0 and below 1, such as 0.1; got 1."),
        ({"validation": "0.1"}, "the held-out fraction must be at least 0 and below 1, such as 0.1; got 0.1."),
        ({"devices": 0}, "a run is spread over 1, 2, ... devices; got 0."),
        ({"stream": "yes"}, "stream must be true or false; got 'yes'."),
        ({"steps": 3}, "the recipe paper counts epochs, not steps; pass --epochs instead."),
        ({"recipe": "imagenet", "epochs": 3}, "the recipe imagenet counts steps, not epochs; pass --steps instead."),
        ({"momentum": 2}, "the momentum must be at least 0 and below 1, such as 0.9; got 2.0."),
        ({"recipe": "papr"}, 'unknown recipe "papr"; expected one of: paper, review, imagenet, large, fast.'),
        ({"model": "all-d"}, 'unknown network "all-d"'),
        ({"recipe": {"name": "fast"}}, "the recipe must be a name, such as fast, or in Python a `Recipe`; got {'name"),
        ({"dataset": (1, 2)}, "the data set must be a name, such as cifar10, or an `allcnn.data.Dataset`; got (1, 2)."),
    ],
)
def test_what_makes_no_sense_is_refused_when_it_is_asked_for(options, said) -> None:
    with pytest.raises(AllcnnError) as caught:
        asked(**{"model": "all-c", **options})
    assert str(caught.value).startswith(said)


def test_numbers_of_numpy_are_as_good() -> None:
    three = np.int64(3)
    options = {"test_every": three, "epochs": three, "milestones": [np.int32(1)], "validation": np.float32(0.25)}
    config = asked(model="a", seed=three, **options)
    recipe = config.settle_recipe("cifar10")[1]
    found = [config.seed, config.test_every, config.validation, recipe.length, recipe.milestones]
    assert json.dumps(found) == "[3, 3, 0.25, 3, [1]]"


def test_a_run_without_a_network() -> None:
    with pytest.raises(InputError, match="no network was given; expected --model NAME"):
        _ = asked(seed=3).spec


WHOLE = {
    "model": "strided-b", "dataset": "digits", "recipe": "fast", "learning_rate": 0.013, "epochs": 3, "batch_size": 50,
    "augmentation": "none", "milestones": (1, 2), "alternate_flips": True, "label_smoothing": 0.25, "seed": 7,
    "validation": 0.1, "save_every": 20, "deterministic": True, "data_dir": Path("/nowhere"), "image_size": 24,
}  # fmt: skip


def test_as_options_and_back() -> None:
    config = asked(**WHOLE)
    assert config.as_options() == WHOLE and asked(**config.as_options()) == config
    assert RunConfig().as_options() == {}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"model": TINY},
        WHOLE,
        {"model": "imagenet-all-b", "steps": 20, "stream": True},
        {"model": TINY, "recipe": RECIPES["fast"].with_overrides(length=3, learning_rate=0.07)},
        {"model": TINY, "recipe": RECIPES["paper"], "milestones": (10, 20), "epochs": 30},
    ],
    ids=["nothing", "a text", "much", "steps", "a whole recipe", "a whole recipe, changed"],
)
def test_the_shell_reads_the_command_line_back(options, monkeypatch) -> None:
    from allcnn_cli.main import main

    config = asked(**options)
    found: dict = {}
    monkeypatch.setattr("allcnn.training.run.train", lambda model, **given: found.update(given, model=model) or exit(0))
    assert main(["train", *(["--model", "a"] if not options else []), *config.as_command_line()]) == 0
    own = ("config", "run_dir", "resume", "allow", "hosts", "progress", "announce")
    back = asked(**{name: value for name, value in found.items() if name not in own})
    if not options:
        back = back.with_options(model=None)
        config = asked(model="a")
    assert back.spec == config.spec and back.network == config.network
    assert back.settle_recipe("digits")[1] == config.settle_recipe("digits")[1]
    skipped = ("model", "recipe", "numbers")
    assert {name: value for name, value in vars(back).items() if name not in skipped} == {
        name: value for name, value in vars(config).items() if name not in skipped
    }


def test_what_no_shell_can_be_told() -> None:
    images = np.zeros((2, 8, 8, 3), np.uint8)
    data = Dataset("mine", images, LABELS, images, LABELS, ("x", "y"), "made up", "array", "none")
    for option, value in (("dataset", data), ("recipe", Recipe("mine"))):
        with pytest.raises(InputError, match=f"a {option} for a process of its own must be named"):
            asked(model="a", **{option: value}).as_command_line()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("asked.json", '{"model": "all-c", "recipe": "fast", "learning_rate": 1e-3, "epochs": 20}'),
        ("asked.yaml", "model: all-c  # the paper's best\nrecipe: fast\nlr: 1e-3\nepochs: 20\n"),
    ],
)
def test_options_from_a_file_by_hand(tmp_path, name, text) -> None:
    (tmp_path / name).write_text(text)
    config = asked(**read_options(tmp_path / name))
    assert config == asked(model="all-c", recipe="fast", learning_rate=0.001, epochs=20)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "asked.yaml: no such file."),
        ("a: [", "asked.yaml: is neither JSON nor YAML (while parsing"),
        ("\0", "asked.yaml: is neither JSON nor YAML"),
        ("all-c", "asked.yaml: expected options by name, such as recipe: fast; got 'all-c'."),
        ("1: 2", "asked.yaml: expected options by name"),
    ],
)
def test_a_file_that_holds_no_options_is_named(tmp_path, text, said) -> None:
    path = tmp_path / "asked.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_options(path)
    assert said in str(caught.value)


def test_a_runs_config_is_what_it_was_asked_for(tmp_path) -> None:
    record = {
        "model": "all-c", "spec": str(ZOO["all-c"].spec), "recipe": RECIPES["fast"].as_dict(), "dataset": "flowers",
        "image_shape": [24, 24, 3], "data_dir": "/flowers", "seed": 3, "validation": 0.1, "test_every": 5,
        "save_every": 0, "patience": None, "tensorboard": False, "deterministic": True, "streamed": True,
        "skip_damaged": False, "backend": "jax", "precision": "float32", "digest": "0", "device": {}, "sha256": "0",
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(record))
    config = asked(**read_options(tmp_path / "config.json"))
    assert config == asked(
        model="all-c", recipe=RECIPES["fast"], image_size=24, data_dir="/flowers", seed=3, validation=0.1,
        test_every=5, deterministic=True, stream=True, precision="float32",
    )  # fmt: skip
    assert config.with_options(recipe="fast") == config  # by its name: its own numbers stay
    assert config.with_options(recipe="paper").settle_recipe("flowers")[1] == RECIPES["paper"]
    assert asked(**options_of_run({**record, "model": "spec-12345678", "spec": TINY})).model == parse(TINY)
    # Images in memory have no folder. Others are not taken for them.
    in_memory = {**record, "data_dir": None}
    with pytest.raises(InputError, match="unknown data set 'flowers'.*\n.*--data-dir, or in Python a `Dataset`"):
        load_images(asked(**options_of_run(in_memory)))
    for name in ("cifar10", "cifar100", "digits"):
        assert asked(**options_of_run({**in_memory, "dataset": name})).dataset == name
    with pytest.raises(InputError, match="not a run's configuration; it lacks dataset, image_shape"):
        options_of_run({"model": "a", "spec": "a", "recipe": {}})


def test_at_the_shell_options_come_before_those_of_a_file(tmp_path, write_run, monkeypatch) -> None:
    from allcnn.training.plan import plan_run
    from allcnn_cli.main import main

    by_hand, run = tmp_path / "asked.yaml", {"image_shape": [32, 32, 3], "data_dir": None}
    by_hand.write_text("model: strided-b\ndataset: digits\nrecipe: fast\nlr: 0.01\nseed: 3\n")
    folder = write_run("strided-b", dataset="digits", recipe="fast", lr=0.01, seed=3, config=run)
    plans: list = []
    monkeypatch.setattr(
        "allcnn.training.run.plan_run", lambda *one, **more: plans.append(plan_run(*one, **more)) or exit(0)
    )
    monkeypatch.chdir(tmp_path)
    for file in (by_hand, folder / "config.json"):
        assert main(["train", "--config", str(file), "--epochs", "2", "--seed", "7"]) == 0
    assert [plan.network for plan in plans] == [ZOO["strided-b"]] * 2
    assert [(plan.data.name, plan.asked.seed) for plan in plans] == [("digits", 7)] * 2
    assert [(plan.recipe.name, plan.recipe.length, plan.recipe.learning_rate) for plan in plans] == [
        ("fast", 2, 0.01)
    ] * 2


@pytest.mark.parametrize(
    ("before", "given", "dataset", "folder"),
    [
        ({"data_dir": "/cifar"}, {"dataset": "digits"}, "digits", None),
        ({"data_dir": "/flowers"}, {"dataset": "cifar10"}, "cifar10", None),
        ({"data_dir": "/cifar"}, {"dataset": "cifar100", "data_dir": "/other"}, "cifar100", "/other"),
        ({"dataset": "digits"}, {"data_dir": "/flowers"}, "cifar10", "/flowers"),
        ({"dataset": "stripes"}, {"data_dir": "/flowers"}, "cifar10", "/flowers"),
        ({"dataset": "CIFAR-100"}, {"data_dir": "/cifar"}, "cifar100", "/cifar"),
        ({"dataset": "tfds:photos"}, {"data_dir": "/prepared"}, "tfds:photos", "/prepared"),
        ({"data_dir": "/cifar"}, {"seed": 1}, "cifar10", "/cifar"),
    ],
)
def test_another_data_set_does_not_lie_in_the_folder_of_the_one_before(before, given, dataset, folder) -> None:
    config = asked(**before).with_options(**given)
    assert (config.dataset, config.data_dir) == (dataset, folder and Path(folder))
