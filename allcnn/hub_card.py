"""A saved model and its run -> the text of a model card, the README.md of a model hub: only figures of the run."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

from allcnn.errors import first_of
from allcnn.models.saved import ModelCard
from allcnn.runs.collected import CollectedRun, run_of_model
from allcnn.specs import ZOO, Pool, parse

PAPER = "https://arxiv.org/abs/1412.6806"
# What people and hubs call the published data sets.
_DATASETS = {
    "cifar10": ("CIFAR-10", "uoft-cs/cifar10"),
    "cifar100": ("CIFAR-100", "uoft-cs/cifar100"),
    "imagenet": ("ImageNet", "ILSVRC/imagenet-1k"),
}
_CITATION = f"""\
@article{{springenberg2014striving,
  title   = {{Striving for Simplicity: The All Convolutional Net}},
  author  = {{Springenberg, Jost Tobias and Dosovitskiy, Alexey and Brox, Thomas and Riedmiller, Martin}},
  journal = {{arXiv preprint arXiv:1412.6806}},
  year    = {{2014}},
  url     = {{{PAPER}}}
}}"""


def model_readme(file: Path, card: ModelCard) -> str:
    """The model card of a saved model. What its folder does not say is left out; a model alone has no run.

    Raises:
        RunError: the folder holds a run that cannot be read.
    """
    run = run_of_model(file)
    network = ZOO.get(card.model)
    title = f"{network.published_name if network else card.model}, trained on {_dataset(card)[0]}"
    facts = {
        "network": f"`{card.spec}`",
        "parameters": f"{card.parameters:,}",
        "input": f"raw RGB images, 0 to 255, {card.image_shape}; `{card.preprocessing}` is inside the model",
        "output": f"probabilities of {len(card.class_names)} classes: {first_of(card.class_names, 10)}",
        "trained on": _trained_on(card, run),
        "recipe": _recipe(card, run),
        "test error": _result(run),
        **{
            f"published error ({error.source})": f"{error.error_percent:.2f} %, augmentation: {error.augmentation}"
            for error in (network.errors if network else ())
            if error.dataset == card.dataset
        },
        "software": ", ".join(f"{name} {version}" for name, version in _versions(run).items()),
    }
    escaped = {name: fact.replace("|", r"\|") for name, fact in facts.items() if fact}
    table = "\n".join(f"| {name} | {fact} |" for name, fact in escaped.items())
    batch = ", ".join(map(str, ("n", *card.image_shape)))
    imports = "import keras"
    if any(isinstance(layer, Pool) and layer.kind == "norm" for layer in parse(card.spec).layers):
        imports = f"import allcnn.models.layers  # p-norm pooling\n{imports}"
    return f"""\
---
{_front_matter(card, run, title)}---

# {title}

A network {"of" if network else "after"} [Striving for Simplicity: The All Convolutional Net]({PAPER}) \
(Springenberg et al., 2014), trained with the Python package allcnn.

| | |
|---|---|
{table}

## Use

```python
{imports}

model = keras.saving.load_model("{file.name}")
probabilities = model.predict(images)  # raw RGB, 0 to 255, ({batch})
```

## Citation

```bibtex
{_CITATION}
```
"""


def _front_matter(card: ModelCard, run: CollectedRun | None, title: str) -> str:
    import yaml

    name, on_hub = _dataset(card)
    values: dict[str, Any] = {
        "library_name": "keras",
        "pipeline_tag": "image-classification",
        "tags": ["all-convolutional-net", "arxiv:1412.6806"],
        "datasets": [on_hub] if on_hub else None,
        "metrics": ["accuracy"],
    }
    if run is not None and run.test_error is not None:
        result = {
            "task": {"type": "image-classification"},
            "dataset": {"name": name, "type": on_hub or name, "split": "test"},
            "metrics": [{"type": "accuracy", "value": round(1 - run.test_error / 100, 6)}],
        }
        values["model-index"] = [{"name": title, "results": [result]}]
    given = {key: value for key, value in values.items() if value is not None}
    return _license() + yaml.safe_dump(given, sort_keys=False, allow_unicode=True)


def _license() -> str:
    """A line with allcnn's own license; whoever publishes the model may replace it."""
    try:
        own = metadata("allcnn")["License-Expression"] or ""
    except (PackageNotFoundError, KeyError):  # a copy that was never installed
        own = ""
    return f"license: {own.lower()}  # allcnn's; name another if these weights have one\n" if own else ""


def _dataset(card: ModelCard) -> tuple[str, str | None]:
    """A data set's name for people, and a hub's name for it where it is a published one."""
    return _DATASETS.get(card.dataset, (card.dataset, None))


def _trained_on(card: ModelCard, run: CollectedRun | None) -> str:
    images = f", {run.config['training_images']:,} images" if run and "training_images" in run.config else ""
    return f"{_dataset(card)[0]}{images}; SHA-256 of all images `{card.digest[:12]}`"


def _recipe(card: ModelCard, run: CollectedRun | None) -> str:
    if run is None:
        return f"`{card.recipe}`, augmentation: {card.augmentation or 'not known'}"
    recipe = run.recipe
    return (
        f"`{recipe.name}`: {recipe.length:,} {recipe.unit}, {recipe.optimizer}, learning rate "
        f"{recipe.learning_rate:g}, batches of {recipe.batch_size}, augmentation: {recipe.augmentation}, "
        f"seed {run.seed}"
    )


def _result(run: CollectedRun | None) -> str | None:
    if run is None:
        return None
    if run.test_error is None:
        return f"none: the run is {run.status} after {len(run.rows)} epoch{'s' * (len(run.rows) != 1)}"
    summary = run.summary or {}
    # Damaged images were passed over; the run does not say how many of them are test images.
    images = None if summary.get("damaged_images") else summary.get("test_images")
    of = f" of {images:,} images" if images else ""
    return f"**{run.test_error:.2f} %**{of}, after epoch {len(run.rows)}, the last"


def _versions(run: CollectedRun | None) -> dict[str, str]:
    if run is None:
        return {}
    versions = run.config.get("versions", {})
    return {name: version for name, version in versions.items() if name in ("allcnn", "keras", run.config["backend"])}
