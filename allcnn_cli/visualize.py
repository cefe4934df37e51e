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
        str | None, options.option("--layer", metavar="NAME", help="The strongest patches of a layer's units: conv6.")
    ] = None,
    units: Annotated[
        str | None, options.option("--units", metavar="LIST", help="Which, such as 0-9 or 3,5,8-12.", default="0-9")
    ] = None,
    top: Annotated[int, options.option("--top", min=1, metavar="N", help="How many images for a unit.")] = 10,
    method: Annotated[
        str,
        options.option(
            "--method",
            metavar="NAME",
            help="guided, deconvnet or backpropagation.",
            autocompletion=options.one_of("allcnn.visualize.graph:METHODS"),
        ),
    ] = "guided",
    images: Annotated[
        list[Path] | None,
        options.option("--image", metavar="FILE", help="All methods on images of your own; may be given again."),
    ] = None,
    figures: Annotated[
        str | None,
        options.option(
            "--figures",
            metavar="LIST",
            help="Of the paper: 2, 3, 4, 5, 6; of the review: review-3, review-4.",
            default="those the network has",
            autocompletion=options.one_of("allcnn.visualize.draw:FIGURES"),
        ),
    ] = None,
    random_weights: Annotated[
        bool, options.option("--random-weights", help="Beside each picture the same one of shuffled weights.")
    ] = False,
    output: Annotated[Path, options.option("--output", "-o", metavar="DIR", help="Where the files go.")] = Path(
        "figures"
    ),
    form: Annotated[
        str,
        options.option(
            "--format",
            metavar="NAME",
            help="png, or pdf for print.",
            autocompletion=options.one_of("allcnn.visualize.figures:FORMATS"),
        ),
    ] = "png",
    dataset: options.OwnDataset = None,
    data_dir: options.OwnDataDir = None,
    image_size: options.OwnImageSize = None,
    mirror: options.Mirror = None,
    as_json: options.Json = False,
    backend: options.Backend = None,
) -> None:
    """Draw what a trained network learned, as the paper's figures do.

    All figures that the network has; or the strongest patches of one layer;
    or every method on images of your own. Without a model: of all-c, trained
    on CIFAR-10, which comes along.

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
