"""What makes two configurations one run, and which differences a person may allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allcnn.errors import InputError, RunError, one_of
from allcnn.runs.recipe import Recipe

#: What two runs must share to be one, by the words that a person would use for it.
IDENTITY = {
    "spec": "network",
    "recipe": "recipe",
    "digest": "data set",
    "seed": "seed",
    "validation": "held-out fraction",
    "backend": "backend",
    "precision": "precision",
    "deterministic": "determinism",
    "device": "machine",
    "versions": "version",
}
#: Changes that may be allowed in the middle of a run, which then no longer ends bit-identical.
ALLOWED = {
    "epochs": "a recipe of another length",
    "backend": "another backend",
    "precision": "another precision",
    "machine": "another device, or other versions of Keras and its backend",
}
#: What config.json has the versions of.
PACKAGES = ("allcnn", "keras", "tensorflow", "tensorflow-cpu", "jax", "numpy", "h5py")
_MACHINE = ("kind", "name")
# Packages whose version decides the numbers; the one backend's does not matter to the other.
_DECIDING = {"tensorflow": ("keras", "tensorflow", "tensorflow-cpu"), "jax": ("keras", "jax")}


@dataclass(frozen=True)
class Difference:
    """One thing in which a configuration is not the stored one; `key` allows it, None where that makes no sense."""

    key: str | None
    what: str
    before: Any
    now: Any

    def __str__(self) -> str:
        return f"the {self.what} was {self.before}, now {self.now}"


def check_allowed(keys: Sequence[str]) -> tuple[str, ...]:
    """The keys of `--allow`. Raises InputError for an unknown one."""
    for key in keys:
        if key not in ALLOWED:
            raise InputError(f'unknown difference "{key}" to allow; {one_of(key, ALLOWED)}')
    return tuple(keys)


def differences(stored: dict[str, Any], config: dict[str, Any]) -> list[Difference]:
    """The differences that make two configurations different runs."""
    found: list[Difference] = []
    for key, words in IDENTITY.items():
        before, now = stored.get(key), config.get(key)
        if before == now:
            continue
        if key == "recipe" and isinstance(before, dict):
            allowed = dict.fromkeys(("length", "milestones", "milestones_of"), "epochs")
            found += _in_parts("recipe's ", Recipe.from_dict(before).as_dict(), now, allowed)
        elif key == "device":
            found += _in_parts("machine's ", before, now, dict.fromkeys(_MACHINE, "machine"), only=_MACHINE)
        elif key == "versions":
            packages = _DECIDING[config["backend"]]
            found += _in_parts("version of ", before, now, dict.fromkeys(packages, "machine"), only=packages)
        elif key == "digest":
            found.append(Difference(None, words, f"{stored.get('dataset')} ({str(before)[:12]})", str(now)[:12]))
        else:
            found.append(Difference(key if key in ALLOWED else None, words, before, now))
    return found


def refuse_other_run(
    folder: Path, stored: dict[str, Any], config: dict[str, Any], allow: Sequence[str]
) -> list[Difference]:
    """The differences from the stored run, if all are allowed. Allowing another backend allows another machine too.

    Raises:
        RunError: something differs that was not allowed; the message names it, and how to allow it if one can.
    """
    found = differences(stored, config)
    if "backend" in allow:  # the precision's meaning is the backend's
        allow = (*allow, "machine")
    refused = [difference for difference in found if difference.key not in allow]
    if not refused:
        return found
    keys = sorted({difference.key for difference in refused if difference.key})
    advice = "Resume it as it was begun, or choose another folder with --run-dir."
    if all(difference.key for difference in refused):
        options = " ".join(f"--allow {key}" for key in keys)
        advice = f"Resume it as it was begun, or with {options} (it then ends in other bits than it would have)."
    raise RunError(f"{folder}: is another run: {'; '.join(map(str, refused))}.\n{advice}")


def spread_differences(stored: dict[str, Any], config: dict[str, Any]) -> list[Difference]:
    """Whether the number of devices or hosts has changed. It is never another run for that, but it is announced."""
    return [
        Difference("spread", f"number of {key}", stored.get(key, 1), config[key])
        for key in ("devices", "hosts")
        if stored.get(key, 1) != config[key]
    ]


def _in_parts(
    words: str, before: Any, now: Any, keys: dict[str, str], only: Sequence[str] | None = None
) -> list[Difference]:
    """The differences of two dictionaries, part by part. keys: how a part is allowed; only: the parts that count."""
    if not isinstance(before, dict) or not isinstance(now, dict):
        return [Difference(None, words.strip(), before, now)]
    return [
        Difference(keys.get(part), words + part.replace("_", " "), before.get(part), now.get(part))
        for part in (only or now)
        if before.get(part) != now.get(part)
    ]
