"""What a call of `train` means: every default resolved, everything wrong refused, before Keras loads."""

from __future__ import annotations

import hashlib
import math
import platform
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from allcnn.data.dataset import Dataset
from allcnn.data.load import load_data
from allcnn.data.order import DRAWS, hold_out
from allcnn.device import Device
from allcnn.errors import InputError, RunError, install_hint, installed_versions
from allcnn.preprocessing.field import network_shape
from allcnn.preprocessing.whitening import refuse_large
from allcnn.runs.config import KEPT, RunConfig, options_of_run
from allcnn.runs.folder import RunFolder, read_json
from allcnn.runs.recipe import Recipe, crop_sizes
from allcnn.specs import Network, Spec, count_parameters
from allcnn.training.identity import IDENTITY, PACKAGES, check_allowed


@dataclass(frozen=True)
class RunPlan:
    """A run to be made, or to go on with.

    asked: what it was asked for; the rest is what follows from that and from the images.
    recipe: with the numbers asked for; published: as it is published for such images.
    kept, held: indices into the training images, of those to train on and those held out.
    stored: the config.json of the run to go on with, None for a new one. allow: what may differ from it.
    """

    asked: RunConfig
    spec: Spec
    network: Network | None
    recipe: Recipe
    published: Recipe
    data: Dataset
    kept: np.ndarray
    held: np.ndarray
    folder: RunFolder
    stored: dict[str, Any] | None
    allow: tuple[str, ...]

    @property
    def model(self) -> str:
        """The network's name, made up from its text where it has none."""
        return model_name(self.spec, self.network)

    @property
    def data_dir(self) -> str | None:
        """The absolute path of the images, where they were found or asked for."""
        folder = self.data.found_in or self.asked.data_dir
        return str(Path(folder).resolve()) if folder else None

    @property
    def network_shape(self) -> tuple[int, int, int]:
        """What the network sees: the recipe's field, else the images as they are."""
        return network_shape(self.data.image_shape, self.recipe.field)

    @property
    def parameters(self) -> int:
        return count_parameters(self.spec, self.network_shape, self.data.classes)

    @property
    def title(self) -> str:
        """What is trained, on what, how long and where, in a line."""
        recipe, folder = self.recipe, self.folder.path
        return f"{self.model} on {self.data.name}, recipe {recipe.name}, {recipe.length:,} {recipe.unit}: {folder}"

    @property
    def notes(self) -> list[str]:
        """What a person should know before the run begins."""
        before, now = (", ".join(map(str, recipe.drops)) for recipe in (self.published, self.recipe))
        if not before or not now or before == now:
            return []
        unit, length = self.recipe.unit, self.published.length
        return [
            f"{unit} {self.recipe.length} instead of {length}: the learning rate drops after {now} instead of {before}."
        ]

    def config(self, device: Device, precision: str, preprocessed_once: bool) -> dict[str, Any]:
        """What config.json says: what makes the run this run, and what it was asked for."""
        asked = self.asked
        return {
            "model": self.model,
            "spec": str(self.spec),
            "recipe": self.recipe.as_dict(),
            "dataset": self.data.name,
            "data_dir": self.data_dir,
            "digest": self.data.digest,
            "class_names": list(self.data.class_names),
            "image_shape": list(self.data.image_shape),
            "resize": self.data.resize,
            **{name: getattr(asked, name) for name in KEPT},
            "streamed": self.data.streamed,
            "backend": device.backend,
            "precision": precision,
            "device": asdict(device),
            "versions": {"python": platform.python_version(), **installed_versions(PACKAGES)},
            "source": self.data.source,
            "training_images": len(self.kept),
            "preprocessed_once": preprocessed_once,
        }


