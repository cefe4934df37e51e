"""From a unit of any layer back to the image: backpropagation, deconvnet and guided backpropagation (section 3.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from allcnn.errors import InputError
from allcnn.visualize.layers import find_layer
from allcnn.visualize.rules import Pass, check_method, forward_pass

if TYPE_CHECKING:
    import keras

#: Where in its feature map a unit is looked at, if not at a given place: where it is largest.
STRONGEST = "strongest"


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
        model: any Keras model of one image input, functional, sequential or of one's own class. It is not changed.
        layer: a layer's name ("conv6"; "nested/inner" in a nested model), or None for the classes: the values before
            the last softmax, or the model's output where there is none.
        method: "backpropagation", "deconvnet" or "guided", as in the paper's Figure 1 c. Max-pooling passes
            back through its switches. Activations other than ReLU (and ReLU6) pass back by their gradient.
        down_to: the layer at whose output the signal is read; None reads it at the image.

    Raises:
        InputError: an unknown method or layer; or no ReLU lies on the way and the method is not
            backpropagation, so that it would give plain gradients under another name.
    """

    def __init__(
        self, model: keras.Model, layer: str | None = None, method: str = "guided", down_to: str | None = None
    ):
        self.model = model
        self.method = check_method(method)
        self.name = layer
        self.layer = find_layer(model, layer) if layer is not None else None
        self.down_to = find_layer(model, down_to) if down_to is not None else None
        self.image_shape = _image_shape(model)
        self._compiled: dict[bool, Any] = {}
        self._probe()

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

        Raises:
            InputError: images of a wrong shape, a unit or position out of range.
        """
        images = np.asarray(images)
        if images.ndim != 4 or not _fits(images.shape[1:], self.image_shape):
            expected = ", ".join("any" if side is None else str(side) for side in self.image_shape)
            raise InputError(f"images of shape {images.shape}; expected (n, {expected}).")
        chosen = np.broadcast_to(np.asarray(units), (len(images),)).astype(np.int32)
        if len(chosen) and not (0 <= chosen.min() and chosen.max() < self.units):
            worst = next(int(unit) for unit in chosen if not 0 <= unit < self.units)
            raise InputError(f"{self._where()} has no unit {worst}; expected 0 to {self.units - 1}.")
        places = self._places(position, len(images))
        parts = [
            self._run(images[start : start + batch_size], chosen[start : start + batch_size],
                      None if places is None else places[start : start + batch_size], batch_size)
            for start in range(0, len(images), batch_size)
        ]  # fmt: skip
        if not parts:
            raise InputError("no images were given; expected at least one.")
        maps, activations, flat = (np.concatenate(part) for part in zip(*parts, strict=True))
        positions = None
        if len(self.unit_shape) == 3:
            positions = np.stack(np.divmod(flat, self.unit_shape[1]), axis=1)
        return Attribution(maps, activations, positions)

    def _where(self) -> str:
        return "the model's output" if self.name is None else f'layer "{self.name}"'

    def _probe(self) -> None:
        """Look at the shapes, and whether there is a ReLU on the way, with one pass of one grey image."""
        sides = [side or 64 for side in self.image_shape]
        seen = self._wanted({})
        with forward_pass(seen):
            outputs = self.model(np.zeros((1, *sides), "float32"), training=False)
        unit = self._unit_outputs(seen, outputs)
        self.unit_shape = tuple(int(side) for side in unit.shape[1:])
        if self.down_to is not None:
            if id(self.down_to) not in seen.outputs:
                raise InputError(f'layer "{self.down_to.name}" is not used when the model is called.')
            self.signal_shape = tuple(int(side) for side in seen.outputs[id(self.down_to)].shape[1:])
        if len(self.unit_shape) not in (1, 3):
            raise InputError(
                f"{self._where()} has outputs of shape {self.unit_shape}; expected a feature map or vector."
            )
        if self.layer is not None:
            relus = seen.relus_before[id(self.layer)]
        else:
            relus = seen.relus_before_softmax if seen.before_softmax is not None else seen.relus
        if relus == 0 and self.method != "backpropagation":
            raise InputError(
                f"no ReLU was found on the way to {self._where()}, so {self.method} would be plain backpropagation; "
                "use that, or a layer after a ReLU."
            )

    def _wanted(self, added: dict[int, Any]) -> Pass:
        watched = tuple(layer for layer in (self.layer, self.down_to) if layer is not None)
        return Pass(self.method, watched, added)

    def _unit_outputs(self, seen: Pass, outputs: Any) -> Any:
        if self.layer is not None:
            if id(self.layer) not in seen.outputs:
                raise InputError(f'layer "{self.name}" is not used when the model is called.')
            return seen.outputs[id(self.layer)]
        return outputs if seen.before_softmax is None else seen.before_softmax

    def _places(self, position: Any, images: int) -> np.ndarray | None:
        """Positions as indices into the flattened map, (n,) int32; None for the strongest."""
        if isinstance(position, str):
            if position != STRONGEST:
                raise InputError(f'unknown position "{position}"; expected "{STRONGEST}" or (y, x).')
            return None
        if len(self.unit_shape) == 1:
            raise InputError(f"{self._where()} is a vector; its units have no position.")
        height, width, _ = self.unit_shape
        places = np.broadcast_to(np.asarray(position), (images, 2))
        if ((places < 0) | (places >= (height, width))).any():
            raise InputError(
                f"{self._where()} has no position {tuple(int(place) for place in places[0])}; "
                f"expected (0, 0) to ({height - 1}, {width - 1})."
            )
        return (places[:, 0] * width + places[:, 1]).astype(np.int32)

    def _selected(self, values: Any, units: Any, places: Any) -> tuple[Any, Any]:
        """Each image's value of its unit, (n,), and where it was in the flattened map, (n,)."""
        from keras import ops

        if len(self.unit_shape) == 1:
            return ops.take_along_axis(values, units[:, None], axis=1)[:, 0], ops.zeros_like(units)
        flat = ops.reshape(values, (-1, self.unit_shape[0] * self.unit_shape[1], self.unit_shape[2]))
        one = ops.take_along_axis(flat, units[:, None, None], axis=2)[:, :, 0]
        where = ops.cast(ops.argmax(one, axis=1), "int32") if places is None else places
        return ops.take_along_axis(one, where[:, None], axis=1)[:, 0], where

    def _run(
        self, images: np.ndarray, units: np.ndarray, places: np.ndarray | None, batch_size: int
    ) -> tuple[np.ndarray, ...]:
        """One batch, filled up to its full size so that nothing is compiled twice."""
        count = len(images)
        missing = batch_size - count
        images, units = (np.concatenate([part, np.repeat(part[-1:], missing, 0)]) for part in (images, units))
        images = images.astype("float32")
        places = None if places is None else np.concatenate([places, np.repeat(places[-1:], missing, 0)])
        run = self._compiled.get(places is None)
        if run is None:
            run = self._compiled[places is None] = self._compile(places is None)
        outputs = run(images, units) if places is None else run(images, units, places)
        return tuple(np.asarray(output)[:count] for output in outputs)

    def _compile(self, strongest: bool) -> Any:
        import keras

        compiled = _compiled_by_jax if keras.backend.backend() == "jax" else _compiled_by_tensorflow
        return compiled(self)

    def _start(self, images: Any) -> tuple[Any, Any]:
        """The images, and zeros that are added where the signal is to be read."""
        from keras import ops

        shape = images.shape if self.down_to is None else (images.shape[0], *self.signal_shape)
        return images, ops.zeros(shape, "float32")

    def _value(self, call: Any, images: Any, zeros: Any, units: Any, places: Any) -> tuple[Any, tuple[Any, Any]]:
        """The sum over the images of their units' values, each of which depends on its own image only."""
        from keras import ops

        added = {} if self.down_to is None else {id(self.down_to): zeros}
        seen = self._wanted(added)
        with forward_pass(seen):
            outputs = call(images + zeros if self.down_to is None else images)
        values, where = self._selected(self._unit_outputs(seen, outputs), units, places)
        return ops.sum(values), (values, where)


