"""Network + images -> a run folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from allcnn.backend import choose_backend, load_keras, prefer_backend
from allcnn.runs.lock import only_process
from allcnn.spread.channel import Channel
from allcnn.spread.hosts import Hosts, find_hosts
from allcnn.training import spread
from allcnn.training.outcome import TrainingResult as TrainingResult
from allcnn.training.outcome import resume_line
from allcnn.training.plan import RunPlan, plan_run

if TYPE_CHECKING:
    import keras

    from allcnn.data.dataset import Dataset
    from allcnn.runs.recipe import Recipe
    from allcnn.specs import Spec


def train(
    model: str | Spec | None = None,
    *,
    dataset: str | Dataset | None = None,
    data_dir: str | Path | None = None,
    image_size: int | None = None,
    mirror: str | None = None,
    stream: bool = False,
    skip_damaged: bool = False,
    recipe: str | Recipe | None = None,
    learning_rate: float | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    augmentation: str | None = None,
    field: int | None = None,
    preprocessing: str | None = None,
    initializer: str | None = None,
    weight_decay: float | None = None,
    precision: str | None = None,
    validation: float | None = None,
    test_every: int | None = None,
    save_every: int | None = None,
    patience: int | None = None,
    tensorboard: bool = False,
    deterministic: bool = False,
    devices: int | None = None,
    hosts: str | Hosts | None = None,
    host_index: int | None = None,
    host_count: int | None = None,
    seed: int | None = None,
    run_dir: str | Path | None = None,
    resume: bool = False,
    allow: Sequence[str] = (),
    progress: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    announce: Callable[[str], None] | None = None,
    **numbers: Any,
) -> TrainingResult:
    """Train a network by a recipe and leave a run folder.

    Args:
        model: a name ("strided-b") or a network in the spec language; only a resumed run can do without.
        dataset: "cifar10" (the default), "cifar100", "digits", or a `Dataset`.
        data_dir, image_size, mirror, stream, skip_damaged: where the images are; see `allcnn.load_data`.
        recipe: "paper", "fast", "review", "imagenet" or "large", or a `Recipe`; by default the network's own, which is
            "paper" for all but "large-all" and "imagenet-all-b". The next ten replace numbers of it, and `numbers` any
            other, such as label_smoothing=0.2; see `allcnn.runs.recipe.Recipe`.
        epochs, steps: whichever the recipe counts; scales its milestones with it.
        field: height and width, in pixels, of a square of zeros in whose middle the preprocessed images lie.
        precision: "auto", "float32" or "mixed_bfloat16".
        validation: fraction of the training images held out, on which "validation_error" is measured.
        test_every: measure the errors every so many epochs, and after the last; 1 by default.
        save_every: save the training state every so many steps too, not only after each epoch.
        patience: epochs in a row on the plateau of guessing after which the run is given up; by default five, and no
            fewer than 1,000 steps.
        tensorboard: write the figures of every epoch as TensorBoard's event files too (extra `allcnn[tensorboard]`).
        deterministic: the same bits every time on a GPU too; on a CPU they are anyway. It holds for the whole process.
        devices: how many of this host's accelerators share every batch; on JAX, all of them by default. More than one,
            and more than one host, takes JAX. The images of a batch, their order and the learning rate are the same for
            any number; a batch must divide among them.
        hosts, host_index, host_count: for a run that several processes share, each on a host of its own: "name:port" of
            host 0, this one's number from 0, and how many there are; or "auto" alone, in SLURM or Open MPI. All must
            see the same `run_dir`, which host 0 alone writes to, and be told the same. Each returns host 0's result.
            Where the run ends on one host it ends on all; a process inside a step that cannot end is ended from within.
        seed: decides initial weights, order, flips, shifts and dropout; 0 by default.
        run_dir: the folder to write; by default runs/{model}-{data}-{recipe}-lr{lr}-seed{seed}.
        resume: go on with the run in `run_dir` (arguments left out are the run's own), to the same end.
        allow: what may differ from the run that is resumed: "epochs", "backend", "precision", "machine" (which is the
            versions of Keras and its backend too).
        progress: show it on standard error.
        callbacks: further Keras callbacks.
        announce: called with lines worth telling a person.

    Returns:
        The last epoch's figures. The published result of a run is its last epoch's test error, not its best.

    Raises:
        InputError: a wrong argument, broken data, or a folder that holds another run or that another process works
            on; nothing was written.
        HostError: the hosts did not find each other, one of them was lost, or ended the run; the last state is kept.
        TrainingError: training diverged, the network is dead, or the disk is full; the last good state is kept.
        Interrupted: stopped by the user; the state at that step is saved.
    """
    who = find_hosts(hosts, host_index, host_count) if hosts is None or isinstance(hosts, str) else hosts
    with spread.shared(who) as channel:
        plan = plan_run(
            model, dataset=dataset, data_dir=data_dir, image_size=image_size, mirror=mirror, stream=stream,
            skip_damaged=skip_damaged, recipe=recipe, epochs=epochs, steps=steps,
            learning_rate=learning_rate, batch_size=batch_size, augmentation=augmentation, field=field,
            preprocessing=preprocessing, initializer=initializer, weight_decay=weight_decay, precision=precision,
            validation=validation, test_every=test_every, save_every=save_every, patience=patience,
            tensorboard=tensorboard, deterministic=deterministic, devices=devices, seed=seed, run_dir=run_dir,
            resume=resume, allow=allow, **numbers,
        )  # fmt: skip
        if plan.stored is not None:
            prefer_backend(plan.stored["backend"])
        backend = choose_backend()
        spread.refuse_backend(plan, channel, backend)
        if channel:
            return _train_with_others(plan, channel, backend, progress, callbacks, announce)
        with only_process(plan.folder):
            return _train(plan, None, progress, callbacks, announce)


def _train(
    plan: RunPlan,
    channel: Channel | None,
    progress: bool,
    callbacks: Sequence[keras.callbacks.Callback],
    announce: Callable[[str], None] | None,
) -> TrainingResult:
    """Load Keras, and begin the run or go on with it."""
    announce = announce or (lambda line: None)
    load_keras(plan.deterministic)
    for note in plan.notes:
        announce(note)
    from allcnn.training.loop import TrainingLoop

    return TrainingLoop(plan, announce, channel).train(progress, callbacks)


def _train_with_others(
    plan: RunPlan,
    channel: Channel,
    backend: str,
    progress: bool,
    callbacks: Sequence[keras.callbacks.Callback],
    announce: Callable[[str], None] | None,
) -> TrainingResult:
    """One of several hosts' part: host 0 holds the folder and has the say, the others follow it."""
    with only_process(plan.folder) if channel.host == 0 else nullcontext():
        spread.agree(plan, channel, backend)
        spread.refuse_other_folder(plan.folder, channel)
        from allcnn.spread import accelerators

        accelerators.connect(channel, plan.devices)
        if channel.host == 0:
            channel.advice = spread.lost_host_advice(resume_line(plan.folder))
            return _train(plan, channel, progress, callbacks, announce)
        load_keras(plan.deterministic)
        from allcnn.training.following import FollowingLoop

        return FollowingLoop(plan, lambda line: None, channel).train(False, callbacks)
