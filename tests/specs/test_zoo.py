"""Every published network: its text, its exact size and its published figures."""

import subprocess
import sys

import pytest

from allcnn.specs import ZOO, count_parameters, layer_shapes, parse

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


# Name, Table 3's error and parameters, and the review's error, minutes and learning rate (its Table 2).
PUBLISHED = [
    ("a", 12.47, "0.9 M", 15.16, 343.63, 0.05),
    ("strided-a", 13.46, "0.9 M", 18.23, 168.89, 0.05),
    ("convpool-a", 10.21, "1.28 M", 11.44, 694.26, 0.05),
    ("all-a", 10.30, "1.28 M", 12.47, 642.76, 0.01),
    ("b", 10.20, "1 M", 13.52, 453.42, 0.05),
    ("strided-b", 10.98, "1 M", 15.56, 440.26, 0.05),
    ("convpool-b", 9.33, "1.35 M", 11.84, 879.25, 0.01),
    ("all-b", 9.10, "1.35 M", 11.84, 626.85, 0.01),
    ("c", 9.74, "1.3 M", 11.11, 708.42, 0.05),
    ("strided-c", 10.19, "1.3 M", 12.91, 428.63, 0.05),
    ("convpool-c", 9.31, "1.4 M", 11.09, 1346.35, 0.01),
    ("all-c", 9.08, "1.4 M", 11.17, 984.55, 0.05),
]


@pytest.mark.parametrize(("name", "error", "millions", "review_error", "minutes", "learning_rate"), PUBLISHED)
def test_published_figures(
    name: str, error: float, millions: str, review_error: float, minutes: float, learning_rate: float
) -> None:
    paper, review = ZOO[name], ZOO[f"review-{name}"]
    assert (paper.published_error_percent, paper.published_parameters, paper.source) == (error, millions, "Table 3")
    assert f"{paper.published_parameters_millions:g} M" == millions
    assert (review.published_error_percent, review.source) == (review_error, "review, Table 2")
    for network in (paper, review):
        assert network.review_error_percent == review_error
        assert network.review_minutes == minutes
        assert network.review_learning_rate == learning_rate


def test_figures_outside_table_3() -> None:
    assert [(e.dataset, e.augmentation, e.error_percent) for e in ZOO["all-c"].other_errors] == [
        ("cifar10", "flip-shift", 7.25),
        ("cifar100", "none", 33.71),
    ]
    assert ZOO["large-all"].published_error_percent == 4.41
    assert ZOO["imagenet-all-b"].published_error_percent == 41.2
    assert any("1.3 M" in note and "0.95 M" in note for note in ZOO["c"].notes)
    assert any("12.65" in note for note in ZOO["review-all-a"].notes)


def test_specs_load_neither_keras_nor_numpy() -> None:
    program = (
        "import sys, allcnn.specs as specs\n"
        "for network in specs.ZOO.values():\n"
        "    specs.count_parameters(network.spec, network.input_shape, network.classes)\n"
        "print(sorted({'keras', 'tensorflow', 'numpy', 'jax', 'decimal', 'difflib'} & set(sys.modules)))\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
