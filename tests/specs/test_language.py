"""Text -> spec -> text is the identity, and every wrong text gives its message."""

import numpy as np
import pytest

from allcnn.errors import SpecError
from allcnn.specs.language import MAX_CHARACTERS, parse
from allcnn.specs.layers import (
    ACTIVATIONS,
    LINEAR,
    MAX_LAYERS,
    RELU,
    Activation,
    Conv,
    Dense,
    Dropout,
    GlobalAverage,
    Layer,
    Norm,
    Pool,
    Spec,
)

LEAKY = Activation("leaky_relu", 0.33)

# A token, the layer it is, and its canonical text.
TOKENS: list[tuple[str, Layer, str]] = [
    ("96C3", Conv(96, 3), "96C3"),
    ("96C3/1", Conv(96, 3), "96C3"),
    ("96C3/2", Conv(96, 3, 2), "96C3/2"),
    ("96C3s", Conv(96, 3), "96C3"),
    ("192C3v", Conv(192, 3, padding="valid"), "192C3v"),
    ("96C5p1", Conv(96, 5, padding=1), "96C5p1"),
    ("96C5p0", Conv(96, 5, padding=0), "96C5p0"),
    ("96C3/2p1", Conv(96, 3, 2, 1), "96C3/2p1"),
    ("NC1", Conv(None, 1), "NC1"),
    ("NC3/2v:linear", Conv(None, 3, 2, "valid", LINEAR), "NC3/2v:linear"),
    ("96C3/2v:leaky_relu(0.33)", Conv(96, 3, 2, "valid", LEAKY), "96C3/2v:leaky_relu(0.33)"),
    ("96C3:leaky_relu(.330)", Conv(96, 3, activation=LEAKY), "96C3:leaky_relu(0.33)"),
    ("96C3:leaky_relu", Conv(96, 3, activation=Activation("leaky_relu")), "96C3:leaky_relu"),
    ("96C3:relu", Conv(96, 3), "96C3"),
    ("65536C1024/1024p1024", Conv(65536, 1024, 1024, 1024), "65536C1024/1024p1024"),
    ("MP3/2", Pool("max", 3, 2), "MP3/2"),
    ("MP3", Pool("max", 3, 3), "MP3"),
    ("MP3/3", Pool("max", 3, 3), "MP3"),
    ("MP3/2v", Pool("max", 3, 2, "valid"), "MP3/2v"),
    ("AP6v", Pool("average", 6, 6, "valid"), "AP6v"),
    ("AP2/1s", Pool("average", 2, 1), "AP2/1"),
    ("L2P3/2", Pool("norm", 3, 2, order=2.0), "L2P3/2"),
    ("L2.5P3/2", Pool("norm", 3, 2, order=2.5), "L2.5P3/2"),
    ("L1P2v", Pool("norm", 2, 2, "valid", 1.0), "L1P2v"),
    ("D.5", Dropout(0.5), "D.5"),
    ("D0.5", Dropout(0.5), "D.5"),
    ("D0", Dropout(0.0), "D0"),
    ("D.00001", Dropout(0.00001), "D.00001"),
    ("BN", Norm(), "BN"),
    (":relu", RELU, ":relu"),
    (":elu(1)", Activation("elu", 1.0), ":elu(1)"),
    (":elu(0.0000001)", Activation("elu", 1e-7), ":elu(0.0000001)"),
    ("1024FC", Dense(1024), "1024FC"),
    ("1024FC:linear", Dense(1024, LINEAR), "1024FC:linear"),
    ("1024FC:relu", Dense(1024), "1024FC"),
    ("NFC", Dense(None, LINEAR), "NFC"),
    ("NFC:linear", Dense(None, LINEAR), "NFC"),
    ("NFC:relu", Dense(None, RELU), "NFC:relu"),
]


@pytest.mark.parametrize(("text", "layer", "canonical"), TOKENS)
def test_a_token_is_its_layer(text: str, layer: Layer, canonical: str) -> None:
    spec = parse(f"{text}-NFC")
    assert spec.layers == (layer, Dense(None, LINEAR))
    assert str(spec) == f"{canonical}-NFC"
    assert parse(str(spec)) == spec


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_can_be_named(name: str) -> None:
    assert parse(f"NC1:{name}-GAP").layers[0] == Conv(None, 1, activation=Activation(name))
    if ACTIVATIONS[name] is not None:
        assert parse(f"NC1:{name}(0.5)-GAP").layers[0] == Conv(None, 1, activation=Activation(name, 0.5))


