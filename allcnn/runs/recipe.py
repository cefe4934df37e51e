"""Every number of a training run."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, fields, replace
from numbers import Integral, Real
from typing import Any

from allcnn.errors import InputError, did_you_mean, is_whole, nearest, one_of, refuse_unknown
from allcnn.models.build import DEFAULT_CLASS_BIAS, DEFAULT_INITIALIZER, check_initializer
from allcnn.preprocessing import PREPROCESSINGS

AUGMENTATIONS = ("none", "flip-shift", "flip-reflect", "crop-mirror", "large")
#: Section 3.1, in epochs.
PAPERS_LENGTH, PAPERS_MILESTONES = 350, (200, 250, 300)
#: Fields added later, with the value that older runs used; their folders lack them.
_JOINED_LATER: dict[str, Any] = {
    "field": None, "class_bias": 0.0, "optimizer": "sgd", "schedule": "drops",
    "label_smoothing": 0.0, "dropout_scale": 1.0, "input_dropout_scale": 1.0,
    "alternate_flips": False,
    # Before, milestones were kept as they were for the run's own length.
    "milestones_of": None,
}  # fmt: skip


def _at_least_one(what: str, value: int | None) -> None:
    if not is_whole(value) or value < 1:
        raise InputError(f"the {what} must be a whole number of at least 1; got {value}.")


def _typed(name: str, kind: str, value: Any) -> Any:
    """A value as a recipe's field of that type holds it. Raises InputError for one of another type."""
    number = isinstance(value, Real) and not isinstance(value, bool)
    if value is None and kind.endswith("| None"):
        return None
    kind = kind.removesuffix(" | None")
    if kind == "float" and number:
        return float(value)
    if (
        kind == "tuple[int, ...]"
        and isinstance(value, tuple | list)
        and all(isinstance(one, Integral) for one in value)
    ):
        return tuple(map(int, value))
    if kind == "int" and number and isinstance(value, Integral):
        return int(value)
    if kind == "int" or (kind, type(value)) in (("str", str), ("bool", bool)):
        return value  # whole numbers are checked one by one
    raise InputError(f"a recipe's {name} must be {_READERS[kind][1]}; got {value!r}.")


def check_number(name: str, without: Collection[str] = ()) -> None:
    """Refuse what is no number of a recipe, or is one that is set in another way. Raises InputError."""
    names = [field.name for field in fields(Recipe) if field.name not in ("name", "unit", *without)]
    if name not in names:
        hint = did_you_mean(nearest(name, [*names, "epochs", "steps"]))
        raise InputError(f'a recipe has no number "{name}"' + (f".{hint}" if hint else f"; {one_of(name, names)}"))


def learning_rate_after(position: int, base: float, milestones: Sequence[int], multiplier: float = 0.1) -> float:
    """The learning rate after `position` whole epochs (or steps): `base` times `multiplier` for each milestone passed.

    The paper (section 3.2.1) multiplies by 0.1 "after e1, e2 and e3 epochs": with milestones 200, 250, 300 the
    epochs at positions 0 to 199 run at `base`, 200 to 249 at a tenth. It is rounded to 12 digits, since 0.05 * 0.1 is
    not quite 0.005 in binary.
    """
    passed = sum(position >= milestone for milestone in milestones)
    return float(f"{base * multiplier**passed:.12g}")


