"""`allcnn eval`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from allcnn.errors import RunError
from allcnn.waiting import waiting
from allcnn_cli import options
from allcnn_cli.output import WIDTH, complain, only_results_on_stdout, percent, show, show_json, show_table

if TYPE_CHECKING:
    from pathlib import Path

    from allcnn.evaluation import Evaluation

# What is left of a class's name in the confusion matrix, at its side and at least above it.
_LONGEST_NAME, _SHORTEST_NAME = 20, 3
_WORST_PAIRS = 20


def evaluate(
    saved: options.SavedModel,
    dataset: options.OwnDataset = None,
    data_dir: options.OwnDataDir = None,
    image_size: options.OwnImageSize = None,
    mirror: options.Mirror = None,
    stream: options.Stream = False,
    skip_damaged: options.SkipDamaged = False,
    tests: Annotated[
        int,
        options.option(
            "N", "Take the mean of N passes over images augmented as in training.", default="1, not augmented"
        ),
    ] = 1,
    as_json: options.Json = False,
    backend: options.Backend = None,
) -> None:
    """Measure a saved model: its error, in all and per class.

    By default on the test images of the data set it was trained on.

    Examples:
      allcnn eval runs/strided-a-cifar10-paper-lr0.05-seed0
      allcnn eval model.keras --data-dir ~/cifar
      allcnn eval runs/large-all-cifar10-large-lr0.05-seed0 --tests 12
    """
    from allcnn.backend import choose_backend

    choose_backend(backend)
    with only_results_on_stdout(), waiting("evaluating"):
        from allcnn.evaluation import evaluate as evaluate_model
        from allcnn.evaluation import is_data_of_training, open_with_data

        opened, data = open_with_data(
            saved, tests, dataset=dataset, data_dir=data_dir, image_size=image_size, mirror=mirror, stream=stream,
            skip_damaged=skip_damaged,
        )  # fmt: skip
        path, card = opened.path, opened.card
        evaluation = evaluate_model(opened, data, tests=tests)
        _note_unfinished(path)
        same_data = is_data_of_training(card, data) if card else None
        if card is not None and same_data is False:
            complain(
                "note: these images, or their order, are not those of the training: their digest is "
                f"{data.digest[:12]}, the model's {card.digest[:12]}."
            )
    if as_json:
        document: dict[str, Any] = {
            "checkpoint": str(path),
            "model": card.model if card else None,
            "dataset": data.name,
            "source": data.source,
            "digest": data.digest,
            "same_data_as_trained": same_data,
            "tests": tests,
            **evaluation.as_dict(),
        }
        show_json(document)
        return
    name = f"{card.model} " if card else ""
    show(f"{name}{path}")
    show(f"{data.name}, {evaluation.images:,} test images, from {data.source}")
    if tests > 1 and card is not None:
        show(f"{tests} tests of each image, augmented as in training ({card.augmentation})")
    show(f"error {percent(evaluation.error_percent)} % ({evaluation.errors:,} wrong)")
    if evaluation.top5_error_percent is not None:
        show(f"top-5 error {percent(evaluation.top5_error_percent)} %")
    if evaluation.skipped:
        show(f"damaged {evaluation.skipped:,} images that cannot be read, left out")
    show(f"cross-entropy {evaluation.cross_entropy:.4f}")
    _show_classes(evaluation)
    _show_confusion(evaluation)


def _note_unfinished(model: Path) -> None:
    """Say it if the model's run did not come to its end."""
    from allcnn.runs.collected import run_of_model

    try:
        run = run_of_model(model)
    except RunError:  # the model is measured, whatever became of its run's other files
        return
    if run is not None and run.status != "finished":
        epochs = "1 epoch" if len(run.rows) == 1 else f"{len(run.rows):,} epochs"
        complain(f"note: the run is {run.status}; this is its model after {epochs}.")


def _show_classes(evaluation: Evaluation) -> None:
    counts = evaluation.confusion.sum(axis=1).tolist()
    show()
    show_table(
        ("class", "images", "error %"),
        [
            (name, f"{count:,}", percent(error))
            for name, count, error in zip(evaluation.class_names, counts, evaluation.class_errors(), strict=True)
        ],
    )


def _labels(names: tuple[str, ...], digits: int) -> tuple[list[str], list[str]] | None:
    """What stands beside and above a confusion matrix: names, above it cut, or numbers where cut names tell nothing.

    None where figures of so many digits do not fit.
    """
    beside = [name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…" for name in names]
    room = _room(beside)
    above = [name[:room] for name in names]
    if room < _SHORTEST_NAME and above != list(names) or len(set(above)) < len(names):
        above = [str(number) for number in range(1, len(names) + 1)]
        beside = [f"{number} {name}" for number, name in zip(above, beside, strict=True)]
        room = _room(beside)
    return (beside, above) if room >= max(digits, *map(len, above)) else None


def _room(beside: list[str]) -> int:
    """How wide a column may be, with two spaces before it."""
    return (WIDTH - max(map(len, beside))) // len(beside) - 2


def _show_confusion(evaluation: Evaluation) -> None:
    names, confusion = evaluation.class_names, evaluation.confusion.tolist()
    show()
    if (labels := _labels(names, len(str(max(map(max, confusion)))))) is not None:
        beside, above = labels
        show("Images of the class on the left that were taken for the class above:")
        show_table(("", *above), [(name, *map(str, row)) for name, row in zip(beside, confusion, strict=True)])
        return
    pairs = [
        (count, names[true], names[guess])
        for true, row in enumerate(confusion)
        for guess, count in enumerate(row)
        if guess != true and count
    ]
    pairs.sort(key=lambda pair: -pair[0])
    show(f"Mixed up most (all {len(names)} x {len(names)} with --json):")
    show_table(
        ("class", "taken for", "images"),
        [(true, guess, f"{count:,}") for count, true, guess in pairs[:_WORST_PAIRS]],
        left=2,
    )
