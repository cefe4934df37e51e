"""The options that commands share, each once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Dataset = Annotated[
    str | None, typer.Option("--dataset", metavar="NAME", help="cifar10, cifar100 or digits. [default: cifar10]")
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        help="What holds the images: an official layout or archive of CIFAR, or folders train/CLASS/*, test/CLASS/*.",
    ),
]
ImageSize = Annotated[
    int | None,
    typer.Option("--image-size", metavar="PIXELS", help="Height and width to bring every image to. [default: 32]"),
]
Mirror = Annotated[
    str | None, typer.Option("--mirror", metavar="URL", help="Download from here instead of the official host.")
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
    typer.Option("--dataset", metavar="NAME", help="cifar10, cifar100 or digits. [default: the model's]"),
]
OwnDataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", metavar="DIR", help="What holds the images. [default: the model's]"),
]
OwnImageSize = Annotated[
    int | None,
    typer.Option("--image-size", metavar="PIXELS", help="Size to bring every image to. [default: the model's]"),
]
