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
from allcnn.device import PRECISIONS, Device
from allcnn.errors import InputError, RunError
from allcnn.preprocessing.field import network_shape
from allcnn.preprocessing.whitening import refuse_large
from allcnn.runs.folder import RunFolder, read_json
from allcnn.runs.recipe import Recipe, check_number, crop_sizes, recipe_for
from allcnn.specs import ZOO, Network, Spec, count_parameters, resolve
from allcnn.training.identity import IDENTITY, check_allowed, installed_versions


@dataclass(frozen=True)
class RunPlan:
    """A run to be made, or to go on with. `kept` and `held`: indices into the training images."""

    model: str
    spec: Spec
    network: Network | None
    recipe: Recipe
    data: Dataset
    data_dir: str | None
    seed: int
    precision: str
    validation: float
    test_every: int
    save_every: int
    patience: int | None
    tensorboard: bool
    deterministic: bool
    devices: int | None
    allow: tuple[str, ...]
    skip_damaged: bool
    kept: np.ndarray
    held: np.ndarray
    folder: RunFolder
    stored: dict[str, Any] | None
    notes: tuple[str, ...]

    @property
    def network_shape(self) -> tuple[int, int, int]:
        """What the network sees: the recipe's field, else the images as they are."""
        return network_shape(self.data.image_shape, self.recipe.field)

    @property
    def parameters(self) -> int:
        return count_parameters(self.spec, self.network_shape, self.data.classes)

    def config(self, device: Device, precision: str, preprocessed_once: bool) -> dict[str, Any]:
        """What config.json says: what makes the run this run, and what it was asked for."""
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
            "seed": self.seed,
            "validation": self.validation,
            "test_every": self.test_every,
            "save_every": self.save_every,
            "patience": self.patience,
            "tensorboard": self.tensorboard,
            "deterministic": self.deterministic,
            "streamed": self.data.streamed,
            "skip_damaged": self.skip_damaged,
            "backend": device.backend,
            "precision": precision,
            "device": asdict(device),
            "versions": {"python": platform.python_version(), **installed_versions()},
            "source": self.data.source,
            "training_images": len(self.kept),
            "preprocessed_once": preprocessed_once,
        }


