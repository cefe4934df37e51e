"""Exported models in their own runtimes, and networks whose probabilities are worth comparing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np

# Neither allcnn nor Keras: TensorFlow alone, on the folder, the images and the batch sizes that it is given.
_SAVED_MODEL = """
import json, sys
sys.modules["allcnn"] = sys.modules["keras"] = None
import numpy, tensorflow
tensorflow.config.set_visible_devices([], "GPU")
for folder, images, sizes, out in json.load(sys.stdin):
    serve = tensorflow.saved_model.load(folder).signatures["serving_default"]
    (name,) = serve.structured_outputs
    images = numpy.load(images)
    results = [serve(image=tensorflow.constant(images[:size]))[name].numpy() for size in sizes]
    numpy.savez(out, *results)
"""


def run_onnx(path: Path, images: np.ndarray, sizes: tuple[int, ...]) -> list[np.ndarray]:
    """What onnxruntime gives for the first images, in batches of these sizes."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return [session.run(None, {"image": images[:size]})[0] for size in sizes]


def run_litert(path: Path, images: np.ndarray, sizes: tuple[int, ...]) -> list[np.ndarray]:
    """What LiteRT's interpreter gives for the first images, in batches of these sizes."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    (given,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    found = []
    for size in sizes:
        interpreter.resize_tensor_input(given["index"], (size, *images.shape[1:]), strict=True)
        interpreter.allocate_tensors()
        interpreter.set_tensor(given["index"], images[:size])
        interpreter.invoke()
        found.append(interpreter.get_tensor(result["index"]))
    return found


def run_saved_models(
    folders: list[Path], images: list[np.ndarray], sizes: tuple[int, ...], place: Path
) -> list[list[np.ndarray]]:
    """What TensorFlow gives for each of several SavedModels, in a process that has neither allcnn nor Keras."""
    jobs = []
    for index, (folder, own) in enumerate(zip(folders, images, strict=True)):
        np.save(place / f"images{index}.npy", own)
        jobs.append([str(folder), str(place / f"images{index}.npy"), sizes, str(place / f"results{index}.npz")])
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-I", "-c", _SAVED_MODEL]
    done = subprocess.run(
        command, input=json.dumps(jobs), env=environment, capture_output=True, text=True, timeout=1800
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found = []
    for *_, out in jobs:
        with np.load(out) as arrays:
            found.append([arrays[f"arr_{index}"] for index in range(len(sizes))])
    return found


def run_keras(model: keras.Model, images: np.ndarray, sizes: tuple[int, ...]) -> list[np.ndarray]:
    """What Keras gives for the first images, in batches of these sizes."""
    return [np.asarray(model.predict_on_batch(images[:size])) for size in sizes]


def run_float64(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """The probabilities that the model's layers and weights give in float64."""

    def in_float64(layer: keras.Layer) -> keras.Layer:
        return type(layer).from_config({**layer.get_config(), "dtype": "float64"})

    clone = keras.models.clone_model(model, clone_function=in_float64)
    clone.set_weights(model.get_weights())
    found = np.asarray(clone.predict_on_batch(images))
    assert found.dtype == np.float64
    return found


def make_decided(model: keras.Model, images: np.ndarray, seed: int = 0) -> None:
    """Give a network large random weights, so that it is sure of one class here and of another there.

    Weights are He normal, biases and statistics random. Random networks find all images alike; so the last layer, which
    must be fully connected or 1x1, is brought to give every class the same mean over these images, and values that
    deviate by 6.
    """
    random = np.random.default_rng(seed)
    layers = [layer for layer in model.layers if layer.trainable and layer.weights]  # not the fitted preprocessing
    for variable in (variable for layer in layers for variable in layer.weights):
        shape = tuple(variable.shape)
        if variable.name == "kernel":
            variable.assign(random.normal(0, np.sqrt(2 / np.prod(shape[:-1])), shape))
        elif variable.name in ("gamma", "moving_variance"):
            variable.assign(random.uniform(0.5, 2, shape))
        else:
            variable.assign(random.normal(0, 0.2, shape))
    last = layers[-1]
    features = np.asarray(keras.Model(model.inputs[0], last.input)(images, training=False))
    middle = features.reshape(-1, features.shape[-1]).mean(axis=0)
    kernel = np.asarray(last.kernel)
    last.bias.assign(-middle @ kernel.reshape(len(middle), -1))
    values = np.asarray(keras.Model(model.inputs[0], model.layers[-1].input)(images, training=False))
    mean, deviation = values.mean(axis=0), values.std(axis=0)
    if last.activation is keras.activations.relu:
        scale, shift = 6 / (deviation / mean).mean() / mean, 0
    else:
        scale, shift = 6 / deviation, -mean
    last.bias.assign((np.asarray(last.bias) + shift) * scale)
    last.kernel.assign(kernel * scale)
