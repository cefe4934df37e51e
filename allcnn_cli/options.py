"""The options that commands share, each once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial, wraps
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

#: Stands for an address that was left out.
FOUND_BY_RAY = "auto-or-local"


class _Helpful:
    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help, and its examples no paler than the rest."""
        from typer import rich_utils

        rich_utils.STYLE_HELPTEXT = ""
        super().format_help(ctx, formatter)  # type: ignore[misc]

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, for the help: Typer would write <bool> beside every flag, <list[Path]> beside arguments."""
        found = super().get_params(ctx)  # type: ignore[misc]
        for parameter in found:
            if getattr(parameter, "is_flag", False):
                parameter.metavar = ""
            elif parameter.param_type_name == "argument":
                parameter.display_type_rich = lambda ctx: None
        return found

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse; an error knows for which command, whose help it then names."""
        try:
            return super().parse_args(ctx, args)  # type: ignore[misc]
        except Exception as error:
            if getattr(error, "ctx", ctx) is None:
                error.ctx = ctx  # type: ignore[attr-defined]
            raise


class Command(_Helpful, TyperCommand):
    """A command of ours."""


class Group(_Helpful, TyperGroup):
    """The commands."""


class RayCommand(Command):
    """Lets `--ray` stand without an address, which Typer's options cannot."""

    def parse_args(self, ctx, args: list[str]) -> list[str]:
        for index, argument in enumerate(args):
            if argument == "--ray" and (index + 1 == len(args) or args[index + 1].startswith("-")):
                args = [*args[:index], f"--ray={FOUND_BY_RAY}", *args[index + 1 :]]
        return super().parse_args(ctx, args)


def names_of(where: str) -> Callable[[str], list[str]]:
    """Complete names, several of them joined by commas, too.

    where: "module:NAME" of what holds them, or "module:NAME,more,names". The module is loaded only when a shell asks.
    """

    def complete(incomplete: str) -> list[str]:
        place, *more = where.split(",")
        module, name = place.split(":")
        known = (*more, *getattr(import_module(module), name))
        before, comma, begun = incomplete.rpartition(",")
        return [f"{before}{comma}{each}" for each in known if each.startswith(begun)]

    return complete


def option(
    metavar: str,
    help: str,
    *flags: str,
    panel: str | None = None,
    default: str | None = None,
    complete: str | None = None,
    **about: Any,
) -> Any:
    """An option in a panel of the help.

    metavar: what stands for its value; empty for a flag. flags: by default the parameter's name. default: what holds if
    it is left out, in words. complete: where its names are, for `names_of`.
    """
    if complete is not None:
        about["autocompletion"] = names_of(complete)
    words = f"{help} [dim]\\[default: {default}][/]" if default else help
    return typer.Option(
        *flags, metavar=metavar, help=words, rich_help_panel=panel, show_default=default is None, **about
    )


# The panels, in the order in which a command's first options of each stand.
of_network = partial(option, panel="Network")
of_data = partial(option, panel="Data")
of_samples = partial(option, panel="Samples")
of_recipe = partial(option, panel="Recipe")
of_saving = partial(option, panel="Saving")
of_machine = partial(option, panel="Machine")

NETWORKS = "allcnn.specs:ZOO"
DATASETS = "allcnn.data.load:DATASETS"
RECIPES = "allcnn.runs.recipe:RECIPES"
AUGMENTATIONS = "allcnn.runs.recipe:AUGMENTATIONS"
PREPROCESSINGS = "allcnn.preprocessing:PREPROCESSINGS"
PRECISIONS = "allcnn.device:PRECISIONS"

Model = Annotated[str | None, of_network("NAME", "A network's name; `allcnn params` lists them.", complete=NETWORKS)]
OwnSpec = Annotated[str | None, of_network("TEXT", "A network of your own, such as 96C3-96C3/2-NC1-GAP.")]
Ray = Annotated[
    str | None,
    of_machine(
        "[ADDRESS]", "Train on a Ray cluster: at this address, else at $RAY_ADDRESS, else started on this machine."
    ),
]


def ray_address(given: str) -> str | None:
    """The address after `--ray`, None where it was left out."""
    return None if given == FOUND_BY_RAY else given


def _dataset(default: str) -> Any:
    return of_data("NAME", "cifar10, cifar100, digits or tfds:NAME.", default=default, complete=DATASETS)


Dataset = Annotated[str | None, _dataset("cifar10")]
DataDir = Annotated[
    Path | None,
    of_data(
        "DIR",
        "Where the images are: an official folder or archive of CIFAR, or a folder with train/CLASS/* and "
        "test/CLASS/*.",
    ),
]
ImageSize = Annotated[
    int | None, of_data("PIXELS", "Scale and crop images to squares of this size.", default="32; recipe imagenet: 224")
]
Mirror = Annotated[str | None, of_data("URL", "Download from here instead of the official host.")]
Stream = Annotated[
    bool,
    of_data(
        "", "Decode images when they are needed, not all at once. Always so if they do not fit in memory.", "--stream"
    ),
]
SkipDamaged = Annotated[bool, of_data("", "Skip image files that cannot be read.", "--skip-damaged")]
Json = Annotated[bool, typer.Option("--json", help="Write one JSON document to standard output and nothing else.")]
Backend = Annotated[
    str | None,
    of_machine(
        "NAME", "tensorflow or jax.", default="$KERAS_BACKEND, else tensorflow", complete="allcnn.backend:BACKENDS"
    ),
]
Wide = Annotated[bool, typer.Option("--wide", help="Show all columns, not only those that fit 80 characters.")]
SavedModel = Annotated[
    Path,
    typer.Argument(
        metavar="CKPT|RUN",
        help="A .keras file, a run's folder, hf://OWNER/NAME, or pretrained: the all-c that comes with allcnn.",
    ),
]