def plan_run(
    model: str | Spec | None = None,
    *,
    dataset: str | Dataset | None = None,
    data_dir: str | Path | None = None,
    image_size: int | None = None,
    mirror: str | None = None,
    stream: bool = False,
    skip_damaged: bool = False,
    recipe: str | Recipe | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    precision: str | None = None,
    validation: float | None = None,
    test_every: int | None = None,
    save_every: int | None = None,
    patience: int | None = None,
    tensorboard: bool = False,
    deterministic: bool = False,
    devices: int | None = None,
    seed: int | None = None,
    run_dir: str | Path | None = None,
    resume: bool = False,
    allow: Sequence[str] = (),
    **numbers: Any,
) -> RunPlan:
    """Resolve the arguments of `allcnn.train`; None takes the stored run's value on resume, else the default.

    Raises:
        InputError: a wrong name or number; DataError, SpecError and RunError as their rooms say.
    """
    stored = _stored_config(run_dir, resume)
    if precision is not None and precision not in PRECISIONS:
        raise InputError(f'unknown precision "{precision}"; expected one of: {", ".join(PRECISIONS)}.')
    seed = _seed(seed if seed is not None else (stored or {}).get("seed", 0))
    validation = validation if validation is not None else (stored or {}).get("validation", 0.0)
    if not (math.isfinite(validation) and 0 <= validation < 1):
        raise InputError(f"the held-out fraction must be at least 0 and below 1, such as 0.1; got {validation}.")
    test_every = _count("errors are measured every 1, 2, ... epochs", test_every, stored, "test_every", 1)
    save_every = _count("the state is saved every 1, 2, ... steps", save_every, stored, "save_every", 0)
    patience = _count("a run is given up after 1, 2, ... epochs of guessing", patience, stored, "patience", None)
    _count("a run is spread over 1, 2, ... devices", devices, None, "devices", None)
    tensorboard = tensorboard or bool((stored or {}).get("tensorboard"))
    if tensorboard and find_spec("tensorboard") is None:
        raise InputError('TensorBoard is not installed. Install it with: pip install "allcnn[tensorboard]"')
    if allow and not resume:
        raise InputError("--allow is for a run that is resumed; expected --resume beside it.")
    allow = check_allowed(allow)
    if model is not None:
        spec, network = resolve(model)
    elif stored is None:
        raise InputError(
            "no run to resume was named; expected --run-dir DIR."
            if resume
            else "no network given; expected a name (--model strided-b) or a text (--spec)."
        )
    else:
        spec, network = resolve(stored["spec"])[0], ZOO.get(stored["model"])
    # A first look at the recipe's numbers, so that a wrong one is refused before the images are read.
    dataset_name = dataset if isinstance(dataset, str) else (stored or {}).get("dataset", "cifar10")
    notes: list[str] = []
    recipe = recipe or (network.recipe if network and stored is None else None)
    first_look = _choose_recipe(recipe, stored, dataset_name, (32, 32, 3), epochs, steps, numbers, [])
    skip_damaged = skip_damaged or bool((stored or {}).get("skip_damaged"))

    if isinstance(dataset, Dataset):
        data = dataset
    else:
        data, data_dir = _load(
            dataset, data_dir, image_size, first_look.augmentation, stored,
            stream=stream, mirror=mirror, skip_damaged=skip_damaged,
        )  # fmt: skip
    chosen = _choose_recipe(recipe, stored, data.name, data.image_shape, epochs, steps, numbers, notes)
    if chosen.augmentation in DRAWS and DRAWS[chosen.augmentation].on_host and not data.streamed:
        raise InputError(
            f'the augmentation "{chosen.augmentation}" works on images as they are decoded; {data.name} holds them '
            "ready.\nExpected folders of images or a prepared data set (--data-dir), or another --augment."
        )
    kept, held = hold_out(seed, len(data.train_images), validation)
    if len(kept) == 0 or (validation > 0 and len(held) == 0):
        raise InputError(
            f"holding out {validation} of {len(data.train_images)} training images leaves "
            f"{len(kept)} to train on and {len(held)} held out; expected at least one of each."
        )
    if chosen.preprocessing == "gcn-zca":
        refuse_large(math.prod(data.image_shape))
    # Refuses a field that does not hold the images, and a network that does not fit what it sees.
    count_parameters(spec, network_shape(data.image_shape, chosen.field), data.classes)
    name = network.name if network else f"spec-{hashlib.sha256(str(spec).encode()).hexdigest()[:8]}"
    folder = RunFolder(Path(run_dir).expanduser() if run_dir else default_run_dir(name, data.name, chosen, seed))
    if resume and stored is None:
        if not folder.holds_run():
            raise RunError(f"{folder.path}: holds no run to resume; leave --resume out to begin one.")
        stored = read_json(folder.config)
    if not resume:
        folder.refuse_other_content()
    return RunPlan(
        model=name, spec=spec, network=network, recipe=chosen, data=data,
        data_dir=str(Path(data_dir).expanduser().resolve()) if data_dir else None,
        seed=seed, precision=precision or (stored or {}).get("precision", "auto"), validation=validation,
        test_every=test_every, save_every=save_every, patience=patience,
        tensorboard=tensorboard, deterministic=deterministic or bool((stored or {}).get("deterministic")),
        devices=devices, allow=allow, skip_damaged=skip_damaged,
        kept=kept, held=held, folder=folder, stored=stored, notes=tuple(notes),
    )  # fmt: skip


