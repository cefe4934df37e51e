"""From a unit of any layer back to the image: backpropagation, deconvnet and guided backpropagation (section 3.4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from allcnn.errors import InputError
from allcnn.tables import facts_html
from allcnn.visualize.figures import Panel, as_grid, image_pictures, plotted, signal_pictures
from allcnn.visualize.graph import METHODS, Graph

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

#: The place of a unit in its feature map, if none is given: where it is largest.
STRONGEST = "strongest"
_PLOTTED_IN_A_ROW = 8


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

    def __repr__(self) -> str:
        return f"Attribution({len(self.maps)} maps of {self.maps.shape[1:]})"

    def _repr_html_(self) -> str:
        places = None if self.positions is None else self.positions.shape
        about = {"maps": self.maps.shape, "activations": self.activations.shape, "positions": places}
        return facts_html("Attribution; plot() draws it", about)

    def plot(self, images: np.ndarray | None = None) -> Figure:
        """The maps as pictures, each on its own scale with zero grey, beside their images if those are given.

        Args:
            images: raw, (n, height, width, 3), 0..255.

        Raises:
            InputError: maps of other than 1 or 3 channels, or images of another number or size than theirs.
        """
        channels = self.maps.shape[-1]
        if self.maps.ndim != 4 or channels not in (1, 3):
            raise InputError(f"maps of shape {self.maps.shape} are no pictures; expected 1 or 3 channels.")
        pictures = signal_pictures(np.repeat(self.maps, 3 // channels, axis=-1))
        title = "Attribution, each map on its own scale"
        if images is None:
            return plotted([[Panel("", as_grid(pictures, min(len(pictures), _PLOTTED_IN_A_ROW)))]], title)
        images = np.asarray(images)
        check_shape(images, (None, None, 3))
        if images.shape != pictures.shape:
            raise InputError(
                f"images of shape {images.shape} beside maps of {self.maps.shape}; expected as many alike."
            )
        labels = [f"image {index}" for index in range(len(images))]
        beside = np.stack([image_pictures(images), pictures], axis=1)
        return plotted([[Panel("", beside, labels, ["image", "map"])]], title)


class Attributor:
    """Compiles one way back, from a layer of a model to its images, for any number of calls.

    unit_shape: the shape of the layer's output, a feature map or vector, for images of the last call's size.

    Args:
        model: a functional or sequential model of one image input, or a `Graph` of it, whose method then holds. It is
            not changed: its layers are copied, and their weights are read at every call.
        layer: a layer's name ("conv6"; "nested/inner" in a nested model), or None for the classes: the values before
            the softmax, or the model's output where that is not a softmax's. Of a layer that is called several times
            the last call counts.
        method: "backpropagation", "deconvnet" or "guided", as in the paper's Figure 1 c. Max-pooling passes
            back through its switches, the first of equal values. Activations other than ReLU (and ReLU6) pass back
            by their gradient.
        down_to: the layer at whose output (the last call's) the signal is read; None reads it at the image.

    Raises:
        InputError: an unknown method or layer; a layer whose output is no feature map or vector; a model whose ReLUs
            cannot be reached, as `Graph` says; or a method other than backpropagation without a ReLU on the way, which
            would be the plain gradient under another name.
    """

    unit_shape: tuple[int, ...]

    def __init__(
        self, model: keras.Model | Graph, layer: str | None = None, method: str = "guided", down_to: str | None = None
    ):
        import keras

        graph = model if isinstance(model, Graph) else Graph(model, method)
        self._graph = graph
        self.image_shape = graph.image_shape
        self._where = "the model's output" if layer is None else f'layer "{layer}"'
        # Neither model computes what comes after the unit.
        unit = keras.layers.Identity(dtype="float32")(graph.output(layer))
        self.unit_shape = tuple(unit.shape[1:])
        if len(self.unit_shape) not in (1, 3):
            raise InputError(f"{self._where} has outputs of shape {self.unit_shape}; expected a feature map or vector.")
        self.values = keras.Model(graph.image, unit)
        start = graph.image if down_to is None else graph.output(down_to)
        self._lower = self._upper = None
        if start is not graph.image:
            if layer is not None and not graph.comes_before(str(down_to), layer):
                raise InputError(f'layer "{down_to}" comes after {self._where}; expected one that it depends on.')
            self._lower, self._upper = keras.Model(graph.image, start), keras.Model([graph.image, start], unit)
        elif "float" not in graph.image.dtype:
            raise InputError(
                f'"{graph.name}" takes images of type {graph.image.dtype}, to which no signal passes back; '
                "expected float32, or the layer at which to read the signal (down_to)."
            )
        on_the_way = (self._upper or self.values).operations
        if graph.method != METHODS[0] and not any(id(operation) in graph.ruled for operation in on_the_way):
            raise InputError(
                f"no ReLU was found on the way to {self._where}, so {graph.method} would be plain backpropagation; "
                "use that, or a layer after a ReLU."
            )
        self._run_batch = _compiled(self._signals, graph.variables)

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
        if None in self.image_shape:
            self.unit_shape = tuple(self.values.compute_output_shape((1, *images.shape[1:]))[1:])
        chosen = self._chosen_units(units, len(images))
        places = self._flat_positions(position, len(images))
        if batch_size < 1:
            raise InputError(f"batches of {batch_size} images; expected at least 1.")
        self._graph.take_weights()
        parts = []
        for start in range(0, len(images), batch_size):
            part = slice(start, start + batch_size)
            parts.append(self._run(images[part], chosen[part], places[part], batch_size))
        maps, activations, flat = (np.concatenate(part) for part in zip(*parts, strict=True))
        positions = None
        if len(self.unit_shape) == 3:
            positions = np.stack(np.divmod(flat, self.unit_shape[1]), axis=1)
        return Attribution(maps, activations, positions)

    def _run(self, images: np.ndarray, units: np.ndarray, places: np.ndarray, batch_size: int) -> list[np.ndarray]:
        """One batch, filled up to a power of two or the full size, so that little is compiled twice."""
        count = len(images)
        missing = min(batch_size, 1 << (count - 1).bit_length()) - count
        given = images.astype(np.float32), units, places
        filled = [np.concatenate([part, np.repeat(part[-1:], missing, 0)]) for part in given]
        return [np.asarray(output)[:count] for output in self._run_batch(*filled)]

    def _signals(self, images: Any, units: Any, places: Any) -> tuple[Any, Any, Any]:
        """What comes back for each image, its unit's value, (n,), and where that is in the flattened map, (n,)."""
        from keras import ops

        def total(start: Any) -> tuple[Any, tuple[Any, Any]]:
            """The sum over the images, each of whose values depends on its own image only."""
            outputs = (
                self._upper([images, start], training=False) if self._upper else self.values(start, training=False)
            )
            values, where = _selected(outputs, units, places)
            return ops.sum(values), (values, where)

        start = images if self._lower is None else self._lower(images, training=False)
        signal, (values, where) = _gradient(total, start)
        return ops.cast(signal, "float32"), values, where

    def _chosen_units(self, units: Any, images: int) -> np.ndarray:
        """The unit of each image, (images,) int32."""
        chosen = _integers(units, "unit")
        if chosen.shape not in ((), (images,)):
            raise InputError(f"units of shape {chosen.shape}; expected one, or one for each of the {images} images.")
        outside = chosen[(chosen < 0) | (chosen >= self.units)]
        if outside.size:
            raise InputError(f"{self._where} has no unit {outside.flat[0]}; expected 0 to {self.units - 1}.")
        return np.broadcast_to(chosen, (images,)).astype(np.int32)

    def _flat_positions(self, position: Any, images: int) -> np.ndarray:
        """Each image's position as an index into the flattened feature map, (images,) int32; -1 for the strongest."""
        if isinstance(position, str):
            if position != STRONGEST:
                raise InputError(f'unknown position "{position}"; expected "{STRONGEST}" or (y, x).')
            return np.full(images, -1, np.int32)
        if len(self.unit_shape) == 1:
            raise InputError(f'{self._where} is a vector, whose units have no position; leave it at "{STRONGEST}".')
        places = _integers(position, "position")
        if places.shape not in ((2,), (images, 2)):
            raise InputError(
                f"positions of shape {places.shape}; expected (y, x), or one for each of the {images} images."
            )
        height, width, _ = self.unit_shape
        places = np.broadcast_to(places, (images, 2))
        outside = places[((places < 0) | (places >= (height, width))).any(axis=1)]
        if len(outside):
            raise InputError(
                f"{self._where} has no position {tuple(map(int, outside[0]))}; "
                f"expected (0, 0) to ({height - 1}, {width - 1})."
            )
        return (places[:, 0] * width + places[:, 1]).astype(np.int32)


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


def _selected(values: Any, units: Any, places: Any) -> tuple[Any, Any]:
    """Each image's value of its unit, and where in its map; a place below 0 asks for the strongest."""
    from keras import ops

    if len(values.shape) == 2:
        return ops.take_along_axis(values, units[:, None], axis=1)[:, 0], ops.zeros_like(units)
    flat = ops.reshape(values, (-1, values.shape[1] * values.shape[2], values.shape[3]))
    one = ops.take_along_axis(flat, units[:, None, None], axis=2)[:, :, 0]
    where = ops.where(places < 0, ops.cast(ops.argmax(one, axis=1), "int32"), places)
    return ops.take_along_axis(one, where[:, None], axis=1)[:, 0], where


def _gradient(function: Callable, start: Any) -> tuple[Any, Any]:
    """The gradient of a function of (value, more), and what more it gave."""
    import keras

    if keras.backend.backend() == "jax":
        import jax

        (_, more), signal = jax.value_and_grad(function, has_aux=True)(start)
        return signal, more
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(start)
        total, more = function(start)
    return tape.gradient(total, start, unconnected_gradients=tf.UnconnectedGradients.ZERO), more


def _compiled(function: Callable, variables: list[Any]) -> Callable:
    """A function of arrays that reads these variables, compiled once for each shape.

    Raises:
        InputError: on a backend other than TensorFlow and JAX.
    """
    import keras

    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        @jax.jit
        def run(weights: list[Any], *given: Any) -> Any:
            with keras.StatelessScope(list(zip(variables, weights, strict=True))):
                return function(*given)

        # As arguments: weights that are captured would be compiled in as constants.
        return lambda *given: run([variable.value for variable in variables], *given)
    if backend != "tensorflow":
        raise InputError(f'Keras runs on "{backend}"; expected one of: tensorflow, jax.')
    import tensorflow as tf

    traced: dict[tuple, Callable] = {}

    def traced_once(*given: Any) -> Any:
        tensors = [tf.convert_to_tensor(one) for one in given]
        shape = tuple(tensors[0].shape)
        if shape not in traced:
            # Traced by hand: for several attributors TensorFlow would warn that it traces again and again.
            traced[shape] = tf.function(function, autograph=False).get_concrete_function(*tensors)
        return traced[shape](*tensors)

    return traced_once


def check_shape(images: np.ndarray, expected: tuple[int | None, ...]) -> None:
    """Raises InputError for images that are not (n, height, width, channels) of these sides; None bears any."""
    if images.ndim != 4 or any(want not in (None, got) for want, got in zip(expected, images.shape[1:], strict=True)):
        sides = ", ".join("any" if side is None else str(side) for side in expected)
        raise InputError(f"images of shape {images.shape}; expected (n, {sides}).")


def checked_images(images: Any, expected: tuple[int | None, ...]) -> np.ndarray:
    """Images as an array. Raises InputError as `check_shape`, for none, and for anything but numbers."""
    images = np.asarray(images)
    check_shape(images, expected)
    if images.dtype.kind not in "biuf":
        raise InputError(f"images of type {images.dtype}; expected numbers.")
    if not len(images):
        raise InputError("no images were given; expected at least one.")
    return images


def _integers(values: Any, name: str) -> np.ndarray:
    try:
        array = np.asarray(values)
    except ValueError:  # lists of different lengths
        array = np.asarray(None)
    if array.dtype.kind not in "iu":
        raise InputError(f"unknown {name} {values!r:.60}; expected integers.")
    return array
