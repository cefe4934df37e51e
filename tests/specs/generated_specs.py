"""Networks' texts, good and bad, for Hypothesis; and what must be true of every one of them.

The tests use them, and `tests/studies/fuzz_specs.py` with many more examples.
"""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import strategies as st

from allcnn.errors import SpecError
from allcnn.specs import (
    ACTIVATIONS,
    ZOO,
    Spec,
    all_convolutional,
    convpool,
    count_multiply_adds,
    count_parameters,
    layer_shapes,
    strided,
)
from allcnn.specs.language import parse

LONGEST_MESSAGE = 600


class Outcome(NamedTuple):
    """What became of a text: its Spec or None, its parameters or None where it does not fit the images."""

    spec: Spec | None
    parameters: int | None


# Texts

DIGITS = ["0", "1", "2", "3", "4", "5", "7", "8", "11", "16", "32", "96"]
ODD_NUMBERS = ["00", "007", "65536", "65537", "1024", "1025", "9" * 10, "9" * 400, "-1", "1e3", "1_0", "2.0", "٣", "²"]
FRACTIONS = [
    ".5", "0.33", "0", "1", ".999", "2", "1000", "1001", "." + "1" * 30, "." + "1" * 31, "9" * 10, "nan", "1e9",
]  # fmt: skip
JUNK = "0123456789NCMAPLDFBGx()[]-/:.svp _reluX\t\n\r\x00\x7f²٣–−é\U0001f600"

_small = st.sampled_from(DIGITS[1:])
_width = st.sampled_from(["N", *DIGITS[1:]])
_stride = st.sampled_from(["", "", "", "/1", "/2", "/3"])
_padding = st.sampled_from(["", "", "", "s", "v", "p0", "p1", "p2"])
_activation = st.one_of(
    st.just(""),
    st.sampled_from([f":{name}" for name in ACTIVATIONS]),
    st.sampled_from([":leaky_relu(0.33)", ":leaky_relu(.1)", ":elu(1)", ":elu(0)"]),
)


def _joined(*parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*parts).map("".join)


_conv = _joined(_width, st.just("C"), st.sampled_from(["1", "2", "3", "5"]), _stride, _padding, _activation)
_pool = _joined(st.sampled_from(["MP", "AP", "L2P", "L1P", "L2.5P"]), _small, _stride, st.sampled_from(["", "s", "v"]))
_between = st.one_of(st.sampled_from(["D.2", "D.5", "D0", "BN"]), _activation.filter(bool))
_layer = st.one_of(_conv, _conv, _conv, _pool, _between)
_dense = _joined(_small, st.just("FC"), _activation)
_heads = st.one_of(
    st.sampled_from(["NC1-GAP", "NC1-GAP", "NFC", "NC3v-GAP", "GAP-NFC", "NC1:linear-GAP-D.5", "NC2-AP2-GAP"]),
    _joined(_dense, st.just("-NFC")),
)


def _chain(items: st.SearchStrategy[str], least: int, most: int) -> st.SearchStrategy[str]:
    return st.lists(items, min_size=least, max_size=most).map("-".join)


_count = st.sampled_from(["1", "2", "2", "3", "7"])
_nested = st.recursive(
    _chain(_layer, 1, 5),
    lambda inner: _chain(st.one_of(_layer, _joined(_count, st.just("x("), inner, st.just(")"))), 1, 3),
    max_leaves=6,
)
_layers = st.one_of(_nested, _chain(_layer, 4, 16))
_defaults = st.one_of(
    st.just(""), _joined(st.just("["), _padding, _activation, st.just("]")).filter(lambda x: x != "[]")
)

#: Texts that read, unless their repeats give too many layers; whether the network fits the images is another matter.
GOOD = st.one_of(_joined(_defaults, _layers, st.just("-"), _heads), _joined(_defaults, _heads))

_any_number = st.sampled_from(DIGITS + ODD_NUMBERS)
_any_layer = st.one_of(
    _layer,
    _dense,
    _joined(_any_number, st.just("C"), _any_number, st.sampled_from(["", "/"]), _any_number),
    _joined(st.sampled_from(["MP", "AP", "LP", "L", "p"]), _any_number, st.sampled_from(["", "p1", ":relu", "/"])),
    st.sampled_from(FRACTIONS).map(lambda rate: f"D{rate}"),
    st.sampled_from(FRACTIONS).map(lambda order: f"L{order}P3/2"),
    st.sampled_from(FRACTIONS).map(lambda number: f"8C3:elu({number})"),
    _joined(_any_number, st.just("x("), _conv, st.sampled_from([")", "))", "", ")("])),
    st.sampled_from(["GAP", "NFC", "", " ", "[v]", "(8C3)", "relu", "96C3x3", "8c3", "3C3v/2", "NC1:softmax"]),
)  # fmt: skip