def _compiled_by_tensorflow(attributor: Attributor) -> Any:
    import tensorflow as tf

    @tf.function
    def run(images: Any, units: Any, places: Any = None) -> tuple[Any, Any, Any]:
        images, zeros = attributor._start(images)
        with tf.GradientTape() as tape:
            tape.watch(zeros)
            total, (values, where) = attributor._value(
                lambda x: attributor.model(x, training=False), images, zeros, units, places
            )
        return tape.gradient(total, zeros, unconnected_gradients=tf.UnconnectedGradients.ZERO), values, where

    return run


def _compiled_by_jax(attributor: Attributor) -> Any:
    import jax

    model = attributor.model

    def value(zeros: Any, weights: Any, images: Any, units: Any, places: Any) -> Any:
        def call(x: Any) -> Any:
            outputs, _ = model.stateless_call(*weights, x, training=False)
            return outputs

        return attributor._value(call, images, zeros, units, places)

    @jax.jit
    def run(weights: Any, images: Any, units: Any, places: Any) -> tuple[Any, Any, Any]:
        images, zeros = attributor._start(images)
        (_, (values, where)), signal = jax.value_and_grad(value, has_aux=True)(zeros, weights, images, units, places)
        return signal, values, where

    def with_weights(images: Any, units: Any, places: Any = None) -> tuple[Any, Any, Any]:
        # As arguments: weights that are captured would be compiled in as constants.
        weights = (
            [variable.value for variable in model.trainable_variables],
            [variable.value for variable in model.non_trainable_variables],
        )
        return run(weights, images, units, places)

    return with_weights


def _image_shape(model: keras.Model) -> tuple[int | None, ...]:
    shapes = model.input_shape
    if isinstance(shapes, list | dict):
        found = list(shapes.values()) if isinstance(shapes, dict) else shapes
        if len(found) != 1:
            raise InputError(f"the model has {len(found)} inputs; expected one of images.")
        shapes = found[0]
    if len(shapes) != 4:
        raise InputError(f"the model takes inputs of shape {shapes[1:]}; expected images (height, width, channels).")
    return tuple(shapes[1:])


def _fits(shape: Sequence[int], expected: Sequence[int | None]) -> bool:
    return all(side in (None, found) for found, side in zip(shape, expected, strict=True))


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
