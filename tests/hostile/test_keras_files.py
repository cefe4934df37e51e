"""Model files of strangers: nothing that they ask for is run. Each would leave a mark that the test looks for."""

from __future__ import annotations

import base64
import importlib
import io
import json
import pickle
import sys
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from keras_forgery import config_with, function, layer_with, write_keras

import allcnn
from allcnn.errors import CheckpointError
from allcnn.models.archive import seal_archive
from allcnn.models.saved import CARD_MEMBER, find_model_file, load_model, open_saved, read_card

# Written wherever code of a file runs; the modules that config.json names are real and leave it too.
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


def refusal(path: Path) -> str:
    """What opening the file says; that nothing beside it was made, changed or taken away."""
    before = {each: each.read_bytes() for each in path.parent.rglob("*") if each.is_file()}
    with pytest.raises(CheckpointError) as caught:
        open_saved(path)
    assert {each: each.read_bytes() for each in path.parent.rglob("*") if each.is_file()} == before
    message = str(caught.value)
    assert caught.value.exit_code == 2
    assert message.startswith(f"{path}: ") and message.isprintable() and len(message) < 320 + len(str(path))
    return message.removeprefix(f"{path}: ")


class Payload:
    """Pickled, it leaves the mark when it is read."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return Path.write_text, (self.mark, "was here")


def test_the_marks_would_be_seen(mark, tmp_path) -> None:
    """What the tests below look for is there when the code does run."""
    for name in ("evil", "keras_hub"):
        module = importlib.import_module(name)
        assert mark.exists()
        mark.unlink()
        module.Evil.from_config({})
        assert mark.exists()
        mark.unlink()
    pickle.loads(pickle.dumps(Payload(mark)))
    assert mark.exists()
    mark.unlink()
    model = keras.saving.load_model(lambda_file(tmp_path, mark), safe_mode=False)
    model.predict_on_batch(np.zeros((1, 2, 2, 3)))
    assert mark.exists()


def lambda_file(folder: Path, mark: Path) -> Path:
    image = keras.Input((2, 2, 3))
    layer = keras.layers.Lambda(
        lambda x, mark: open(mark, "w").write("was here") and x, (2, 2, 3), arguments={"mark": str(mark)}
    )
    path = folder / "lambda.keras"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        keras.Model(image, layer(image)).save(path)
    return path


def test_a_lambda(mark, tmp_path) -> None:
    path = lambda_file(tmp_path, mark)
    mark.unlink(missing_ok=True)  # Keras may have called it to build the model
    assert refusal(path) == "holds a Lambda, which runs code that comes with the file; refused."
    assert not mark.exists()


def asks(for_: str) -> str:
    return f"asks for {for_!a:.80}; only layers and functions of Keras and allcnn are read."


@pytest.mark.parametrize(
    ("module", "name", "config"),
    [
        ("evil", "Evil", {}),
        ("evil", "leave", {}),
        ("os", "system", {"command": "touch {mark}"}),
        ("posix", "system", {"command": "touch {mark}"}),
        ("subprocess", "Popen", {"args": ["touch", "{mark}"]}),
        ("builtins", "eval", {"source": "open('{mark}', 'w')"}),
        ("builtins", "exec", {"source": "open('{mark}', 'w')"}),
        ("builtins", "open", {"file": "{mark}", "mode": "w"}),
        ("pathlib", "Path", {}),
        ("pickle", "Unpickler", {}),
        ("keras_hub", "Evil", {}),
        ("keras_cv", "Evil", {}),
        ("keras_nlp.models", "Evil", {}),
        ("keras.src.utils.module_utils", "tensorflow", {}),
        ("keras.src.utils.python_utils", "func_load", {"code": "{mark}"}),
        ("keras.src.saving.serialization_lib", "SerializableDict", {}),
        ("keras.src.utils.torch_utils", "Evil", {}),
        ("keras.utils", "get_file", {"fname": "{mark}", "origin": "file:///etc/passwd"}),
        ("keras.datasets.mnist", "load_data", {"path": "{mark}"}),
        ("keras.saving", "load_model", {"filepath": "{mark}"}),
        ("keras.models", "load_model", {"filepath": "{mark}"}),
        ("keras.config", "enable_unsafe_deserialization", {}),
        ("keras.callbacks", "CSVLogger", {"filename": "{mark}"}),
        ("keras.layers", "deserialize", {}),
        ("keras.layers", "../evil", {}),
        ("keras.layers\nevil", "Evil", {}),
        ("allcnn.files", "write_text", {}),
        ("allcnn.files", "Path", {}),
        ("tensorflow", "Module", {}),
        ("numpy", "Load", {}),
        (["os"], "System", {}),
        ("keras.layers", ["Dense"], {}),
    ],
    ids=str,
)
def test_a_class_by_name(mark, tmp_path, module, name, config) -> None:
    config = json.loads(json.dumps(config).replace("{mark}", str(mark)))
    for registered in (None, name, f"evil>{name}"):
        text = layer_with("conv1", module=module, class_name=name, config=config, registered_name=registered)
        path = write_keras(tmp_path / "model.keras", {"config.json": text})
        assert refusal(path) == asks(f"{module}.{name}")
        assert not mark.exists()
    assert "evil" not in sys.modules and "keras_hub" not in sys.modules


FUNCTIONS = [
    ("evil", "leave"), ("os", "system"), ("builtins", "eval"), ("builtins", "exec"), ("subprocess", "run"),
    ("numpy", "load"), ("tensorflow", "py_function"), ("keras_hub", "leave"), ("keras.utils", "get_file"),
    ("keras.datasets.mnist", "load_data"), ("keras.applications", "ResNet50"), ("keras.config", "set_floatx"),
    ("keras.config", "enable_unsafe_deserialization"), ("keras.utils", "set_random_seed"),
    ("keras.models", "clone_model"), ("keras.saving", "load_model"), ("keras.visualization", "plot_image_gallery"),
    ("keras.src.utils.file_utils", "get_file"), ("keras.src.utils.python_utils", "func_load"),
]  # fmt: skip


@pytest.mark.parametrize(("module", "name"), FUNCTIONS, ids=str)
@pytest.mark.parametrize("place", ["activation", "kernel_initializer", "kernel_regularizer", "kernel_constraint"])
def test_a_function_by_name(mark, tmp_path, place, module, name) -> None:
    text = layer_with("conv1", config={place: function(module, name)})
    message = refusal(write_keras(tmp_path / "model.keras", {"config.json": text}))
    # Keras looks what "builtins" names up among its own activations and the like, and finds none of these.
    assert message == asks(f"{module}.{name}") or module == "builtins"
    assert not mark.exists()
    assert keras.config.floatx() == "float32" and "evil" not in sys.modules and "keras_hub" not in sys.modules


def code_layers(mark: Path) -> dict[str, dict]:
    """Layers of Keras that run what lies in the file or beside it."""
    pickled = base64.b64encode(pickle.dumps(Payload(mark))).decode()
    named = {"function": function("keras.ops", "relu"), "arguments": {}}
    return {
        "Lambda": named,
        "Lambda with old code": {"function": [pickled, None, None], "function_type": "lambda", "arguments": {}},
        "TFSMLayer": {"filepath": str(mark.parent), "call_endpoint": "serve"},
        "TorchModuleWrapper": {"module": pickled},
        "JaxLayer": {"call_fn": function("keras.ops", "relu"), "init_fn": None},
        "FlaxLayer": {"module": pickled},
    }


@pytest.mark.parametrize("kind", code_layers(Path("mark")))
@pytest.mark.parametrize("module", ["keras.layers", "keras.src.layers.core.lambda_layer", None])
def test_layers_that_run_code(mark, tmp_path, kind, module) -> None:
    name = kind.split()[0]
    text = layer_with("conv1", module=module, class_name=name, config=code_layers(mark)[kind])
    path = write_keras(tmp_path / "model.keras", {"config.json": text})
    assert refusal(path) == f"holds a {name}, which runs code that comes with the file; refused."
    assert not mark.exists()


def test_bytecode_in_the_place_of_an_activation(mark, tmp_path) -> None:
    code = {"class_name": "__lambda__", "config": {"value": ["4wAAAA==", None, None]}}
    path = write_keras(tmp_path / "model.keras", {"config.json": layer_with("conv1", config={"activation": code})})
    assert refusal(path) == "holds a __lambda__, which runs code that comes with the file; refused."


@pytest.mark.parametrize("kind", ["StringLookup", "IntegerLookup", "TextVectorization"])
def test_a_layer_that_reads_a_file(tmp_path, kind) -> None:
    secret = tmp_path / "secret"
    secret.write_text("password\n")
    config = {"vocabulary": str(secret), "split": None, "standardize": None}
    text = layer_with("gap", class_name=kind, config=config)
    message = refusal(write_keras(tmp_path / "model.keras", {"config.json": text}))
    assert message.startswith("cannot be loaded as a Keras model: ") and "password" not in message


def test_pickles_among_the_weights(mark, tmp_path) -> None:
    arrays = io.BytesIO()
    np.savez(arrays, __root__=np.array([Payload(mark)], dtype=object))
    path = write_keras(tmp_path / "model.keras", {"model.weights.npz": arrays.getvalue()}, without="model.weights.h5")
    assert refusal(path) == "holds no model.weights.h5."
    write_keras(path, {"model.weights.h5": pickle.dumps(Payload(mark))})
    assert refusal(path).startswith("cannot be loaded as a Keras model: ")
    write_keras(path, {"config.json": pickle.dumps(Payload(mark))})
    assert refusal(path).startswith("cannot be loaded as a Keras model: ")
    assert not mark.exists()


def test_with_a_card_and_a_good_sha256_all_the_same(mark, tmp_path, saved_by_allcnn) -> None:
    """Anyone can compute a SHA-256: it shows that a file is whole, not who made it."""
    text = layer_with("conv1", module="keras_hub", class_name="Evil")
    with_card = [(CARD_MEMBER, saved_by_allcnn)]
    path = write_keras(tmp_path / "model.keras", {"config.json": text}, more=with_card)
    seal_archive(path)
    assert refusal(path) == asks("keras_hub.Evil")
    assert read_card(find_model_file(path)) is not None
    assert not mark.exists()


def test_what_is_no_network(tmp_path) -> None:
    layer = {"module": "keras.layers", "class_name": "Dense", "config": {"units": 3}, "registered_name": None}
    for text, reason in (
        (json.dumps(layer).encode(), "its config.json holds no network, but a Dense."),
        (json.dumps(function("keras.ops", "relu")).encode(), "its config.json holds no network, but a function."),
        (b"null", "its config.json holds no network, but a NoneType."),
        (b"{}", "its config.json holds no network, but a dict."),
        (b"", "cannot be loaded as a Keras model: Expecting value: line 1 column 1 (char 0)"),
        (b"\xff\xfe", "cannot be loaded as a Keras model: "),
        (config_with(lambda config: config["config"].pop("layers")), "cannot be loaded as a Keras model: "),
        (config_with(lambda config: config["config"].update(layers=[])), "cannot be loaded as a Keras model: "),
    ):
        assert refusal(write_keras(tmp_path / "model.keras", {"config.json": text})).startswith(reason)
    unbuilt = {"module": "keras", "class_name": "Sequential", "config": {"name": "s", "layers": []}}
    path = write_keras(tmp_path / "model.keras", {"config.json": json.dumps(unbuilt).encode()})
    assert refusal(path).startswith("cannot be loaded as a Keras model: ")


def test_a_message_of_the_file_is_not_printed_as_it_stands(tmp_path) -> None:
    text = layer_with("conv1", class_name="Evil\x1b[2J\r\n" + "x" * 1000, module="os")
    assert refusal(write_keras(tmp_path / "model.keras", {"config.json": text})).count("\\x1b") == 1


@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer")
def test_honest_strangers_are_read(tmp_path) -> None:
    """Much of what Keras itself writes, so that the list of what is allowed does not become too short."""
    assert load_model(write_keras(tmp_path / "model.keras")).output_shape == (None, 3)
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
    model.save(tmp_path / "mine.keras")
    found = load_model(tmp_path / "mine.keras")
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3))
    assert np.array_equal(found.predict_on_batch(images), model.predict_on_batch(images))