#: Pieces of the language in any order, some of them wrong.
NEARLY = st.tuples(
    st.sampled_from(["", "", "[v]", "[p1:elu(2)]", "[", "[]", "[v:relu(1)]-"]),
    st.lists(_any_layer, max_size=6).map("-".join),
    st.sampled_from(["", "-NC1-GAP", "-NFC", "-GAP", "-"]),
).map("".join)


@st.composite
def _edited(draw: st.DrawFn) -> str:
    text = draw(st.one_of(st.sampled_from([network.text for network in ZOO.values()]), GOOD))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.sampled_from([0, 0, 1, 1, 5])))
        new = draw(
            st.one_of(st.text(JUNK, max_size=3), st.sampled_from(["-", "x(", "999x(", ")", text[start:end] * 2]))
        )
        text = text[:start] + new + text[end:]
    return text


#: Good texts with a few characters changed.
EDITED = _edited()

#: Anything at all, up to texts far longer than any network's.
RAW = st.one_of(
    st.text(max_size=60),
    st.text(JUNK, max_size=120),
    st.tuples(st.text(JUNK, min_size=1, max_size=8), st.integers(1, 12_000)).map(lambda pair: pair[0] * pair[1]),
    st.sampled_from([b"NC1-GAP", None, 3, ["NC1-GAP"]]),
)

#: What is read with a text: images of any size, and a number of classes.
SETTINGS = st.tuples(
    st.tuples(st.integers(1, 64), st.integers(1, 64), st.sampled_from([1, 3, 4])), st.sampled_from([1, 2, 10, 100])
)


# What must be true


def compare_with_keras(spec: Spec, input_shape: tuple[int, int, int], classes: int) -> None:
    """Build a network in Keras, and hold every layer of it to the arithmetic."""
    import keras

    from allcnn import build_model

    keras.backend.clear_session()
    rows = layer_shapes(spec, input_shape, classes)
    model = build_model(spec, input_shape, classes, initializer="glorot_uniform", seed=0)
    assert model.count_params() == sum(row.parameters for row in rows)
    for row in rows:
        layer = model.get_layer(row.name)
        assert layer.count_params() == row.parameters, row.name
        assert tuple(layer.output.shape) == (None, *row.output_shape), row.name
    assert model.output_shape == (None, classes)


def examine(text: object, input_shape: tuple[int, int, int], classes: int) -> Outcome:
    """Read a text and do all arithmetic with it; an AssertionError, or any other exception, is a fault of ours."""
    spec, parameters = None, None
    try:
        spec = parse(text)  # type: ignore[arg-type]
    except SpecError as error:
        _check_message(error)
    if spec is not None:
        assert parse(str(spec)) == spec
        parameters = _arithmetic(spec, input_shape, classes)
    return Outcome(spec, parameters)


def examine_derived(spec: Spec) -> int:
    """Derive the three networks of the paper; how many there are."""
    derived = 0
    for rule in (strided, all_convolutional, convpool):
        try:
            found = rule(spec)
        except SpecError as error:
            _check_message(error)
            continue
        assert parse(str(found)) == found
        derived += 1
    return derived


def _arithmetic(spec: Spec, input_shape: tuple[int, int, int], classes: int) -> int | None:
    try:
        rows = layer_shapes(spec, input_shape, classes)
    except SpecError as error:
        _check_message(error)
        return None
    assert len(rows) == len(spec) + 1
    assert rows[-1].output_shape == (classes,)
    assert all(size >= 1 for row in rows for size in row.output_shape)
    assert all(row.receptive_field >= 1 and float(row.offset) == row.offset for row in rows)
    parameters = count_parameters(spec, input_shape, classes)
    assert parameters == sum(row.parameters for row in rows)
    assert count_multiply_adds(spec, input_shape, classes) == sum(row.multiply_adds for row in rows)
    return parameters


def _check_message(error: SpecError) -> None:
    message = str(error)
    assert len(message) <= LONGEST_MESSAGE and message.isprintable(), message[:1000]
