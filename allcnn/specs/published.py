"""Published figures beyond the networks' own: the paper's Table 4; and notes on what the sources leave unclear.

`allcnn.specs.zoo` gives every network its own figures (the paper's Table 3, the review's Table 2). The paper's own rows
of Table 4 take theirs from there, so that no number stands in two places.
"""

from __future__ import annotations

from dataclasses import dataclass

from allcnn.specs.zoo import COUNT_NOTES, REVIEW_NOTES, ZOO, Network
from allcnn.specs.zoo import REVIEW_TAKES_THE_LOWEST as REVIEW_TAKES_THE_LOWEST

#: The twelve networks of Table 3, in its order.
TABLE_3_NETWORKS: tuple[Network, ...] = tuple(network for network in ZOO.values() if network.source == "Table 3")
TABLE_3_TITLE = "Table 3: comparison between the base and derived models on the CIFAR-10 dataset"
TABLE_4_TITLE = "Table 4: test error on CIFAR-10 and CIFAR-100 compared to the state of the art from the literature"
REVIEW_TITLE = "The review's Table 2: reproduced errors on CIFAR-10"

#: The numbers in brackets behind the methods of Table 4.
LITERATURE = (
    "[1] Goodfellow et al., 2013; [2] Lin et al., 2014; [3] Lee et al., 2014; [4] Stollenga et al., 2014; "
    "[5] Srivastava and Salakhutdinov, 2013; [6] Graham, 2015."
)


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """A row of Table 4. `method` and `parameters`: as printed. `network`: in the paper's own rows, the zoo's."""

    method: str
    error_percent: float
    parameters: str | None = None
    network: Network | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """A part of Table 4: the data that its rows were trained on, and the rows in the printed order."""

    title: str
    dataset: str
    augmentation: str
    rows: tuple[PublishedRow, ...]


def papers_augmentation(augmentation: str) -> str:
    """The augmentation of the published rows that a run is compared with.

    "flip-reflect" mirrors and shifts as the paper does. It differs in the range, and in the pixels that move in.
    """
    return "flip-shift" if augmentation == "flip-reflect" else augmentation


def published_error(network: Network, dataset: str, augmentation: str) -> tuple[float | None, str | None]:
    """The published error in percent, and its table, of a network on a data set with an augmentation."""
    augmentation = papers_augmentation(augmentation)
    for error in network.errors:
        if (error.dataset, error.augmentation) == (dataset, augmentation):
            return error.error_percent, error.source
    return None, None


def _ours(method: str, name: str, error: int = 0, parameters: str | None = None) -> PublishedRow:
    """One of the paper's own rows. `error`: the place of its figure among the network's errors."""
    return PublishedRow(method, ZOO[name].errors[error].error_percent, parameters, ZOO[name])


TABLE_4: tuple[Section, ...] = (
    Section("CIFAR-10, without data augmentation", "cifar10", "none", (
        PublishedRow("Maxout [1]", 11.68, "> 6 M"),
        PublishedRow("Network in Network [2]", 10.41, "≈ 1 M"),
        PublishedRow("Deeply Supervised [3]", 9.69, "≈ 1 M"),
        _ours("ALL-CNN (Ours)", "all-c", parameters="≈ 1.3 M"),
    )),
    Section("CIFAR-10, with data augmentation", "cifar10", "flip-shift", (
        PublishedRow("Maxout [1]", 9.38, "> 6 M"),
        PublishedRow("DropConnect [2]", 9.32),
        PublishedRow("dasNet [4]", 9.22, "> 6 M"),
        PublishedRow("Network in Network [2]", 8.81, "≈ 1 M"),
        PublishedRow("Deeply Supervised [3]", 7.97, "≈ 1 M"),
        _ours("ALL-CNN (Ours)", "all-c", error=1, parameters="≈ 1.3 M"),
    )),
    Section("CIFAR-100", "cifar100", "none", (
        PublishedRow("CNN + tree prior [5]", 36.85),
        PublishedRow("Network in Network [2]", 35.68),
        PublishedRow("Deeply Supervised [3]", 34.57),
        PublishedRow("Maxout (larger) [4]", 34.54),
        PublishedRow("dasNet [4]", 33.78),
        _ours("ALL-CNN (Ours)", "all-c", error=2),
        PublishedRow("Fractional Pooling (1 test) [6]", 31.45),
        PublishedRow("Fractional Pooling (12 tests) [6]", 26.39),
    )),
    Section("CIFAR-10, with large data augmentation", "cifar10", "large", (
        PublishedRow("Spatially Sparse CNN [6]", 4.47),
        _ours("Large ALL-CNN (Ours)", "large-all"),
        PublishedRow("Fractional Pooling (1 test) [6]", 4.50),
        PublishedRow("Fractional Pooling (100 tests) [6]", 3.47),
    )),
)  # fmt: skip

# Where the sources contradict themselves or each other, or are unclear. The networks of the zoo have notes too.
LARGE_IS_CIFAR_10 = (
    'The paper heads these rows "CIFAR-100"; its section 3.2.3 says that they are on CIFAR-10, where they stand here.'
)
CIFAR_100_AUGMENTATION = (
    "Table 4 does not say whether its CIFAR-100 results are with augmentation; measured: without. The paper kept the "
    "learning rate of CIFAR-10."
)
OURS_IS_THE_PAPERS = '"(Ours)" in a method is the paper\'s; "measured" are the runs of this report.'
REVIEW_LEARNING_RATES = "The review tried the learning rates 0.05 and 0.01 (its section 3.4.2)."
REVIEW_MINUTES = 'The review prints the run times of the B models without the "m" of the others: taken for minutes.'


def count_notes(network: Network) -> list[str]:
    """Notes on a network whose printed number of parameters is wrong."""
    return list(COUNT_NOTES.get(network.name, ()))


def review_notes(network: Network, *, error_only: bool = False) -> list[str]:
    """Notes on the review's run of a network of Table 3; with `error_only`, those on its error."""
    notes = REVIEW_NOTES.get(network.name, ())
    if error_only:
        return [note for note in notes if note.startswith("The review's Table 2")]
    return [*notes, *([REVIEW_MINUTES] if network.name in ("b", "strided-b", "convpool-b", "all-b") else [])]
