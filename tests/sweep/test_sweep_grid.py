"""From what is asked for to the cells, and everything wrong refused before any run begins."""

from __future__ import annotations

import pytest
from photo_files import write_photographs
from sweep_folders import OPTIONS, SPECS, leave, small_grid

from allcnn.errors import AllcnnError, InputError, RunError
from allcnn.runs.config import RunConfig
from allcnn.runs.folder import RunFolder
from allcnn.runs.recipe import LEARNING_RATES, Recipe, recipe_for
from allcnn.specs import ZOO, count_multiply_adds, parse
from allcnn.sweep.grid import announce_other_runs, make_grid, networks_of
from allcnn.training.plan import load_images, plan_run


def test_groups_are_the_twelve_networks_and_nothing_is_made_twice() -> None:
    paper = networks_of("paper")
    assert len(paper) == 12 and paper[0] == "a" and "large-all" not in paper
    assert networks_of("review") == [f"review-{name}" for name in paper]
    assert networks_of(" ALL-CNN-C, paper,all-c,") == ["all-c", *paper[:-1]]
    assert networks_of([ZOO["b"], parse("8C3-NC1-GAP")]) == ["b", "8C3-NC1-GAP"]
    assert networks_of(["8C3/2-NC1-GAP", "8C3/2 - NC1 - GAP"]) == ["8C3/2-NC1-GAP"]


@pytest.mark.parametrize(("models", "said"), [("", "no network was given"), ("all-d", 'unknown network "all-d"')])
def test_wrong_networks_are_named(models, said) -> None:
    with pytest.raises(InputError, match=said):
        networks_of(models)


def test_the_grid_has_the_folders_that_train_would_choose(tmp_path) -> None:
    cells, notes = make_grid(SPECS, (0.05, 0.02), (0, 3, 0), tmp_path, asked())
    assert [cell.asked.seed for cell in cells] == [0, 3] * 2 * 2
    cell = cells[1]
    plan = plan_run(SPECS[0], dataset="digits", epochs=4, learning_rate=0.05, seed=3)
    assert (cell.asked.seed, cell.learning_rate, cell.epochs) == (3, 0.05, 4)
    assert cell.folder == RunFolder(tmp_path / plan.folder.path.name)
    assert cell.identity["recipe"] == plan.recipe.as_dict() and not list(tmp_path.iterdir())
    assert notes == ["epochs 4 instead of 40: the learning rate drops after 3, 3, 4 instead of 23, 29, 35."]


@pytest.mark.parametrize(
    ("rates", "seeds", "options", "said"),
    [
        (("fast",), (0,), {}, "learning rates must be numbers and seeds whole numbers"),
        ((0.1,), (0.5,), {}, "learning rates must be numbers and seeds whole numbers"),
        ((0.1,), (0,), {"recipe": Recipe("mine")}, "a recipe for a process of its own must be named"),
        ((), (0,), {}, "no learning rate was given"),
        ((0.1,), (), {}, "no seed was given"),
        ((-1.0,), (0,), {}, "the learning rate must be a number above 0"),
        ((0.1,), (-1,), {}, "the seed must be a whole number"),
        ((0.1, 0.10000001), (0,), {}, "two runs of the grid would be called .*lr0.1-seed0"),
        ((0.1,), (0,), {"epochs": 0}, "number of epochs must be"),
        ((0.1,), (0,), {"dataset": "mnist"}, "unknown data set"),
    ],
)
def test_a_wrong_grid_is_refused(tmp_path, rates, seeds, options, said) -> None:
    with pytest.raises(AllcnnError, match=said):
        small_grid(tmp_path, rates, seeds, **options)


def test_a_folder_that_holds_another_run_is_refused_by_what_differs(tmp_path) -> None:
    leave(small_grid(tmp_path)[2], "finished", [50.0] * 4)
    assert small_grid(tmp_path)
    for options, said in (
        ({"epochs": 5}, "the recipe's length was 4, now 5"),
        ({"validation": 0.1}, "the held-out fraction was 0.0, now 0.1"),
        ({"backend": "jax"}, "the backend was tensorflow, now jax"),
        ({"image_size": 24}, "the data set was digits"),
    ):
        with pytest.raises(RunError, match=said):
            small_grid(tmp_path, **options)


