"""How long the recipes would take at given rates, by arithmetic alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from allcnn.runs.recipe import RECIPES, Recipe


@dataclass(frozen=True)
class RecipeData:
    """What a recipe is for: images of a size, so many to train on, and so many to test on after every epoch.

    image_size: height and width of what the network sees, which for the recipe large is the images' field.
    """

    image_size: int
    training_images: int
    test_images: int


#: CIFAR-10's numbers; the recipe imagenet counts steps, and has no test pass of its own.
RECIPE_DATA = {
    "paper": RecipeData(32, 50_000, 10_000),
    "review": RecipeData(32, 50_000, 10_000),
    "fast": RecipeData(32, 50_000, 10_000),
    "large": RecipeData(126, 50_000, 10_000),
    "imagenet": RecipeData(224, 1_281_167, 0),
}


@dataclass(frozen=True)
class RecipeTime:
    """How long a recipe would take.

    unit, length: what the recipe counts, and how many. training_images, test_images: of all epochs together.
    Counted are the training steps and the test passes, one an epoch; not start-up, whitening, saving, nor an
    augmentation other than the measured one.
    """

    recipe: str
    unit: str
    length: int
    training_images: int
    test_images: int
    training_seconds: float
    test_seconds: float

    @property
    def total_seconds(self) -> float:
        return self.training_seconds + self.test_seconds

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON."""
        return {**asdict(self), "total_seconds": self.total_seconds}


def fitting_recipes(image_shape: tuple[int, int, int]) -> list[Recipe]:
    """The recipes for images of this shape, (height, width, channels); none for most."""
    return [
        recipe
        for name, recipe in RECIPES.items()
        if name in RECIPE_DATA and (RECIPE_DATA[name].image_size,) * 2 == tuple(image_shape[:2])
    ]


def recipe_time(recipe: Recipe, training_rate: float, prediction_rate: float) -> RecipeTime:
    """How long a recipe takes at rates in images per second."""
    data = RECIPE_DATA[recipe.name]
    if recipe.unit == "steps":
        training_images, test_images = recipe.length * recipe.batch_size, 0
    else:
        # A last, smaller batch is dropped.
        whole_batches = data.training_images // recipe.batch_size * recipe.batch_size
        training_images, test_images = recipe.length * whole_batches, recipe.length * data.test_images
    return RecipeTime(
        recipe.name, recipe.unit, recipe.length, training_images, test_images,
        training_images / training_rate, test_images / prediction_rate,
    )  # fmt: skip
