"""Model files of strangers: none of their code runs, nothing outside is read or written, and a refusal names the file.

Code would leave a mark, which the tests look for.
"""

from __future__ import annotations

import base64
import importlib
import io
import json
import pickle
import sys
import warnings
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras_forgery import (
    ATTRIBUTES,
    CONFIG,
    FLAGS,
    KERNEL,
    METHOD,
    PLACE,
    SIZE,
    STORED_SIZE,
    WEIGHTS,
    config_with,
    forge_entry,
    function,
    good_members,
    kernel_with,
    layer_with,
    write_keras,
)

import allcnn
from allcnn.errors import CheckpointError
from allcnn.models.saved import CARD_MEMBER, load_model, open_saved, seal_archive
from allcnn_cli.main import main

# Modules of this text are real, so that whoever imports one or calls what is in it leaves the mark.
MODULE = """
import pathlib
def leave(*_, **__):
    pathlib.Path({mark!r}).write_text("was here")
    return _[0] if _ else None
leave()
class Evil:
    __init__ = leave
    @classmethod
    def from_config(cls, config):
        leave()
"""


@pytest.fixture
def mark(tmp_path, monkeypatch) -> Path:
    """The mark that is left when a file's code runs. `evil` and `keras_hub` are modules that leave it on import."""
    mark = tmp_path / "mark"
    modules = tmp_path / "modules"
    (modules / "keras_hub").mkdir(parents=True)
    for name in ("evil.py", "keras_hub/__init__.py"):
        (modules / name).write_text(MODULE.format(mark=str(mark)))
    monkeypatch.syspath_prepend(modules)
    yield mark
    for name in ("evil", "keras_hub"):
        sys.modules.pop(name, None)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "model.keras"


def refusal(path: Path) -> str:
    """What opening the file says; nothing beside it is made, changed or removed."""
    before = {each: each.read_bytes() for each in path.parent.rglob("*") if each.is_file()}
    with pytest.raises(CheckpointError) as caught:
        open_saved(path)
    assert {each: each.read_bytes() for each in path.parent.rglob("*") if each.is_file()} == before
    message = str(caught.value)
    assert caught.value.exit_code == 2 and message.startswith(f"{path}: ")
    lines = message.split("\n")
    assert len(lines) <= 2 and all(line.isprintable() and len(line) < 320 + len(str(path)) for line in lines)
    return message.removeprefix(f"{path}: ")