def default_run_dir(model: str, dataset: str, recipe: Recipe, seed: int) -> Path:
    """runs/{model}-{data}-{recipe}-lr{lr}-seed{seed}."""
    name = f"{model}-{dataset}-{recipe.name}-lr{recipe.learning_rate:g}-seed{seed}"
    # A folder of images may be called anything; a run's name stays one word of a command line.
    return Path("runs") / re.sub(r"[^\w.+-]+", "-", name)


def _stored_config(run_dir: str | Path | None, resume: bool) -> dict[str, Any] | None:
    """The configuration of the run to resume, where its folder was named."""
    if not resume or run_dir is None:
        return None
    folder = RunFolder(Path(run_dir).expanduser())
    try:
        if not folder.holds_run():
            raise RunError(f"{folder.path}: holds no run to resume; leave --resume out to begin one.")
    except OSError as error:
        raise RunError(f"{folder.path}: cannot be read ({error.strerror}).") from None
    stored = read_json(folder.config)
    if missing := sorted({"model", "dataset", "image_shape", *IDENTITY} - set(stored)):
        raise RunError(f"{folder.config}: is not a run's configuration; it lacks {', '.join(missing)}.")
    if not isinstance(stored["recipe"], dict):
        raise RunError(f"{folder.config}: is not a run's configuration; its recipe is {stored['recipe']!r:.40}.")
    return stored


def _load(
    dataset: str | None,
    data_dir: str | Path | None,
    image_size: int | None,
    augmentation: str,
    stored: dict[str, Any] | None,
    *,
    stream: bool,
    **images: Any,
) -> tuple[Dataset, str | Path | None]:
    if stored is not None:
        data_dir = data_dir or stored.get("data_dir")
        image_size = image_size or stored["image_shape"][0]
        # A folder of images has a name of its own, and was loaded as the default data set.
        dataset = dataset or (stored["dataset"] if stored["dataset"] in ("cifar100", "digits") else None)
        stream = stream or bool(stored.get("streamed"))
    size, shorter_side = crop_sizes(augmentation, image_size)
    images |= {"image_size": size, "shorter_side": shorter_side, "stream": stream}
    data = load_data(dataset or "cifar10", data_dir, **images)
    return data, data.found_in or data_dir


def _choose_recipe(
    recipe: str | Recipe | None,
    stored: dict[str, Any] | None,
    dataset: str,
    image_shape: tuple[int, int, int],
    epochs: int | None,
    steps: int | None,
    numbers: dict[str, Any],
    notes: list[str],
) -> Recipe:
    """The recipe with the given numbers put in; what that does to the schedule is said in `notes`."""
    for name in numbers:
        check_number(name, without=("length",))  # that is epochs or steps
    if isinstance(recipe, Recipe):
        base = recipe
    elif stored is not None and recipe in (None, stored["recipe"].get("name")):
        base = Recipe.from_dict(stored["recipe"])
    else:
        base = recipe_for(recipe or "paper", dataset, image_shape)
    other, given = ("steps", steps) if base.unit == "epochs" else ("epochs", epochs)
    if given is not None:
        raise InputError(f"the recipe {base.name} counts {base.unit}, not {other}; pass --{base.unit} instead.")
    chosen = base.with_overrides(length=epochs if base.unit == "epochs" else steps, **numbers)
    if base.drops and chosen.drops and chosen.drops != base.drops:
        before, now = (", ".join(map(str, recipe.drops)) for recipe in (base, chosen))
        notes.append(
            f"{base.unit} {chosen.length} instead of {base.length}: the learning rate drops after "
            f"{now} instead of {before}."
        )
    return chosen


def _count(rule: str, given: int | None, stored: dict[str, Any] | None, key: str, default: Any) -> Any:
    """A count that was given, of at least 1, else the resumed run's own, else the default."""
    if given is None:
        return (stored or {}).get(key, default)
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise InputError(f"{rule}; got {given}.")
    return given


def _seed(seed: int) -> int:
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise InputError(f"the seed must be a whole number from 0 to {2**32 - 1}; got {seed}.")
    return seed
