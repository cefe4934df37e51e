"""Where the parts of a saved model of ours meet."""

import keras
import numpy as np
import pytest

from allcnn.errors import InputError
from allcnn.models.build import build_model
from allcnn.models.parts import preprocessing_end
from allcnn.models.saved import ModelCard
from allcnn.preprocessing import make_preprocessing

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3)).astype(np.uint8)


def make(kind: str, spec: str = "D.2-6C3/2p1-8C3-NC1-GAP", field: int | None = None) -> tuple[keras.Model, ModelCard]:
    preprocessing = make_preprocessing(kind).adapt(IMAGES)
    model = build_model(spec, (8, 8, 3), 4, preprocessing=preprocessing, seed=1, field=field)
    card = ModelCard("mine", spec, "noise", "", tuple("abcd"), (8, 8, 3), "none", kind, "paper", model.count_params())
    return model, card


@pytest.mark.parametrize(
    ("kind", "last"),
    [("gcn-zca", "zca_image"), ("gcn", "contrast_image"), ("none", None), ("scale", "scale"), ("standardize", None)],
)
def test_the_preprocessing_ends_before_the_network(kind, last) -> None:
    model, card = make(kind)
    found = preprocessing_end(model, card)
    names = [layer.name for layer in model.layers]
    assert names[1 if found is None else names.index(found) + 1] == "dropout1"
    if kind in ("gcn-zca", "none"):
        assert found == last
    # A field comes between the two, and is no part of either.
    model, card = make(kind, field=12)
    names = [layer.name for layer in model.layers]
    assert preprocessing_end(model, card) == found
    assert names[1 if found is None else names.index(found) + 1] == "field"


def test_a_card_of_another_network_is_refused() -> None:
    model, card = make("none", "8C3-NC1-GAP")
    other = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(name="mine")])
    assert preprocessing_end(model, None) is None
    with pytest.raises(InputError, match="are not those of the network that its card names"):
        preprocessing_end(other, card)
