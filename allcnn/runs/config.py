"""What a run is asked for: one value from the shell, a file, Python or a sweep to the training loop."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from allcnn.backend import BACKENDS
from allcnn.data.dataset import Dataset
from allcnn.data.load import dataset_name
from allcnn.device import PRECISIONS
from allcnn.errors import InputError, did_you_mean, is_whole, nearest, one_of, refuse_unknown
from allcnn.files import read_file
from allcnn.runs.recipe import OPTIONS, RECIPES, Recipe, recipe_for, write_number
from allcnn.specs import ZOO, Network, Spec, resolve

_FLAGS = ("stream", "skip_damaged", "tensorboard", "deterministic")
_COUNTS = {
    "test_every": "errors are measured every 1, 2, ... epochs",
    "save_every": "the state is saved every 1, 2, ... steps",
    "patience": "a run is given up after 1, 2, ... epochs of guessing",
    "devices": "a run is spread over 1, 2, ... devices",
}
#: Fields that stand in config.json by their names, and that a resumed run takes from there.
KEPT = (
    "seed", "validation", "test_every", "save_every", "patience", "tensorboard", "deterministic", "skip_damaged",
)  # fmt: skip
#: Options that are numbers of the recipe, and their names there; epochs and steps are its length, in its own unit.
_NUMBERS = {
    **{field.name: field.name for field in fields(Recipe) if field.name not in ("name", "unit", "length")},
    "lr": "learning_rate", "epochs": "epochs", "steps": "steps",
}  # fmt: skip
# Data sets that are looked for in a folder by their names; "tfds" with a name behind a colon.
_IN_FOLDERS = ("cifar10", "cifar100", "tfds")
# YAML takes 1e-3 for a word; it wants 1.0e-3.
_EXPONENT = re.compile(r"[-+]?[0-9]+e[-+]?[0-9]+", re.IGNORECASE)


@dataclass(frozen=True)
class RunConfig:
    """What a run is asked for, checked when it is made, as far as it can be without the images.

    Attributes:
        model: a network's name ("strided-b") or its text; None only in what is not a run's yet, such as a sweep's.
        dataset: "cifar10", "cifar100", "digits" or a `Dataset`.
        data_dir, image_size, mirror, stream, skip_damaged: where the images are; see `allcnn.load_data`.
        recipe: "paper", "fast", "review", "imagenet" or "large", or a `Recipe`; None: the network's own, which is
            "paper" for all but "large-all" and "imagenet-all-b".
        numbers: what replaces the recipe's numbers: learning_rate, batch_size, any other field of `Recipe`, and its
            length as epochs or steps, whichever it counts; the schedule is scaled with it.
        seed: decides initial weights, order, flips, shifts and dropout.
        precision: "auto", "float32" or "mixed_bfloat16".
        validation: fraction of the training images held out, on which "validation_error" is measured.
        test_every: measure the errors every so many epochs, and after the last.
        save_every: save the training state every so many steps too; None: only after each epoch.
        patience: epochs in a row on the plateau of guessing after which the run is given up; None: five, and no fewer
            than 1,000 steps.
        tensorboard: write the figures of every epoch as TensorBoard's event files too (needs the package tensorboard).
        deterministic: the same bits every time on a GPU too; on a CPU they are anyway. It holds for the whole process.
        devices: how many of this host's accelerators share every batch; None: on JAX all of them, elsewhere one. More
            than one takes JAX. The images of a batch, their order and the learning rate are the same for any number;
            a batch must divide among them.
        backend: "tensorflow" or "jax"; None: KERAS_BACKEND, else the resumed run's, else TensorFlow.

    Raises:
        InputError, SpecError: a name, number or text that makes no sense; the message says what was expected.
    """

    model: str | Spec | Network | None = None
    dataset: str | Dataset = "cifar10"
    data_dir: str | Path | None = None
    image_size: int | None = None
    mirror: str | None = None
    stream: bool = False
    skip_damaged: bool = False
    recipe: str | Recipe | None = None
    numbers: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    precision: str = "auto"
    validation: float = 0.0
    test_every: int = 1
    save_every: int | None = None
    patience: int | None = None
    tensorboard: bool = False
    deterministic: bool = False
    devices: int | None = None
    backend: str | None = None

    def __post_init__(self) -> None:
        refuse_unknown("precision", self.precision, PRECISIONS)
        if self.backend is not None:
            refuse_unknown("backend", self.backend, BACKENDS)
        if not isinstance(self.dataset, str | Dataset):
            raise InputError(
                f"the data set must be a name, such as cifar10, or an `allcnn.data.Dataset`; got {self.dataset!r:.40}."
            )
        if isinstance(self.dataset, str):
            object.__setattr__(self, "dataset", dataset_name(self.dataset))
        if not isinstance(self.recipe, str | Recipe | None):
            raise InputError(
                f"the recipe must be a name, such as fast, or in Python a `Recipe`; got {self.recipe!r:.40}.\n"
                "Its numbers stand beside it, such as epochs: 20."
            )
        for name in ("seed", "image_size", *_COUNTS):  # NumPy's numbers too, which JSON does not take
            if isinstance(value := getattr(self, name), Integral) and not isinstance(value, bool):
                object.__setattr__(self, name, int(value))
        if not is_whole(self.seed) or not 0 <= self.seed < 2**32:
            raise InputError(f"the seed must be a whole number from 0 to {2**32 - 1}; got {self.seed}.")
        held_out = self.validation
        if not isinstance(held_out, Real) or isinstance(held_out, bool) or not 0 <= held_out < 1:
            raise InputError(f"the held-out fraction must be at least 0 and below 1, such as 0.1; got {held_out}.")
        object.__setattr__(self, "validation", float(held_out))
        for name, rule in _COUNTS.items():
            value = getattr(self, name)
            if value is not None and not (is_whole(value) and value >= 1):
                raise InputError(f"{rule}; got {value}.")
        for name in _FLAGS:
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"{name} must be true or false; got {getattr(self, name)!r}.")
        if self.data_dir is not None:
            object.__setattr__(self, "data_dir", Path(self.data_dir).expanduser())
        if self.model is not None:
            spec, network = resolve(self.model)
            object.__setattr__(self, "model", network.name if network and network.name in ZOO else spec)
        if self.model is not None or self.recipe is not None:  # the recipe may be the network's own
            self.settle_recipe(self.dataset if isinstance(self.dataset, str) else self.dataset.name)

    @property
    def network(self) -> Network | None:
        """The published network that is asked for by its name."""
        return ZOO[self.model] if isinstance(self.model, str) else None

    @property
    def spec(self) -> Spec:
        """The network that is asked for. Raises InputError where none is."""
        if self.model is None:
            raise InputError("no network was given; expected --model NAME (`allcnn params` lists them) or --spec TEXT.")
        return self.network.spec if self.network else resolve(self.model)[0]

    def settle_recipe(self, dataset: str, image_shape: tuple[int, int, int] = (32, 32, 3)) -> tuple[Recipe, Recipe]:
        """The published recipe for a network and images like these, and the same with the numbers asked for.

        Raises:
            InputError: a number that makes no sense, or a length in another unit than the recipe's.
        """
        base = self.recipe
        if not isinstance(base, Recipe):
            own = self.network.recipe if self.network else None
            base = recipe_for(base or own or "paper", dataset, image_shape)
        numbers = dict(self.numbers)
        other = "steps" if base.unit == "epochs" else "epochs"
        if other in numbers:
            raise InputError(f"the recipe {base.name} counts {base.unit}, not {other}; pass --{base.unit} instead.")
        length = numbers.pop(base.unit, None)
        return base, base.with_overrides(length=length, **numbers)

    def with_options(self, **options: Any) -> RunConfig:
        """The same with other values; None leaves a field as it is.

        Another data set does not lie in the folder of the one before: `dataset` without `data_dir` takes that away, as
        `data_dir` without `dataset` does a data set that no folder holds.

        Args:
            options: fields of this class, numbers of a `Recipe` by their names, `epochs` or `steps`, `lr`.

        Raises:
            InputError: no such option, or a value that makes no sense.
        """
        given = {name: value for name, value in options.items() if value is not None}
        own = {field.name for field in fields(self)}
        if unknown := next((name for name in given if name not in own and name not in _NUMBERS), None):
            names = sorted({*own, *_NUMBERS} - {"numbers"})
            hint = did_you_mean(nearest(unknown, names))
            raise InputError(
                f'a run has no option "{unknown}"' + (f".{hint}" if hint else f"; {one_of(unknown, names)}")
            )
        numbers = {_NUMBERS[name]: value for name, value in given.items() if name not in own}
        mine = {name: value for name, value in given.items() if name in own}
        if isinstance(self.recipe, Recipe) and mine.get("recipe") == self.recipe.name:
            del mine["recipe"]  # of a run that goes on: its own numbers
        if "dataset" in mine:
            mine.setdefault("data_dir", None)
        elif "data_dir" in mine and str(self.dataset).lower().partition(":")[0] not in _IN_FOLDERS:
            mine["dataset"] = RunConfig().dataset
        return replace(self, **{**mine, "numbers": {**self.numbers, **mine.get("numbers", {}), **numbers}})

    def with_config(self, config: str | Path | RunConfig | None) -> RunConfig:
        """The same with the options of another configuration, or of a file (`read_options`), put in."""
        if config is None:
            return self
        return self.with_options(**config.as_options() if isinstance(config, RunConfig) else read_options(config))

    def as_options(self) -> dict[str, Any]:
        """What is asked for beyond the defaults, for `with_options`."""
        asked = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "numbers"}
        default = RunConfig()
        return {name: value for name, value in asked.items() if value != getattr(default, name)} | dict(self.numbers)

    def as_command_line(self) -> list[str]:
        """What is asked for as `allcnn train` takes it.

        Raises:
            InputError: images in memory, or a recipe of one's own, which a shell cannot name.
        """
        options = self.as_options()
        recipe = options.get("recipe")
        if isinstance(recipe, Recipe):  # a shell begins with the published one, so each number is said
            _, recipe = self.settle_recipe(str(self.dataset))
            numbers = {name: getattr(recipe, name) for name in _NUMBERS if hasattr(recipe, name)}
            options = {**options, **numbers, recipe.unit: recipe.length, "recipe": recipe.name}
        named = {"recipe": options.get("recipe") in (None, *RECIPES), "dataset": isinstance(self.dataset, str)}
        for what, has_name in named.items():
            if not has_name:
                raise InputError(f"a {what} for a process of its own must be named; expected a name.")
        words = []
        for name, value in options.items():
            option = OPTIONS.get(name, f"--{name.replace('_', '-')}")
            if name in _NUMBERS.values() and name not in (*OPTIONS, "epochs", "steps"):
                words += ["--set", f"{name}={write_number(value)}"] if value is not None else []
            elif value is True:
                words.append(option)
            elif value is not None:
                words += [option, repr(float(value)) if isinstance(value, float) else str(value)]
        return words


def read_options(path: str | Path) -> dict[str, Any]:
    """Options of a run from a file: a run's config.json, or JSON or YAML by hand, such as "recipe: fast".

    Raises:
        InputError: no such file, or something else in it; whether the options make sense is not looked at.
    """
    import yaml

    content = read_file(Path(path).expanduser(), InputError)
    try:
        text = content.decode("utf-8")
        values = json.loads(text) if Path(path).suffix == ".json" else yaml.safe_load(text)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise InputError(f"{path}: is neither JSON nor YAML ({' '.join(str(error).split())[:200]}).") from None
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise InputError(f"{path}: expected options by name, such as recipe: fast; got {str(values)[:40]!r}.")
    if "spec" in values and isinstance(values.get("recipe"), dict):
        return options_of_run(values)
    return {
        name: float(value) if isinstance(value, str) and _EXPONENT.fullmatch(value) else value
        for name, value in values.items()
    }


def options_of_run(record: Mapping[str, Any]) -> dict[str, Any]:
    """What a run was asked for, by its config.json. Raises InputError where that is not one."""
    if missing := sorted({"model", "spec", "dataset", "image_shape", "recipe"} - set(record)):
        raise InputError(f"this is not a run's configuration; it lacks {', '.join(missing)}.")
    dataset = record["dataset"]
    return {
        "model": record["model"] if record["model"] in ZOO else record["spec"],
        # A folder of images has a name of its own, and was loaded as the default data set. Images that were in memory
        # have a name under which nothing is found: it stays, so that no others are taken for them.
        "dataset": dataset if dataset == "cifar100" or not record.get("data_dir") else None,
        "image_size": record["image_shape"][0],
        "stream": record.get("streamed"),
        "recipe": Recipe.from_dict(record["recipe"]),
        **{name: record.get(name) or None for name in ("data_dir", "precision", *KEPT)},
    }
