"""The published numbers are the paper's and the review's, cell by cell, as typed off by hand from the two papers."""

from __future__ import annotations

import re

from allcnn.reports.report import TABLES
from allcnn.specs import ZOO
from allcnn.specs.published import TABLE_3_NETWORKS, TABLE_4

# The paper, Table 3: Model, Error (%), # parameters.
TABLE_3_AS_PRINTED = """
Model A         12.47%  ≈ 0.9 M
Strided-CNN-A   13.46%  ≈ 0.9 M
ConvPool-CNN-A  10.21%  ≈ 1.28 M
ALL-CNN-A       10.30%  ≈ 1.28 M
Model B         10.20%  ≈ 1 M
Strided-CNN-B   10.98%  ≈ 1 M
ConvPool-CNN-B  9.33%   ≈ 1.35 M
ALL-CNN-B       9.10%   ≈ 1.35 M
Model C         9.74%   ≈ 1.3 M
Strided-CNN-C   10.19%  ≈ 1.3 M
ConvPool-CNN-C  9.31%   ≈ 1.4 M
ALL-CNN-C       9.08%   ≈ 1.4 M
"""

# The review, Table 2: Model, Error (%), Run Time (minutes; the B models' without their "m"), Learn Rate.
REVIEW_AS_PRINTED = """
Model A         15.16%  343.63m   0.05
Strided-CNN-A   18.23%  168.89m   0.05
ConvPool-CNN-A  11.44%  694.26m   0.05
ALL-CNN-A       12.47%  642.76m   0.01
Model B         13.52%  453.42    0.05
Strided-CNN-B   15.56%  440.26    0.05
ConvPool-CNN-B  11.84%  879.25    0.01
ALL-CNN-B       11.84%  626.85    0.01
Model C         11.11%  708.42m   0.05
Strided-CNN-C   12.91%  428.63m   0.05
ConvPool-CNN-C  11.09%  1346.35m  0.01
ALL-CNN-C       11.17%  984.55m   0.05
"""

# The paper, Table 4, its four parts: Method, Error (%), # params ("-" is printed once; the right half has no column).
TABLE_4_AS_PRINTED = """
CIFAR-10, without data augmentation
Maxout [1]                           11.68%  > 6 M
Network in Network [2]               10.41%  ≈ 1 M
Deeply Supervised [3]                9.69%   ≈ 1 M
ALL-CNN (Ours)                       9.08%   ≈ 1.3 M
CIFAR-10, with data augmentation
Maxout [1]                           9.38%   > 6 M
DropConnect [2]                      9.32%   -
dasNet [4]                           9.22%   > 6 M
Network in Network [2]               8.81%   ≈ 1 M
Deeply Supervised [3]                7.97%   ≈ 1 M
ALL-CNN (Ours)                       7.25%   ≈ 1.3 M
CIFAR-100
CNN + tree prior [5]                 36.85%
Network in Network [2]               35.68%
Deeply Supervised [3]                34.57%
Maxout (larger) [4]                  34.54%
dasNet [4]                           33.78%
ALL-CNN (Ours)                       33.71%
Fractional Pooling (1 test) [6]      31.45%
Fractional Pooling (12 tests) [6]    26.39%
CIFAR-10, with large data augmentation
Spatially Sparse CNN [6]             4.47%
Large ALL-CNN (Ours)                 4.41%
Fractional Pooling (1 test) [6]      4.50%
Fractional Pooling (100 tests) [6]   3.47%
"""


def lines_of(table: str) -> list[list[str]]:
    return [re.split(r"\s{2,}", line) for line in table.strip().splitlines()]


def our_table_3() -> list[list[str]]:
    return [[row.cells[0], f"{row.cells[1]}%", row.cells[2]] for row in TABLES["3"]([]).rows]


def our_review_table() -> list[list[str]]:
    b_models = {"Model B", "Strided-CNN-B", "ConvPool-CNN-B", "ALL-CNN-B"}
    return [
        [row.cells[0], f"{row.cells[1]}%", row.cells[2] + ("" if row.cells[0] in b_models else "m"), row.cells[3]]
        for row in TABLES["review"]([]).rows
    ]


def our_table_4() -> list[list[str]]:
    lines: list[list[str]] = []
    for row in TABLES["4"]([]).rows:
        if [row.section] not in lines:
            lines.append([str(row.section)])
        printed = row.values["published_parameters"]
        cells = [row.cells[0], f"{row.cells[1]}%", *([printed] if printed else [])]
        lines.append([*cells, "-"] if row.cells[0] == "DropConnect [2]" else cells)
    return lines


def test_table_3_is_the_papers() -> None:
    assert our_table_3() == lines_of(TABLE_3_AS_PRINTED)


def test_table_3_repeats_the_reviews_errors() -> None:
    assert [[row.cells[0], f"{row.cells[3]}%"] for row in TABLES["3"]([]).rows] == [
        line[:2] for line in lines_of(REVIEW_AS_PRINTED)
    ]


def test_table_4_is_the_papers() -> None:
    assert our_table_4() == lines_of(TABLE_4_AS_PRINTED)
    assert sum(len(section.rows) for section in TABLE_4) == 22


def test_the_reviews_table_is_the_reviews() -> None:
    assert our_review_table() == lines_of(REVIEW_AS_PRINTED)


def test_numbers_for_programs_are_those_for_people() -> None:
    for name, errors in (("3", 1), ("4", 1), ("review", 1)):
        key = "review_error_percent" if name == "review" else "published_error_percent"
        for row in TABLES[name]([]).rows:
            assert f"{row.values[key]:.2f}" == row.cells[errors]
    assert [row.values["network"] for row in TABLES["3"]([]).rows] == [network.name for network in TABLE_3_NETWORKS]


def test_the_reviews_networks_and_the_papers_rows_hold_the_same_figures() -> None:
    for network in TABLE_3_NETWORKS:
        assert ZOO[f"review-{network.name}"].published_error_percent == network.review_error_percent


def test_what_the_sources_leave_unclear_is_said() -> None:
    table = TABLES["4"]([])
    large = [row for row in table.rows if row.section == "CIFAR-10, with large data augmentation"]
    assert len(large) == 4
    assert all("3.2.3 says that they are on CIFAR-10" in " ".join(row.notes) for row in large)
    ours = [row for row in table.rows if row.cells[0] == "ALL-CNN (Ours)" and row.cells[2] != "-"]
    assert len(ours) == 2
    assert all("1.4 M parameters, Table 4 1.3 M" in " ".join(row.notes) for row in ours)
    assert "1.4 M parameters, Table 4 1.3 M" in " ".join(TABLES["3"]([]).footnotes)
    assert "12.65" in " ".join(TABLES["review"]([]).footnotes)
