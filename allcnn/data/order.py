"""(seed, epoch, step) -> which images, and the draws for augmenting them.

A counter-based generator keyed by exactly these numbers: any backend, any number of devices and any resume
see the same images, in the same order, mirrored, shifted, turned and coloured the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

#: The columns of the draws of "flip-shift" and "flip-reflect"; those of "large" begin with the same three. All
#: augmentations mirror by the first column.
FLIP, SHIFT_Y, SHIFT_X = 0, 1, 2
#: The columns of the draws of "crop-mirror".
MIRROR, CROP_TOP, CROP_LEFT = 0, 1, 2
#: The further columns of the draws of "large".
ZOOM, STRETCH_Y, STRETCH_X, BEND, ANGLE, BRIGHTNESS, CONTRAST, SATURATION = range(3, 11)
TINT = slice(11, 14)
LARGE_WIDTH = 14
#: The values of BEND: what ANGLE is the amount of.
SHEAR_X, SHEAR_Y, ROTATION = 0, 1, 2

#: Streamed images: so many neighbours are a block, and so many blocks, a window, are mixed with each other.
BLOCK_IMAGES, WINDOW_BLOCKS = 64, 64
WINDOW_IMAGES = BLOCK_IMAGES * WINDOW_BLOCKS

#: The largest shift in pixels of "flip-shift" (paper, section 3.2.1) and of "flip-reflect".
MAX_SHIFT, MAX_REFLECTED = 5, 4
# Ranges of "large". The paper gives none: its section 3.2.3 follows Graham (2015), "heavily scaled, rotated and color
# augmented". From memory of Graham's SparseConvNet, its CIFAR-10 program, not from its text: each axis scaled by
# 1 +- 0.2, mirrored with probability 1/2, then one of two shears or a rotation by up to 0.2, then moved by up to 16
# pixels of the 126. "Heavily" is more than that, and the field leaves room for it: ZOOM scales both axes together as
# well, up to 1.6 times. So the largest image, 32 * 1.6 * 1.2 = 61 pixels a side, 74 across when sheared, stays whole
# where it is moved the furthest: 74 + 2 * 16 = 106 of 126. Below 0.8 pixels would be skipped, and the test's size, 1,
# lies well inside the range. Half of all zooms lie between 0.95 and 1.35.
MAX_SHIFT_OF_FIELD = 16 / 126
LOG_ZOOM = (-0.22, 0.47)  # 0.80 to 1.60
MAX_STRETCH = 0.2
MAX_ANGLE = 0.2
# Nor are there numbers for the colours. Chosen to be modest on photographs: brightness and the tint of each channel
# are parts of the image's own standard deviation (about 50 of 255 levels: up to 20 and 10), so that they mean the same
# after any preprocessing that scales; contrast and saturation are factors.
MAX_BRIGHTNESS = 0.4
MAX_TINT = 0.2
LOG_CONTRAST = (-0.29, 0.29)  # 0.75 to 1.34
MAX_SATURATION = 0.5

# What a generator is for, so that the order of an epoch and the draws of a step never share their numbers.
_ORDER, _DRAWS, _HOLD_OUT, _FLIPS = 1, 2, 3, 4


def generator(seed: int, purpose: int, epoch: int = 0, step: int = 0) -> np.random.Generator:
    """A Philox generator for one purpose at one moment of one run."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, purpose, epoch, step))))


