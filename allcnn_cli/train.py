"""`allcnn train`."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from allcnn.errors import InputError
from allcnn_cli import options
from allcnn_cli.output import complain, only_python_on_stdout, only_results_on_stdout, percent, show, show_json

if TYPE_CHECKING:
    from allcnn.training.run import TrainingResult


def train(
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME", help="A network's name; `allcnn params` lists them.")
    ] = None,
    spec: Annotated[
        str | None, typer.Option("--spec", metavar="TEXT", help="A network of your own, such as 96C3-96C3/2-NC1-GAP.")
    ] = None,
    dataset: options.Dataset = None,
    data_dir: options.DataDir = None,
    image_size: options.ImageSize = None,
    mirror: options.Mirror = None,
    stream: options.Stream = False,
    skip_damaged: options.SkipDamaged = False,
    recipe: options.Recipe = None,
    learning_rate: Annotated[
        float | None, typer.Option("--lr", metavar="RATE", help="Learning rate. [default: 0.05; fast, digits: 0.02]")
    ] = None,
    epochs: options.Epochs = None,
    steps: options.Steps = None,
    batch_size: options.BatchSize = None,
    augmentation: options.Augmentation = None,
    field: options.Field = None,
    preprocessing: options.Preprocessing = None,
    initializer: options.Initializer = None,
    weight_decay: options.WeightDecay = None,
    settings: options.Settings = None,
    precision: options.Precision = None,
    validation: options.Validation = None,
    test_every: options.TestEvery = None,
    save_every: options.SaveEvery = None,
    patience: options.Patience = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write TensorBoard's event files into the run's folder too.")
    ] = False,
    deterministic: options.Deterministic = False,
    devices: options.Devices = None,
    hosts: options.Hosts = None,
    host_index: options.HostIndex = None,
    host_count: options.HostCount = None,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", help="Decides every random choice. [default: 0]")
    ] = None,
    run_dir: Annotated[
        Path | None,
        typer.Option(
            "--run-dir",
            metavar="DIR",
            help="The folder to write. [default: runs/{model}-{data}-{recipe}-lr{lr}-seed{seed}]",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in the folder; what is left out is the run's own.")
    ] = False,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            "--allow",
            metavar="KEY",
            help="Resume though this differs: epochs, backend, precision or machine. May be given again.",
        ),
    ] = None,
    as_json: options.Json = False,
    backend: options.Backend = None,
) -> None:
    """Train a network and leave a run folder with the model.

    \b
    Examples:
      allcnn train --model strided-b --dataset digits
      allcnn train --model strided-a --lr 0.05 --epochs 3 --data-dir ~/cifar
      allcnn train --resume --run-dir runs/strided-a-cifar10-paper-lr0.05-seed0
    """
    if model is not None and spec is not None:
        raise InputError("both --model and --spec were given; expected one of them.")
    if model is None and spec is None and not resume:
        raise InputError("no network was given; expected --model NAME (`allcnn params` lists them) or --spec TEXT.")
    from allcnn.backend import choose_backend
    from allcnn.runs.recipe import read_settings
    from allcnn.specs import parse
    from allcnn.spread.hosts import find_hosts

    network = model if spec is None else str(parse(spec))
    numbers = read_settings(settings or ())
    who = find_hosts(hosts, host_index, host_count)
    if backend is not None:  # left out, a resumed run brings its own
        choose_backend(backend)
    with only_results_on_stdout(), only_python_on_stdout() if who else nullcontext():
        from allcnn.training.run import train as train_network

        result = train_network(
            network,
            dataset=dataset,
            data_dir=data_dir,
            image_size=image_size,
            mirror=mirror,
            stream=stream,
            skip_damaged=skip_damaged,
            recipe=recipe,
            learning_rate=learning_rate,
            epochs=epochs,
            steps=steps,
            batch_size=batch_size,
            augmentation=augmentation,
            field=field,
            preprocessing=preprocessing,
            initializer=initializer,
            weight_decay=weight_decay,
            precision=precision,
            validation=validation,
            test_every=test_every,
            save_every=save_every,
            patience=patience,
            tensorboard=tensorboard,
            deterministic=deterministic,
            devices=devices,
            hosts=who,
            seed=seed,
            run_dir=run_dir,
            resume=resume,
            allow=allow or (),
            progress=True,
            announce=complain,
            **numbers,
        )
    if who is not None and who.index > 0:
        return  # host 0 has shown it
    if as_json:
        show_json(result.as_dict())
    else:
        _show(result)


def _show(result: TrainingResult) -> None:
    from shlex import quote

    show(f"test error       {percent(result.test_error)} %")
    if result.test_top5_error is not None:
        show(f"top-5 error      {percent(result.test_top5_error)} %")
    if result.published_error is not None:
        show(f"published error  {percent(result.published_error)} %")
    if result.validation_error is not None:
        show(f"held-out error   {percent(result.validation_error)} %")
    epochs = "epoch" if result.epochs == 1 else "epochs"
    show(f"trained          {result.epochs:,} {epochs} in {result.seconds:,.0f} s, {result.parameters:,} parameters")
    if result.damaged_images:
        show(f"damaged          {result.damaged_images:,} images passed over: {result.run_dir / 'damaged.txt'}")
    show(f"model            {result.run_dir / 'model.keras'}")
    show(f"next             allcnn eval {quote(str(result.run_dir))}")
