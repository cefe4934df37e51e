"""`allcnn data`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from allcnn.errors import InputError
from allcnn.waiting import waiting
from allcnn_cli import options
from allcnn_cli.output import complain, only_results_on_stdout, show, show_json, show_table

if TYPE_CHECKING:
    from allcnn.data import Dataset


def data(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET|DIR",
            help="cifar10, cifar100, digits, tfds:NAME, or a folder.",
            autocompletion=options.names_of(options.DATASETS),
        ),
    ] = "cifar10",
    data_dir: options.DataDir = None,
    image_size: options.ImageSize = None,
    mirror: options.Mirror = None,
    stream: options.Stream = False,
    skip_damaged: options.SkipDamaged = False,
    check: Annotated[bool, options.of_data("", "Decode every image, and name the damaged ones.", "--check")] = False,
    samples: Annotated[
        Path | None, options.of_samples("FILE.png", "Draw samples, before and after preprocessing or --augment.")
    ] = None,
    preprocessing: Annotated[
        str | None,
        options.of_samples(
            "NAME",
            "gcn-zca, none, scale, center, gcn, standardize or channel-mean.",
            default="the recipe paper's; with --augment large: large's",
            complete=options.PREPROCESSINGS,
        ),
    ] = None,
    augmentation: Annotated[
        str | None,
        options.of_samples(
            "NAME",
            "Draw versions of each sample by flip-shift, flip-reflect or large.",
            "--augment",
            complete=options.AUGMENTATIONS,
        ),
    ] = None,
    field: Annotated[
        int | None,
        options.of_samples(
            "PIXELS", "The square of zeros that the versions lie in.", default="none; with --augment large: 126"
        ),
    ] = None,
    backend: options.Backend = None,
    as_json: options.Json = False,
) -> None:
    """Show what a data set is, where it lies, and samples of it.

    Without --data-dir, CIFAR is looked for in $ALLCNN_DATA and in Keras's
    cache, else downloaded.

    Examples:
      allcnn data digits
      allcnn data --data-dir ~/cifar --samples whitened.png
      allcnn data --data-dir ~/cifar --samples large.png --augment large
      allcnn data ~/imagenet --check
      allcnn data tfds:oxford_flowers102
    """
    dataset, data_dir = _which(dataset, data_dir)
    for option, value in (("--preprocessing", preprocessing), ("--augment", augmentation), ("--field", field)):
        if samples is None and value is not None:
            raise InputError(f"{option} is for --samples FILE.png, which was not given.")
    if field is not None and augmentation is None:
        raise InputError(
            "--field is for augmented samples; expected --augment flip-shift, flip-reflect or large beside it."
        )
    if samples is not None and (samples.suffix.lower() != ".png" or not samples.absolute().parent.is_dir()):
        raise InputError(f"--samples {samples}: expected the name of a .png file in a folder that exists.")
    from allcnn.backend import choose_backend

    choose_backend(backend)
    with only_results_on_stdout(), waiting("looking at the images"):
        from allcnn.data import load_data

        if preprocessing is not None:
            from allcnn.preprocessing import make_preprocessing

            make_preprocessing(preprocessing)  # a wrong name is refused before the images are read
        if augmentation is not None:
            from allcnn.preprocessing.versions import check_augmentation

            check_augmentation(augmentation)
        loaded = load_data(
            dataset, data_dir, image_size=image_size, mirror=mirror, stream=stream or check, skip_damaged=skip_damaged
        )
        damaged = loaded.damaged_files() if check else None
        if damaged and samples is not None:
            complain("note: no samples are drawn, since some images are damaged.")
            samples = None
        if samples is not None:
            shown = _write_samples(loaded, samples, preprocessing, augmentation, field)
    document = _describe(loaded)
    if damaged is not None:
        document["damaged"] = damaged
    if samples is not None:
        document["samples"] = {"path": str(samples), **shown}
    if as_json:
        show_json(document)
    else:
        _show(loaded, document)
    if damaged:
        raise typer.Exit(1)


def _which(dataset: str, data_dir: Path | None) -> tuple[str, Path | None]:
    """A folder may be given in the place of a data set's name."""
    name = dataset.strip().lower()
    named = name.replace("-", "").replace("_", "") in ("cifar10", "cifar100", "digits") or name.startswith("tfds:")
    if not named and data_dir is None and ("/" in dataset or Path(dataset).expanduser().is_dir()):
        return "cifar10", Path(dataset)
    return dataset, data_dir


