"""`allcnn params`: what it counts, beside what was published."""

from __future__ import annotations

import pytest

from allcnn.specs import ZOO


def test_lists_every_published_network_with_both_counts(allcnn):
    outcome = allcnn("params", "--wide")
    assert (outcome.code, outcome.err) == (0, "")
    assert "Table 3 prints 1.3 M parameters; Table 1's network has 0.95 M." in outcome.out
    assert "Table 3 prints 1.4 M parameters, Table 4 1.3 M for the same network; it has 1.37 M." in outcome.out
    outcome = allcnn("params")
    assert "--wide shows more columns, and 14 notes where the sources disagree or leave a choice." in outcome.out
    assert "Table 3 prints 1.3 M" not in outcome.out and "Table 3 prints 1.3 M" in allcnn("params", "c").out
    rows = {line.split()[0]: line.split() for line in outcome.out.splitlines() if line.split()[:1]}
    assert set(ZOO) <= set(rows)
    assert rows["all-c"][1:6] == ["1,369,738", "1.4", "M", "9.08", "270,798,336"]
    assert rows["c"][1:6] == ["954,730", "1.3", "M", "9.74", "228,331,008"]
    table = outcome.out[: outcome.out.index("\n\n")].splitlines()
    assert len(table) == len(ZOO) + 2 and max(map(len, table)) <= 80


def test_nothing_is_cut_off_when_piped(allcnn, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    spec = "-".join(["2C3"] * 40 + ["NC1-GAP"])
    outcome = allcnn("params", "review-convpool-a", "large-all", spec, "--wide")
    assert "review-convpool-a" in outcome.out and "ConvPool-CNN-A (review)" in outcome.out
    assert "26,468,979,200" in outcome.out
    assert spec in outcome.out
    assert "field" in outcome.out
    assert "…" not in outcome.out


def test_takes_a_published_spelling(allcnn):
    (network,) = allcnn("params", "All_CNN_C", "--json").document["networks"]
    assert network["name"] == "all-c"
    assert network["parameters"] == 1_369_738
    assert network["published_parameters"] == "1.4 M"
    assert network["published_parameters_millions"] == 1.4
    assert network["published_error_percent"] == 9.08
    assert network["source"] == "Table 3"


def test_layers_of_a_spec_by_hand(allcnn):
    # 4C3/2 on 8x8x3: 3*3*3*4 weights + 4; 108 * 4*4 multiply-adds. NC1: 4*3 + 3; 12 * 16. GAP sees 3 + 3 steps of 2.
    arguments = ("params", "D.2-4C3/2-NC1-GAP", "--layers", "--input", "8", "--classes", "3")
    (network,) = allcnn(*arguments, "--json").document["networks"]
    layers = [tuple(layer.values()) for layer in network["layers"]]
    assert list(network["layers"][0]) == [
        "name", "token", "output_shape", "parameters", "multiply_adds", "receptive_field", "jump",
    ]  # fmt: skip
    assert layers == [
        ("dropout1", "D.2", [8, 8, 3], 0, 0, 1, 1),
        ("conv1", "4C3/2", [4, 4, 4], 112, 1728, 3, 2),
        ("conv2", "NC1", [4, 4, 3], 15, 192, 3, 2),
        ("global_pool", "GAP", [3], 0, 0, 9, 2),
        ("softmax", "softmax", [3], 0, 0, 9, 2),
    ]
    assert (network["parameters"], network["multiply_adds"], network["receptive_field"]) == (127, 1920, 3)
    assert network["name"] is None and network["published_error_percent"] is None

    lines = allcnn(*arguments).out.splitlines()
    assert lines[0] == "D.2-4C3/2-NC1-GAP"
    assert lines[1] == "input 8 x 8 x 3, 3 classes"
    assert [line.split() for line in lines if line.startswith(("conv1", "total"))] == [
        ["conv1", "4C3/2", "4", "x", "4", "x", "4", "112", "1,728", "3", "2"],
        ["total", "127", "1,920"],
    ]


def test_published_figures_are_not_shown_for_another_number_of_classes(allcnn):
    (network,) = allcnn("params", "all-c", "--classes", "100", "--json").document["networks"]
    # 192 * 90 more weights and 90 more biases.
    assert network["parameters"] == 1_369_738 + 193 * 90
    assert network["published_parameters"] is None
    assert network["published_error_percent"] is None


@pytest.mark.parametrize(
    "text, shape", [("64", [64, 64, 3]), ("64x48", [64, 48, 3]), ("64,48,1", [64, 48, 1]), ("(32, 32, 3)", [32, 32, 3])]
)
def test_input_sizes(allcnn, text, shape):
    (network,) = allcnn("params", "8C3-NC1-GAP", "--input", text, "--json").document["networks"]
    assert network["input_shape"] == shape
