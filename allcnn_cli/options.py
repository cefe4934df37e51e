"""The options that commands share, each once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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

# The numbers of a run, for what trains; what is left out is the recipe's.
Recipe = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        metavar="NAME",
        help="paper, fast, review, imagenet or large. [default: the network's own, which is mostly paper]",
    ),
]
Epochs = Annotated[
    int | None,
    typer.Option(
        "--epochs", metavar="E", help="Epochs; the schedule is scaled. [default: 350; fast: 40; digits: 40, fast 5]"
    ),
]
Steps = Annotated[
    int | None, typer.Option("--steps", metavar="N", help="Steps, for a recipe that counts them. [default: 450000]")
]
BatchSize = Annotated[int | None, typer.Option("--batch-size", metavar="IMAGES", help="[default: 200; digits: 25]")]
Augmentation = Annotated[
    str | None,
    typer.Option(
        "--augment",
        metavar="KIND",
        help="none, flip-shift, flip-reflect, crop-mirror or large. [default: the recipe's]",
    ),
]
Field = Annotated[
    int | None,
    typer.Option(
        "--field",
        metavar="PIXELS",
        help="Put images into the middle of a square of zeros, the network's input. [default: none; recipe large: 126]",
    ),
]
Preprocessing = Annotated[
    str | None,
    typer.Option(
        "--preprocessing",
        metavar="KIND",
        help="gcn-zca, none, scale, center, gcn, standardize or channel-mean. "
        "[default: gcn-zca; fast, digits: standardize]",
    ),
]
Initializer = Annotated[
    str | None, typer.Option("--initializer", metavar="NAME", help="Initial weights. [default: the recipe's]")
]
WeightDecay = Annotated[
    float | None,
    typer.Option("--weight-decay", metavar="LAMBDA", help="lambda in gradient + lambda w. [default: 0.001; fast: 0]"),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Any other number of the recipe, as in config.json: --set label_smoothing=0.2. May be given again.",
    ),
]
Precision = Annotated[
    str | None, typer.Option("--precision", metavar="KIND", help="auto, float32 or mixed_bfloat16. [default: auto]")
]
Validation = Annotated[
    float | None,
    typer.Option("--validation", metavar="FRACTION", help="Part of the training images to hold out. [default: 0]"),
]
TestEvery = Annotated[
    int | None,
    typer.Option(
        "--test-every", metavar="E", help="Measure the errors every E epochs, and after the last. [default: 1]"
    ),
]
SaveEvery = Annotated[
    int | None,
    typer.Option("--save-every", metavar="N", help="Save the state every N steps too. [default: after each epoch]"),
]
Patience = Annotated[
    int | None,
    typer.Option(
        "--patience",
        metavar="E",
        help="Give a run up after E epochs in a row that learn nothing. [default: 5, and at least 1,000 steps]",
    ),
]
Deterministic = Annotated[
    bool, typer.Option("--deterministic", help="The same bits every time on a GPU too; on a CPU they are anyway.")
]

# How a run is spread, for `train`.
Devices = Annotated[
    int | None,
    typer.Option(
        "--devices", metavar="N", help="Accelerators of this host that share every batch. [default: all, on JAX]"
    ),
]
Hosts = Annotated[
    str | None,
    typer.Option("--hosts", metavar="ADDR", help="Several hosts: host 0's NAME:PORT, or auto in SLURM and Open MPI."),
]
HostIndex = Annotated[int | None, typer.Option("--host-index", metavar="I", help="Which host this is, from 0.")]
HostCount = Annotated[int | None, typer.Option("--host-count", metavar="N", help="How many hosts there are.")]