# A text, and the canonical text of the same network.
TEXTS = [
    ("NC1-GAP", "NC1-GAP"),
    ("NFC", "NFC"),
    (" D.2 - 96C3 / 2 v : relu -\n\tNC1-GAP ", "D.2-96C3/2v-NC1-GAP"),
    ("2x(96C3-96C1)-NC1-GAP", "96C3-96C1-96C3-96C1-NC1-GAP"),
    ("2 x ( 96C3 ) - NC1 - GAP", "96C3-96C3-NC1-GAP"),
    ("2x(96C3-2x(96C1)-MP2)-NC1-GAP", "96C3-96C1-96C1-MP2-96C3-96C1-96C1-MP2-NC1-GAP"),
    ("2x(2x(96C3:elu(0.5)))-NC1-GAP", "-".join(["96C3:elu(0.5)"] * 4) + "-NC1-GAP"),
    ("1x(NC1-GAP)", "NC1-GAP"),
    ("[v] 96C3-MP3/2-NC1-GAP", "96C3v-MP3/2-NC1v-GAP"),
    ("[v]96C3s-96C3p1-NC1s-GAP", "96C3-96C3p1-NC1-GAP"),
    ("[:linear] 96C3-BN-:relu-NC1-GAP", "96C3:linear-BN-:relu-NC1:linear-GAP"),
    ("[:linear] 96C3:relu-64FC-NFC", "96C3-64FC-NFC"),
    ("[v :leaky_relu(0.33)] 320C2-NC1:linear-GAP", "320C2v:leaky_relu(0.33)-NC1v:linear-GAP"),
    ("[p1:elu] 96C3-NC1-GAP", "96C3p1:elu-NC1p1:elu-GAP"),
    ("NC1-AP6v-GAP-D.5-BN-:relu", "NC1-AP6v-GAP-D.5-BN-:relu"),
    ("96C3-GAP-64FC-NFC", "96C3-GAP-64FC-NFC"),
    ("NC3-96C3-NC1-GAP", "NC3-96C3-NC1-GAP"),
]


@pytest.mark.parametrize(("text", "canonical"), TEXTS)
def test_canonical_text(text: str, canonical: str) -> None:
    spec = parse(text)
    assert str(spec) == canonical
    assert parse(canonical) == spec


