"""`allcnn predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from allcnn.errors import InputError
from allcnn.waiting import waiting
from allcnn_cli import options
from allcnn_cli.output import complain, only_results_on_stdout, percent, show_json, show_table


def predict(
    given: Annotated[
        list[Path],
        typer.Argument(
            metavar="[MODEL] IMAGE",
            help="A .keras file, a run's folder, hf://OWNER/NAME or pretrained, which is the default. Then image files "
            "or folders.",
        ),
    ],
    top: Annotated[int, options.option("N", "How many classes to show of an image.", min=1)] = 5,
    skip_damaged: options.SkipDamaged = False,
    as_json: options.Json = False,
    backend: options.Backend = None,
) -> None:
    """Show the likeliest classes of images.

    Each image is scaled and cropped as in training. Without a model, it is
    the all-c that comes with allcnn, trained on CIFAR-10's ten classes.

    Examples:
      allcnn predict cat.jpg
      allcnn predict runs/strided-a-cifar10-paper-lr0.05-seed0 cat.jpg --top 3
      allcnn predict runs/strided-a-cifar10-paper-lr0.05-seed0 ~/photos --json
    """
    from allcnn.backend import choose_backend

    choose_backend(backend)
    with only_results_on_stdout(), waiting("looking at the images"):
        from allcnn.errors import first_of, printable
        from allcnn.evaluation import predict as predict_images
        from allcnn.models.saved import find_model_file, read_card

        saved, images = _model_and_images(given)
        path = find_model_file(saved)
        card = read_card(path)
        predictions = predict_images(path, images, top, skip_damaged)
        if saved not in given and card is not None:
            known = first_of(card.class_names, 10)
            complain(f"note: the model is {card.model}, trained on {card.dataset}, which knows {known}.")
    if as_json:
        found = [
            {"image": each.image, "classes": [{"class": name, "probability": chance} for name, chance in each.classes]}
            for each in predictions
        ]
        show_json({"checkpoint": str(path), "model": card.model if card else None, "predictions": found})
        return
    rows = []
    for prediction in predictions:
        classes = [(name, percent(100 * probability)) for name, probability in prediction.classes]
        first, *others = classes or [("(cannot be read)", "-")]
        rows += [(printable(prediction.image), *first), *(("", *other) for other in others)]
    show_table(("image", "class", "probability %"), rows, left=2)


def _model_and_images(given: list[Path]) -> tuple[Path, list[Path]]:
    """The model, `pretrained` if none is named, and the images. Raises InputError if there are none."""
    from allcnn.data.folders import image_files
    from allcnn.data.images import IMAGE_SUFFIXES
    from allcnn.models.saved import MODEL_FILE, PRETRAINED, is_named

    first, *others = given
    is_model = is_named(first) or first.suffix == ".keras" or (first / MODEL_FILE).is_file()
    is_image = first.suffix.lower() in IMAGE_SUFFIXES or not is_model and first.is_dir() and image_files(first)
    if others and not is_image:
        return first, others
    if is_model:
        raise InputError(f"{first}: is a model; expected images after it, such as: allcnn predict {first} photo.jpg")
    return Path(PRETRAINED), given
