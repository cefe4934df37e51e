"""Network + images -> a run folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from allcnn.backend import choose_backend, load_keras, prefer_backend
from allcnn.runs.config import RunConfig
from allcnn.runs.lock import only_process
from allcnn.training import spread
from allcnn.training.outcome import TrainingResult as TrainingResult
from allcnn.training.plan import RunPlan, plan_run
from allcnn.training.spread import find_hosts

if TYPE_CHECKING:
    import keras

    from allcnn.specs import Network, Spec


def train(
    model: str | Spec | Network | None = None,
    *,
    config: str | Path | RunConfig | None = None,
    run_dir: str | Path | None = None,
    resume: bool = False,
    allow: Sequence[str] = (),
    hosts: str | None = None,
    host_index: int | None = None,
    host_count: int | None = None,
    progress: bool | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    announce: Callable[[str], None] | None = None,
    **options: Any,
) -> TrainingResult:
    """Train a network by a recipe and leave a run folder.

    Args:
        model: a name ("strided-b") or a network in the spec language; only a resumed run can do without.
        options: what else is asked for, by the names of `allcnn.RunConfig`'s fields (dataset, data_dir, recipe, seed,
            validation, precision, ...), of `allcnn.Recipe`'s (learning_rate, batch_size, augmentation, ...), and
            epochs or steps, whichever the recipe counts. `lr` is `learning_rate`.
        config: options from a file, a run's config.json or JSON or YAML by hand, or as a value; `options` come first.
        run_dir: the folder to write; by default runs/{model}-{data}-{recipe}-lr{lr}-seed{seed}.
        resume: go on with the run in `run_dir` (arguments left out are the run's own), to the same end.
        allow: what may differ from the run that is resumed: "epochs", "backend", "precision", "machine" (which is the
            versions of Keras and its backend too).
        hosts, host_index, host_count: for a run that several processes share, each on a host of its own: "name:port" of
            host 0, this one's number from 0, and how many there are; or "auto" alone, in SLURM or Open MPI. All must
            see the same `run_dir`, which host 0 alone writes to, and be told the same. Each returns host 0's result.
            They meet through `jax.distributed`, which ends the processes of the others when one is lost.
        progress: show it, on standard error or in the notebook; None: in a terminal and in a notebook, not in a log.
        callbacks: further Keras callbacks.
        announce: called with lines worth telling a person.

    Returns:
        The last epoch's figures. The published result of a run is its last epoch's test error, not its best.

    Raises:
        InputError: a wrong argument, broken data, or a folder that holds another run or that another process works
            on; nothing was written.
        HostError: the hosts did not find each other, or one of them was lost; the last state is kept.
        TrainingError: training diverged, the network is dead, or the disk is full; the last good state is kept.
        Interrupted: stopped by the user; the state at that step is saved.

    Examples:
        >>> train("all-c", recipe="fast", epochs=20, data_dir="~/cifar")
    """
    found = find_hosts(hosts, host_index, host_count)
    plan = plan_run(model, config=config, run_dir=run_dir, resume=resume, allow=allow, **options)
    if plan.stored is not None and plan.asked.backend is None:
        prefer_backend(plan.stored["backend"])
    backend = choose_backend(plan.asked.backend)
    spread.refuse_backend(plan, found is not None, backend)
    announce = announce or (lambda line: None)
    if found is None:
        with only_process(plan.folder):
            load_keras(plan.asked.deterministic)
            return _train(plan, False, progress, callbacks, announce)
    spread.connect(found, plan.asked.devices)
    load_keras(plan.asked.deterministic)
    with spread.shared(plan):
        return _train(plan, True, progress, callbacks, announce)


def _train(
    plan: RunPlan,
    together: bool,
    progress: bool | None,
    callbacks: Sequence[keras.callbacks.Callback],
    announce: Callable[[str], None],
) -> TrainingResult:
    """Train, once Keras is loaded. Of several hosts, together, host 0 shows the run, and the others follow it."""
    from allcnn.training.loop import FollowingLoop, TrainingLoop
    from allcnn.training.progress import is_watched

    if together and not spread.is_first():
        return FollowingLoop(plan, lambda line: None, together).train(False, callbacks)
    for note in (plan.title, *plan.notes):
        announce(note)
    return TrainingLoop(plan, announce, together).train(is_watched() if progress is None else progress, callbacks)