class Payload:
    """Pickled, it leaves the mark when it is read."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return Path.write_text, (self.mark, "was here")


def write_lambda(path: Path, mark: Path) -> Path:
    image = keras.Input((2, 2, 3))
    layer = keras.layers.Lambda(
        lambda x, mark: open(mark, "w").write("was here") and x, (2, 2, 3), arguments={"mark": str(mark)}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        keras.Model(image, layer(image)).save(path)
    mark.unlink(missing_ok=True)  # Keras may have called it to build the model
    return path


def test_the_marks_would_be_seen(mark, path) -> None:
    model = keras.saving.load_model(write_lambda(path, mark), safe_mode=False)
    for leave in (
        lambda: importlib.import_module("evil"),
        lambda: importlib.import_module("keras_hub"),
        lambda: sys.modules["evil"].Evil.from_config({}),
        lambda: pickle.loads(pickle.dumps(Payload(mark))),
        lambda: model.predict_on_batch(np.zeros((1, 2, 2, 3))),
    ):
        leave()
        assert mark.exists()
        mark.unlink()


def asks(for_: str) -> str:
    return f"asks for {for_!a:.80}; only layers and functions of Keras and allcnn are read."


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("evil", "Evil"), ("evil", "leave"), ("os", "system"), ("posix", "system"), ("subprocess", "Popen"),
        ("builtins", "eval"), ("builtins", "exec"), ("builtins", "open"), ("pathlib", "Path"), ("pickle", "Unpickler"),
        ("keras_hub", "Evil"), ("keras_cv", "Evil"), ("keras_nlp.models", "Evil"), ("keras.utils", "get_file"),
        ("keras.src.utils.module_utils", "tensorflow"), ("keras.src.utils.python_utils", "func_load"),
        ("keras.src.saving.serialization_lib", "SerializableDict"), ("keras.src.utils.torch_utils", "Evil"),
        ("keras.datasets.mnist", "load_data"), ("keras.saving", "load_model"), ("keras.models", "load_model"),
        ("keras.config", "enable_unsafe_deserialization"), ("keras.callbacks", "CSVLogger"),
        ("keras.layers", "deserialize"), ("keras.layers", "../evil"),
        ("keras.layers\nevil", "\x1b[2J\r\n" + "x" * 1000),
        ("allcnn.files", "write_text"), ("allcnn.files", "Path"), ("tensorflow", "Module"), ("numpy", "Load"),
        (["os"], "System"), ("keras.layers", ["Dense"]),
    ],
    ids=range(32),
)  # fmt: skip
def test_a_class_by_name(mark, path, module, name) -> None:
    for registered in (None, name, f"evil>{name}"):
        text = layer_with("conv1", module=module, class_name=name, registered_name=registered)
        assert refusal(write_keras(path, {CONFIG: text})) == asks(f"{module}.{name}")
    assert not mark.exists() and "evil" not in sys.modules and "keras_hub" not in sys.modules


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("evil", "leave"), ("os", "system"), ("builtins", "eval"), ("builtins", "exec"), ("subprocess", "run"),
        ("numpy", "load"), ("tensorflow", "py_function"), ("keras_hub", "leave"), ("keras.utils", "get_file"),
        ("keras.datasets.mnist", "load_data"), ("keras.applications", "ResNet50"), ("keras.config", "set_floatx"),
        ("keras.config", "enable_unsafe_deserialization"), ("keras.utils", "set_random_seed"),
        ("keras.models", "clone_model"), ("keras.saving", "load_model"), ("keras.visualization", "plot_image_gallery"),
        ("keras.src.utils.file_utils", "get_file"), ("keras.src.utils.python_utils", "func_load"),
    ],
    ids=str,
)  # fmt: skip
def test_a_function_by_name(mark, path, module, name) -> None:
    for place in ("activation", "kernel_initializer", "kernel_regularizer", "kernel_constraint"):
        text = layer_with("conv1", config={place: function(module, name)})
        message = refusal(write_keras(path, {CONFIG: text}))
        # Keras looks names of "builtins" up among its own activations and the like, and finds none of these.
        assert message == asks(f"{module}.{name}") or module == "builtins"
    assert not mark.exists() and "evil" not in sys.modules and "keras_hub" not in sys.modules
    assert keras.config.floatx() == "float32"


def code_layers(mark: Path) -> dict[str, dict]:
    """Layers of Keras that run code in the file or beside it."""
    pickled = base64.b64encode(pickle.dumps(Payload(mark))).decode()
    return {
        "Lambda": {"function": function("keras.ops", "relu"), "arguments": {}},
        "Lambda with old code": {"function": [pickled, None, None], "function_type": "lambda", "arguments": {}},
        "TFSMLayer": {"filepath": str(mark.parent), "call_endpoint": "serve"},
        "TorchModuleWrapper": {"module": pickled},
        "JaxLayer": {"call_fn": function("keras.ops", "relu"), "init_fn": None},
        "FlaxLayer": {"module": pickled},
    }


@pytest.mark.parametrize("kind", code_layers(Path("mark")))
@pytest.mark.parametrize("module", ["keras.layers", "keras.src.layers.core.lambda_layer", None])
def test_layers_that_run_code(mark, path, kind, module) -> None:
    name = kind.split()[0]
    text = layer_with("conv1", module=module, class_name=name, config=code_layers(mark)[kind])
    assert refusal(write_keras(path, {CONFIG: text})) == runs_code(name)
    assert not mark.exists()


def runs_code(name: str) -> str:
    return f"holds a {name}, which runs code that comes with the file; refused."


def test_python_code(mark, path) -> None:
    assert refusal(write_lambda(path, mark)) == runs_code("Lambda")
    code = {"class_name": "__lambda__", "config": {"value": ["4wAAAA==", None, None]}}
    text = layer_with("conv1", config={"activation": code})
    assert refusal(write_keras(path, {CONFIG: text})) == runs_code("Lambda")
    assert not mark.exists()


def test_pickles(mark, path) -> None:
    arrays, pickled = io.BytesIO(), pickle.dumps(Payload(mark))
    np.savez(arrays, __root__=np.array([Payload(mark)], dtype=object))
    write_keras(path, {"model.weights.npz": arrays.getvalue()}, without=WEIGHTS)
    assert refusal(path) == "holds no model.weights.h5; expected a .keras file."
    for member in (WEIGHTS, CONFIG):
        assert refusal(write_keras(path, {member: pickled})).startswith("cannot be loaded as a Keras model: ")
    assert not mark.exists()


def seal_with_card(path: Path, card: bytes) -> Path:
    """A card and a good SHA-256, which anyone can compute: it does not show who wrote a file."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(CARD_MEMBER, card)
    seal_archive(path)
    return path


