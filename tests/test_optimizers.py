"""Muon: its orthogonalisation against an SVD, one step by hand, kept norms, anybody's model.fit, saving and loading."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from allcnn.errors import InputError
from allcnn.models.build import build_model
from allcnn.optimizers import Muon, orthogonalize

backends = pytest.mark.backends
QUINTIC = (3.4445, -4.7750, 2.0315)


def numpy_of(value) -> np.ndarray:
    return keras.ops.convert_to_numpy(value)


def quintic(values: np.ndarray, steps: int) -> np.ndarray:
    a, b, c = QUINTIC
    for _ in range(steps):
        values = a * values + b * values**3 + c * values**5
    return values


@backends
@pytest.mark.parametrize(("shape", "steps"), [((864, 96), 5), ((27, 96), 3), ((10, 1), 1)])
def test_orthogonalisation_is_the_quintic_of_the_singular_values(shape, steps) -> None:
    """X = U S V^T gives U q(S) V^T, in float64 by NumPy's SVD; the singular vectors stay."""
    matrix = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    left, values, right = np.linalg.svd(matrix.astype(np.float64), full_matrices=False)
    expected = left * quintic(values / np.linalg.norm(values), steps) @ right
    # A rounding error of 2^-24 grows by the quintic's slope at 0 in every step.
    bound = 2**-24 * QUINTIC[0] ** steps * 10
    np.testing.assert_allclose(numpy_of(orthogonalize(matrix, steps)), expected, atol=bound)


@backends
def test_five_steps_bring_singular_values_near_one() -> None:
    """The smallest of them is a fiftieth of the Frobenius norm."""
    random = np.random.default_rng(1)
    left, _ = np.linalg.qr(random.normal(size=(300, 40)))
    right, _ = np.linalg.qr(random.normal(size=(40, 40)))
    matrix = left * np.geomspace(1, 0.05, 40) @ right.T
    found = np.linalg.svd(numpy_of(orthogonalize(matrix.astype(np.float32))).astype(np.float64), compute_uv=False)
    assert 0.65 < found.min() and found.max() < 1.25


@backends
def test_two_steps_by_hand() -> None:
    """A convolution kernel is the matrix (height * width * channels, filters); it keeps its norm. A bias takes Adam."""
    random = np.random.default_rng(2)
    start = random.normal(size=(3, 3, 4, 8)), random.normal(size=8)
    gradients = [(random.normal(size=(3, 3, 4, 8)), random.normal(size=8)) for _ in range(2)]
    variables = [keras.Variable(value, dtype="float32") for value in start]
    optimizer = Muon(learning_rate=0.1, momentum=0.9, bias_ratio=0.5)
    optimizer.build(variables)
    for pair in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(value.astype(np.float32)) for value in pair])

    kernel, bias = start
    norm = np.linalg.norm(kernel)
    speed, mean, square = np.zeros_like(kernel), np.zeros_like(bias), np.zeros_like(bias)
    for step, (gradient, bias_gradient) in enumerate(gradients, 1):
        speed = 0.9 * speed + gradient
        left, values, right = np.linalg.svd((gradient + 0.9 * speed).reshape(36, 8), full_matrices=False)
        direction = (left * quintic(values / np.linalg.norm(values), 5) @ right).reshape(kernel.shape)
        kernel = kernel - 0.1 * norm * direction / np.linalg.norm(direction)
        kernel *= norm / np.linalg.norm(kernel)
        mean = 0.9 * mean + 0.1 * bias_gradient
        square = 0.99 * square + 0.01 * bias_gradient**2
        bias = bias - 0.05 * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.99**step)) + 1e-7)
    # The kernel's entries are of size 1; a step's float32 matrix products round to a few 2^-24, times 3.4^5.
    np.testing.assert_allclose(numpy_of(variables[0].value), kernel, atol=2e-4)
    np.testing.assert_allclose(numpy_of(variables[1].value), bias, atol=1e-5)


@backends
def test_kernels_keep_their_norms_in_anybodys_fit_and_a_gradient_of_zero_moves_nothing() -> None:
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Conv2D(6, 3, strides=2, activation="relu"), keras.layers.Flatten(),
         keras.layers.Dense(3)]
    )  # fmt: skip
    kernels = [layer.kernel for layer in model.layers if layer.weights]
    before = [numpy_of(kernel.value) for kernel in kernels]
    images = np.random.default_rng(0).normal(size=(60, 8, 8, 3)).astype(np.float32)
    labels = np.digitize(images.mean(axis=(1, 2, 3)), [-0.03, 0.03])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(Muon(0.05), loss, jit_compile=keras.backend.backend() == "jax")
    losses = model.fit(images, labels, batch_size=20, epochs=20, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    for start, kernel in zip(before, kernels, strict=True):
        after = numpy_of(kernel.value)
        assert np.abs(after - start).max() > 0.01
        assert np.linalg.norm(after) == pytest.approx(np.linalg.norm(start), rel=60 * 2**-22)
    small = before[0] / 1000
    still = keras.Variable(small, dtype="float32")
    optimizer = Muon()
    optimizer.build([still])
    for _ in range(10):
        optimizer.apply([keras.ops.zeros(still.shape)])
    np.testing.assert_allclose(numpy_of(still.value), small, rtol=10 * 2**-22)


@backends
def test_it_is_saved_and_loaded_with_the_model_and_goes_on_to_the_same_bits(tmp_path) -> None:
    images = np.random.default_rng(0).normal(size=(40, 8, 8, 3)).astype(np.float32)
    labels = np.arange(40) % 3

    def fit(model: keras.Model, epochs: int) -> None:
        model.fit(images, labels, batch_size=20, epochs=epochs, shuffle=False, verbose=0)

    def make() -> keras.Model:
        model = build_model("6C3-6C3/2-NC1-GAP", (8, 8, 3), 3, seed=1)
        schedule = keras.optimizers.schedules.PolynomialDecay(0.05, 12, 0.0)
        model.compile(
            Muon(schedule, momentum=0.8, bias_ratio=0.2), "sparse_categorical_crossentropy",
            jit_compile=keras.backend.backend() == "jax",
        )  # fmt: skip
        return model

    whole, stopped = make(), make()
    fit(whole, 5)
    fit(stopped, 2)
    stopped.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.get_config() == stopped.optimizer.get_config()
    fit(loaded, 3)
    for one, other in zip(whole.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"momentum": 1.0}, "momentum must be at least 0 and below 1; got 1.0."),
        ({"beta_2": -0.1}, "beta_2 must be at least 0 and below 1; got -0.1."),
        ({"bias_ratio": -1.0}, "bias_ratio must be 0 or more; got -1.0."),
        ({"newton_schulz_steps": 0}, "the number of Newton-Schulz steps must be at least 1; got 0."),
    ],
)
def test_numbers_that_make_no_sense(changes, message) -> None:
    with pytest.raises(InputError) as caught:
        Muon(**changes)
    assert str(caught.value) == message
