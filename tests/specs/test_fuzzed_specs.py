"""Every text is a network or a SpecError that says why not, whatever is in it, and quickly."""

from __future__ import annotations

import random

import pytest
from generated_specs import EDITED, GOOD, NEARLY, RAW, SETTINGS, compare_with_keras, examine, examine_derived
from hypothesis import HealthCheck, given, settings

from allcnn.errors import InputError, SpecError
from allcnn.specs import layer_shapes, resolve
from allcnn.specs.language import parse

# The same examples every time; the long form with new ones is tests/studies/fuzz_specs.py.
bounded = settings(
    max_examples=250, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)


@bounded
@given(GOOD, SETTINGS)
def test_a_text_by_the_grammar(text, images) -> None:
    outcome = examine(text, *images)
    if outcome.spec is None:
        assert "x(" in text  # more than 1,000 layers
    else:
        examine_derived(outcome.spec)


@bounded
@given(NEARLY, SETTINGS)
def test_pieces_of_the_language_in_any_order(text, images) -> None:
    examine(text, *images)


@bounded
@given(EDITED, SETTINGS)
def test_a_good_text_with_a_few_characters_changed(text, images) -> None:
    spec = examine(text, *images).spec
    if spec is not None:
        examine_derived(spec)


@bounded
@given(RAW, SETTINGS)
def test_any_text(text, images) -> None:
    examine(text, *images)


@bounded
@given(NEARLY | EDITED | RAW)
def test_a_name_or_a_text(text) -> None:
    try:
        resolve(text)
    except InputError as error:
        assert str(error).isprintable() and len(str(error)) < 600


def test_accepted_networks_are_built_as_they_were_counted() -> None:
    accepted: dict[str, tuple] = {}

    @bounded
    @given(GOOD, SETTINGS)
    def collect(text, images) -> None:
        outcome = examine(text, *images)
        if outcome.parameters and outcome.parameters <= 2_000_000 and 4 <= len(outcome.spec) <= 30:
            accepted[str(outcome.spec)] = images

    collect()
    for text, images in random.Random(0).sample(sorted(accepted.items()), 3):
        compare_with_keras(parse(text), *images)


# What the long form found, and what it might have


@pytest.mark.parametrize(
    "text",
    ["9" * 90_000, "L" + "9" * 90_000, "8x8" * 30_000, "x-" * 40_000, "96C3:" + "!" * 90_000, "[" + "v" * 90_000 + "]",
     "MP3p" + "0" * 90_000, "MP3:" + "a" * 90_000, "1x(" * 30_000, "NC1-GAP" + ")" * 90_000],
    ids=lambda text: text[:8],
)  # fmt: skip
def test_very_long_texts_are_refused_at_once(text) -> None:
    """Some of them took the search for what was meant a minute, or were quoted whole."""
    examine(text, (32, 32, 3), 10)
    with pytest.raises(InputError) as error:
        resolve(text)
    assert len(str(error.value)) < 600


@pytest.mark.parametrize("layer", ["8C3/1024", "MP3/1024", "8C1/2"])
def test_strides_that_multiply_beyond_any_image(layer) -> None:
    """An offset is a float, which a stride of 2 to the 10,000 does not fit into."""
    with pytest.raises(SpecError, match=r"strides up to here multiply to [\d,]+, at most 4,294,967,296; no image is"):
        layer_shapes(parse(f"998x({layer})-NC1-GAP"), (64, 64, 3))
    assert layer_shapes(parse("32x(8C3/2)-NC1-GAP"))[-1].jump == 2**32
