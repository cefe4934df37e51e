"""What Keras lacks for the recipe `fast`: Muon for convolution kernels."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from allcnn.errors import InputError

# The quintic whose repeated application brings singular values from 0..1 near 1 fastest; from the authors of Muon.
_QUINTIC = (3.4445, -4.7750, 2.0315)
_TINY = 1e-7


@keras.saving.register_keras_serializable(package="allcnn")
class Muon(keras.optimizers.Optimizer):
    """Momentum, orthogonalised, for variables of rank 2 and more (kernels); Adam for those of rank 0 and 1 (biases).

    A kernel counts as the matrix (kernel height * kernel width * channels, filters). Each step goes along the
    orthogonalised Nesterov momentum, by `learning_rate` times the kernel's own norm; then the kernel is brought back
    to the norm that it had. So a learning rate means the same for every layer, whatever its shape and scale, and a
    kernel never grows or vanishes, unless by `weight_decay`. A variable of rank 2 and more that starts at zero stays
    there, such as the biases of Keras's MultiHeadAttention: leave them out (`use_bias=False`), or start them elsewhere.

    Keras's own `Muon` leaves convolution kernels to Adam.

    Args:
        learning_rate: the relative change of a kernel in a step, or a Keras schedule of it.
        momentum: of the kernels' gradients, at least 0 and below 1.
        newton_schulz_steps: how many iterations orthogonalise; 5 bring the singular values above 1/500 of the matrix's
            Frobenius norm to 0.68..1.21.
        bias_ratio: Adam's learning rate as a fraction of `learning_rate`, 0 or more.
        beta_1, beta_2: Adam's decay rates.
        kwargs: as for every Keras optimizer (`clipnorm`, `use_ema`, `weight_decay`, ...).

    Sources: Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024); the kept norms follow
    the same author's training of CIFAR-10 networks without batch normalisation.

    Raises:
        InputError: a number out of its range.
    """

    def __init__(
        self,
        learning_rate: Any = 0.03,
        momentum: float = 0.95,
        newton_schulz_steps: int = 5,
        bias_ratio: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        name: str = "muon",
        **kwargs: Any,
    ):
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        for what, value in (("momentum", momentum), ("beta_1", beta_1), ("beta_2", beta_2)):
            if not 0 <= value < 1:
                raise InputError(f"{what} must be at least 0 and below 1; got {value}.")
        if not (math.isfinite(bias_ratio) and bias_ratio >= 0):
            raise InputError(f"bias_ratio must be 0 or more; got {bias_ratio}.")
        if newton_schulz_steps < 1:
            raise InputError(f"the number of Newton-Schulz steps must be at least 1; got {newton_schulz_steps}.")
        self.momentum = momentum
        self.newton_schulz_steps = newton_schulz_steps
        self.bias_ratio = bias_ratio
        self.beta_1 = beta_1
        self.beta_2 = beta_2

    def build(self, variables: list[keras.Variable]) -> None:
        """Make the momentum of every variable, and Adam's second moments of those that are no kernels."""
        if self.built:
            return
        super().build(variables)
        self.momentums = self.add_optimizer_variables(variables, "momentum")
        self.second_moments = [
            None if len(variable.shape) > 1 else self.add_variable_from_reference(variable, "second_moment")
            for variable in variables
        ]

    def update_step(self, gradient: Any, variable: keras.Variable, learning_rate: Any) -> None:
        """One step of one variable."""
        learning_rate = ops.cast(learning_rate, variable.dtype)
        gradient = ops.cast(gradient, variable.dtype)
        index = self._get_variable_index(variable)
        momentum, second_moment = self.momentums[index], self.second_moments[index]
        if second_moment is None:
            self._kernel_step(gradient, variable, learning_rate, momentum)
        else:
            self._adam_step(gradient, variable, learning_rate * self.bias_ratio, momentum, second_moment)

    def _kernel_step(self, gradient: Any, kernel: keras.Variable, learning_rate: Any, momentum: keras.Variable) -> None:
        self.assign(momentum, self.momentum * momentum + gradient)
        matrix = ops.reshape(gradient + self.momentum * momentum, (-1, kernel.shape[-1]))
        direction = orthogonalize(matrix, self.newton_schulz_steps)
        direction = ops.reshape(direction / ops.maximum(ops.norm(direction), _TINY), kernel.shape)
        norm = ops.norm(ops.reshape(kernel, (-1,)))
        moved = kernel - learning_rate * norm * direction
        self.assign(kernel, moved * (norm / ops.maximum(ops.norm(ops.reshape(moved, (-1,))), _TINY)))

    def _adam_step(
        self, gradient: Any, variable: keras.Variable, learning_rate: Any, mean: keras.Variable, square: keras.Variable
    ) -> None:
        self.assign(mean, mean + (1 - self.beta_1) * (gradient - mean))
        self.assign(square, square + (1 - self.beta_2) * (ops.square(gradient) - square))
        step = ops.cast(self.iterations + 1, variable.dtype)
        mean_correction = 1 - ops.power(ops.cast(self.beta_1, variable.dtype), step)
        square_correction = 1 - ops.power(ops.cast(self.beta_2, variable.dtype), step)
        deviation = ops.sqrt(square / square_correction) + _TINY
        self.assign_sub(variable, learning_rate * (mean / mean_correction) / deviation)

    def get_config(self) -> dict[str, Any]:
        """The arguments, for saving with the model."""
        own = {
            "momentum": self.momentum,
            "newton_schulz_steps": self.newton_schulz_steps,
            "bias_ratio": self.bias_ratio,
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
        }
        return {**super().get_config(), **own}


def orthogonalize(matrix: Any, steps: int = 5) -> Any:
    """The matrix (rows, columns) with its singular values brought near 1, its singular vectors kept.

    Newton-Schulz: each step applies x <- a x + b x^3 + c x^5 to the singular values, which are first scaled to at
    most 1. All steps happen on the small Gram matrix G = X^T X, since the result is X q(G) for a polynomial q: for
    a kernel of 1728 x 192 that takes less than half of the arithmetic of the steps on X itself.
    """
    rows, columns = matrix.shape
    if rows < columns:
        return ops.transpose(orthogonalize(ops.transpose(matrix), steps))
    a, b, c = _QUINTIC
    matrix = matrix / (ops.norm(matrix) + _TINY)
    gram = ops.matmul(ops.transpose(matrix), matrix)
    identity = ops.eye(columns, dtype=matrix.dtype)
    total = identity
    for step in range(steps):
        factor = a * identity + ops.matmul(b * identity + c * gram, gram)
        total = ops.matmul(total, factor) if step else factor
        if step < steps - 1:
            gram = ops.matmul(ops.matmul(gram, factor), factor)
    return ops.matmul(matrix, total)
