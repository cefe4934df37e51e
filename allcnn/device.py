"""What this machine has, and what follows: precision, jit, where images lie, steps per call, memory."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PRECISIONS = ("auto", "float32", "mixed_bfloat16")
# Where Linux says how much memory a container may take, of cgroups of version 2 and 1.
_CONTAINERS_LIMIT = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


@dataclass(frozen=True)
class Device:
    """The accelerator that trains. `kind` is "cpu" or "gpu"; `bfloat16` says whether it multiplies in bfloat16."""

    backend: str
    kind: str
    name: str
    count: int
    bfloat16: bool


def find_device() -> Device:
    """Look at the accelerator that the loaded backend trains on."""
    import keras

    return jax_device() if keras.backend.backend() == "jax" else tensorflow_device()


def tensorflow_device() -> Device:
    """The device TensorFlow trains on."""
    import tensorflow

    gpus = tensorflow.config.list_physical_devices("GPU")
    if gpus:
        details = tensorflow.config.experimental.get_device_details(gpus[0])
        capability = details.get("compute_capability", (0, 0))
        return Device("tensorflow", "gpu", details.get("device_name", "GPU"), len(gpus), capability >= (8, 0))
    return Device("tensorflow", "cpu", processor_name(), 1, cpu_multiplies_bfloat16())


def jax_device() -> Device:
    """The device JAX trains on. On a CPU, XLA only emulates bfloat16, so it is not claimed there."""
    import jax

    devices = jax.local_devices()
    first = devices[0]
    if first.platform == "cpu":
        return Device("jax", "cpu", processor_name(), len(devices), False)
    capability = getattr(first, "compute_capability", None)
    bfloat16 = float(capability) >= 8.0 if capability else first.platform == "tpu"
    return Device("jax", first.platform, first.device_kind, len(devices), bfloat16)


def cpu_multiplies_bfloat16() -> bool:
    """Whether the processor has bfloat16 products (AVX-512 bf16 or AMX), as Linux reports it."""
    flags = processor_field("flags").split()
    return "avx512_bf16" in flags or "amx_bf16" in flags


def processor_name() -> str:
    """The processor's name, "CPU" where the system does not say."""
    return processor_field("model name") or "CPU"


def processor_field(field: str) -> str:
    """The first value of a field of /proc/cpuinfo, empty where there is none."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == field:
            return value.strip()
    return ""


def resolve_precision(precision: str, device: Device) -> str:
    """Turn "auto" into the Keras dtype policy that trains fastest here, and pass the others through.

    Measured on two cores with AVX-512 bf16: All-CNN-C trains 190 images/s in mixed_bfloat16, 98 in float32.
    """
    if precision != "auto":
        return precision
    return "mixed_bfloat16" if device.bfloat16 else "float32"


def jit_compile(device: Device) -> bool:
    """Whether to compile with XLA: always on JAX; with TensorFlow on a GPU only.

    Measured on two cores: TensorFlow with XLA trains All-CNN-C at 25 to 49 images/s, without at 98.
    """
    return device.backend == "jax" or device.kind == "gpu"


#: The largest training set, in bytes, that is kept on a GPU. CIFAR-10, whitened, takes 614 MB.
IMAGES_ON_DEVICE_BYTES = 2 << 30
#: The most steps in one execution on an accelerator. Enough that Python's millisecond or two between executions is
#: lost among steps of a millisecond.
LONGEST_EXECUTION = 50


def keep_images_on_device(device: Device, image_bytes: int) -> bool:
    """Whether the training images go to the accelerator once, to be gathered there, or batch by batch.

    On a CPU the host's memory is the device's: a second copy gained nothing (strided-a: 1.01 times the speed).
    """
    return device.kind != "cpu" and image_bytes <= IMAGES_ON_DEVICE_BYTES


def steps_per_execution(device: Device, *multiples: int) -> int:
    """How many steps Keras runs between two looks at the callbacks: the largest divisor of all `multiples` up to 50.

    `multiples` are the counts of steps after which an epoch or the run must be able to end. It is 1 on a CPU: a step
    takes a tenth of a second there, and leaving Python out gains nothing (strided-a with 10 steps a call: 0.98 times
    the speed).
    """
    if device.kind == "cpu":
        return 1
    common = math.gcd(*multiples)
    return max(steps for steps in range(1, LONGEST_EXECUTION + 1) if common % steps == 0)


def random_integers(shape: tuple[int, ...], dtype: str, seed: Any) -> Any:
    """Integers uniform over all of `dtype` ("uint8" or "uint16"), from a counter-based generator.

    `seed` is a (2,) integer tensor; the same one gives the same integers on the same backend. The backend's
    own 32 random bits are cut into pieces instead of spending them all on each number.
    """
    import keras

    if keras.backend.backend() == "jax":
        import jax

        return jax.random.bits(jax.numpy.asarray(seed, "uint32"), shape, dtype)
    import tensorflow as tf

    kind = tf.as_dtype(dtype)
    count = math.prod(shape) if all(isinstance(side, int) for side in shape) else tf.reduce_prod(tf.stack(shape))
    words = (count * kind.size + 3) // 4
    bits = tf.random.stateless_uniform([words], tf.cast(seed, tf.int32), minval=None, maxval=None, dtype=tf.uint32)
    return tf.reshape(tf.reshape(tf.bitcast(bits, kind), [-1])[:count], shape)


def physical_memory() -> int:
    """The machine's memory in bytes, or the container's if that is less (16 GiB where the system does not say)."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        memory = 16 << 30
    for limit in _CONTAINERS_LIMIT:
        try:
            memory = min(memory, int(limit.read_text()))
        except (OSError, ValueError):  # not there, or "max"
            pass
    return memory


def device_memory_peak() -> int | None:
    """The most memory, in bytes, that this process took on its first accelerator; None on a CPU."""
    import keras

    if keras.backend.backend() == "jax":
        import jax

        statistics = jax.local_devices()[0].memory_stats()  # None on a CPU
        return statistics.get("peak_bytes_in_use") if statistics else None
    import tensorflow

    if not tensorflow.config.list_physical_devices("GPU"):
        return None
    return tensorflow.config.experimental.get_memory_info("GPU:0")["peak"]