def plan_run(
    model: str | Spec | Network | None = None,
    *,
    config: str | Path | RunConfig | None = None,
    run_dir: str | Path | None = None,
    resume: bool = False,
    allow: Sequence[str] = (),
    **options: Any,
) -> RunPlan:
    """Resolve the arguments of `allcnn.train`: options before those of `config` before the resumed run's own.

    Raises:
        InputError: a wrong name or number; DataError, SpecError and RunError as their rooms say.
    """
    if allow and not resume:
        raise InputError("--allow is for a run that is resumed; expected --resume beside it.")
    allow = check_allowed(allow)
    stored = _stored_config(Path(run_dir).expanduser()) if resume and run_dir is not None else None
    asked = RunConfig().with_options(**options_of_run(stored) if stored else {})
    asked = asked.with_config(config).with_options(model=model, **options)
    if asked.model is None and resume:
        raise InputError("no run to resume was named; expected --run-dir DIR.")
    spec, network = asked.spec, asked.network
    if asked.tensorboard and find_spec("tensorboard") is None:
        raise InputError(f"TensorBoard is not installed. {install_hint('tensorboard')}")

    data = load_images(asked)
    published, recipe = asked.settle_recipe(data.name, data.image_shape)
    if recipe.augmentation in DRAWS and DRAWS[recipe.augmentation].on_host and not data.streamed:
        raise InputError(
            f'the augmentation "{recipe.augmentation}" works on images as they are decoded; {data.name} holds them '
            "ready.\nExpected folders of images or a prepared data set (--data-dir), or another --augment."
        )
    kept, held = hold_out(asked.seed, len(data.train_images), asked.validation)
    if len(kept) == 0 or (asked.validation > 0 and len(held) == 0):
        raise InputError(
            f"holding out {asked.validation} of {len(data.train_images)} training images leaves "
            f"{len(kept)} to train on and {len(held)} held out; expected at least one of each."
        )
    if recipe.preprocessing == "gcn-zca":
        refuse_large(math.prod(data.image_shape))
    # Refuses a field that does not hold the images, and a network that does not fit what it sees.
    count_parameters(spec, network_shape(data.image_shape, recipe.field), data.classes)

    name = default_run_dir(model_name(spec, network), data.name, recipe, asked.seed)
    folder = RunFolder(Path(run_dir).expanduser() if run_dir else name)
    if resume and stored is None:
        stored = _stored_config(folder.path)
    if not resume:
        folder.refuse_other_content()
    return RunPlan(asked, spec, network, recipe, published, data, kept, held, folder, stored, allow)


def load_images(asked: RunConfig) -> Dataset:
    """The data set that a run is asked for, its images as large as its recipe wants them."""
    if isinstance(asked.dataset, Dataset):
        return asked.dataset
    size, shorter_side = image_sizes(asked)
    return load_data(
        asked.dataset, asked.data_dir, image_size=size, shorter_side=shorter_side, mirror=asked.mirror,
        stream=asked.stream, skip_damaged=asked.skip_damaged,
    )  # fmt: skip


def image_sizes(asked: RunConfig) -> tuple[int | None, int | None]:
    """The size that a run wants its images to have, and the shorter side before they are cropped (`crop_sizes`)."""
    dataset = asked.dataset if isinstance(asked.dataset, str) else asked.dataset.name
    return crop_sizes(asked.settle_recipe(dataset)[1].augmentation, asked.image_size)


def model_name(spec: Spec, network: Network | None) -> str:
    """A published network's name, else one made from the text."""
    return network.name if network else f"spec-{hashlib.sha256(str(spec).encode()).hexdigest()[:8]}"


def default_run_dir(model: str, dataset: str, recipe: Recipe, seed: int) -> Path:
    """runs/{model}-{data}-{recipe}-lr{lr}-seed{seed}."""
    name = f"{model}-{dataset}-{recipe.name}-lr{recipe.learning_rate:g}-seed{seed}"
    # A folder of images may be called anything; a run's name stays one word of a command line.
    return Path("runs") / re.sub(r"[^\w.+-]+", "-", name)


def _stored_config(path: Path) -> dict[str, Any]:
    """The configuration of the run to go on with. Raises RunError where there is none."""
    folder = RunFolder(path)
    try:
        if not folder.holds_run():
            raise RunError(f"{path}: holds no run to resume; leave --resume out to begin one.")
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror}).") from None
    stored = read_json(folder.config)
    if missing := sorted({"model", "dataset", "image_shape", *IDENTITY} - set(stored)):
        raise RunError(f"{folder.config}: is not a run's configuration; it lacks {', '.join(missing)}.")
    if not isinstance(stored["recipe"], dict):
        raise RunError(f"{folder.config}: is not a run's configuration; its recipe is {stored['recipe']!r:.40}.")
    return stored
