"""(seed, epoch, step) -> which images, and the draws for mirroring and shifting.

A counter-based generator keyed by exactly these numbers: any backend, any number of devices and any resume
see the same images, in the same order, mirrored and shifted the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

#: The columns of the draws for flip-shift.
FLIP, SHIFT_Y, SHIFT_X = 0, 1, 2
#: The columns of the draws for crop-mirror.
MIRROR, CROP_TOP, CROP_LEFT = 0, 1, 2
#: The augmentation's largest shift in pixels (paper, section 3.2.1).
MAX_SHIFT = 5

#: Images that lie one after the other and are read so, and how many such blocks are mixed with each other. Together
#: they are what must be at hand to read a packed data set from one end of a block to the other.
BLOCK_IMAGES, WINDOW_BLOCKS = 64, 64
WINDOW_IMAGES = BLOCK_IMAGES * WINDOW_BLOCKS

# What a generator is for, so that the order of an epoch and the draws of a step never share their numbers.
_ORDER, _DRAWS, _HOLD_OUT = 1, 2, 3


def generator(seed: int, purpose: int, epoch: int = 0, step: int = 0) -> np.random.Generator:
    """A Philox generator for one purpose at one moment of one run."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, purpose, epoch, step))))


def epoch_order(seed: int, epoch: int, images: int, *, shuffle: bool = True) -> np.ndarray:
    """The order in which an epoch (from 0) visits the images: a permutation, (images,) int64."""
    if not shuffle:
        return np.arange(images)
    return generator(seed, _ORDER, epoch).permutation(images)


def epoch_windows(seed: int, epoch: int, images: int, *, shuffle: bool = True) -> list[np.ndarray]:
    """An epoch's order for images that are streamed: its parts, one after the other, each (n,) int64.

    All blocks of `BLOCK_IMAGES` neighbours are permuted; then the images within each window of `WINDOW_BLOCKS` blocks
    are. A window thus holds a chance choice of blocks, and can be read in long runs. Neighbours in a streamed data set
    are no kin: its images were mixed once when it was listed or packed.
    """
    if not shuffle:
        return [np.arange(images)]
    random = generator(seed, _ORDER, epoch)
    blocks = random.permutation(-(-images // BLOCK_IMAGES))
    windows = []
    for start in range(0, len(blocks), WINDOW_BLOCKS):
        firsts = blocks[start : start + WINDOW_BLOCKS, None] * BLOCK_IMAGES
        window = (firsts + np.arange(BLOCK_IMAGES)).ravel()
        windows.append(random.permutation(window[window < images]))
    return windows


def flip_shift_draws(seed: int, epoch: int, step: int, batch_size: int, max_shift: int = MAX_SHIFT) -> np.ndarray:
    """The draws of one step (from 0 in its epoch): (batch_size, 3) int32 of mirror, dy, dx.

    Mirror with probability 1/2; dy and dx independent and uniform on -max_shift..max_shift.
    """
    random = generator(seed, _DRAWS, epoch, step)
    draws = np.empty((batch_size, 3), np.int32)
    draws[:, FLIP] = random.integers(0, 2, batch_size)
    draws[:, SHIFT_Y] = random.integers(-max_shift, max_shift + 1, batch_size)
    draws[:, SHIFT_X] = random.integers(-max_shift, max_shift + 1, batch_size)
    return draws


def crop_mirror_draws(seed: int, epoch: int, step: int, batch_size: int) -> np.ndarray:
    """The draws of one step: (batch_size, 3) int32 of mirror, and of the crop's top and left in 0..2^31 - 1.

    How many places a crop can be at depends on the image, which is not known here: see `ResizeRule.crop`.
    """
    random = generator(seed, _DRAWS, epoch, step)
    draws = random.integers(0, 1 << 31, (batch_size, 3), np.int64)
    draws[:, MIRROR] &= 1
    return draws.astype(np.int32)


@dataclass(frozen=True)
class Draws:
    """What an augmentation is told about each image: `width` numbers of `dtype`, made by draw(seed, epoch, step, n).

    on_host: it is done to each image as it is decoded, not by a layer of the training model.
    """

    width: int
    dtype: str
    draw: Callable[[int, int, int, int], np.ndarray]
    on_host: bool = False


#: The draws of every augmentation that has any.
DRAWS = {
    "flip-shift": Draws(3, "int32", flip_shift_draws),
    "crop-mirror": Draws(3, "int32", crop_mirror_draws, on_host=True),
}


def hold_out(seed: int, images: int, fraction: float) -> tuple[np.ndarray, np.ndarray]:
    """Split the training images by chance: (kept, held out) indices, each in rising order."""
    held = round(images * fraction)
    order = generator(seed, _HOLD_OUT).permutation(images)
    return np.sort(order[held:]), np.sort(order[:held])
