"""`allcnn bench`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from allcnn.errors import InputError
from allcnn_cli import options
from allcnn_cli.output import complain, only_results_on_stdout, show, show_json, show_table

if TYPE_CHECKING:
    from allcnn.benchmark import BenchmarkResult


def bench(
    model: options.Model = None,
    spec: options.OwnSpec = None,
    image_size: Annotated[
        int | None,
        options.of_network("PIXELS", "Images' height and width.", default="the published network's, else 32"),
    ] = None,
    classes: Annotated[
        int | None, options.of_network("N", "Number of classes.", default="the published network's, else 10")
    ] = None,
    recipe: Annotated[
        str | None,
        options.of_recipe(
            "NAME",
            "Whose training step to measure: paper, fast, review, imagenet or large.",
            default="that for the image size, else paper",
            complete=options.RECIPES,
        ),
    ] = None,
    batch_size: Annotated[
        int | None, options.of_recipe("IMAGES", "Images in a training step.", default="the recipe's")
    ] = None,
    augmentation: Annotated[
        str,
        options.of_recipe(
            "NAME", "none, flip-shift, flip-reflect or large.", "--augment", complete=options.AUGMENTATIONS
        ),
    ] = "none",
    seconds: Annotated[
        float, options.of_machine("SECONDS", "Train for about so long. In all it takes two to three times that.")
    ] = 20.0,
    precision: Annotated[
        str, options.of_machine("NAME", "The training's: auto, float32 or mixed_bfloat16.", complete=options.PRECISIONS)
    ] = "auto",
    backend: options.Backend = None,
    as_json: options.Json = False,
) -> None:
    """Measure how fast a network trains and predicts on this machine.

    Shows images per second, of all-c by default, beside the machine's
    fastest matrix products, and how long each recipe would take.

    Examples:
      allcnn bench --model strided-a
      allcnn bench --spec "96C3-96C3/2-NC1-GAP" --precision float32 --seconds 5
    """
    if model is not None and spec is not None:
        raise InputError("both --model and --spec were given; expected one of them.")
    from allcnn.backend import choose_backend
    from allcnn.specs import parse

    network = str(parse(spec)) if spec is not None else model if model is not None else "all-c"
    if backend is not None:
        choose_backend(backend)
    with only_results_on_stdout():
        from allcnn.benchmark import benchmark

        result = benchmark(
            network,
            recipe=recipe,
            batch_size=batch_size,
            precision=precision,
            augmentation=augmentation,
            image_size=image_size,
            classes=classes,
            seconds=seconds,
            announce=complain,
        )
    if as_json:
        show_json(result.as_dict())
    else:
        _show(result)


def _show(result: BenchmarkResult) -> None:
    from allcnn.tables import duration

    height, width, _ = result.image_shape
    device = result.device
    show(f"{result.model}: {result.multiply_adds / 1e6:,.1f} M multiply-adds an image of {height} x {width}")
    more = f"{device.count} x " if device.count > 1 else ""
    augmented = "" if result.augmentation == "none" else f", {result.augmentation}"
    step = f"{result.precision}, {result.recipe}, batches of {result.batch_size:,}{augmented}"
    show(f"{more}{device.name}, {device.backend}, {step}")
    show()
    speeds = {"training": result.training, "prediction": result.prediction}
    # One unit for the whole table, so that its figures can be compared.
    tera = max(speed.ceiling.operations_per_second for speed in speeds.values()) >= 1e13
    unit, size, form = ("TFLOP/s", 1e12, ",.1f") if tera else ("GFLOP/s", 1e9, ",.0f")
    rows = [
        (
            name,
            speed.precision,
            _figure(speed.images_per_second),
            format(speed.operations_per_second / size, form),
            format(speed.ceiling.operations_per_second / size, form),
            f"{100 * speed.fraction:.1f} %",
        )
        for name, speed in speeds.items()
    ]
    show_table(("", "precision", "images/s", unit, "ceiling", "reached"), rows, left=2)
    ceilings = dict.fromkeys(str(speed.ceiling) for speed in speeds.values())
    show(f"Ceiling: {' and '.join(ceilings)} matrix products.")
    if max(speed.fraction for speed in speeds.values()) > 1:
        show("Over 100 %: other programs slowed the products, or convolutions are faster here.")
    show()
    if result.recipes:
        times: dict[tuple[str, ...], list[str]] = {}
        for recipe in result.recipes:
            row = (
                f"{recipe.length:,} {recipe.unit}",
                duration(recipe.training_seconds),
                duration(recipe.test_seconds) if recipe.test_images else "-",
                duration(recipe.total_seconds),
            )
            times.setdefault(row, []).append(recipe.recipe)
        headings = ("recipe", "length", "training", "test passes", "total")
        show_table(headings, [(", ".join(names), *row) for row, names in times.items()], left=2)
        show(f"By the rates above ({result.recipe}): training steps, and a test pass after each epoch.")
    else:
        show(f"No published recipe is for images of {height} x {width}.")
    show()
    show(f"memory  {_memory(result)}")


def _figure(rate: float) -> str:
    """A rate with three digits at least."""
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


def _memory(result: BenchmarkResult) -> str:
    peaks = ((result.memory_peak_bytes, "of this process"), (result.device_memory_peak_bytes, "on the accelerator"))
    known = [f"{peak / 1e9:,.2f} GB {where}" for peak, where in peaks if peak is not None]
    return f"{', '.join(known)}, at the peak" if known else "unknown"