# A wrong text, and pieces of its message.
WRONG: list[tuple[str, tuple[str, ...]]] = [
    ("", ("text is empty", "96C3-96C3/2-NC1-GAP")),
    ("  \n", ("text is empty",)),
    ("[v]", ("text ends where a layer should follow",)),
    ("D.2-96C3-96Q3-NC1-GAP", ('token 3 "96Q3" (character 10): not a layer', "for example 96C3/2")),
    (" D.2 - 96C3 - 96 Q3 - NC1-GAP", ('token 3 "96Q3" (character 15): not a layer',)),
    ("2x(96C3-96C1)-96Q3-NC1-GAP", ('token 3 "96Q3" (character 15): not a layer',)),
    ("96c3-NC1-GAP", ('token 1 "96c3" (character 1): not a layer; did you mean "96C3"?',)),
    ("mp3/2V-NC1-GAP", ('did you mean "MP3/2v"?',)),
    ("NC1-gap", ('token 2 "gap" (character 5): not a layer; did you mean "GAP"?',)),
    ("96C3v/2-NC1-GAP", ('not a layer; did you mean "96C3/2v"?',)),
    ("96C3x3-NC1-GAP", ('not a layer; did you mean "96C3"?',)),
    ("NC1-relu-GAP", ('token 2 "relu" (character 5): not a layer; did you mean ":relu"?',)),
    ("96C-NC1-GAP", ("a convolution is FILTERS C SIZE", "for example 96C3/2v:relu")),
    ("C3-NC1-GAP", ("a convolution is FILTERS C SIZE",)),
    ("96C3/-NC1-GAP", ("a convolution is FILTERS C SIZE",)),
    ("MP-NC1-GAP", ("a pooling layer is MP, AP or LpP", "for example MP3/2 or L2P3/2v")),
    ("D-NC1-GAP", ("dropout is D and a rate, for example D.5",)),
    ("FC-NFC", ("a fully connected layer is UNITS FC, for example 1024FC",)),
    ("0C3-NC1-GAP", ("the number of filters must be from 1 to 65,536; got 0",)),
    ("65537C3-NC1-GAP", ("the number of filters must be from 1 to 65,536; got 65537",)),
    ("65537FC-NFC", ("the number of units must be from 1 to 65,536; got 65537",)),
    (f"{'9' * 4000}C3-NC1-GAP", ("the number of filters must be from 1 to 65,536; got 999999999999999999999...",)),
    ("96C0-NC1-GAP", ("the kernel size must be from 1 to 1,024; got 0",)),
    ("96C1025-NC1-GAP", ("the kernel size must be from 1 to 1,024; got 1025",)),
    ("96C3/0-NC1-GAP", ("the stride must be from 1 to 1,024; got 0",)),
    ("96C3p1025-NC1-GAP", ("the padding must be from 0 to 1,024; got 1025",)),
    ("MP0-NC1-GAP", ("the window size must be from 1 to 1,024; got 0",)),
    ("MP3/0-NC1-GAP", ("the stride must be from 1 to 1,024; got 0",)),
    ("96C3-MP3/2p1-NC1-GAP", ("takes no p1", "max-pooling pads with -infinity", "write MP3/2s or MP3/2v")),
    ("MP3/2:relu-NC1-GAP", ("a pooling layer has no activation of its own; write MP3/2-:relu",)),
    ("L.5P3/2-NC1-GAP", ("the order p must be from 1 to 1,000, for example L2P3/2; got 0.5",)),
    ("L1001P3/2-NC1-GAP", ("the order p must be from 1 to 1,000", "MP3/2 is the limit of large p")),
    ("D1-NC1-GAP", ("the dropout rate must be 0 or more and less than 1, for example D.5; got 1",)),
    ("D0.99999999999999999999-NC1-GAP", ("the dropout rate must be 0 or more and less than 1",)),
    ("D-.5-NC1-GAP", ('token 1 "D" (character 1)', "dropout is D and a rate")),
    ("D1e-3-NC1-GAP", ("dropout is D and a rate",)),
    (f"D.{'1' * 31}-NC1-GAP", ("the rate must be a plain number", "30 decimals")),
    ("NC1:rleu-GAP", ('unknown activation "rleu"; did you mean ":relu"?',)),
    ("NC1:swish-GAP", ('unknown activation "swish"; did you mean ":silu"?',)),
    ("NC1:zzz-GAP", ('unknown activation "zzz"; known are celu, elu',)),
    ("NC1:softmax-GAP", ("the softmax at the end is implied",)),
    ("NC1:-GAP", ('":" is not an activation',)),
    ("NC1:relu:relu-GAP", ('":relu:relu" is not an activation',)),
    ("NC1:relu(3)-GAP", ("the activation relu takes no number; write :relu",)),
    ("NC1:leaky_relu()-GAP", ("the negative_slope of leaky_relu must be a plain number", 'got ""')),
    ("NC1:leaky_relu(-1)-GAP", ("must be a plain number of 0 or more", 'got "-1"')),
    ("NC1:leaky_relu(nan)-GAP", ('got "nan"',)),
    ("NC1:leaky_relu(1e5)-GAP", ('got "1e5"',)),
    ("NC1:leaky_relu(0.1,0.2)-GAP", ('got "0.1,0.2"',)),
    ("NC1:celu(2)-GAP", ("the activation celu takes no number; write :celu",)),
    ("NC1:leaky_relu(0.3-GAP", ('":leaky_relu(0.3-GAP" is not an activation',)),
    ("96C3--NC1-GAP", ('character 6: a layer is missing before this "-"',)),
    ("-NC1-GAP", ('character 1: a layer is missing before this "-"',)),
    ("NC1-GAP-", ("character 9: the text ends where a layer should follow",)),
    ("2x(96C3-NC1-GAP", ('token 1 "2x(" (character 1): this repeat is never closed',)),
    ("2x()-NC1-GAP", ('character 4: a layer is missing before this ")"',)),
    ("2x(96C3-)-NC1-GAP", ('character 9: a layer is missing before this ")"',)),
    ("NC1-GAP)", ('character 8: ")" closes no repeat',)),
    (")", ('character 1: ")" closes no repeat',)),
    ("2(96C3)-NC1-GAP", ('token 1 "2(" (character 1): an opening bracket without a repeat', "2x(96C3-96C1)")),
    ("2X(96C3)-NC1-GAP", ("write COUNTx(...)",)),
    ("2x(96C3)NC1-GAP", ('token 2 "NC1-GAP" (character 9): a "-" is missing before this',)),
    ("0x(96C3)-NC1-GAP", ("a repeat must happen at least once",)),
    ("999999999x(96C3)-NC1-GAP", ('token 1 "999999999x(" (character 1)', "more than 1,000 layers")),
    (f"{'9' * 4000}x(96C3)-NC1-GAP", ("more than 1,000 layers",)),
    ("999x(999x(999x(96C3)))-NC1-GAP", ("more than 1,000 layers",)),
    ("999x(96C3)-NC1-GAP", ('token 3 "GAP"', "more than 1,000 layers")),
    ("[v NC1-GAP", ('defaults "[vNC1-GAP" (character 1 on)', "for example [v :leaky_relu(0.33)]")),
    ("[] NC1-GAP", ('defaults "[]"', "expected a padding")),
    ("[:relu v] NC1-GAP", ('unknown activation "reluv"',)),
    ("[:rleu] NC1-GAP", ('defaults "[:rleu]"', 'did you mean ":relu"?')),
    ("[v]-NC1-GAP", ('defaults "[v]": no "-" follows the square brackets',)),
    ("NC1-[v]-GAP", ('token 2 "[v]" (character 5): not a layer',)),
    ("D.2 96C3-NC1-GAP", ("character 5: a space between two digits",)),
    ("9 6C3-NC1-GAP", ("character 3: a space between two digits",)),
    ("96C3 96C3-NC1-GAP", ("character 6: a space between two digits",)),
    ("MP3/2v NC1-GAP", ('token 1 "MP3/2vNC1" (character 1): not a layer',)),
    ("96C3\u2013NC1-GAP", ("character 5: '\u2013' does not belong", 'the plain hyphen "-"')),
    ("\uff19\uff16C3-NC1-GAP", ("character 1: '\uff19' does not belong", "plain ASCII")),
    ("\u0669C3-NC1-GAP", ("character 1:", "plain ASCII")),
    ("96C3\u00a0-NC1-GAP", ("character 5: '\\xa0' does not belong",)),
    ("NC1-GAP\x00", ("character 8: '\\x00' does not belong",)),
    ("GAP", ("nothing gives one value per class; end the network with NC1-GAP or NFC",)),
    ("96C3-GAP", ("the last convolution gives 96 values, not N", "write NC3, or add NC1")),
    ("10C1-GAP", ('token 1 "10C1" (character 1)', "gives 10 values, not N")),
    ("NC1-96C3-GAP", ('token 2 "96C3" (character 5)', "not N, one per class")),
    ("96C3-10FC", ("the last layer gives 10 values, not N, one per class; add NFC",)),
    ("96C3-NC1", ('token 2 "NC1" (character 6): the network ends in a map of positions', "add -GAP")),
    (
        "NC1-GAP-96C3",
        ('token 3 "96C3" (character 9): needs a map of positions', 'token 2 "GAP" (character 5) leaves none'),
    ),
    ("NC1-GAP-MP2", ("needs a map of positions",)),
    ("NC1-GAP-GAP", ("needs a map of positions",)),
    ("NFC-GAP", ('token 1 "NFC" (character 1) leaves none',)),
    ("x" * 5000, ("token 1", "not a layer")),
    ("96C3-NC1-GAP" + " " * 4096, ("4,108 characters, at most 4,096", "2x(96C3-96C1)")),
    ("96C3-" * 30_000, ("150,000 characters, at most 4,096",)),
]


