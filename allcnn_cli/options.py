"""The options that commands share, each once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

#: Stands for an address that was left out.
FOUND_BY_RAY = "auto-or-local"


class RayCommand(TyperCommand):
    """Lets `--ray` stand without an address, which Typer's options cannot."""

    def parse_args(self, ctx, args: list[str]) -> list[str]:
        for index, argument in enumerate(args):
            if argument == "--ray" and (index + 1 == len(args) or args[index + 1].startswith("-")):
                args = [*args[:index], f"--ray={FOUND_BY_RAY}", *args[index + 1 :]]
        return super().parse_args(ctx, args)


Ray = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="[ADDRESS]",
        help="Train on a Ray cluster: at this address, else $RAY_ADDRESS, else one on this machine.",
    ),
]


def ray_address(given: str) -> str | None:
    """The address after `--ray`, None where it was left out."""
    return None if given == FOUND_BY_RAY else given


Dataset = Annotated[
    str | None,
    typer.Option("--dataset", metavar="NAME", help="cifar10, cifar100, digits or tfds:NAME. [default: cifar10]"),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        help="What holds the images: CIFAR's layout or archive, folders train/CLASS/* and test/CLASS/*.",
    ),
]
ImageSize = Annotated[
    int | None,
    typer.Option("--image-size", metavar="PIXELS", help="Height and width to bring every image to. [default: 32]"),
]
Mirror = Annotated[
    str | None, typer.Option("--mirror", metavar="URL", help="Download from here instead of the official host.")
]
Stream = Annotated[
    bool,
    typer.Option(
        "--stream",
        help="Decode images when they are needed, not all at once; always so for what does not fit in memory.",
    ),
]
SkipDamaged = Annotated[
    bool, typer.Option("--skip-damaged", help="Pass over image files that cannot be read, and count them.")
]
Json = Annotated[bool, typer.Option("--json", help="Write one JSON document to standard output and nothing else.")]
Backend = Annotated[
    str | None,
    typer.Option("--backend", metavar="NAME", help="tensorflow or jax. [default: $KERAS_BACKEND, else tensorflow]"),
]
SavedModel = Annotated[Path, typer.Argument(metavar="CKPT|RUN", help="A .keras file, or the folder of a run.")]

# Of a saved model, what is left out is what it was trained with.
OwnDataset = Annotated[
    str | None,
    typer.Option("--dataset", metavar="NAME", help="cifar10, cifar100, digits or tfds:NAME. [default: the model's]"),
]
OwnDataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", metavar="DIR", help="What holds the images. [default: the model's]"),
]
OwnImageSize = Annotated[
    int | None,
    typer.Option("--image-size", metavar="PIXELS", help="Size to bring every image to. [default: the model's]"),
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
    "recipe": Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="paper, fast, review, imagenet or large. [default: the network's own, which is mostly paper]",
        ),
    ],
    "learning_rate": Annotated[
        float | None, typer.Option("--lr", metavar="RATE", help="Learning rate. [default: 0.05; fast, digits: 0.02]")
    ],
    "epochs": Annotated[
        int | None,
        typer.Option(metavar="E", help="Epochs; the schedule is scaled. [default: 350; fast: 40; digits: 40, fast 5]"),
    ],
    "steps": Annotated[
        int | None, typer.Option(metavar="N", help="Steps, for a recipe that counts them. [default: 450000]")
    ],
    "batch_size": Annotated[int | None, typer.Option(metavar="IMAGES", help="[default: 200; digits: 25]")],
    "augmentation": Annotated[
        str | None,
        typer.Option(
            "--augment",
            metavar="KIND",
            help="none, flip-shift, flip-reflect, crop-mirror or large. [default: the recipe's]",
        ),
    ],
    "field": Annotated[
        int | None,
        typer.Option(
            metavar="PIXELS",
            help="Put images into the middle of a square of zeros, the network's input. "
            "[default: none; recipe large: 126]",
        ),
    ],
    "preprocessing": Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="gcn-zca, none, scale, center, gcn, standardize or channel-mean. "
            "[default: gcn-zca; fast, digits: standardize]",
        ),
    ],
    "initializer": Annotated[str | None, typer.Option(metavar="NAME", help="Initial weights. [default: the recipe's]")],
    "weight_decay": Annotated[
        float | None, typer.Option(metavar="LAMBDA", help="lambda in gradient + lambda w. [default: 0.001; fast: 0]")
    ],
    "settings": Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any other number of the recipe, as in config.json: --set label_smoothing=0.2. May be given again.",
        ),
    ],
    "precision": Annotated[
        str | None, typer.Option(metavar="KIND", help="auto, float32 or mixed_bfloat16. [default: auto]")
    ],
    "validation": Annotated[
        float | None,
        typer.Option(
            metavar="FRACTION",
            help="Part of the training images to hold out; a sweep then chooses rates by it. [default: 0]",
        ),
    ],
    "test_every": Annotated[
        int | None,
        typer.Option(metavar="E", help="Measure the errors every E epochs, and after the last. [default: 1]"),
    ],
    "save_every": Annotated[
        int | None, typer.Option(metavar="N", help="Save the state every N steps too. [default: after each epoch]")
    ],
    "patience": Annotated[
        int | None,
        typer.Option(
            metavar="E",
            help="Give a run up after E epochs in a row that learn nothing. [default: 5, and at least 1,000 steps]",
        ),
    ],
    "tensorboard": Annotated[
        bool, typer.Option("--tensorboard", help="Write TensorBoard's event files into the run's folder too.")
    ],
    "deterministic": Annotated[
        bool, typer.Option("--deterministic", help="The same bits every time on a GPU too; on a CPU they are anyway.")
    ],
    "devices": Annotated[
        int | None,
        typer.Option(metavar="N", help="Accelerators of this host that share every batch. [default: all, on JAX]"),
    ],
    "seed": Annotated[int | None, typer.Option(metavar="N", help="Decides every random choice. [default: 0]")],
    "backend": Backend,
}
Config = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="Options from a run's config.json, or from JSON or YAML; others come first."
    ),
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