def test_runs_of_another_data_set_are_left_alone_and_said_so(tmp_path) -> None:
    grid = small_grid(tmp_path)
    other = tmp_path / "strided-a-cifar10-paper-lr0.05-seed0" / "config.json"
    other.parent.mkdir()
    other.write_text("{}")
    said: list[str] = []
    announce_other_runs(grid, tmp_path, said.append)
    assert said == [
        f"{tmp_path}: also holds 1 run that is not of this grid (strided-a-cifar10-paper-lr0.05-seed0), left alone."
    ]


def asked(**options) -> RunConfig:
    return RunConfig().with_options(**{**OPTIONS, **options})


def test_a_network_brings_its_recipe_and_is_counted_in_its_field(tmp_path) -> None:
    own, small = make_grid(["large-all", "all-c"], [0.05], [0], tmp_path, asked(epochs=2))[0]
    assert (own.identity["recipe"]["name"], own.identity["recipe"]["field"]) == ("large", 126)
    assert own.multiply_adds == 26_468_979_200 and "-large-" in own.name
    assert (small.identity["recipe"]["name"], small.identity["recipe"]["field"]) == ("paper", None)


def test_the_imagenet_network_brings_the_size_of_its_images(tmp_path) -> None:
    """All that a run can do, a sweep can: images of 224, streamed, a recipe in steps."""
    options = RunConfig().with_options(
        data_dir=write_photographs(tmp_path / "photos"), steps=25, batch_size=2, stream=True, skip_damaged=True
    )
    (cell,), _ = make_grid("imagenet-all-b", [0.01], [0], tmp_path, options)
    assert cell.multiply_adds == count_multiply_adds(ZOO["imagenet-all-b"].spec, (224, 224, 3), 2)
    words = cell.command()
    assert {"--steps", "--stream", "--skip-damaged"} <= set(words) and cell.epochs == 3


def test_images_are_loaded_once_for_networks_that_want_the_same_size(tmp_path, monkeypatch) -> None:
    """The recipes, and so the augmentations, of these two are not the same."""
    loaded = []
    monkeypatch.setattr("allcnn.sweep.grid.load_images", lambda asked: loaded.append(asked) or load_images(asked))
    make_grid(["large-all", "all-c"], [0.05, 0.02], [0, 1], tmp_path, asked(epochs=2))
    assert len(loaded) == 1


def test_a_cell_is_begun_with_all_its_options_and_gone_on_with_where_it_was_begun(tmp_path) -> None:
    options = asked(deterministic=True, augmentation="flip-shift", field=40)
    (cell,), _ = make_grid(["all-c"], [0.05], [7], tmp_path, options)
    begun = cell.command(allow=("machine",))
    assert begun[:3] == ["train", "--model", "all-c"] and begun[-2:] == ["--run-dir", str(cell.folder.path)]
    for option, value in (("--lr", "0.05"), ("--seed", "7"), ("--field", "40"), ("--augment", "flip-shift")):
        assert begun[begun.index(option) + 1] == value
    assert "--deterministic" in begun and "--resume" not in begun and "--allow" not in begun
    leave(cell, None, [])
    assert cell.command(allow=("machine",)) == [*begun, "--resume", "--allow", "machine"]


def test_a_rate_and_a_seed_that_a_file_asks_for_are_the_grid_s(tmp_path) -> None:
    def rates_and_seeds(**options) -> list[tuple[float, int]]:
        cells, _ = make_grid(["all-c"], None, None, tmp_path, asked(**options))
        return [(cell.learning_rate, cell.asked.seed) for cell in cells]

    assert rates_and_seeds(learning_rate=0.03, seed=5) == [(0.03, 5)]
    assert rates_and_seeds() == [(rate, 0) for rate in LEARNING_RATES]
    assert rates_and_seeds(recipe=Recipe("paper", learning_rate=0.07)) == [(0.07, 0)]


def test_other_numbers_of_the_recipe_are_handed_on_as_text(tmp_path) -> None:
    options = asked(milestones=[2, 3], label_smoothing=None, optimizer="muon")
    (cell,), _ = make_grid(["all-c"], None, [0], tmp_path, options)
    # The four that the paper tried are SGD's.
    assert cell.learning_rate == recipe_for("paper", "digits").learning_rate
    assert [word for word in cell.command() if "=" in word] == ["milestones=2,3", "optimizer=muon"]
