"""The paper's three rules, on its own networks and on a user's."""

import pytest

from allcnn.errors import SpecError
from allcnn.specs import all_convolutional, convpool, parse, strided

TOP = "192C3v-192C1-NC1-GAP"
C = f"D.2-96C3-96C3-MP3/2-D.5-192C3-192C3-MP3/2-D.5-{TOP}"

# A base network, and its strided, all-convolutional and ConvPool versions.
DERIVED = [
    (  # Table 2
        C,
        f"D.2-96C3-96C3/2-D.5-192C3-192C3/2-D.5-{TOP}",
        f"D.2-96C3-96C3-96C3/2-D.5-192C3-192C3-192C3/2-D.5-{TOP}",
        f"D.2-96C3-96C3-96C3-MP3/2-D.5-192C3-192C3-192C3-MP3/2-D.5-{TOP}",
    ),
    (  # the pooling layer's padding and kind
        "96C3v-AP2v-NC1-GAP",
        "96C3/2v-NC1-GAP",
        "96C3v-96C2/2v-NC1-GAP",
        "96C3v-96C2-AP2v-NC1-GAP",
    ),
    (  # past dropout, normalisation and an activation of its own; strides multiply
        "8C5/2p2:linear-BN-:elu-D.1-L2P3-NC1-GAP",
        "8C5/6p2:linear-BN-:elu-D.1-NC1-GAP",
        "8C5/2p2:linear-BN-:elu-D.1-8C3/3-NC1-GAP",
        "8C5/2p2:linear-BN-:elu-D.1-8C3-L2P3-NC1-GAP",
    ),
    (  # two pooling layers after one convolution
        "8C3-MP2-MP3/2-NC1-GAP",
        "8C3/4-NC1-GAP",
        "8C3-8C2/2-8C3/2-NC1-GAP",
        "8C3-8C2-MP2-8C3-MP3/2-NC1-GAP",
    ),
    (  # pooling of the class maps stays N wide
        "8C3-NC3-AP2-GAP",
        "8C3-NC3/2-GAP",
        "8C3-NC3-NC2/2-GAP",
        "8C3-NC3-NC2-AP2-GAP",
    ),
]


@pytest.mark.parametrize(("base", "as_strided", "as_all", "as_convpool"), DERIVED)
def test_derived_networks(base: str, as_strided: str, as_all: str, as_convpool: str) -> None:
    spec = parse(base)
    assert str(strided(spec)) == as_strided
    assert str(all_convolutional(spec)) == as_all
    assert str(convpool(spec)) == as_convpool
    assert str(spec) == base


@pytest.mark.parametrize("rule", [strided, all_convolutional, convpool])
def test_what_nothing_can_be_derived_from(rule) -> None:
    with pytest.raises(SpecError, match=r'"96C3-NC1-GAP" has no pooling layer.*for example 96C3-MP3/2-NC1-GAP'):
        rule(parse("96C3-NC1-GAP"))
    with pytest.raises(SpecError, match=r'no convolution comes before the pooling layer "MP3/2".*96C3-MP3/2'):
        rule(parse("D.2-MP3/2-96C3-NC1-GAP"))


def test_derived_networks_keep_to_the_limits() -> None:
    with pytest.raises(SpecError, match="the stride must be from 1 to 1,024; got 2048"):
        strided(parse("8C3/1024-MP2-NC1-GAP"))
    with pytest.raises(SpecError, match="more than 1,000 layers"):
        convpool(parse("8C3-997x(MP1)-NC1-GAP"))
