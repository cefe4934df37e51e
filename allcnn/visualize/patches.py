"""The strongest patches of a data set for each unit of a layer, with what they tell it: the paper's Figure 3."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from allcnn.device import physical_memory
from allcnn.errors import InputError
from allcnn.evaluation import BATCH_SIZE, probabilities
from allcnn.tables import facts_html
from allcnn.visualize.attribution import STRONGEST, Attributor, check_shape
from allcnn.visualize.figures import Panel, image_pictures, plotted, signal_pictures
from allcnn.visualize.graph import METHODS, Graph
from allcnn.visualize.receptive import ReceptiveField, preprocessed_image, receptive_field

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

#: Images in one batch of reconstructions, which take three times the memory of a batch that is only looked at.
RECONSTRUCTED_AT_ONCE = 64


@dataclass(frozen=True)
class Patches:
    """The k strongest patches of each of n units, strongest first; an image counts once for a unit.

    units: (n,) channels of the layer.
    images: (n, k) index of the image in the data set.
    positions: (n, k, 2) where in the feature map the unit is largest, (y, x); (0, 0) for a vector's units.
    activations: (n, k) float32 there. A ReLU that gives 0 did not fire: such patches say nothing.
    boxes: (n, k, 4) what of the image the unit depends on there: (top, left, bottom, right), the last two outside.
    patches: (n, k, height, width, channels), the receptive field in full size, of the images' dtype; 0 outside the box.
    reconstructions: (n, k, height, width, channels) float32, what comes back there from the unit; 0 outside the box.
        None where none were asked for.
    field: the layer's receptive field.
    """

    layer: str
    method: str | None
    units: np.ndarray
    images: np.ndarray
    positions: np.ndarray
    activations: np.ndarray
    boxes: np.ndarray
    patches: np.ndarray
    reconstructions: np.ndarray | None
    field: ReceptiveField

    def __repr__(self) -> str:
        units, most = self.images.shape
        height, width = self.field.size
        back = f", {self.method} reconstructions" if self.reconstructions is not None else ""
        return f"Patches({self.layer}: {units} units, {most} patches of {height}x{width} for each{back})"

    def _repr_html_(self) -> str:
        units, most = self.images.shape
        height, width = self.field.size
        about = {
            "layer": self.layer, "units": units, "patches of each": most, "receptive field": f"{height}x{width}",
            "reconstructions": self.method,
        }  # fmt: skip
        return facts_html("Patches; plot() draws them", about)

    def plot(self) -> Figure:
        """A row for each unit: what came back from its strongest patches, and these, as raw images 0..255.

        Raises:
            InputError: patches of other than 3 channels.
        """
        if self.patches.shape[-1] != 3:
            raise InputError(f"patches of {self.patches.shape[-1]} channels are no pictures; expected 3.")
        patches, signals = self.pictures()
        labels = [f"unit {unit}" for unit in self.units]
        titles = [str(self.method), "un-whitened"][: len(signals)] + ["image"]
        rows = [labels, *[()] * len(signals)]
        panels = [Panel(*panel) for panel in zip(titles, [*signals, patches], rows, strict=True)]
        return plotted([panels], f"the strongest patches for units of {self.layer}")

    @cached_property
    def inside(self) -> np.ndarray:
        """(n, k, height, width) bool: what of each patch is image, and not the 0 outside the box."""
        images = np.broadcast_to(True, (self.images.size, *self.field.image_size, 1))
        return self.field.cut(images, self.positions.reshape(-1, 2)).reshape(*self.images.shape, *self.field.size)

    def pictures(self) -> tuple[np.ndarray, list[np.ndarray]]:
        """The patches as pictures 0..1, NaN outside the image, and every three channels of the reconstructions so.

        Each is (n, k, height, width, 3).
        """
        outside = np.where(self.inside[..., None], 0.0, np.nan).astype(np.float32)
        back = np.empty(0) if self.reconstructions is None else self.reconstructions
        signals = [signal_pictures(back[..., first : first + 3]) + outside for first in range(0, back.shape[-1], 3)]
        return image_pictures(self.patches) + outside, signals


def strongest_patches(
    model: keras.Model,
    images: np.ndarray | Iterable[np.ndarray],
    layer: str,
    k: int = 10,
    units: Sequence[int] | np.ndarray | None = None,
    method: str | None = "guided",
    down_to: str | None = None,
    batch_size: int = BATCH_SIZE,
    picture: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Patches:
    """For each unit the k images that excite it most, cut to its receptive field, and their reconstructions.

    The images are seen once. Only the k strongest of each unit are kept, so memory does not grow with the data set. Of
    equally strong images the earlier one counts, whatever the batches.

    Args:
        model: a functional or sequential model of one image input. It is not changed.
        images: (n, height, width, channels) as the model takes them, or whatever can be sliced like that; or an
            iterable of such batches of any sizes, or of tuples that begin with them, for what does not fit in memory.
        layer: the layer's name.
        k: how many for each unit; as many as there are images, if those are fewer.
        units: the channels to look at; None: all.
        method: of the reconstructions, as `Attributor` takes it; None: none are made.
        down_to: the layer at whose output the field is counted and the reconstruction read. It must have the image's
            height and width. None: the output of a preprocessing over the whole image, if the model begins with one, as
            ours do; else the image.
        batch_size: images that the model sees at once.
        picture: applied to whole reconstructions, (n, height, width, channels), before they are cut: for example to
            undo whitening, which needs the whole image.

    Raises:
        InputError: no images, or some that do not fit the model; an unknown layer, unit or method; a layer whose
            receptive field is not known, or as `Attributor`.
    """
    if k < 1 or batch_size < 1:
        raise InputError(f"k is {k} and batch_size {batch_size}; expected at least 1.")
    graph = Graph(model, METHODS[0] if method is None else method)
    blocks = _blocks(images, batch_size)
    first = next(blocks, None)
    if first is None:
        raise InputError("no images were given; expected at least one.")
    check_shape(first, graph.image_shape)
    down_to = preprocessed_image(graph) if down_to is None else down_to
    field = receptive_field(graph, layer, down_to, first.shape[1:3])
    if field.image_size != first.shape[1:3]:
        raise InputError(
            f'layer "{down_to}" gives {field.image_size}, the images are {first.shape[1:3]}; expected as many.'
        )
    # Before the pass, so that what it refuses is known at once.
    attributor = Attributor(graph, layer, down_to=down_to) if method is not None else None

    unit_peaks = peaks(graph, layer)
    # A batch is filled up to its size, so that it is no larger than all images are.
    batch_size = min(batch_size, len(first))
    values = probabilities(unit_peaks, first, batch_size)
    best = _Best(k, _checked_units(units, values.shape[1]), keep=not hasattr(images, "shape"))
    _check_memory((len(best.units), k, *field.size), first, method is not None)
    best.see(first, values)
    for block in blocks:
        best.see(block, probabilities(unit_peaks, block, batch_size))

    positions = np.stack(np.divmod(best.places, len(field.width.seen)), axis=-1)
    shape = (*best.images.shape, *field.size)
    patches = np.zeros((*shape, first.shape[-1]), first.dtype)
    reconstructions = None
    order = np.argsort(best.images, axis=None, kind="stable")
    for start in range(0, len(order), RECONSTRUCTED_AT_ONCE):
        rows, slots = np.unravel_index(order[start : start + RECONSTRUCTED_AT_ONCE], best.images.shape)
        pictures = np.stack([best.image(index, images) for index in best.images[rows, slots]])
        places = positions[rows, slots]
        patches[rows, slots] = field.cut(pictures, places)
        if attributor is not None:
            where = places if len(attributor.unit_shape) == 3 else STRONGEST
            maps = attributor(pictures, best.units[rows], where, batch_size=RECONSTRUCTED_AT_ONCE).maps
            maps = maps if picture is None else picture(maps)
            if reconstructions is None:
                reconstructions = np.zeros((*shape, maps.shape[-1]), np.float32)
            reconstructions[rows, slots] = field.cut(maps, places)
    boxes = field.field_of(positions)
    return Patches(
        layer, method, best.units, best.images, positions, best.activations, boxes, patches, reconstructions, field
    )


class _Best:
    """The k strongest images of each unit among those seen so far, strongest first; on request the images too."""

    def __init__(self, k: int, units: np.ndarray, keep: bool):
        self.k = k
        self.units = units
        self.activations = np.empty((len(units), 0), np.float32)
        self.images = self.places = np.empty((len(units), 0), np.int64)
        self.kept: dict[int, np.ndarray] | None = {} if keep else None
        self.count = 0

    def see(self, block: np.ndarray, peaks: np.ndarray) -> None:
        """Take in the next images, and their units' largest activations and where those are: (images, units, 2)."""
        if not np.isfinite(peaks).all():
            image = self.count + int(np.argwhere(~np.isfinite(peaks))[0, 0])
            raise InputError(
                f"image {image} gives activations that are not finite; expected numbers, as of a sound model."
            )
        activations, places = np.moveaxis(peaks[:, self.units], -1, 0).swapaxes(1, 2)
        images = np.broadcast_to(np.arange(self.count, self.count + len(block)), activations.shape)
        joined = np.concatenate([self.activations, activations], axis=1)
        # Stable, and the earlier images first: of equals the earlier stays.
        order = np.argsort(-joined, axis=1, kind="stable")[:, : self.k]
        self.activations = np.take_along_axis(joined, order, axis=1)
        self.images = np.take_along_axis(np.concatenate([self.images, images], axis=1), order, axis=1)
        places = np.concatenate([self.places, places.astype(np.int64)], axis=1)
        self.places = np.take_along_axis(places, order, axis=1)
        if self.kept is not None:
            chosen = np.unique(self.images).tolist()
            self.kept = {
                # A copy, or the whole block would stay with it.
                index: self.kept[index] if index < self.count else block[index - self.count].copy()
                for index in chosen
            }
        self.count += len(block)

    def image(self, index: int, images: Any) -> np.ndarray:
        """One of the chosen images."""
        return np.asarray((images if self.kept is None else self.kept)[int(index)])


