"""From a unit of any layer back to the image: backpropagation, deconvnet and guided backpropagation (section 3.4)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from allcnn.errors import InputError
from allcnn.visualize.arguments import (
    STRONGEST,
    check_differentiable,
    checked_images,
    chosen_units,
    flat_positions,
    image_shape,
)
from allcnn.visualize.rules import Pass, compiled_on_its_own, forward_pass
from allcnn.visualize.way import Way

if TYPE_CHECKING:
    import keras

# Of models that take images of any size: the first size to look at their shapes with, and where it is too small.
_SIDES = (64, 256)


@dataclass(frozen=True)
class Attribution:
    """The signal that came back, for each of n images.

    maps: (n, height, width, channels) float32, or of whatever shape `down_to` has; both signs.
    activations: (n,) float32, the unit's values.
    positions: (n, 2) int, (y, x) in the unit's feature map; None for units without a place, such as classes.
    """

    maps: np.ndarray
    activations: np.ndarray
    positions: np.ndarray | None


class Attributor:
    """Compiles one way back, from a layer of a model to its images, for any number of calls.

    Args:
        model: any Keras model of one image input, functional, sequential or of one's own class (which must have been
            called before, and takes images of that size). It is not changed.
        layer: a layer's name ("conv6"; "nested/inner" in a nested model), or None for the classes: the values before
            the softmax, or the model's output where that is not a softmax's. Of a layer that is called several times
            the last call counts.
        method: "backpropagation", "deconvnet" or "guided", as in the paper's Figure 1 c. Max-pooling passes
            back through its switches, the first of equal values. Activations other than ReLU (and ReLU6) pass back
            by their gradient.
        down_to: the layer at whose output (the last call's) the signal is read; None reads it at the image.

    Raises:
        InputError: an unknown method or layer; a layer whose output is no feature map or vector; or no ReLU lies on
            the way and the method is not backpropagation, so that it would give plain gradients under another name.
    """

    def __init__(
        self, model: keras.Model, layer: str | None = None, method: str = "guided", down_to: str | None = None
    ):
        self._backend = _backend()
        self.image_shape = image_shape(model)
        if down_to is None:
            check_differentiable(model)
        self._way = Way(model, layer, method, down_to, self._backend.trace)
        self._compiled: dict[Any, Callable] = {}
        self._looked_at: tuple[int, ...] = ()
        self._look_at_first()

    @property
    def unit_shape(self) -> tuple[int, ...]:
        """The shape of the layer's output, a feature map or vector; for images of the size that came last."""
        return self._way.unit_shape

    @property
    def units(self) -> int:
        """How many units, channels of a feature map or values of a vector, the layer has."""
        return self.unit_shape[-1]

    def __call__(
        self,
        images: np.ndarray,
        units: int | Sequence[int] | np.ndarray,
        position: str | tuple[int, int] | np.ndarray = STRONGEST,
        batch_size: int = 64,
    ) -> Attribution:
        """The way back from a unit, or from one of its own for each image.

        Args:
            images: (n, height, width, channels), as the model takes them.
            units: channel or class, one for all or (n,).
            position: "strongest", (y, x), or (n, 2) of those.
            batch_size: the most images at a time.

        Raises:
            InputError: images of a wrong shape, a unit or position out of range.
        """
        images = checked_images(images, self.image_shape)
        if images.shape[1:] != self._looked_at:
            self._look(images.shape[1:])
        chosen = chosen_units(units, len(images), self.units, self._way.where)
        places = flat_positions(position, len(images), self.unit_shape, self._way.where)
        if batch_size < 1:
            raise InputError(f"batches of {batch_size} images; expected at least 1.")
        parts = []
        for start in range(0, len(images), batch_size):
            part = slice(start, start + batch_size)
            parts.append(self._run(images[part], chosen[part], places[part], batch_size))
        maps, activations, flat = (np.concatenate(part) for part in zip(*parts, strict=True))
        positions = None
        if len(self.unit_shape) == 3:
            positions = np.stack(np.divmod(flat, self.unit_shape[1]), axis=1)
        return Attribution(maps, activations, positions)

    def _look_at_first(self) -> None:
        """Look at images of the model's size, or of one that it bears."""
        for side in _SIDES:
            try:
                return self._look(tuple(known or side for known in self.image_shape))
            except Exception as error:  # each layer has its own for images that are too small
                if isinstance(error, InputError) or None not in self.image_shape or side == _SIDES[-1]:
                    raise
        return None

    def _look(self, sides: tuple[int, ...]) -> None:
        seen = self._way.wanted()
        self._way.look(seen, self._backend.look(self._way, seen, (1, *sides)), sides)
        self._looked_at = sides

    def _run(self, images: np.ndarray, units: np.ndarray, places: np.ndarray, batch_size: int) -> list[np.ndarray]:
        """One batch, filled up to a power of two or the full size, so that little is compiled twice."""
        count = len(images)
        missing = min(batch_size, 1 << (count - 1).bit_length()) - count
        given = images.astype(np.float32), units, places
        filled = [np.concatenate([part, np.repeat(part[-1:], missing, 0)]) for part in given]
        shape = filled[0].shape
        if shape not in self._compiled:
            self._compiled[shape] = self._backend.compiled(self._way)
        return [np.asarray(output)[:count] for output in self._compiled[shape](*filled)]


class _TensorFlow:
    def trace(self) -> Any:
        import tensorflow as tf

        return tf.compat.v1.get_default_graph()

    def look(self, way: Way, seen: Pass, shape: tuple[int, ...]) -> Any:
        """What the model gives for images of this shape, of which only the shape is known."""
        import tensorflow as tf

        outputs = []

        def run(images: Any) -> None:
            with forward_pass(seen):
                outputs.append(way.model(images, training=False))

        traced = tf.function(run, autograph=False).get_concrete_function(tf.TensorSpec(shape, "float32"))
        parts = traced.graph.as_graph_def().library.function
        if any(node.op in ("Relu", "Relu6") for part in parts for node in part.node_def):
            raise compiled_on_its_own()  # and earlier than this pass, so that the ReLU was not met
        return outputs[-1]

    def compiled(self, way: Way) -> Callable:
        import tensorflow as tf

        def call(images: Any) -> Any:
            return way.model(images, training=False)

        def run(images: Any, units: Any, places: Any) -> tuple[Any, Any, Any]:
            zeros = way.start(images)
            # Around the gradient as well: what is not kept but computed again for it must follow the rule again.
            with forward_pass(way.wanted()):
                with tf.GradientTape() as tape:
                    tape.watch(zeros)
                    total, (values, where) = way.value(call, zeros, images, units, places)
                signal = tape.gradient(total, zeros, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            return signal, values, where

        traced: dict[tuple, Callable] = {}

        def compiled(*arguments: Any) -> tuple[Any, Any, Any]:
            tensors = [argument if argument is None else tf.convert_to_tensor(argument) for argument in arguments]
            key = tuple(None if tensor is None else tuple(tensor.shape) for tensor in tensors)
            if key not in traced:
                # Traced by hand: for several attributors TensorFlow would warn that it traces again and again.
                traced[key] = tf.function(run, autograph=False).get_concrete_function(*tensors)
            return traced[key](*(tensor for tensor in tensors if tensor is not None))

        return compiled


class _Jax:
    def trace(self) -> Any:
        import jax.extend.core
        from jax import core

        # Where it was, and what it wanted, in older versions.
        state = getattr(jax.extend.core, "get_opaque_trace_state", None) or core.get_opaque_trace_state
        return state(convention="nnx")

    def look(self, way: Way, seen: Pass, shape: tuple[int, ...]) -> Any:
        """What the model gives for images of this shape, of which only the shape is known."""
        import jax

        outputs = []

        def run(images: Any, weights: Any) -> Any:
            with forward_pass(seen):
                outputs.append(self._call(way, weights, images))
            return outputs[-1]

        traced = jax.make_jaxpr(run)(jax.ShapeDtypeStruct(shape, "float32"), self._weights(way))
        if any(re.search(r"\bname=relu\b", str(part.params.get("jaxpr", ""))) for part in traced.eqns):
            raise compiled_on_its_own()  # and earlier than this pass, so that the ReLU was not met
        return outputs[-1]

    def compiled(self, way: Way) -> Callable:
        import jax

        def value(zeros: Any, weights: Any, images: Any, units: Any, places: Any) -> Any:
            return way.value(lambda images: self._call(way, weights, images), zeros, images, units, places)

        @jax.jit
        def run(weights: Any, images: Any, units: Any, places: Any) -> tuple[Any, Any, Any]:
            gradient = jax.value_and_grad(value, has_aux=True)
            (_, (values, where)), signal = gradient(way.start(images), weights, images, units, places)
            return signal, values, where

        # As arguments: weights that are captured would be compiled in as constants.
        return lambda *given: run(self._weights(way), *given)

    def _weights(self, way: Way) -> list[Any]:
        return [variable.value for variable in way.model.variables]

    def _call(self, way: Way, weights: list[Any], images: Any) -> Any:
        import keras

        # Not `stateless_call`, which passes `training` on to a `call` that does not take it.
        with keras.StatelessScope(zip(way.model.variables, weights, strict=True)):
            return way.model(images, training=False)


def _backend() -> _TensorFlow | _Jax:
    import keras

    backends: dict[str, type[_TensorFlow] | type[_Jax]] = {"tensorflow": _TensorFlow, "jax": _Jax}
    if (name := keras.backend.backend()) not in backends:
        raise InputError(f'Keras runs on "{name}"; expected one of: {", ".join(backends)}.')
    return backends[name]()


def backpropagation(
    model: keras.Model, images: np.ndarray, units: Any, layer: str | None = None, position: Any = STRONGEST
) -> Attribution:
    """The gradient of a unit by the image: each ReLU lets through what it let through forwards.

    Args and Raises: as `Attributor`, which spares compiling again where more is asked of the same layer.
    """
    return Attributor(model, layer, "backpropagation")(images, units, position)


def deconvnet(
    model: keras.Model, images: np.ndarray, units: Any, layer: str | None = None, position: Any = STRONGEST
) -> Attribution:
    """Zeiler and Fergus's deconvnet: each ReLU lets through what arrives positive, whatever it saw forwards.

    Args and Raises: as `Attributor`.
    """
    return Attributor(model, layer, "deconvnet")(images, units, position)


def guided_backpropagation(
    model: keras.Model, images: np.ndarray, units: Any, layer: str | None = None, position: Any = STRONGEST
) -> Attribution:
    """The paper's guided backpropagation: each ReLU lets through what arrives positive, where it was itself active.

    Args and Raises: as `Attributor`.
    """
    return Attributor(model, layer, "guided")(images, units, position)
