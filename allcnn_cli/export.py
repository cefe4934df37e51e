"""`allcnn export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from allcnn.waiting import waiting
from allcnn_cli import options
from allcnn_cli.output import only_results_on_stdout, show, show_json

if TYPE_CHECKING:
    from allcnn.export import Tensor


def export(
    saved: options.SavedModel,
    form: Annotated[
        str,
        options.option("NAME", "onnx, saved_model, litert or card.", "--format", complete="allcnn.export:FORMATS,card"),
    ],
    output: Annotated[
        Path | None,
        options.option(
            "PATH",
            "The file or folder to write. It must not exist.",
            "--output",
            "-o",
            default="beside the model: model.onnx, model.tflite, saved_model, README.md",
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Write a model as ONNX, SavedModel or LiteRT, or its model card.

    Its preprocessing and class names are inside. It takes raw RGB images,
    0 to 255, in batches of any size. ONNX needs the packages onnx and tf2onnx.
    A card is a README.md for a model hub, with the figures of the model's run.

    Examples:
      allcnn export runs/strided-a-cifar10-paper-lr0.05-seed0 --format onnx
      allcnn export runs/strided-a-cifar10-paper-lr0.05-seed0 --format card
      allcnn export ckpt.keras --format litert -o app/model.tflite
    """
    with only_results_on_stdout(), waiting("exporting"):
        from allcnn.export import export_model

        exported = export_model(saved, form, output)
    if as_json:
        show_json({"checkpoint": str(saved), **exported.as_dict()})
        return
    show(f"{exported.path}: {exported.bytes:,} bytes")
    if exported.whitening_bytes:
        whitening, rest = exported.whitening_bytes, exported.bytes - exported.whitening_bytes
        show(
            f"  {_megabytes(whitening)} of it is the whitening matrix; "
            f"a run with --preprocessing standardize makes one of {_megabytes(rest)}"
        )
    for tensor in exported.inputs:
        show(f"  takes {_in_words(tensor)}")
    for tensor in exported.outputs:
        show(f"  gives {_in_words(tensor)}")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _in_words(tensor: Tensor) -> str:
    shape = ", ".join("any" if side is None else str(side) for side in tensor.shape)
    return f"{tensor.name} ({shape}) {tensor.dtype}"
