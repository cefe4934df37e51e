"""`allcnn visualize`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from allcnn_cli import options
from allcnn_cli.output import complain, only_results_on_stdout, show, show_json

if TYPE_CHECKING:
    from allcnn.visualize.paper import Drawn


def visualize(
    saved: options.SavedModel,
    layer: Annotated[
        str | None, typer.Option("--layer", metavar="NAME", help="The strongest patches of a layer's units: conv6.")
    ] = None,
    units: Annotated[
        str | None, typer.Option("--units", metavar="LIST", help="Which, such as 0-9 or 3,5,8-12. [default: 0-9]")
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, metavar="K", help="How many images for a unit.")] = 10,
    method: Annotated[
        str, typer.Option("--method", metavar="KIND", help="guided, deconvnet or backpropagation.")
    ] = "guided",
    images: Annotated[
        list[Path] | None,
        typer.Option("--image", metavar="FILE", help="All methods on images of your own; may be given again."),
    ] = None,
    figures: Annotated[
        str | None,
        typer.Option(
            "--figures",
            metavar="LIST",
            help="Of the paper: 2, 3, 4, 5, 6; of the review: review-3, review-4. [default: those the network has]",
        ),
    ] = None,
    random_weights: Annotated[
        bool, typer.Option("--random-weights", help="Beside each picture the same one of shuffled weights.")
    ] = False,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where the files go.")] = Path(
        "figures"
    ),
    form: Annotated[str, typer.Option("--format", metavar="FORM", help="png, or pdf for print.")] = "png",
    dataset: options.OwnDataset = None,
    data_dir: options.OwnDataDir = None,
    image_size: options.OwnImageSize = None,
    mirror: options.Mirror = None,
    as_json: options.Json = False,
    backend: options.Backend = None,
) -> None:
    """Draw what a trained network learned, as the paper's figures do.

    \b
    Examples:
      allcnn visualize runs/strided-a-cifar10-paper-lr0.05-seed0 -o figures
      allcnn visualize ckpt.keras --layer conv3 --units 0-9 --top 10 -o figures
      allcnn visualize ckpt.keras --image cat.jpg --random-weights
    """
    from allcnn.backend import choose_backend

    choose_backend(backend)
    with only_results_on_stdout():
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