def peaks(graph: Graph, layer: str | None) -> keras.Model:
    """The images -> each unit's largest activation and its index in the flattened map, (n, units, 2) float32."""
    import keras
    from keras import ops

    values = keras.layers.Identity(dtype="float32")(graph.output(layer))
    maps = keras.layers.Reshape((-1, values.shape[-1]))(values)
    largest = ops.stack([ops.max(maps, axis=1), ops.cast(ops.argmax(maps, axis=1), "float32")], axis=-1)
    return keras.Model(graph.image, largest)


def _blocks(images: Any, size: int) -> Iterator[np.ndarray]:
    """The images, in order, in blocks of one size, the last one perhaps smaller, whatever batches they come in."""
    batches = images
    if hasattr(images, "shape"):
        batches = (np.asarray(images[start : start + size]) for start in range(0, len(images), size))
    waiting: np.ndarray | None = None
    for batch in batches:
        batch = np.asarray(batch[0] if isinstance(batch, tuple) else batch)
        check_shape(batch, (None, None, None) if waiting is None else waiting.shape[1:])
        waiting = batch if waiting is None or not len(waiting) else np.concatenate([waiting, batch])
        full = len(waiting) - len(waiting) % size
        yield from (waiting[start : start + size] for start in range(0, full, size))
        waiting = waiting[full:]
    if waiting is not None and len(waiting):
        yield waiting


def _checked_units(units: Sequence[int] | np.ndarray | None, count: int) -> np.ndarray:
    chosen = np.arange(count) if units is None else np.asarray(units)
    whole = chosen.ndim == 1 and np.issubdtype(chosen.dtype, np.integer)
    if not whole or not len(chosen) or chosen.min() < 0 or chosen.max() >= count:
        raise InputError(f"the units are {units!r:.60}; expected a list of whole numbers from 0 to {count - 1}.")
    return chosen


def _check_memory(shape: tuple[int, ...], images: np.ndarray, reconstructed: bool) -> None:
    values = int(np.prod(shape)) * images.shape[-1]
    needed, limit = values * (images.dtype.itemsize + 4 * reconstructed), physical_memory() // 2
    if needed > limit:
        raise InputError(
            f"{shape[0]} x {shape[1]} patches of {shape[2]} x {shape[3]} need {needed / 2**30:.1f} GiB; at most "
            f"{limit / 2**30:.1f} GiB, half of this machine's memory, is used. Ask for fewer units, or a smaller k."
        )
