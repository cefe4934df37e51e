"""What lies between a unit and the place where its signal is read, and the unit's value in one forward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from allcnn.errors import InputError
from allcnn.visualize.layers import find_layer, named_layers
from allcnn.visualize.rules import Pass, check_method, forward_pass

if TYPE_CHECKING:
    import keras


class Way:
    """One way back through a model, for images of the size that was last looked at; see `Attributor`.

    unit_shape: the shape of the outputs in which the units are: a feature map's or a vector's.
    signal_shape: the shape of what comes back, at the image or at the output of `down_to`.

    Args:
        trace: says in which trace the code runs; see `Pass`.
    """

    unit_shape: tuple[int, ...]
    signal_shape: tuple[int, ...]

    def __init__(
        self, model: keras.Model, layer: str | None, method: str, down_to: str | None, trace: Callable[[], Any]
    ):
        self.model = model
        self.method = check_method(method)
        if unbuilt := [name for name, inner in named_layers(model) if not inner.built]:
            raise InputError(f'layer "{unbuilt[0]}" has no weights yet; call the model on images first.')
        self.layer = find_layer(model, layer) if layer is not None else None
        self.down_to = find_layer(model, down_to) if down_to is not None else None
        self.where = "the model's output" if layer is None else f'layer "{layer}"'
        self._trace = trace
        #: Which call of a layer counts, by its identity: the last.
        self._calls: dict[int, int] = {}
        #: Which of the softmaxes that are met gives the model's output.
        self._softmax: int | None = None

    def look(self, seen: Pass, outputs: Any, sides: tuple[int, ...]) -> None:
        """Take the shapes from a pass as `wanted` with images of these sides, and whether there is a ReLU on the way.

        Raises:
            InputError: as `Attributor`.
        """
        self._softmax = None if self.layer is not None else self._softmax_of_the_output(seen, outputs, sides)
        self._calls = {identity: seen.ended.count(identity) for identity in seen.ended}
        unit = self._unit_outputs(seen, outputs)
        self.unit_shape = _shape(unit, self.where)
        if len(self.unit_shape) not in (1, 3):
            raise InputError(f"{self.where} has outputs of shape {self.unit_shape}; expected a feature map or vector.")
        if self.layer is not None:
            relus = seen.relus_before[id(self.layer)]
        else:
            relus = seen.relus if self._softmax is None else seen.softmaxes[self._softmax].relus
        if self.down_to is not None:
            lower = self._seen_outputs(seen, self.down_to)
            self.signal_shape = _shape(lower, f'layer "{self.down_to.name}"')
            if self.layer is not None and seen.ended[-1] != id(self.layer):
                raise InputError(
                    f'layer "{self.down_to.name}" comes after {self.where}; expected one that it depends on.'
                )
            relus -= seen.relus_before[id(self.down_to)]
        if relus == 0 and self.method != "backpropagation":
            raise InputError(
                f"no ReLU was found on the way to {self.where}, so {self.method} would be plain backpropagation; "
                "use that, or a layer after a ReLU."
            )
        if self.down_to is None:
            self.signal_shape = sides

    def _softmax_of_the_output(self, seen: Pass, outputs: Any, sides: tuple[int, ...]) -> int | None:
        """Which softmax gave the model's output; attention has some, too. A cast may lie between."""
        import keras

        for index, softmax in enumerate(seen.softmaxes):
            if softmax.outputs is outputs:
                return index
        same = [index for index, one in enumerate(seen.softmaxes) if one.outputs.shape == getattr(outputs, "shape", ())]
        if not same:
            return None
        images = np.random.default_rng(0).normal(size=(1, *sides)).astype(np.float32)
        with forward_pass(Pass("backpropagation")) as seen:
            outputs = self.model(images, training=False)
        given, last = (
            keras.ops.convert_to_numpy(keras.ops.cast(one, "float32"))
            for one in (outputs, seen.softmaxes[same[-1]].outputs)
        )
        return same[-1] if np.allclose(given, last, atol=0.01) else None

    def wanted(self, added: dict[int, Any] | None = None) -> Pass:
        """A pass along this way."""
        watched = tuple(layer for layer in (self.layer, self.down_to) if layer is not None)
        return Pass(self.method, watched, added or {}, self._calls, self._trace)

    def _unit_outputs(self, seen: Pass, outputs: Any) -> Any:
        if self.layer is not None:
            return self._seen_outputs(seen, self.layer)
        return outputs if self._softmax is None else seen.softmaxes[self._softmax].inputs

    def _seen_outputs(self, seen: Pass, layer: Any) -> Any:
        if id(layer) not in seen.outputs:
            raise InputError(f'layer "{layer.name}" is not used when the model is called.')
        return seen.outputs[id(layer)]

    def start(self, images: Any) -> Any:
        """Zeros, which are added where the signal is to be read."""
        from keras import ops

        return ops.zeros((images.shape[0], *self.signal_shape), "float32")

    def value(self, call: Callable, zeros: Any, images: Any, units: Any, places: Any) -> tuple[Any, tuple[Any, Any]]:
        """The sum over the images of their units' values, each of which depends on its own image only."""
        from keras import ops

        seen = self.wanted({} if self.down_to is None else {id(self.down_to): zeros})
        with forward_pass(seen):
            outputs = call(images + zeros if self.down_to is None else images)
        values, where = self._selected(self._unit_outputs(seen, outputs), units, places)
        return ops.sum(values), (values, where)

    def _selected(self, values: Any, units: Any, places: Any) -> tuple[Any, Any]:
        """Each image's value of its unit, (n,) float32, and where in its map, (n,); a place below 0: the strongest."""
        from keras import ops

        values = ops.cast(values, "float32")
        if len(self.unit_shape) == 1:
            return ops.take_along_axis(values, units[:, None], axis=1)[:, 0], ops.zeros_like(units)
        flat = ops.reshape(values, (-1, self.unit_shape[0] * self.unit_shape[1], self.unit_shape[2]))
        one = ops.take_along_axis(flat, units[:, None, None], axis=2)[:, :, 0]
        where = ops.where(places < 0, ops.cast(ops.argmax(one, axis=1), "int32"), places)
        return ops.take_along_axis(one, where[:, None], axis=1)[:, 0], where


def _shape(outputs: Any, where: str) -> tuple[int, ...]:
    """The shape of one image's outputs."""
    if not hasattr(outputs, "shape"):
        raise InputError(f"{where} gives a {type(outputs).__name__} of outputs; expected one.")
    return tuple(int(side) for side in outputs.shape[1:])