OUTSIDE = [
    lambda file: file.__setitem__(KERNEL, h5py.ExternalLink("secret.h5", "/kernel")),
    lambda file: file.__setitem__(KERNEL, h5py.SoftLink("/layers/dense/vars/0")),
    lambda file: file.create_dataset(KERNEL, (3, 3, 3, 4), "f4", external=[("/etc/passwd", 0, 432)]),
    lambda file: file.create_virtual_dataset(KERNEL, virtual_layout()),
]


def virtual_layout() -> h5py.VirtualLayout:
    layout = h5py.VirtualLayout((3, 3, 3, 4), "f4")
    layout[:] = h5py.VirtualSource("secret.h5", "kernel", (3, 3, 3, 4))
    return layout


def external_group(file: h5py.File) -> None:
    del file["layers/conv2d"]
    file["layers/conv2d"] = h5py.ExternalLink("secret.h5", "/")


@pytest.mark.parametrize("make", [*OUTSIDE, external_group], ids=range(5))
def test_weights_outside_of_the_file_are_not_read(path, monkeypatch, make) -> None:
    with h5py.File(path.with_name("secret.h5"), "w") as file:  # it would fit, and so be read
        file["kernel"] = file["vars/0"] = np.ones((3, 3, 3, 4), "f4")
        file["vars/1"] = np.ones(4, "f4")
    monkeypatch.chdir(path.parent)
    message = refusal(write_keras(path, {WEIGHTS: kernel_with(make)}))
    assert message.startswith("cannot be loaded as a Keras model: ") and "Not allowed: H5 file with " in message


@pytest.mark.parametrize("kind", ["StringLookup", "IntegerLookup", "TextVectorization"])
def test_a_layer_that_reads_a_file(path, kind) -> None:
    secret = path.with_name("secret")
    secret.write_text("password\n")
    config = {"vocabulary": str(secret), "split": None, "standardize": None}
    message = refusal(write_keras(path, {CONFIG: layer_with("gap", class_name=kind, config=config)}))
    assert message.startswith("cannot be loaded as a Keras model: ") and "password" not in message


def test_members_with_names_outside_of_the_archive_are_not_written(path) -> None:
    names = ("../evil", "/tmp/allcnn-evil", "a/../../evil", "..\\evil", "C:\\evil", "assets/link")
    write_keras(path, dict.fromkeys(names, b"/etc/passwd"))
    forge_entry(path, "assets/link", ATTRIBUTES, 0o120777 << 16)
    assert load_model(path).output_shape == (None, 3)
    assert list(path.parent.iterdir()) == [path] and not Path("/tmp/allcnn-evil").exists()
    assert not (path.parent.parent / "evil").exists()


NO_ZIP = "not a saved model, or one cut short; expected a .keras file, a zip archive."
COMPRESSED = (
    "its member 'metadata.json' is compressed, which Keras never does.\n"
    "Pack the archive without compression, or save the model with Keras again."
)
DAMAGED = "its member 'model.weights.h5' is damaged. Use a whole copy of the file."
DEFLATED = {"compression": zipfile.ZIP_DEFLATED}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        # A compressed member could unpack to gigabytes, also if the directory says otherwise.
        (lambda path: write_keras(path, **DEFLATED), COMPRESSED),
        (lambda path: forge_entry(write_keras(path, {WEIGHTS: bytes(1 << 24)}, **DEFLATED), WEIGHTS, SIZE, 1000),
         COMPRESSED),
        (lambda path: write_keras(path, compression=zipfile.ZIP_LZMA), COMPRESSED),
        (lambda path: forge_entry(write_keras(path), "metadata.json", METHOD, 99), COMPRESSED),
        (lambda path: forge_entry(write_keras(path), CONFIG, FLAGS, 1), NO_ZIP),
        (lambda path: forge_entry(write_keras(path), WEIGHTS, PLACE, 1 << 20), DAMAGED),
        (lambda path: forge_entry(write_keras(path), WEIGHTS, SIZE, 1000), DAMAGED),
        (lambda path: forge_entry(write_keras(path), WEIGHTS, STORED_SIZE, 1000), DAMAGED),
        (lambda path: write_keras(path, without=CONFIG), "holds no config.json; expected a .keras file."),
        (lambda path: write_keras(path, without=WEIGHTS), "holds no model.weights.h5; expected a .keras file."),
        (lambda path: path.write_bytes(good_members()[WEIGHTS]), NO_ZIP),
    ],
    ids=range(11),
)  # fmt: skip
def test_archives_that_keras_did_not_write(path, make, message) -> None:
    make(path)
    assert refusal(path) == message


