"""What people type -> a network: a name of the zoo, in any of its spellings, or a text in the spec language."""

from __future__ import annotations

import re

from allcnn.errors import InputError, SpecError
from allcnn.specs.language import MAX_CHARACTERS, parse
from allcnn.specs.layers import Spec
from allcnn.specs.tokens import parse_token
from allcnn.specs.zoo import ZOO, Network

#: Spellings in print that are neither a network's name nor its `published_name`.
_OTHER_NAMES = {
    "Large-All-CNN": "large-all",
    "Large All-CNN for CIFAR-10": "large-all",
    "ImageNet model": "imagenet-all-b",
    "ImageNet-ALL-CNN-B": "imagenet-all-b",
}


def find(name: str) -> Network:
    """The network of that name: ours (`all-c`) or the published one (`ALL-CNN-C`, `Model A`), in any case.

    Spaces, underscores and hyphens count as the same.

    Raises:
        InputError: there is none; the message suggests the nearest names.
    """
    if not isinstance(name, str):
        raise InputError(f"a network's name must be a string such as all-c; got {type(name).__name__}")
    found = _SPELLINGS.get(_plain(name))
    if found is not None:
        return ZOO[found]
    nearest = _nearest(name)
    suggestion = f"the nearest are {', '.join(nearest)}. " if nearest else ""
    shown = name if name.isprintable() else repr(name)[1:-1]
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    raise InputError(
        f'unknown network "{shown}": {suggestion}`allcnn params` lists every name; '
        "a network of your own is a text such as 96C3-96C3/2-NC1-GAP"
    )


def resolve(model: str | Spec | Network) -> tuple[Spec, Network | None]:
    """A name, a text or a network in any form -> its Spec, and the published network if it was named.

    Raises:
        SpecError: a text in the spec language is wrong.
        InputError: it is neither such a text nor a known name.
    """
    if isinstance(model, Network):
        return model.spec, model
    if isinstance(model, Spec):
        return model, None
    if not isinstance(model, str):
        raise InputError(f"a network must be a name, a text or a Spec, for example all-c; got {type(model).__name__}")
    if _plain(model) in _SPELLINGS:
        network = find(model)
        return network.spec, network
    try:
        return parse(model), None
    except SpecError:
        if not model.strip() or _meant_as_text(model):
            raise
    return find(model).spec, None  # raises: names that exist were found above


def _meant_as_text(text: str) -> bool:
    """Whether a text that cannot be read was meant as layers rather than as a name: one layer or bracket is enough."""
    if len(text) > MAX_CHARACTERS or re.search(r"[\[\]():]|^\s*\d", text):
        return True
    for piece in text.split("-"):
        try:
            parse_token("".join(piece.split()))
        except SpecError:
            continue
        return True
    return False


def _nearest(name: str) -> list[str]:
    from difflib import get_close_matches

    plain = _plain(name)
    found = get_close_matches(plain, _SPELLINGS, n=6, cutoff=0.5)
    return list(dict.fromkeys(_SPELLINGS[spelling] for spelling in found))[:3]


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).lower()


def _spellings() -> dict[str, str]:
    spellings: dict[str, str] = {}
    for network in ZOO.values():
        # "all-c" and "ALL-CNN-C" are the paper's; the review's twelve share those printed names behind "review".
        for name in (network.name, network.published_name):
            spellings.setdefault(_plain(name), network.name)
        if network.name.startswith("review-"):
            printed = network.published_name.removesuffix(" (review)")
            spellings.setdefault(_plain(f"review-{printed}"), network.name)
    for other, name in _OTHER_NAMES.items():
        spellings.setdefault(_plain(other), name)
    return spellings


_SPELLINGS = _spellings()
