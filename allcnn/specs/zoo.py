"""Every published network as one line of text, with its published figures; and the network that a name means.

"The paper": Springenberg et al., Striving for Simplicity: The All Convolutional Net (arXiv 1412.6806).
"The review": Lee, Luo and Colomer, Review: The All Convolutional Net, which trained the twelve networks of Table 3.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from dataclasses import dataclass

from allcnn.errors import InputError, SpecError, did_you_mean, nearest
from allcnn.specs import language
from allcnn.specs.derive import all_convolutional, convpool, strided
from allcnn.specs.language import MAX_CHARACTERS, is_token
from allcnn.specs.layers import Spec, shortened


@dataclass(frozen=True, slots=True)
class PublishedError:
    """A published error in percent: of which data set, with which augmentation, and the table that gives it."""

    dataset: str
    augmentation: str
    error_percent: float
    source: str


@dataclass(frozen=True, slots=True)
class Network:
    """A published network.

    input_shape: (height, width, channels). classes: of the published data set.
    errors: the errors that its authors report, first the main one.
    published_parameters, published_parameters_millions: their count as printed, and its number in millions.
    review_error_percent, review_minutes, review_learning_rate: of a network of Table 3, the review's run of this
        architecture (its Table 2).
    notes: where the sources disagree or leave a choice.
    recipe: the name of the published recipe that it is trained by where none is named.
    """

    name: str
    published_name: str
    spec: Spec
    input_shape: tuple[int, int, int]
    classes: int
    errors: tuple[PublishedError, ...]
    published_parameters: str | None = None
    published_parameters_millions: float | None = None
    review_error_percent: float | None = None
    review_minutes: float | None = None
    review_learning_rate: float | None = None
    notes: tuple[str, ...] = ()
    recipe: str = "paper"

    @property
    def text(self) -> str:
        """The network as one line of canonical text."""
        return str(self.spec)

    @property
    def published_error_percent(self) -> float:
        return self.errors[0].error_percent

    @property
    def source(self) -> str:
        """Where `published_error_percent` is printed."""
        return self.errors[0].source


# Table 1. Its averages are over 6x6, which needs one "valid" convolution: 32 -> 16 -> 8 -> 6.
_BASE = {
    "a": "D.2-96C5-MP3/2-D.5-192C5-MP3/2-D.5-192C3v-192C1-NC1-GAP",
    "b": "D.2-96C5-96C1-MP3/2-D.5-192C5-192C1-MP3/2-D.5-192C3v-192C1-NC1-GAP",
    "c": "D.2-96C3-96C3-MP3/2-D.5-192C3-192C3-MP3/2-D.5-192C3v-192C1-NC1-GAP",
}

_DERIVE = {"": lambda spec: spec, "strided-": strided, "convpool-": convpool, "all-": all_convolutional}

# The review's geometry: padding 1 on every kernel above 1x1, 5x5 too, and pooling that rounds down.
_REVIEW_TOP = "192C3p1-192C1-NC1-GAP"
_REVIEW = {
    "a": f"D.2-96C5p1-MP3/2v-D.5-192C5p1-MP3/2v-D.5-{_REVIEW_TOP}",
    "strided-a": f"D.2-96C5/2p1-D.5-192C5/2p1-D.5-{_REVIEW_TOP}",
    "convpool-a": f"D.2-96C5p1-96C3p1-MP3/2v-D.5-192C5p1-192C3p1-MP3/2v-D.5-{_REVIEW_TOP}",
    "all-a": f"D.2-96C5p1-96C3/2p1-D.5-192C5p1-192C3/2p1-D.5-{_REVIEW_TOP}",
    "b": f"D.2-96C5p1-96C1-MP3/2v-D.5-192C5p1-192C1-MP3/2v-D.5-{_REVIEW_TOP}",
    "strided-b": f"D.2-96C5p1-96C1/2-D.5-192C5p1-192C1/2-D.5-{_REVIEW_TOP}",
    "convpool-b": f"D.2-96C5p1-96C1-96C3p1-MP3/2v-D.5-192C5p1-192C1-192C3p1-MP3/2v-D.5-{_REVIEW_TOP}",
    "all-b": f"D.2-96C5p1-96C1-96C3/2p1-D.5-192C5p1-192C1-192C3/2p1-D.5-{_REVIEW_TOP}",
    "c": f"D.2-96C3p1-96C3p1-MP3/2v-D.5-192C3p1-192C3p1-MP3/2v-D.5-{_REVIEW_TOP}",
    "strided-c": f"D.2-96C3p1-96C3/2p1-D.5-192C3p1-192C3/2p1-D.5-{_REVIEW_TOP}",
    "convpool-c": f"D.2-96C3p1-96C3p1-96C3p1-MP3/2v-D.5-192C3p1-192C3p1-192C3p1-MP3/2v-D.5-{_REVIEW_TOP}",
    "all-c": f"D.2-96C3p1-96C3p1-96C3/2p1-D.5-192C3p1-192C3p1-192C3/2p1-D.5-{_REVIEW_TOP}",
}

# Table 3: name, published name, error in percent, millions of parameters; then the review's Table 2: error,
# minutes, learning rate.
_TABLE_3: tuple[tuple[str, str, float, float, float, float, float], ...] = (
    ("a", "Model A", 12.47, 0.9, 15.16, 343.63, 0.05),
    ("strided-a", "Strided-CNN-A", 13.46, 0.9, 18.23, 168.89, 0.05),
    ("convpool-a", "ConvPool-CNN-A", 10.21, 1.28, 11.44, 694.26, 0.05),
    ("all-a", "ALL-CNN-A", 10.30, 1.28, 12.47, 642.76, 0.01),
    ("b", "Model B", 10.20, 1.0, 13.52, 453.42, 0.05),
    ("strided-b", "Strided-CNN-B", 10.98, 1.0, 15.56, 440.26, 0.05),
    ("convpool-b", "ConvPool-CNN-B", 9.33, 1.35, 11.84, 879.25, 0.01),
    ("all-b", "ALL-CNN-B", 9.10, 1.35, 11.84, 626.85, 0.01),
    ("c", "Model C", 9.74, 1.3, 11.11, 708.42, 0.05),
    ("strided-c", "Strided-CNN-C", 10.19, 1.3, 12.91, 428.63, 0.05),
    ("convpool-c", "ConvPool-CNN-C", 9.31, 1.4, 11.09, 1346.35, 0.01),
    ("all-c", "ALL-CNN-C", 9.08, 1.4, 11.17, 984.55, 0.05),
)

_PADDING_NOTE = (
    "The paper gives no paddings. Chosen: convolutions and pooling keep the size, and the 3x3 convolution after "
    "the last subsampling has no padding, so that the average is over 6x6 as printed."
)
#: Of the networks whose printed number of parameters is wrong.
COUNT_NOTES = {
    "c": ("Table 3 prints 1.3 M parameters; Table 1's network has 0.95 M.",),
    "strided-c": ("Table 3 prints 1.3 M parameters; the derived network has 0.95 M.",),
    "all-c": ("Table 3 prints 1.4 M parameters, Table 4 1.3 M for the same network; it has 1.37 M.",),
}
_OTHER_ERRORS = {
    "all-c": (
        PublishedError("cifar10", "flip-shift", 7.25, "Table 4"),
        PublishedError("cifar100", "none", 33.71, "Table 4"),
    ),
}
#: Of every network of the review.
REVIEW_TAKES_THE_LOWEST = "The review's error is the lowest of all epochs on the test set, not the last epoch's."
_REVIEW_WIDTH_NOTE = "The review's appendix prints 96 filters for the second strided convolution; its code has 192."
#: Of the review's run of a network of Table 3.
REVIEW_NOTES = {
    "a": ("The review's text gives every network dropout, as here; its code had none in this one.",),
    "all-a": ("The review's Table 2 prints 12.47; its own log has 12.65.", _REVIEW_WIDTH_NOTE),
    "all-b": (_REVIEW_WIDTH_NOTE,),
    "all-c": (_REVIEW_WIDTH_NOTE,),
}

_LARGE = Network(
    "large-all",
    "Large ALL-CNN",
    language.parse(
        "[v :leaky_relu(0.33)] 320C2-320C2-320C2/2-640C2-D.1-640C2-D.1-640C2/2-960C2-D.2-960C2-D.2-960C2/2-"
        "1280C2-D.3-1280C2-D.3-1280C2/2-1600C2-D.4-1600C2-D.4-1600C2/2-1920C2-D.5-1920C1-D.5-NC1:linear-GAP"
    ),
    (126, 126, 3),
    10,
    (PublishedError("cifar10", "large", 4.41, "Table 4"),),
    "> 50 M",
    50.0,
    notes=(
        "Table 5 does not say where a layer's dropout is; chosen: after it.",
        "Table 5 gives no slope for its leaky ReLUs; chosen: 0.33.",
        "Table 5 goes from conv17 to a 10-way softmax; chosen: a linear 1x1 convolution between them, and an "
        "average over the 1x1 map that is left, which changes nothing at 126x126.",
    ),
    recipe="large",
)
_IMAGENET = Network(
    "imagenet-all-b",
    "ALL-CNN-B (ImageNet)",
    language.parse("96C11/4-96C1-96C3/2v-256C5-256C1-256C3/2v-384C3-384C1-384C3/2v-D.5-1024C3-1024C1-NC1-GAP"),
    (224, 224, 3),
    1000,
    (PublishedError("imagenet", "crop-mirror", 41.2, "section 3.3"),),
    "< 10 M",
    10.0,
    notes=(
        "The error is top-1 on the validation set's centre 224x224 patches.",
        "Table 6 does not say whether conv9's dropout is before or after it; chosen: after.",
        "Table 6 gives no paddings; chosen so that the average is over 6x6 as printed: 224 -> 56 -> 27 -> 13 -> 6.",
    ),
    recipe="imagenet",
)


def _paper_networks() -> Iterator[Network]:
    for name, published_name, error, millions, review_error, minutes, learning_rate in _TABLE_3:
        variant, base = name[:-1], name[-1]
        yield Network(
            name,
            published_name,
            _DERIVE[variant](language.parse(_BASE[base])),
            (32, 32, 3),
            10,
            (PublishedError("cifar10", "none", error, "Table 3"), *_OTHER_ERRORS.get(name, ())),
            f"{millions:g} M",
            millions,
            review_error,
            minutes,
            learning_rate,
            (*COUNT_NOTES.get(name, ()), _PADDING_NOTE),
        )


def _review_networks() -> Iterator[Network]:
    for name, published_name, _, _, error, _, _ in _TABLE_3:
        yield Network(
            f"review-{name}",
            f"{published_name} (review)",
            language.parse(_REVIEW[name]),
            (32, 32, 3),
            10,
            (PublishedError("cifar10", "none", error, "review, Table 2"),),
            notes=(*REVIEW_NOTES.get(name, ()), REVIEW_TAKES_THE_LOWEST),
        )


#: Every published network by its name at the shell, in the paper's order, then the review's, then the large ones.
ZOO: dict[str, Network] = {
    network.name: network for network in (*_paper_networks(), *_review_networks(), _LARGE, _IMAGENET)
}


def list_models(filter: str = "*") -> list[str]:
    """The names of the published networks, in the order of `ZOO`; those that match a pattern such as "all-*"."""
    return fnmatch.filter(ZOO, filter)


def parse(network: str) -> Spec:
    """The network that a text in the spec language or a published network's name means.

    Raises:
        SpecError, InputError: as `resolve`.

    Example:
        >>> str(parse("strided-b")) == str(parse("D.2-96C5-96C1/2-D.5-192C5-192C1/2-D.5-192C3v-192C1-NC1-GAP"))
        True
    """
    return resolve(network)[0]


def resolve(model: str | Spec | Network) -> tuple[Spec, Network | None]:
    """A name, a text or a network in any form -> its Spec, and the published network if it was named.

    A name is ours (`all-c`) or the published one (`ALL-CNN-C`, `Model A`), in any case. Spaces, underscores and hyphens
    count as the same.

    Raises:
        SpecError: a text in the spec language is wrong.
        InputError: it is neither such a text nor a known name; the message suggests the nearest names.
    """
    if isinstance(model, Network):
        return model.spec, model
    if isinstance(model, Spec):
        return model, None
    if not isinstance(model, str):
        raise InputError(f"a network must be a name, a text or a Spec, for example all-c; got {type(model).__name__}")
    if (name := _SPELLINGS.get(_plain(model))) is not None:
        return ZOO[name].spec, ZOO[name]
    try:
        return language.parse(model), None
    except SpecError:
        if not model.strip() or _meant_as_text(model):
            raise
    raise _unknown(model)


def _meant_as_text(text: str) -> bool:
    """Whether a wrong text was meant as layers rather than as a name: one layer or bracket is enough."""
    if len(text) > MAX_CHARACTERS or re.search(r"[\[\]():]|^\s*\d", text):
        return True
    return any(is_token("".join(piece.split())) for piece in text.split("-"))


def _unknown(name: str) -> InputError:
    near = dict.fromkeys(_SPELLINGS[spelling] for spelling in nearest(_plain(name), _SPELLINGS))
    shown = shortened(name if name.isprintable() else repr(name)[1:-1], 60)
    return InputError(
        f'unknown network "{shown}".{did_you_mean(list(near))} `allcnn params` lists every name; '
        "a network of your own is a text such as 96C3-96C3/2-NC1-GAP"
    )


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).lower()


# Every spelling of a network's name, plain. "all-c" and "ALL-CNN-C" are the paper's; the review's twelve share those
# printed names behind "review". The last four are in print too.
_SPELLINGS = (
    {_plain(spelling): name for name, network in ZOO.items() for spelling in (name, network.published_name)}
    | {
        _plain(f"review-{network.published_name}"): f"review-{name}"
        for name, network in ZOO.items()
        if f"review-{name}" in ZOO
    }
    | {
        "largeallcnn": "large-all",
        "largeallcnnforcifar10": "large-all",
        "imagenetmodel": "imagenet-all-b",
        "imagenetallcnnb": "imagenet-all-b",
    }
)