@pytest.mark.parametrize(("text", "pieces"), WRONG, ids=[text[:24] or "empty" for text, _ in WRONG])
def test_a_wrong_text_gives_its_message(text: str, pieces: tuple[str, ...]) -> None:
    with pytest.raises(SpecError) as caught:
        parse(text)
    message = str(caught.value)
    for piece in pieces:
        assert piece in message
    assert "\n" not in message
    assert len(message) < 420


def test_only_text_is_parsed() -> None:
    with pytest.raises(SpecError, match="must be a string such as 96C3-NC1-GAP; got int"):
        parse(96)  # type: ignore[arg-type]


def test_a_thousand_layers_fit_and_read_back() -> None:
    spec = parse(f"{MAX_LAYERS - 2}x(96C3:leaky_relu(0.33))-NC1-GAP")
    assert len(spec) == MAX_LAYERS
    assert len(str(spec)) > MAX_CHARACTERS
    assert parse(str(spec)) == spec


def test_nesting_has_no_depth_at_which_it_breaks() -> None:
    assert str(parse("1x(" * 1000 + "NC1-GAP" + ")" * 1000)) == "NC1-GAP"
    with pytest.raises(SpecError, match="never closed|text ends"):
        parse("1x(" * 1300)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Conv(8, 0), "the kernel size must be from 1 to 1,024; got 0"),
        (lambda: Conv(8, 3, 0), "the stride must be from 1 to 1,024; got 0"),
        (lambda: Conv(8.5, 3), "the number of filters must be from 1 to 65,536; got 8.5"),
        (lambda: Conv(8, 3, padding=-1), "the padding must be from 0 to 1,024; got -1"),
        (lambda: Conv(8, 3, padding="full"), 'must be "same" or "valid" or a number of zeros; got \'full\''),
        (lambda: Pool("max", 3, 2, 1), 'the padding must be "same" or "valid" for a pooling layer; got 1'),
        (lambda: Pool("median", 3, 2), 'must be "max", "average" or "norm"; got \'median\''),
        (lambda: Pool("norm", 3, 2), "norm pooling has an order"),
        (lambda: Pool("max", 3, 2, order=2.0), "no other pooling has one"),
        (lambda: Dropout(1), "the dropout rate must be 0 or more and less than 1"),
        (lambda: Dropout(float("nan")), 'the rate must be a plain number of 0 or more.*got "nan"'),
        (lambda: Dropout(-0.0), 'the rate must be a plain number of 0 or more.*got "-0.0"'),
        (lambda: Dropout(None), 'the rate must be a plain number of 0 or more.*got "None"'),
        (lambda: Activation("softmax"), "the softmax at the end is implied"),
        (lambda: Activation("elu", 1e-31), "the alpha of elu must be a plain number of 0 or more"),
        (lambda: Conv(8, 3, activation="relu"), "an activation must be an Activation, such as RELU; got 'relu'"),
        (lambda: Dense(8, None), "an activation must be an Activation, such as RELU; got None"),
        (lambda: Dense(0), "the number of units must be from 1 to 65,536; got 0"),
        (lambda: Spec(("96C3",)), "'96C3' is not a layer of a network"),
        (lambda: Spec(()), "a network has at least one layer"),
        (lambda: Spec((Conv(None, 1),) * 1001), "more than 1,000 layers, 1,001"),
        (lambda: Spec((GlobalAverage(), Conv(8, 3))), 'layer 2 "8C3": needs a map .* layer 1 "GAP" leaves'),
        (lambda: Spec((Norm(),)), 'layer 1 "BN": nothing gives one value per class'),
    ],
)
def test_what_cannot_be_is_not_made_by_hand_either(make, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        make()


def test_whole_numbers_of_any_kind_are_kept_as_python_has_them() -> None:
    layer = Conv(np.int64(8), np.int32(3))
    assert str(layer) == "8C3" and type(layer.filters) is type(layer.size) is int


@pytest.mark.slow
def test_keras_has_every_activation() -> None:
    import inspect

    from keras import activations

    for name, parameter in ACTIVATIONS.items():
        parameters = inspect.signature(getattr(activations, name)).parameters
        assert parameter is None or parameter in parameters