# Of a saved model, what is left out is what it was trained with.
OwnDataset = Annotated[str | None, _dataset("the model's")]
OwnDataDir = Annotated[Path | None, of_data("DIR", "Where the images are.", default="the model's")]
OwnImageSize = Annotated[
    int | None, of_data("PIXELS", "Scale and crop images to squares of this size.", default="the model's")
]

# What a run is asked for, by the names of `allcnn.RunConfig`'s fields and of `allcnn.Recipe`'s numbers; what is left
# out is the recipe's, or the resumed run's own.
OF_A_RUN: dict[str, Any] = {
    "dataset": Dataset,
    "data_dir": DataDir,
    "image_size": ImageSize,
    "mirror": Mirror,
    "stream": Stream,
    "skip_damaged": SkipDamaged,
    "validation": Annotated[
        float | None,
        of_data(
            "FRACTION",
            "Part of the training images to hold out. A sweep then chooses rates by their error.",
            default="0",
        ),
    ],
    "recipe": Annotated[
        str | None,
        of_recipe(
            "NAME",
            "paper, fast, review, imagenet or large.",
            default="paper; large-all: large; imagenet-all-b: imagenet",
            complete=RECIPES,
        ),
    ],
    "learning_rate": Annotated[
        float | None, of_recipe("RATE", "Learning rate.", "--lr", default="the recipe's: paper 0.05, fast 0.02")
    ],
    "epochs": Annotated[
        int | None, of_recipe("N", "Epochs. The schedule is scaled.", default="the recipe's: paper 350, fast 40")
    ],
    "steps": Annotated[int | None, of_recipe("N", "Steps, for the recipe imagenet.", default="450000")],
    "batch_size": Annotated[
        int | None, of_recipe("IMAGES", "Images in a training step.", default="the recipe's: paper, fast 200")
    ],
    "augmentation": Annotated[
        str | None,
        of_recipe(
            "NAME",
            "none, flip-shift, flip-reflect, crop-mirror or large.",
            "--augment",
            default="the recipe's",
            complete=AUGMENTATIONS,
        ),
    ],
    "field": Annotated[
        int | None,
        of_recipe(
            "PIXELS",
            "Put images into the middle of a square of zeros, the network's input.",
            default="the recipe's: large 126, else none",
        ),
    ],
    "preprocessing": Annotated[
        str | None,
        of_recipe(
            "NAME",
            "gcn-zca, none, scale, center, gcn, standardize or channel-mean.",
            default="the recipe's: paper gcn-zca, fast standardize",
            complete=PREPROCESSINGS,
        ),
    ],
    "initializer": Annotated[
        str | None,
        of_recipe("NAME", "Initial weights.", default="the recipe's", complete="allcnn.models.build:INITIALIZERS"),
    ],
    "weight_decay": Annotated[
        float | None, of_recipe("LAMBDA", "lambda in gradient + lambda w.", default="the recipe's: paper 0.001, fast 0")
    ],
    "settings": Annotated[
        list[str] | None,
        of_recipe(
            "NAME=VALUE",
            "Any other number of the recipe, named as in config.json: --set label_smoothing=0.2. Repeatable.",
            "--set",
        ),
    ],
    "patience": Annotated[
        int | None,
        of_recipe(
            "N",
            "Give a run up after N epochs in a row with a training loss within 1 % of guessing's, ln(classes). "
            "A loss of NaN or a dead network ends a run at once.",
            default="5, or as many as 1,000 steps take",
        ),
    ],
    "seed": Annotated[int | None, of_recipe("N", "Decides every random choice.", default="0")],
    "test_every": Annotated[
        int | None, of_saving("N", "Measure the errors every N epochs, and after the last.", default="1")
    ],
    "save_every": Annotated[int | None, of_saving("N", "Save the state every N steps too, not only after each epoch.")],
    "tensorboard": Annotated[
        bool, of_saving("", "Write TensorBoard's event files into the run's folder too.", "--tensorboard")
    ],
    "precision": Annotated[
        str | None, of_machine("NAME", "auto, float32 or mixed_bfloat16.", default="auto", complete=PRECISIONS)
    ],
    "deterministic": Annotated[
        bool, of_machine("", "Bit-identical runs on a GPU too. On a CPU they always are.", "--deterministic")
    ],
    "devices": Annotated[
        int | None, of_machine("N", "Accelerators of this host that share every batch.", default="all, on JAX")
    ],
    "backend": Backend,
}
Config = Annotated[
    Path | None,
    of_recipe("FILE", "Read options from a run's config.json, or from JSON or YAML. Those given here come first."),
]


def of_a_run(without: tuple[str, ...] = ()) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command all options of a run but some, in the place of its parameter `asked`, a dict of those given."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        shared = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
            for name, kind in OF_A_RUN.items()
            if name not in without
        ]

        @wraps(command)
        def with_shared(**given: Any) -> None:
            from allcnn.runs.recipe import read_settings

            asked = {option.name: given.pop(option.name) for option in shared}
            numbers = read_settings(asked.pop("settings") or ())
            command(asked={name: value for name, value in asked.items() if value is not None} | numbers, **given)

        own = inspect.signature(command, eval_str=True).parameters.values()
        with_shared.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [
                option.replace(kind=inspect.Parameter.KEYWORD_ONLY)
                for parameter in own
                for option in (shared if parameter.name == "asked" else [parameter])
            ]
        )
        return with_shared

    return decorate