def dataset(**arguments) -> bytes:
    return kernel_with(lambda file: file.create_dataset(KERNEL, **arguments))


LAYER = {"module": "keras.layers", "class_name": "Dense", "config": {"units": 3}, "registered_name": None}
UNBUILT = {"module": "keras", "class_name": "Sequential", "config": {"name": "s", "layers": []}}


@pytest.mark.parametrize(
    "members",
    [
        *({CONFIG: text} for text in (
            b"", b"\xff\xfe", b"null", b"{}", b"[" * 100_000, b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
            b'{"a": 1' + b"0" * 10_000 + b"}", json.dumps(LAYER).encode(), json.dumps(UNBUILT).encode(),
            json.dumps(function("keras.ops", "relu")).encode(),
            config_with(lambda config: config["config"].pop("layers")),
            config_with(lambda config: config["config"].update(layers=[])),
            config_with(lambda config: config["config"].update(name=[[] for _ in range(10)])),
            *(layer_with("fc", config={"units": units}) for units in (-3, 0, "many", 1.5, None)),
        )),
        *({WEIGHTS: content} for content in (
            b"", b"not HDF5", b"\x89HDF\r\n\x1a\n", good_members()[WEIGHTS][:3000],
            dataset(data=np.zeros((3, 3, 3, 5), "f4")), dataset(data=np.zeros((), "f4")),
            dataset(data=h5py.Empty("f4")), dataset(data=np.full((3, 3, 3, 4), b"ab")),
            dataset(data=np.full((3, 3, 3, 4), "text", dtype=h5py.string_dtype())),
            dataset(shape=(300_000, 300_000), dtype="f4", chunks=(1000, 1000), compression="gzip"),
        )),
    ],
    ids=range(28),
)  # fmt: skip
def test_what_is_no_network_or_not_its_weights(path, members) -> None:
    assert refusal(write_keras(path, members)).startswith("cannot be loaded as a Keras model: ")


@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer")
def test_honest_strangers_are_read(path) -> None:
    """Much of what Keras itself writes, so that the list of what is allowed does not become too short."""
    assert load_model(write_keras(path)).output_shape == (None, 3)
    layers = keras.layers
    image = keras.Input((8, 8, 3))
    values = layers.RandomFlip()(layers.Rescaling(1 / 255)(image))
    values = layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[1.0, 2.0, 3.0])(values)
    values = layers.SpectralNormalization(layers.Conv2D(3, 3, dtype="mixed_bfloat16"))(values)
    values = layers.Dropout(0.5, seed=3)(layers.BatchNormalization()(values))
    values = values * 2 + keras.ops.mean(values, axis=1, keepdims=True)
    values = layers.Bidirectional(layers.GRU(3))(layers.Reshape((36, 3))(values))
    values = layers.Dense(3, keras.ops.relu, kernel_regularizer="l2", kernel_constraint="max_norm")(values)
    inner = keras.Sequential([keras.Input((3,)), layers.Dense(3, activation=keras.activations.gelu)])
    inner.compile("adam", "mse", metrics=["mae"])
    model = keras.Model(image, inner(values))
    model.compile(allcnn.optimizers.Muon(), "mse")
    model.save(path)
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3))
    assert np.array_equal(load_model(path).predict_on_batch(images), model.predict_on_batch(images))


@pytest.mark.parametrize("with_card", [False, True])
@pytest.mark.parametrize(
    "members",
    [
        {CONFIG: layer_with("conv1", module="keras_hub", class_name="Evil")}, {CONFIG: b"[" * 100_000},
        {CONFIG: layer_with("fc", class_name="Lambda")}, {WEIGHTS: b""}, {WEIGHTS: kernel_with(OUTSIDE[0])},
    ],
    ids=range(5),
)  # fmt: skip
def test_at_the_shell(mark, path, capsys, saved_by_allcnn, members, with_card) -> None:
    """As a stranger's file, and with a card of allcnn's and a good SHA-256."""
    from PIL import Image

    write_keras(path, members)
    if with_card:
        seal_with_card(path, saved_by_allcnn)
    Image.new("RGB", (6, 6)).save(image := path.with_name("image.png"))
    before = set(path.parent.rglob("*"))
    for arguments in (["eval", str(path), "--dataset", "digits"], ["predict", str(path), str(image)]):
        assert main(arguments) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.startswith(f"error: {path}: ") and err.count("\n") == 1
    assert set(path.parent.rglob("*")) == before and not mark.exists()