def epoch_order(seed: int, epoch: int, images: int, *, shuffle: bool = True, streamed: bool = False) -> np.ndarray:
    """The order in which an epoch (from 0) visits the images: a permutation, (images,) int64.

    For streamed images all blocks of `BLOCK_IMAGES` neighbours are permuted, then the images within each window of
    `WINDOW_BLOCKS` blocks. So a window is a chance choice of blocks, and what it needs lies together in few places of
    the files. Neighbours in a streamed data set are not alike: it was mixed once, when it was listed or prepared.
    """
    if not shuffle:
        return np.arange(images)
    random = generator(seed, _ORDER, epoch)
    if not streamed:
        return random.permutation(images)
    blocks = random.permutation(-(-images // BLOCK_IMAGES))
    windows = []
    for start in range(0, len(blocks), WINDOW_BLOCKS):
        firsts = blocks[start : start + WINDOW_BLOCKS, None] * BLOCK_IMAGES
        window = (firsts + np.arange(BLOCK_IMAGES)).ravel()
        windows.append(random.permutation(window[window < images]))
    return np.concatenate(windows)


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


def first_flips(seed: int, images: int) -> np.ndarray:
    """Which images the first epoch mirrors where flips alternate: (images,) int8 of 0 and 1, a half of them by chance.

    So two epochs show every image both ways, where chance would show half of them the same way twice (Jordan, "94% on
    CIFAR-10 in 3.29 seconds on a single GPU", 2024).
    """
    return generator(seed, _FLIPS).integers(0, 2, images, np.int8)


def crop_mirror_draws(seed: int, epoch: int, step: int, batch_size: int) -> np.ndarray:
    """The draws of one step: (batch_size, 3) int32 of mirror, and of the crop's top and left in 0..2^31 - 1.

    How many places a crop can be at depends on the image, which is not known here: see `ResizeRule.crop`.
    """
    random = generator(seed, _DRAWS, epoch, step)
    draws = random.integers(0, 1 << 31, (batch_size, 3), np.int64)
    draws[:, MIRROR] &= 1
    return draws.astype(np.int32)


def large_draws(seed: int, epoch: int, step: int, batch_size: int) -> np.ndarray:
    """The draws of "large" for one step: (batch_size, 14) float32, independent of each other.

    FLIP 0 or 1; SHIFT_Y, SHIFT_X uniform on -1..1, of the largest shift; ZOOM the logarithm of a factor, uniform;
    STRETCH_Y, STRETCH_X uniform factors; BEND one of SHEAR_X, SHEAR_Y, ROTATION and ANGLE its amount (a tangent for the
    shears, radians for the rotation), uniform; BRIGHTNESS and TINT (red, green, blue) uniform parts of the image's
    standard deviation; CONTRAST the logarithm of a factor, uniform; SATURATION a uniform factor.

    Whatever needs a transcendental function is left to the accelerator: NumPy's differ in the last bit from machine to
    machine, and the draws must not.
    """
    random = generator(seed, _DRAWS, epoch, step)
    draws = np.empty((batch_size, LARGE_WIDTH), np.float32)

    def uniform(column: int | slice, low: float, high: float) -> None:
        draws[:, column] = low + (high - low) * random.random(draws[:, column].shape)

    draws[:, FLIP] = random.integers(0, 2, batch_size)
    draws[:, BEND] = random.integers(0, 3, batch_size)
    for column in (SHIFT_Y, SHIFT_X):
        uniform(column, -1.0, 1.0)
    uniform(ZOOM, *LOG_ZOOM)
    for column in (STRETCH_Y, STRETCH_X):
        uniform(column, 1 - MAX_STRETCH, 1 + MAX_STRETCH)
    uniform(ANGLE, -MAX_ANGLE, MAX_ANGLE)
    uniform(BRIGHTNESS, -MAX_BRIGHTNESS, MAX_BRIGHTNESS)
    uniform(TINT, -MAX_TINT, MAX_TINT)
    uniform(CONTRAST, *LOG_CONTRAST)
    uniform(SATURATION, 1 - MAX_SATURATION, 1 + MAX_SATURATION)
    return draws


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
    "flip-reflect": Draws(3, "int32", partial(flip_shift_draws, max_shift=MAX_REFLECTED)),
    "crop-mirror": Draws(3, "int32", crop_mirror_draws, on_host=True),
    "large": Draws(LARGE_WIDTH, "float32", large_draws),
}


def hold_out(seed: int, images: int, fraction: float) -> tuple[np.ndarray, np.ndarray]:
    """Split the training images by chance: (kept, held out) indices, each in rising order."""
    held = round(images * fraction)
    order = generator(seed, _HOLD_OUT).permutation(images)
    return np.sort(order[held:]), np.sort(order[:held])
