"""Suggestions for wrong names."""

from __future__ import annotations

import pytest

from allcnn.errors import nearest, one_of

NAMES = ("paper", "review", "imagenet", "flip-shift", "flip-reflect", "float32", "mixed_bfloat16")


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("papr", ["paper"]),
        (" Paper", ["paper"]),
        ("flip", ["flip-shift", "flip-reflect"]),
        ("float16", ["float32", "mixed_bfloat16"]),
        ("adam", []),
        ("", []),
        (None, []),
        ("x" * 10**6, []),
    ],
)
def test_nearest(typed: object, found: list[str]) -> None:
    assert nearest(typed, NAMES) == found


def test_the_nearest_follow_all_names() -> None:
    assert one_of("adam", ("a", "b")) == "expected one of: a, b."
    assert one_of("papr", ("paper", "fast")) == "expected one of: paper, fast. Did you mean paper?"
    assert one_of("gcn-", ("gcn-zca", "gcn-x", "gcn-y")).endswith(" Did you mean gcn-zca, gcn-x or gcn-y?")
