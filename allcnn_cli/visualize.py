"""`allcnn visualize`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from allcnn.waiting import waiting
from allcnn_cli import options
from allcnn_cli.output import complain, only_results_on_stdout, show, show_json

if TYPE_CHECKING:
    from allcnn.visualize.paper import Drawn


def visualize(
    saved: options.SavedModel = Path("pretrained"),
    layer: Annotated[
        str | None, options.option("NAME", "Draw the strongest patches of a layer's units, such as conv6.")
    ] = None,
    units: Annotated[
        str | None, options.option("LIST", "The units, such as 3,5,8-12.", default="0-9; with --image: the strongest")
    ] = None,
    top: Annotated[int, options.option("N", "How many patches of a unit.", min=1)] = 10,
    method: Annotated[
        str, options.option("NAME", "guided, deconvnet or backpropagation.", complete="allcnn.visualize.graph:METHODS")
    ] = "guided",
    images: Annotated[
        list[Path] | None, options.option("FILE", "Draw all methods for an image of yours. Repeatable.", "--image")
    ] = None,
    figures: Annotated[
        str | None,
        options.option(
            "LIST",
            "Draw these of the paper's, 2, 3, 4, 5, 6, and the review's, review-3, review-4.",
            default="all that the network has",
            complete="allcnn.visualize.draw:FIGURES",
        ),
    ] = None,
    random_weights: Annotated[
        bool, options.option("", "Beside each picture, draw the same from shuffled weights.", "--random-weights")
    ] = False,
    output: Annotated[Path, options.option("DIR", "The folder for the files.", "--output", "-o")] = Path("figures"),
    form: Annotated[
        str, options.option("NAME", "png, or pdf for print.", "--format", complete="allcnn.visualize.figures:FORMATS")
    ] = "png",
    dataset: options.OwnDataset = None,
    data_dir: options.OwnDataDir = None,
    image_size: options.OwnImageSize = None,
    mirror: options.Mirror = None,
    as_json: options.Json = False,
    backend: options.Backend = None,
) -> None:
    """Draw what a trained network learned, as the paper's figures do.

    Draws the paper's figures; or with --layer the strongest patches of one
    layer; or with --image every method for images of your own. Without a
    model, it is the all-c that comes with allcnn, trained on CIFAR-10.

    Examples:
      allcnn visualize --image cat.jpg
      allcnn visualize runs/strided-a-cifar10-paper-lr0.05-seed0 -o figures
      allcnn visualize ckpt.keras --layer conv3 --units 0-9 --top 10 -o figures
      allcnn visualize ckpt.keras --image cat.jpg --random-weights
    """
    from allcnn.backend import choose_backend

    choose_backend(backend)
    with only_results_on_stdout(), waiting("drawing"):
        from allcnn.visualize.draw import draw_saved

        drawn = draw_saved(
            saved, output, layer=layer, units=units, top=top, method=method, images=images or (),
            figures=figures, random_weights=random_weights, form=form, dataset=dataset, data_dir=data_dir,
            image_size=image_size, mirror=mirror, announce=complain,
        )  # fmt: skip
    if as_json:
        show_json({"checkpoint": str(saved), "drawn": [figure.as_dict() for figure in drawn]})
        return
    for figure in drawn:
        show(f"{_title(figure):<24}{figure.path}")


def _title(figure: Drawn) -> str:
    if figure.figure.isdigit():
        return f"figure {figure.figure}"
    return figure.figure.replace("review-", "the review's figure ")
