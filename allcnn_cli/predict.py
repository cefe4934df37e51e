"""`allcnn predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from allcnn.waiting import waiting
from allcnn_cli import options
from allcnn_cli.output import only_results_on_stdout, percent, show_json, show_table


def predict(
    saved: options.SavedModel,
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE|DIR", help="Image files of any size, or folders of them.")
    ],
    top: Annotated[int, options.option("--top", min=1, metavar="N", help="How many classes to show for an image.")] = 5,
    as_json: options.Json = False,
    backend: options.Backend = None,
) -> None:
    """Show the likeliest classes of images.

    Each is brought to the network's size as in training.

    Examples:
      allcnn predict runs/strided-a-cifar10-paper-lr0.05-seed0 cat.jpg --top 3
      allcnn predict runs/strided-a-cifar10-paper-lr0.05-seed0 ~/photos --json
    """
    from allcnn.backend import choose_backend

    choose_backend(backend)
    with only_results_on_stdout(), waiting("looking at the images"):
        from allcnn.errors import printable
        from allcnn.evaluation import predict as predict_images
        from allcnn.models.saved import find_model_file, read_card

        path = find_model_file(saved)
        card = read_card(path)
        predictions = predict_images(path, images, top)
    if as_json:
        show_json(
            {
                "checkpoint": str(path),
                "model": card.model if card else None,
                "predictions": [
                    {
                        "image": prediction.image,
                        "classes": [
                            {"class": name, "probability": probability} for name, probability in prediction.classes
                        ],
                    }
                    for prediction in predictions
                ],
            }
        )
        return
    rows = [
        (printable(prediction.image) if rank == 0 else "", name, percent(100 * probability))
        for prediction in predictions
        for rank, (name, probability) in enumerate(prediction.classes)
    ]
    show_table(("image", "class", "probability %"), rows, left=2)
