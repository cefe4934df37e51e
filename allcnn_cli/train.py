"""`allcnn train`."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from allcnn.errors import InputError
from allcnn_cli import options
from allcnn_cli.output import complain, only_python_on_stdout, only_results_on_stdout, percent, show, show_json

if TYPE_CHECKING:
    from allcnn.training.run import TrainingResult


@options.of_a_run()
def train(
    *,
    model: options.Model = None,
    spec: options.OwnSpec = None,
    asked: dict[str, Any],
    config: options.Config = None,
    run_dir: Annotated[
        Path | None,
        options.of_saving("DIR", "The run's folder.", default="runs/{model}-{data}-{recipe}-lr{lr}-seed{seed}"),
    ] = None,
    resume: Annotated[
        bool, options.of_saving("", "Resume the run in --run-dir. Options left out are as they were.", "--resume")
    ] = False,
    allow: Annotated[
        list[str] | None,
        options.of_saving(
            "KEY",
            "Resume though this differs: epochs, backend, precision or machine. Repeatable.",
            complete="allcnn.training.identity:ALLOWED",
        ),
    ] = None,
    hosts: Annotated[
        str | None, options.of_machine("ADDRESS", "Several hosts: host 0's NAME:PORT, or auto in SLURM and Open MPI.")
    ] = None,
    host_index: Annotated[int | None, options.of_machine("N", "Which host this is, from 0.")] = None,
    host_count: Annotated[int | None, options.of_machine("N", "How many hosts there are.")] = None,
    ray: options.Ray = None,
    workers: Annotated[int | None, options.of_machine("N", "How many workers Ray starts.", default="1")] = None,
    min_workers: Annotated[
        int | None, options.of_machine("N", "The fewest workers to go on with.", default="--workers")
    ] = None,
    cpus_per_worker: Annotated[
        float | None, options.of_machine("N", "CPUs that Ray gives a worker.", default="1")
    ] = None,
    gpus_per_worker: Annotated[
        float | None, options.of_machine("N", "GPUs that Ray gives a worker.", default="0")
    ] = None,
    max_restarts: Annotated[
        int | None, options.of_machine("N", "How many times lost workers are started again.", default="100")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Train a network and leave a run folder with the model.

    --resume goes on with a run that was stopped in any way.

    Examples:
      allcnn train --model strided-b --dataset digits --recipe fast
      allcnn train --model strided-a --lr 0.05 --epochs 3 --data-dir ~/cifar
      allcnn train --resume --run-dir runs/strided-a-cifar10-paper-lr0.05-seed0
      allcnn train --model all-c --data-dir /shared/cifar --ray --workers 2
    """
    if model is not None and spec is not None:
        raise InputError("both --model and --spec were given; expected one of them.")
    from allcnn.backend import choose_backend
    from allcnn.specs import parse
    from allcnn.training.spread import find_hosts, is_first

    network = model if spec is None else parse(spec)
    of_ray: dict[str, Any] = {
        "workers": workers, "min_workers": min_workers, "cpus_per_worker": cpus_per_worker,
        "gpus_per_worker": gpus_per_worker, "max_restarts": max_restarts,
    }  # fmt: skip
    of_ray = {name: value for name, value in of_ray.items() if value is not None}
    if of_ray and ray is None:
        raise InputError(f"--{next(iter(of_ray)).replace('_', '-')} was given without --ray; expected --ray beside it.")
    if ray is not None and hosts is not None:
        raise InputError("both --ray and --hosts were given; Ray finds the hosts by itself.")
    several_hosts = find_hosts(hosts, host_index, host_count) is not None
    if "backend" in asked:  # refused before the images are read; left out, a resumed run brings its own
        choose_backend(asked["backend"])
    with only_results_on_stdout(), only_python_on_stdout() if several_hosts else nullcontext():
        from allcnn.training.run import train as train_network

        if ray is not None:
            from allcnn.training.on_ray import Workers, train_on_ray
            from allcnn.training.plan import plan_run

            group = Workers(**of_ray)
            plan = plan_run(network, config=config, run_dir=run_dir, resume=resume, allow=allow or (), **asked)
            result = train_on_ray(plan, options.ray_address(ray), group, complain)
        else:
            result = train_network(
                network, config=config, run_dir=run_dir, resume=resume, allow=allow or (),
                hosts=hosts, host_index=host_index, host_count=host_count, progress=True, announce=complain, **asked,
            )  # fmt: skip
    if several_hosts and not is_first():
        return  # host 0 shows it
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