@dataclass(frozen=True)
class Recipe:
    """A training run's numbers; as JSON with the run, and compared on resume.

    unit: what `length` and `milestones` count, "epochs" or "steps".
    optimizer: "sgd", with momentum as the paper has it, or "muon" (`allcnn.optimizers.Muon`), whose learning rate is
        the relative change of a kernel in a step.
    schedule: "drops", the learning rate multiplied by `multiplier` after each milestone; or "linear", falling in a
        straight line to 0 at the end.
    milestones: when the learning rate drops in a run of the length `milestones_of`, 350 where they are the paper's,
        else this run's. `drops` gives them scaled to this run's length.
    weight_decay: lambda as Caffe means it, gradient + lambda w, that is a penalty of lambda / 2 ||w||^2.
    decay_biases: whether biases decay too.
    batch_size: images in a step; a last, smaller batch is dropped.
    class_bias: where the biases of the layer with a filter for each class start (`build_model`).
    dropout_scale, input_dropout_scale: what the network's dropout rates are multiplied by, 0 to 1, and that of the
        input once more.
    label_smoothing: the part of a label that is spread evenly over all classes.
    alternate_flips: where the augmentation mirrors, mirror each image in every other epoch, not by chance.
    augmentation: "flip-shift" mirrors with probability 1/2 and shifts by up to 5 pixels; zeros move in (section 3.2.1).
        "flip-reflect" shifts by up to 4; the image reflected at its edge moves in. "crop-mirror" crops at random from
        larger images and mirrors, as they are decoded (section 3.3). "large" colours, scales, mirrors, shears or
        rotates, and shifts (section 3.2.3). `allcnn.data.order` has the ranges.
    field: height and width in pixels of the square of zeros in which each preprocessed image lies; None: there is none.

    Raises:
        InputError: a number that makes no sense; the message names it.
    """

    name: str
    unit: str = "epochs"
    length: int = PAPERS_LENGTH
    optimizer: str = "sgd"
    learning_rate: float = 0.05
    schedule: str = "drops"
    milestones: tuple[int, ...] = PAPERS_MILESTONES
    milestones_of: int | None = None
    multiplier: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 0.001
    decay_biases: bool = True
    batch_size: int = 200
    shuffle: bool = True
    initializer: str = DEFAULT_INITIALIZER
    class_bias: float = DEFAULT_CLASS_BIAS
    dropout_scale: float = 1.0
    input_dropout_scale: float = 1.0
    label_smoothing: float = 0.0
    preprocessing: str = "gcn-zca"
    augmentation: str = "none"
    alternate_flips: bool = False
    field: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = _typed(field.name, str(field.type), getattr(self, field.name))
            object.__setattr__(self, field.name, value)
        refuse_unknown("unit", self.unit, ("epochs", "steps"))
        refuse_unknown("optimizer", self.optimizer, ("sgd", "muon"))
        refuse_unknown("schedule", self.schedule, ("drops", "linear"))
        refuse_unknown("preprocessing", self.preprocessing, PREPROCESSINGS)
        refuse_unknown("augmentation", self.augmentation, AUGMENTATIONS)
        check_initializer(self.initializer)
        _at_least_one(f"number of {self.unit}", self.length)
        if self.milestones_of is None:
            own = PAPERS_LENGTH if self.milestones == PAPERS_MILESTONES else self.length
            object.__setattr__(self, "milestones_of", own)
        _at_least_one("length that the milestones are for", self.milestones_of)
        _at_least_one("batch size", self.batch_size)
        if self.field is not None:
            _at_least_one("field's height and width in pixels", self.field)
        if list(self.milestones) != sorted(self.milestones) or any(milestone < 0 for milestone in self.milestones):
            raise InputError(f"the milestones must be rising and 0 or more; got {self.milestones}.")
        smoothing, dropout, input_dropout = self.label_smoothing, self.dropout_scale, self.input_dropout_scale
        for what, value, holds, expected in (
            ("learning rate", self.learning_rate, self.learning_rate > 0, "a number above 0, such as 0.05"),
            ("multiplier", self.multiplier, self.multiplier > 0, "a number above 0, such as 0.1"),
            ("momentum", self.momentum, 0 <= self.momentum < 1, "at least 0 and below 1, such as 0.9"),
            ("label smoothing", smoothing, 0 <= smoothing < 1, "at least 0 and below 1, such as 0.1"),
            ("weight decay", self.weight_decay, self.weight_decay >= 0, "0 or more"),
            ("class bias", self.class_bias, self.class_bias >= 0, "0 or more"),
            ("dropout scale", dropout, 0 <= dropout <= 1, "from 0 to 1, such as 0.5"),
            ("input's dropout scale", input_dropout, 0 <= input_dropout <= 1, "from 0 to 1, such as 0.5"),
        ):
            if not (math.isfinite(value) and holds):
                raise InputError(f"the {what} must be {expected}; got {value}.")

    @property
    def drops(self) -> tuple[int, ...]:
        """The milestones for this run's length, m of a length l at ceil(m * length / l); none for "linear"."""
        if self.schedule == "linear":
            return ()
        return tuple(-(-milestone * self.length // (self.milestones_of or 1)) for milestone in self.milestones)

    def total_steps(self, steps_per_epoch: int) -> int:
        """How many steps the run has."""
        return self.length if self.unit == "steps" else self.length * steps_per_epoch

    def learning_rate_at(self, step: int, steps_per_epoch: int) -> float:
        """The learning rate of a step of the run, the first being 0."""
        if self.schedule == "linear":
            return self.learning_rate * (1 - step / self.total_steps(steps_per_epoch))
        position = step if self.unit == "steps" else step // steps_per_epoch
        return learning_rate_after(position, self.learning_rate, self.drops, self.multiplier)

    def with_overrides(self, **overrides: Any) -> Recipe:
        """The same recipe with the given numbers replaced where they are not None; new milestones are for its length.

        Raises:
            InputError: a number that makes no sense, or one that a recipe does not have.
        """
        given = {name: value for name, value in overrides.items() if value is not None}
        for name in given:
            check_number(name)
        if "milestones" in given:
            given = {"milestones_of": given.get("length", self.length), **given}
        return replace(self, **given)

    def as_dict(self) -> dict[str, Any]:
        """The recipe as plain values, for JSON."""
        return {**asdict(self), "milestones": list(self.milestones)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Recipe:
        """The recipe back from `as_dict`, of an earlier version too. Raises InputError for anything else."""
        if not isinstance(values, dict):
            raise InputError(f"this is not a recipe: {values!r:.40}.")
        values = {**_JOINED_LATER, **values}
        if odd := sorted(set(values) ^ {field.name for field in fields(cls)}):
            raise InputError(f"this is not a recipe of this version of allcnn (unexpected or missing: {odd}).")
        try:
            return cls(**values)
        except InputError as error:
            raise InputError(f"this is not a recipe: {error}") from None


#: The numbers for which commands have an option of their own.
OPTIONS = {
    "learning_rate": "--lr", "length": "--epochs or --steps", "batch_size": "--batch-size",
    "augmentation": "--augment", "field": "--field", "preprocessing": "--preprocessing",
    "initializer": "--initializer", "weight_decay": "--weight-decay",
}  # fmt: skip
_TRUTHS = {"true": True, "false": False}
# How a number of each type is read from a shell, and what is expected there.
_READERS: dict[str, tuple[Callable[[str], Any], str]] = {
    "str": (str, "a word"),
    "int": (int, "a whole number"),
    "float": (float, "a number"),
    "bool": (_TRUTHS.__getitem__, "true or false"),
    "tuple[int, ...]": (lambda text: tuple(map(int, text.split(","))), "whole numbers joined by commas"),
}


def read_settings(texts: Sequence[str]) -> dict[str, Any]:
    """Numbers of a recipe from "name=value" each, as `--set` takes them.

    Raises:
        InputError: no such number, or a value of another type; the message says what was expected.
    """
    settings = {}
    types = {field.name: str(field.type) for field in fields(Recipe)}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"--set {text}: expected NAME=VALUE, such as label_smoothing=0.1.")
        if name in OPTIONS:
            raise InputError(f"--set {text}: expected {OPTIONS[name]} for this.")
        check_number(name, without=OPTIONS)
        read, expected = _READERS[types[name].removesuffix(" | None")]
        try:
            settings[name] = read(value)
        except (KeyError, ValueError):
            raise InputError(
                f"--set {text}: expected {expected}, such as {write_number(getattr(RECIPES['paper'], name))}."
            ) from None
    return settings


def write_number(value: Any) -> str:
    """A number as `read_settings` reads it."""
    if isinstance(value, tuple | list):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


# The paper gives no batch size: 200 is the review's. Its learning rate was searched over these four.
LEARNING_RATES = (0.25, 0.1, 0.05, 0.01)

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe("paper"),
        # Lasagne's penalty lambda ||w||^2 with lambda 0.001 has the gradient 0.002 w, on the kernels only. Its
        # biases all start at 0; the classes' start at 1 here as everywhere, so that no start dies.
        Recipe("review", weight_decay=0.002, decay_biases=False, shuffle=False, initializer="glorot_uniform"),
        # Section 3.3. Its images keep the range of 0..255, so they start with LeCun's kernels: these halve the signal's
        # variance at each layer, from a deviation of some 65 to about 1 at the class values.
        Recipe(
            "imagenet", unit="steps", length=450_000, learning_rate=0.01, milestones=(200_000, 400_000),
            weight_decay=0.0005, batch_size=64, initializer="lecun_normal", preprocessing="channel-mean",
            augmentation="crop-mirror",
        ),
        # Section 3.2.3 and Table 5; it gives no numbers of its own, so the schedule is CIFAR's.
        Recipe("large", preprocessing="center", augmentation="large", field=126),
        # The paper's networks in a ninth of its image passes; what that gives is in RESULTS.md. Its first steps move
        # all class values together by several units, so the biases must hold their ReLUs open.
        Recipe(
            "fast", length=40, optimizer="muon", learning_rate=0.02, schedule="linear", momentum=0.95,
            weight_decay=0.0, initializer="he_normal", class_bias=8.0, dropout_scale=0.2, input_dropout_scale=0.0,
            label_smoothing=0.1, preprocessing="standardize", augmentation="flip-reflect", alternate_flips=True,
        ),
    )
}  # fmt: skip

