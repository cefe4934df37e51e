"""Every published network: its text, its exact size and its published figures; and how a network is named."""

import pytest

from allcnn.errors import InputError, SpecError
from allcnn.specs import ZOO, Network, count_parameters, layer_shapes, parse, resolve

# Name, exact parameters, the sizes of the maps in turn.
NETWORKS = [
    ("a", 839_242, [32, 16, 8, 6]),
    ("strided-a", 839_242, [16, 8, 6]),
    ("convpool-a", 1_254_250, [32, 16, 8, 6]),
    ("all-a", 1_254_250, [32, 16, 8, 6]),
    ("b", 885_610, [32, 16, 8, 6]),
    ("strided-b", 885_610, [32, 16, 8, 6]),
    ("convpool-b", 1_300_618, [32, 16, 8, 6]),
    ("all-b", 1_300_618, [32, 16, 8, 6]),
    ("c", 954_730, [32, 16, 8, 6]),
    ("strided-c", 954_730, [32, 16, 8, 6]),
    ("convpool-c", 1_369_738, [32, 16, 8, 6]),
    ("all-c", 1_369_738, [32, 16, 8, 6]),
    ("review-a", 839_242, [30, 14, 12, 5]),
    ("review-strided-a", 839_242, [15, 7]),
    ("review-convpool-a", 1_254_250, [30, 14, 12, 5]),
    ("review-all-a", 1_254_250, [30, 15, 13, 7]),
    ("review-b", 885_610, [30, 14, 12, 5]),
    ("review-strided-b", 885_610, [30, 15, 13, 7]),
    ("review-convpool-b", 1_300_618, [30, 14, 12, 5]),
    ("review-all-b", 1_300_618, [30, 15, 13, 7]),
    ("review-c", 954_730, [32, 15, 7]),
    ("review-strided-c", 954_730, [32, 16, 8]),
    ("review-convpool-c", 1_369_738, [32, 15, 7]),
    ("review-all-c", 1_369_738, [32, 16, 8]),
    ("large-all", 77_455_690, [125, 124, 62, 61, 60, 30, 29, 28, 14, 13, 12, 6, 5, 4, 2, 1]),
    ("imagenet-all-b", 9_372_840, [56, 27, 13, 6]),
]


def test_the_zoo_is_in_the_published_order() -> None:
    assert list(ZOO) == [name for name, _, _ in NETWORKS]


@pytest.mark.parametrize(("name", "parameters", "sizes"), NETWORKS)
def test_a_network_is_its_published_self(name: str, parameters: int, sizes: list[int]) -> None:
    network = ZOO[name]
    assert network.name == name
    assert str(parse(network.text)) == network.text
    assert network.spec == parse(network.text)
    assert count_parameters(network.spec, network.input_shape, network.classes) == parameters
    rows = layer_shapes(network.spec, network.input_shape, network.classes)
    maps = [row.output_shape[0] for row in rows if len(row.output_shape) == 3 and row.token[0] != "D"]
    assert list(dict.fromkeys(maps)) == sizes
    assert rows[-1].output_shape == (network.classes,)
    assert 0 < network.published_error_percent < 100
    assert network.source
    assert network.notes or name.startswith("review")


def test_figures_outside_table_3() -> None:
    assert [(e.dataset, e.augmentation, e.error_percent) for e in ZOO["all-c"].errors] == [
        ("cifar10", "none", 9.08),
        ("cifar10", "flip-shift", 7.25),
        ("cifar100", "none", 33.71),
    ]
    assert ZOO["imagenet-all-b"].published_error_percent == 41.2
    assert any("1.3 M" in note and "0.95 M" in note for note in ZOO["c"].notes)


# Names and texts

NAMES = [
    ("All_CNN C", "all-c"),
    (" strided-cnn-b ", "strided-b"),
    ("model-c", "c"),
    ("B", "b"),
    ("Review ALL-CNN-C", "review-all-c"),
    ("Large-All-CNN", "large-all"),
    ("large_all", "large-all"),
    ("ImageNet model", "imagenet-all-b"),
]


@pytest.mark.parametrize(("typed", "name"), NAMES)
def test_names_in_every_spelling(typed: str, name: str) -> None:
    assert resolve(typed) == (ZOO[name].spec, ZOO[name])


@pytest.mark.parametrize("network", ZOO.values(), ids=ZOO)
def test_every_network_is_found_by_its_own_names(network: Network) -> None:
    assert resolve(network.name)[1] is resolve(network.published_name)[1] is network


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
    with pytest.raises(InputError) as caught:
        resolve(typed)
    message = str(caught.value)
    assert not isinstance(caught.value, SpecError)
    assert message.startswith(f'unknown network "{typed}". Did you mean ')
    for piece in (suggested, "`allcnn params` lists every name", "96C3-96C3/2-NC1-GAP"):
        assert piece in message


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