def _show(loaded: Dataset, document: dict[str, Any]) -> None:
    height, width, _ = loaded.image_shape
    show(f"{loaded.name}: {loaded.classes:,} classes, {height} x {width} RGB")
    show(f"from      {loaded.source} ({loaded.layout})")
    show(f"resized   {loaded.resize}")
    show(f"digest    {loaded.digest}")
    if "damaged" in document:
        count = len(document["damaged"])
        show(f"damaged   {count:,} file{'s' * (count != 1)}")
        for name in document["damaged"]:
            show(f"          {name}")
    if samples := document.get("samples"):
        below = f"above raw, below {samples['preprocessing']}"
        if samples.get("augmentation") is not None:
            below = f"below each image versions by {samples['augmentation']}, after {samples['preprocessing']}"
        show(f"samples   {samples['path']} ({below})")
    show()
    train, test = document["train"], document["test"]
    rows = [
        (name, f"{train['images_per_class'][name]:,}", f"{test['images_per_class'][name]:,}")
        for name in loaded.class_names
    ]
    rows.append(("total", f"{train['images']:,}", f"{test['images']:,}"))
    show_table(("class", "training images", "test images"), rows, total=True)


def _describe(loaded: Dataset) -> dict[str, Any]:
    import numpy as np

    splits = {}
    for split, labels in (("train", loaded.train_labels), ("test", loaded.test_labels)):
        counts = np.bincount(labels, minlength=loaded.classes).tolist()
        splits[split] = {"images": len(labels), "images_per_class": dict(zip(loaded.class_names, counts, strict=True))}
    return {
        "name": loaded.name,
        "source": loaded.source,
        "layout": loaded.layout,
        "image_shape": loaded.image_shape,
        "resize": loaded.resize,
        "digest": loaded.digest,
        "class_names": loaded.class_names,
        **splits,
    }


def _write_samples(
    loaded: Dataset, path: Path, kind: str | None, augmentation: str | None, field: int | None
) -> dict[str, Any]:
    """Write the sheet of samples; gives what it shows."""
    import numpy as np

    from allcnn.backend import load_keras
    from allcnn.preprocessing.field import network_shape
    from allcnn.preprocessing.store import fit_preprocessing
    from allcnn.preprocessing.versions import augmented_versions, to_visible
    from allcnn.runs.recipe import recipe_for
    from allcnn.visualize.samples import draw_stacks, pick_samples

    recipe = recipe_for("large" if augmentation == "large" else "paper", loaded.name, loaded.image_shape)
    kind = kind or recipe.preprocessing
    field = field if field is not None else recipe.field
    network_shape(loaded.image_shape, field)  # refuses a field that is too small before anything is fitted
    complain(f"fitting {kind} to {len(loaded.train_images):,} training images ...")
    load_keras()
    chosen = pick_samples(loaded.train_labels)
    images = loaded.train_images[chosen]
    preprocessing = fit_preprocessing(kind, loaded.train_images)
    if augmentation is None:
        stacks = np.stack([images, to_visible(preprocessing.apply(images))], axis=1)
        rows = ["image", kind]
    else:
        stacks = augmented_versions(images, preprocessing, augmentation, field)
        rows = ["unchanged", *(f"{augmentation} {number}" for number in range(1, stacks.shape[1]))]
    names = [loaded.class_names[label] for label in loaded.train_labels[chosen]]
    title = f"{loaded.name}: training images, {kind}" + (f", {augmentation}" if augmentation else "")
    draw_stacks(stacks, names, rows, title, path)
    return {
        "preprocessing": kind,
        **({"augmentation": augmentation, "field": field} if augmentation is not None else {}),
    }
