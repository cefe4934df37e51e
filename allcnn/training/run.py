"""Network + images -> a run folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from allcnn.backend import load_keras, prefer_backend
from allcnn.runs.lock import only_process
from allcnn.training.outcome import TrainingResult as TrainingResult
from allcnn.training.plan import plan_run

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
    seed: int | None = None,
    run_dir: str | Path | None = None,
    resume: bool = False,
    allow: Sequence[str] = (),
    progress: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    announce: Callable[[str], None] | None = None,
) -> TrainingResult:
    """Train a network by a recipe and leave a run folder.

    Args:
        model: a name ("strided-b") or a network in the spec language; only a resumed run can do without.
        dataset: "cifar10" (the default), "cifar100", "digits", or a `Dataset`.
        data_dir, image_size, mirror, stream, skip_damaged: where the images are; see `allcnn.load_data`.
        recipe: "paper", "review", "imagenet" or "large", or a `Recipe`; by default the network's own, which is "paper"
            for all but "large-all" and "imagenet-all-b". The next ten replace numbers of it.
        epochs, steps: whichever the recipe counts; scales its milestones with it.
        field: height and width, in pixels, of a square of zeros in whose middle the preprocessed images lie.
        precision: "auto", "float32" or "mixed_bfloat16".
        validation: fraction of the training images held out, on which "validation_error" is measured.
        test_every: measure the errors every so many epochs, and after the last; 1 by default.
        save_every: save the training state every so many steps too, not only after each epoch.
        patience: epochs in a row on the plateau of guessing after which the run is given up; by default a fifth of
            the epochs, and no fewer than 500 steps.
        tensorboard: write the figures of every epoch as TensorBoard's event files too (extra `allcnn[tensorboard]`).
        deterministic: the same bits every time on a GPU too; on a CPU they are anyway. It holds for the whole process.
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
        TrainingError: training diverged, the network is dead, or the disk is full; the last good state is kept.
        Interrupted: stopped by the user; the state at that step is saved.
    """
    plan = plan_run(
        model, dataset=dataset, data_dir=data_dir, image_size=image_size, mirror=mirror, stream=stream,
        skip_damaged=skip_damaged, recipe=recipe, epochs=epochs, steps=steps,
        learning_rate=learning_rate, batch_size=batch_size, augmentation=augmentation, field=field,
        preprocessing=preprocessing, initializer=initializer, weight_decay=weight_decay, precision=precision,
        validation=validation, test_every=test_every, save_every=save_every, patience=patience, tensorboard=tensorboard,
        deterministic=deterministic, seed=seed, run_dir=run_dir, resume=resume, allow=allow,
    )  # fmt: skip
    announce = announce or (lambda line: None)
    with only_process(plan.folder):
        if plan.stored is not None:
            prefer_backend(plan.stored["backend"])
        load_keras(plan.deterministic)
        for note in plan.notes:
            announce(note)
        from allcnn.training.loop import TrainingLoop

        return TrainingLoop(plan, announce).train(progress, callbacks)