# Measured with strided-b (RESULTS.md).
_DIGITS: dict[str, Any] = {
    "learning_rate": 0.02,
    "length": 40,
    "batch_size": 25,
    "initializer": "glorot_uniform",
    "preprocessing": "standardize",
}
# A mirrored digit is no digit.
_DIGITS_FAST: dict[str, Any] = {"length": 5, "batch_size": 25, "augmentation": "none"}
#: The size of images to crop from and that of the crop, where the recipe crops: 256 and 224 (section 3.3).
CROPPED_FROM, CROP_SIZE = 256, 224


def crop_sizes(augmentation: str, image_size: int | None) -> tuple[int | None, int | None]:
    """(image size, shorter side to scale to before cropping): for "crop-mirror" as 224 and 256 are, else as given."""
    if augmentation != "crop-mirror":
        return image_size, None
    size = image_size or CROP_SIZE
    return size, round(size * CROPPED_FROM / CROP_SIZE)


#: Whitening grows with the fourth power of the side of an image; beyond this it is no longer the default.
LARGEST_WHITENED_SIDE = 64


def recipe_for(name: str, dataset: str, image_shape: tuple[int, int, int] = (32, 32, 3)) -> Recipe:
    """A published recipe with the numbers that a data set brings as its defaults.

    Raises:
        InputError: an unknown recipe.
    """
    refuse_unknown("recipe", name, RECIPES)
    recipe = RECIPES[name]
    if dataset == "digits":
        recipe = recipe.with_overrides(**(_DIGITS_FAST if name == "fast" else _DIGITS))
    if recipe.preprocessing == "gcn-zca" and max(image_shape[:2]) > LARGEST_WHITENED_SIDE:
        recipe = replace(recipe, preprocessing="standardize")
    return recipe
