"""Every number of a training run."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from allcnn.errors import InputError
from allcnn.models.build import DEFAULT_CLASS_BIAS, DEFAULT_INITIALIZER, check_initializer
from allcnn.preprocessing import PREPROCESSINGS

AUGMENTATIONS = ("none", "flip-shift", "crop-mirror", "large")
#: Numbers that joined the recipe later, with what was done before they did; older run folders lack them.
_JOINED_LATER: dict[str, Any] = {"field": None, "class_bias": 0.0}


def _one_of(what: str, value: str, expected: tuple[str, ...]) -> None:
    if value not in expected:
        raise InputError(f'unknown {what} "{value}"; expected one of: {", ".join(expected)}.')


def _at_least_one(what: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"the {what} must be a whole number of at least 1; got {value}.")


@dataclass(frozen=True)
class Recipe:
    """A training run's numbers; as JSON with the run, and compared on resume.

    unit: what `length` and `milestones` count, "epochs" or "steps".
    learning_rate: multiplied by `multiplier` after each milestone.
    weight_decay: lambda as Caffe means it, gradient + lambda w, that is a penalty of lambda / 2 ||w||^2.
    decay_biases: whether biases decay too.
    batch_size: images in a step; a last, smaller batch is dropped.
    class_bias: where the biases of the layer with a filter for each class start (`build_model`).
    augmentation: "flip-shift" mirrors with probability 1/2 and shifts by up to 5 pixels (section 3.2.1); "crop-mirror"
        crops at random from larger images and mirrors, as they are decoded (section 3.3); "large" colours, scales,
        mirrors, shears or rotates, and shifts (section 3.2.3; `allcnn.data.order` has its ranges).
    field: height and width in pixels of the square of zeros in which each preprocessed image lies; None: there is none.

    Raises:
        InputError: a number that makes no sense; the message names it.
    """

    name: str
    unit: str = "epochs"
    length: int = 350
    learning_rate: float = 0.05
    milestones: tuple[int, ...] = (200, 250, 300)
    multiplier: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 0.001
    decay_biases: bool = True
    batch_size: int = 200
    shuffle: bool = True
    initializer: str = DEFAULT_INITIALIZER
    class_bias: float = DEFAULT_CLASS_BIAS
    preprocessing: str = "gcn-zca"
    augmentation: str = "none"
    field: int | None = None

    def __post_init__(self) -> None:
        _one_of("unit", self.unit, ("epochs", "steps"))
        _one_of("preprocessing", self.preprocessing, tuple(PREPROCESSINGS))
        _one_of("augmentation", self.augmentation, AUGMENTATIONS)
        check_initializer(self.initializer)
        _at_least_one(f"number of {self.unit}", self.length)
        _at_least_one("batch size", self.batch_size)
        if self.field is not None:
            _at_least_one("field's height and width in pixels", self.field)
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise InputError(f"the learning rate must be a number above 0, such as 0.05; got {self.learning_rate}.")
        if not (math.isfinite(self.multiplier) and self.multiplier > 0):
            raise InputError(f"the multiplier must be a number above 0, such as 0.1; got {self.multiplier}.")
        if list(self.milestones) != sorted(self.milestones) or any(milestone < 0 for milestone in self.milestones):
            raise InputError(f"the milestones must be rising and 0 or more; got {self.milestones}.")
        if not 0 <= self.momentum < 1:
            raise InputError(f"the momentum must be at least 0 and below 1, such as 0.9; got {self.momentum}.")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise InputError(f"the weight decay must be 0 or more, such as 0.001; got {self.weight_decay}.")

    def with_length(self, length: int) -> Recipe:
        """The same recipe in more or fewer epochs (or steps): a milestone m moves to ceil(m * length / old length)."""
        _at_least_one(f"number of {self.unit}", length)
        milestones = tuple(-(-milestone * length // self.length) for milestone in self.milestones)
        return replace(self, length=length, milestones=milestones)

    def with_overrides(self, **overrides: Any) -> Recipe:
        """The same recipe with the given numbers replaced where they are not None; `length` scales the milestones."""
        given = {key: value for key, value in overrides.items() if value is not None}
        length = given.pop("length", None)
        recipe = self.with_length(length) if length is not None else self
        return replace(recipe, **given)

    def as_dict(self) -> dict[str, Any]:
        """The recipe as plain values, for JSON."""
        return {**asdict(self), "milestones": list(self.milestones)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Recipe:
        """The recipe back from `as_dict`, of an earlier version too. Raises InputError for anything else."""
        names = {field.name for field in fields(cls)}
        if isinstance(values, dict):
            values = {**_JOINED_LATER, **values}
        if not isinstance(values, dict) or set(values) != names:
            odd = sorted(set(values) ^ names) if isinstance(values, dict) else type(values).__name__
            raise InputError(f"this is not a recipe of this version of allcnn (unexpected or missing: {odd}).")
        try:
            return cls(**{**values, "milestones": tuple(int(milestone) for milestone in values["milestones"])})
        except TypeError as error:
            raise InputError(f"this is not a recipe: {error}.") from None


# The paper gives no batch size: 200 is the review's. Its learning rate was searched over these four.
LEARNING_RATES = (0.25, 0.1, 0.05, 0.01)

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe("paper"),
        # Lasagne's penalty lambda ||w||^2 with lambda 0.001 has the gradient 0.002 w, on the kernels only.
        Recipe("review", weight_decay=0.002, decay_biases=False, shuffle=False, initializer="glorot_uniform"),
        # Section 3.3.
        Recipe(
            "imagenet", unit="steps", length=450_000, learning_rate=0.01, milestones=(200_000, 400_000),
            weight_decay=0.0005, batch_size=64, preprocessing="channel-mean", augmentation="crop-mirror",
        ),
        # Section 3.2.3 and Table 5; it gives no numbers of its own, so the schedule is CIFAR's.
        Recipe("large", preprocessing="center", augmentation="large", field=126),
    )
}  # fmt: skip

# Measured with strided-b: at learning rate 0.05 classes die at the start, whatever the batch; see RESULTS.md.
_DATASET_NUMBERS: dict[str, dict[str, Any]] = {
    "digits": {
        "learning_rate": 0.02,
        "length": 40,
        "batch_size": 25,
        "initializer": "glorot_uniform",
        "preprocessing": "standardize",
    },
}
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
    if name not in RECIPES:
        raise InputError(f'unknown recipe "{name}"; expected one of: {", ".join(RECIPES)}.')
    recipe = RECIPES[name].with_overrides(**_DATASET_NUMBERS.get(dataset, {}))
    if recipe.preprocessing == "gcn-zca" and max(image_shape[:2]) > LARGEST_WHITENED_SIDE:
        recipe = replace(recipe, preprocessing="standardize")
    return recipe
