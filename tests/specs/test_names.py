"""Names, published names and texts all lead to the right network, and wrong ones to a helpful error."""

import pytest

from allcnn.errors import InputError, SpecError
from allcnn.specs import ZOO, Network, find, parse, resolve

NAMES = [
    ("all-c", "all-c"),
    ("ALL-CNN-C", "all-c"),
    ("All_CNN C", "all-c"),
    (" strided-cnn-b ", "strided-b"),
    ("ConvPool-CNN-A", "convpool-a"),
    ("Model A", "a"),
    ("model-c", "c"),
    ("B", "b"),
    ("review-a", "review-a"),
    ("Review ALL-CNN-C", "review-all-c"),
    ("ALL-CNN-C (review)", "review-all-c"),
    ("Large-All-CNN", "large-all"),
    ("large_all", "large-all"),
    ("imagenet-all-b", "imagenet-all-b"),
    ("ImageNet model", "imagenet-all-b"),
]


@pytest.mark.parametrize(("typed", "name"), NAMES)
def test_names_in_every_spelling(typed: str, name: str) -> None:
    assert find(typed) is ZOO[name]
    assert resolve(typed) == (ZOO[name].spec, ZOO[name])


@pytest.mark.parametrize("network", ZOO.values(), ids=ZOO)
def test_every_network_is_found_by_its_own_names(network: Network) -> None:
    assert find(network.name) is find(network.published_name) is network


@pytest.mark.parametrize(
    ("typed", "suggested"),
    [
        ("strided-x", "strided-a"),
        ("al-c", "all-c"),
        ("ALL-CNN-D", "all-c"),
        ("reveiw-all-c", "review-all-c"),
        ("large", "large-all"),
        ("imagenet", "imagenet-all-b"),
    ],
)
def test_an_unknown_name_suggests_the_nearest(typed: str, suggested: str) -> None:
    for function in (find, resolve):
        with pytest.raises(InputError) as caught:
            function(typed)
        message = str(caught.value)
        assert not isinstance(caught.value, SpecError)
        assert message.startswith(f'unknown network "{typed}": the nearest are ')
        assert suggested in message
        assert "`allcnn params` lists every name" in message
        assert "96C3-96C3/2-NC1-GAP" in message


def test_resolve_tells_texts_from_names() -> None:
    assert resolve("96C3-NC1-GAP") == (parse("96C3-NC1-GAP"), None)
    assert resolve(parse("NFC")) == (parse("NFC"), None)
    assert resolve(ZOO["b"]) == (ZOO["b"].spec, ZOO["b"])
    for text, message in (
        ("96C3-96Q1-NC1-GAP", 'token 2 "96Q1"'),
        ("96Q3", 'token 1 "96Q3"'),
        ("strided-GAP", 'token 1 "strided"'),
        ("D.5", "nothing gives one value per class"),
        ("[v", "defaults"),
        ("", "text is empty"),
    ):
        with pytest.raises(SpecError, match="^.*" + message.replace("[", r"\[")):
            resolve(text)


@pytest.mark.parametrize("wrong", [None, 3, b"all-c", ["all-c"]])
def test_what_is_no_network_at_all(wrong) -> None:
    with pytest.raises(InputError, match="for example all-c; got"):
        resolve(wrong)
    with pytest.raises(InputError, match="such as all-c; got"):
        find(wrong)
