"""The host's part of a training step, in tf.data: choose, gather, draw, prefetch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from allcnn.data.order import DRAWS, FLIP, epoch_order, first_flips
from allcnn.data.streamed import Images, StreamedImages, cores_here

if TYPE_CHECKING:
    import tensorflow

# Batches made ahead of the accelerator. More only costs memory: a batch takes the host about a millisecond.
PREFETCH = 4
# Steps that Python prepares at a time. Each block makes the permutation of its epoch anew.
BLOCK_STEPS = 250


@dataclass(frozen=True)
class BatchOrder:
    """Everything that decides what a training batch holds, beside the images themselves.

    A last, smaller batch is dropped; fewer images than `batch_size` are one batch. A batch is the same for any number
    of hosts: each host takes its own part, in the order of their numbers.
    """

    images: int
    batch_size: int
    seed: int
    shuffle: bool = True
    #: The recipe's augmentation, which decides the draws.
    augmentation: str = "none"
    #: Mirror each image in every other epoch, not by chance.
    alternate_flips: bool = False
    #: Whether the images are decoded when they are needed, which has an order of its own (`epoch_order`).
    streamed: bool = False
    host: int = 0
    hosts: int = 1

    @property
    def images_per_batch(self) -> int:
        return min(self.batch_size, self.images)

    @property
    def images_per_host(self) -> int:
        return self.images_per_batch // self.hosts

    @property
    def steps_per_epoch(self) -> int:
        return self.images // self.images_per_batch

    def steps(self, first_step: int, last_step: int) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """For each step of a run, first <= step < last: this host's indices (n,) and draws (n, ...) or None."""
        size, draws = self.images_per_batch, DRAWS.get(self.augmentation)
        own = slice(self.host * self.images_per_host, (self.host + 1) * self.images_per_host)
        order, order_epoch = np.empty(0, np.int64), -1
        for step in range(first_step, last_step):
            epoch, position = divmod(step, self.steps_per_epoch)
            if epoch != order_epoch:
                order_epoch = epoch
                order = epoch_order(self.seed, epoch, self.images, shuffle=self.shuffle, streamed=self.streamed)
            indices = order[position * size : (position + 1) * size]
            drawn = draws.draw(self.seed, epoch, position, size) if draws else None
            if drawn is not None and self.alternate_flips:
                drawn[:, FLIP] = (self.first_flips[indices] + epoch % 2) % 2
            yield indices[own], None if drawn is None else drawn[own]

    @cached_property
    def first_flips(self) -> np.ndarray:
        """Which images the first epoch mirrors, (images,) of 0 and 1, where flips alternate."""
        return first_flips(self.seed, self.images)


def training_batches(
    images: Images | None, labels: np.ndarray, order: BatchOrder, first_step: int, last_step: int
) -> tensorflow.data.Dataset:
    """A tf.data.Dataset of the steps of a run: ({"images", "draws"}, labels), every batch of one fixed size.

    With several hosts a batch is this host's part. Python is asked for a block of steps at a time; TensorFlow's threads
    do the rest.

    Args:
        images: (n, height, width, 3), uint8 or float32, which come out in their own type. None if they lie on the
            accelerator: then "indices", int32 (batch,), take the place of "images".
        labels: (n,) int32.
        order: which images, and the draws: (batch, ...) as `DRAWS` says, only if it augments.
        first_step, last_step: first <= step < last.
    """
    import tensorflow as tf

    size, kind = order.images_per_host, DRAWS.get(order.augmentation)

    def blocks() -> Iterator[dict[str, np.ndarray]]:
        for start in range(first_step, last_step, BLOCK_STEPS):
            steps = list(order.steps(start, min(start + BLOCK_STEPS, last_step)))
            block = {"indices": np.stack([indices for indices, _ in steps]).astype(np.int32)}
            if kind:
                block["draws"] = np.stack([draws for _, draws in steps if draws is not None])
            yield block

    signature = {"indices": tf.TensorSpec((None, size), tf.int32)}
    if kind:
        signature["draws"] = tf.TensorSpec((None, size, kind.width), kind.dtype)
    with tf.device("CPU"):
        all_labels = tf.convert_to_tensor(labels)

    def gather(step: dict[str, tensorflow.Tensor]) -> tuple[dict[str, tensorflow.Tensor], tensorflow.Tensor]:
        inputs, indices = dict(step), step["indices"]
        if images is not None:
            # NumPy gathers from its own array: TensorFlow would first make a copy of all images.
            batch = tf.numpy_function(images.__getitem__, [inputs.pop("indices")], images.dtype, stateful=False)
            inputs["images"] = tf.ensure_shape(batch, (size, *images.shape[1:]))
        return inputs, tf.gather(all_labels, indices)

    dataset = tf.data.Dataset.from_generator(blocks, output_signature=signature).prefetch(1).unbatch()
    if isinstance(images, StreamedImages):
        dataset = _decoded(dataset, images, all_labels, size, kind is not None and kind.on_host)
    else:
        dataset = dataset.map(gather)
    options = tf.data.Options()
    # Its thread looks at an iterator ever more rarely, and the iterator's end waits for the next look: up to a minute.
    options.autotune.enabled = False
    dataset = dataset.with_options(options)
    return dataset.apply(tf.data.experimental.assert_cardinality(last_step - first_step)).prefetch(PREFETCH)


def _decoded(
    steps: tensorflow.data.Dataset, images: StreamedImages, labels: tensorflow.Tensor, size: int, cropped: bool
) -> tensorflow.data.Dataset:
    """Batches of decoded images from steps of indices and draws; every image is decoded by whichever thread is free."""
    import tensorflow as tf

    def decode(one: dict[str, tensorflow.Tensor]) -> tuple[dict[str, tensorflow.Tensor], tensorflow.Tensor]:
        inputs = dict(one)
        arguments = [inputs.pop("indices"), *([inputs.pop("draws")] if cropped else [])]
        # A damaged image may have been replaced by another, which has its own label.
        pixels, index = tf.numpy_function(_training_image, arguments, (tf.uint8, tf.int64), stateful=False)
        inputs["images"] = tf.ensure_shape(pixels, images.shape[1:])
        return inputs, tf.gather(labels, tf.ensure_shape(index, ()))

    def _training_image(index: np.ndarray, draws: np.ndarray | None = None) -> tuple[np.ndarray, np.int64]:
        pixels, found = images.training_image(int(index), draws)
        return pixels, np.int64(found)

    return steps.unbatch().map(decode, num_parallel_calls=cores_here()).batch(size, drop_remainder=True)
