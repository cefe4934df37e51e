"""Every published network as one line of text, with its published facts.

"The paper": Springenberg et al., Striving for Simplicity: The All Convolutional Net (arXiv 1412.6806).
"The review": Lee, Luo and Colomer, Review: The All Convolutional Net, which trained the twelve networks of Table 3.
"""

from __future__ import annotations

from dataclasses import dataclass

from allcnn.specs.derive import all_convolutional, convpool, strided
from allcnn.specs.language import parse
from allcnn.specs.layers import Spec


@dataclass(frozen=True, slots=True)
class PublishedError:
    """A published error beyond the table that gives a network's `published_error_percent`."""

    dataset: str
    augmentation: str
    error_percent: float
    source: str


@dataclass(frozen=True, slots=True)
class Network:
    """A published network.

    text: canonical, one line. input_shape: (height, width, channels). classes: of the published data set.
    published_error_percent and source: what its authors report, and the table where they do.
    published_parameters, published_parameters_millions: their count as printed, and its number in millions.
    review_error_percent, review_minutes, review_learning_rate: the review's run of this architecture (its
        Table 2), in the paper's row and in the review's; None where the review has no such run.
    other_errors: the network's figures in other tables. notes: where the sources disagree or leave a choice.
    recipe: the name of the published recipe that it is trained by where none is named.
    """

    name: str
    published_name: str
    text: str
    input_shape: tuple[int, int, int]
    classes: int
    published_error_percent: float
    published_parameters: str | None
    published_parameters_millions: float | None
    source: str
    review_error_percent: float | None = None
    review_minutes: float | None = None
    review_learning_rate: float | None = None
    other_errors: tuple[PublishedError, ...] = ()
    notes: tuple[str, ...] = ()
    recipe: str = "paper"

    @property
    def spec(self) -> Spec:
        """The network itself."""
        return parse(self.text)


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
_NOTES: dict[str, tuple[str, ...]] = {
    "c": ("Table 3 prints 1.3 M parameters; Table 1's network has 0.95 M.",),
    "strided-c": ("Table 3 prints 1.3 M parameters; the derived network has 0.95 M.",),
    "all-c": ("Table 3 prints 1.4 M parameters, Table 4 1.3 M for the same network; it has 1.37 M.",),
}
_OTHER_ERRORS: dict[str, tuple[PublishedError, ...]] = {
    "all-c": (
        PublishedError("cifar10", "flip-shift", 7.25, "Table 4"),
        PublishedError("cifar100", "none", 33.71, "Table 4"),
    ),
}
_REVIEW_NOTE = "The review's error is the lowest of all epochs on the test set, not the last epoch's."
_REVIEW_NOTES: dict[str, tuple[str, ...]] = {
    "a": ("The review's text gives every network dropout, as here; its code had none in this one.",),
    "all-a": ("The review's Table 2 prints 12.47; its own log has 12.65.",),
}
_REVIEW_WIDTH_NOTE = "The review's appendix prints 96 filters for the second strided convolution; its code has 192."

_LARGE = (
    "[v :leaky_relu(0.33)] 320C2-320C2-320C2/2-640C2-D.1-640C2-D.1-640C2/2-960C2-D.2-960C2-D.2-960C2/2-"
    "1280C2-D.3-1280C2-D.3-1280C2/2-1600C2-D.4-1600C2-D.4-1600C2/2-1920C2-D.5-1920C1-D.5-NC1:linear-GAP"
)
_IMAGENET = "96C11/4-96C1-96C3/2v-256C5-256C1-256C3/2v-384C3-384C1-384C3/2v-D.5-1024C3-1024C1-NC1-GAP"


def _paper_networks() -> list[Network]:
    networks: list[Network] = []
    for name, published_name, error, millions, review_error, minutes, learning_rate in _TABLE_3:
        variant, base = name[:-1], name[-1]
        networks.append(
            Network(
                name,
                published_name,
                str(_DERIVE[variant](parse(_BASE[base]))),
                (32, 32, 3),
                10,
                error,
                f"{millions:g} M",
                millions,
                "Table 3",
                review_error,
                minutes,
                learning_rate,
                _OTHER_ERRORS.get(name, ()),
                (*_NOTES.get(name, ()), _PADDING_NOTE),
            )
        )
    return networks


def _review_networks() -> list[Network]:
    networks: list[Network] = []
    for name, published_name, _, _, error, minutes, learning_rate in _TABLE_3:
        networks.append(
            Network(
                f"review-{name}",
                f"{published_name} (review)",
                str(parse(_REVIEW[name])),
                (32, 32, 3),
                10,
                error,
                None,
                None,
                "review, Table 2",
                error,
                minutes,
                learning_rate,
                notes=(
                    *_REVIEW_NOTES.get(name, ()),
                    *((_REVIEW_WIDTH_NOTE,) if name.startswith("all-") else ()),
                    _REVIEW_NOTE,
                ),
            )
        )
    return networks


def _large_networks() -> list[Network]:
    return [
        Network(
            "large-all",
            "Large ALL-CNN",
            str(parse(_LARGE)),
            (126, 126, 3),
            10,
            4.41,
            "> 50 M",
            50.0,
            "Table 4",
            notes=(
                "Table 5 does not say where a layer's dropout is; chosen: after it.",
                "Table 5 gives no slope for its leaky ReLUs; chosen: 0.33.",
                "Table 5 goes from conv17 to a 10-way softmax; chosen: a linear 1x1 convolution between them, and an "
                "average over the 1x1 map that is left, which changes nothing at 126x126.",
            ),
            recipe="large",
        ),
        Network(
            "imagenet-all-b",
            "ALL-CNN-B (ImageNet)",
            str(parse(_IMAGENET)),
            (224, 224, 3),
            1000,
            41.2,
            "< 10 M",
            10.0,
            "section 3.3",
            notes=(
                "The error is top-1 on the validation set's centre 224x224 patches.",
                "Table 6 does not say whether conv9's dropout is before or after it; chosen: after.",
                "Table 6 gives no paddings; chosen so that the average is over 6x6 as printed: "
                "224 -> 56 -> 27 -> 13 -> 6.",
            ),
            recipe="imagenet",
        ),
    ]


#: Every published network by its name at the shell, in the paper's order, then the review's, then the large ones.
ZOO: dict[str, Network] = {
    network.name: network for network in (*_paper_networks(), *_review_networks(), *_large_networks())
}
