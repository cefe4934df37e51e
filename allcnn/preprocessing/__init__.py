"""Preprocessings, fitted and then stock Keras layers; and augmentations, which are given their draws."""

from allcnn.errors import refuse_unknown
from allcnn.preprocessing.base import Centered, ChannelMean, Preprocessing, Scaled, Standardized, Unchanged
from allcnn.preprocessing.whitening import ContrastNormalization, ZCAWhitening

PREPROCESSINGS: dict[str, type[Preprocessing]] = {
    kind.kind: kind
    for kind in (ZCAWhitening, Unchanged, Scaled, Centered, ContrastNormalization, Standardized, ChannelMean)
}


def make_preprocessing(kind: str) -> Preprocessing:
    """An unfitted preprocessing by its name, for example "gcn-zca".

    Raises:
        InputError: an unknown name.
    """
    refuse_unknown("preprocessing", kind, PREPROCESSINGS)
    return PREPROCESSINGS[kind]()


__all__ = [
    "PREPROCESSINGS",
    "Centered",
    "ChannelMean",
    "ContrastNormalization",
    "Preprocessing",
    "Scaled",
    "Standardized",
    "Unchanged",
    "ZCAWhitening",
    "make_preprocessing",
]
