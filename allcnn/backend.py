"""Which backend Keras runs on, and how it is loaded: quietly, once, and before anything else loads it.

Keras reads its backend when it is first imported, so `choose_backend` comes before everything that loads
Keras, and `load_keras` is the one place that loads it for the command line.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from importlib.util import find_spec
from typing import TYPE_CHECKING

from allcnn.errors import InputError, install_hint, refuse_unknown
from allcnn.waiting import waiting

if TYPE_CHECKING:
    import logging

BACKENDS = ("tensorflow", "jax")


def choose_backend(name: str | None = None) -> str:
    """Settle the Keras backend: `name`, else the environment's KERAS_BACKEND, else TensorFlow.

    Raises:
        InputError: the backend is not one of ours, is not installed, or Keras is already loaded with another.
    """
    name = name or os.environ.get("KERAS_BACKEND") or "tensorflow"
    refuse_unknown("backend", name, BACKENDS)
    if find_spec(name) is None:
        raise InputError(f'the backend "{name}" is not installed. {install_hint(name)}')
    loaded = sys.modules.get("keras")
    if loaded is not None and loaded.backend.backend() != name:
        raise InputError(
            f'Keras is already running on "{loaded.backend.backend()}", so "{name}" cannot be chosen any more. '
            "Set KERAS_BACKEND before Keras is imported."
        )
    os.environ["KERAS_BACKEND"] = name
    return name


def prefer_backend(name: str) -> None:
    """Settle the backend as `name` where nothing else has: no KERAS_BACKEND, and Keras not loaded yet."""
    if "keras" not in sys.modules and not os.environ.get("KERAS_BACKEND"):
        choose_backend(name)


_DETERMINISTIC_XLA = "--xla_gpu_deterministic_ops=true"
# From jaxlib 0.10.2 on, YNNPACK computes some fusions on CPUs: wrongly in 0.10.2 (jax issue 39103), with hangs and
# crashes in 0.11.0 too (39257). 0.10.1 is the first version that knows the flag; earlier ones end the process on it.
_NO_YNN_FUSIONS = "--xla_cpu_experimental_ynn_fusion_type="
_FIRST_WITH_YNN = (0, 10, 1)
# Keras imports these, where they are installed, for parts of it that the command line never uses.
_OPTIONAL = ("sklearn", "matplotlib")
_left_out: tuple[str, ...] = ()


def leave_out_optional_imports() -> None:
    """Let `load_keras` keep Keras from importing libraries that it can do without; for programs that are all ours.

    Measured, alternating: 4.1 s to load Keras and TensorFlow with both of them installed, 3.1 s without. The price is
    that Keras's wrappers for scikit-learn and its plots do not work in this process.
    """
    global _left_out
    _left_out = _OPTIONAL


def load_keras(deterministic: bool = False) -> None:
    """Import Keras and its backend without their start-up chatter, and set full float32 products.

    deterministic: only operations that give the same bits every time, on a GPU too; where there is none of a kind,
    TensorFlow raises instead. On a CPU all that we use do so anyway. It holds for the whole process.

    TensorFlow writes lines of its own to file descriptor 2 whatever its log level; they are held back and
    shown only if loading fails.
    """
    backend = choose_backend()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with waiting("loading Keras"), hold_standard_error(), hidden_modules(_left_out):
        if backend == "jax":
            _set_xla_flags(deterministic)
        import keras  # noqa: F401

        if backend == "jax":
            import jax

            # A GPU multiplies float32 in TensorFloat-32 by default, which whitening cannot bear.
            jax.config.update("jax_default_matmul_precision", "highest")
            jax.devices()
            import tensorflow

            tensorflow.config.set_visible_devices([], "GPU")  # JAX trains there; TensorFlow only feeds images
        else:
            import tensorflow

            ignore_retracing_of_keras()
            tensorflow.config.experimental.enable_tensor_float_32_execution(False)
            tensorflow.config.list_physical_devices()
            if deterministic:
                tensorflow.config.experimental.enable_op_determinism()


def ignore_retracing_of_keras() -> None:
    """Keep TensorFlow from warning that it traces Keras's steps again and again.

    It counts those of all models as one function's, so that the fifth model of a process meets the warning.
    """
    import logging

    logging.getLogger("tensorflow").addFilter(_is_no_retracing_of_keras)


def _is_no_retracing_of_keras(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    return not ("TensorFlowTrainer" in message and "retracing" in message)


def _set_xla_flags(deterministic: bool) -> None:
    """Add to XLA_FLAGS, which XLA reads when JAX first looks for devices. A flag that the user has set stays."""
    from importlib.metadata import version

    flags = os.environ.get("XLA_FLAGS", "")
    wanted = [_DETERMINISTIC_XLA] if deterministic else []
    if tuple(int(part) for part in version("jaxlib").split(".")[:3]) >= _FIRST_WITH_YNN:
        wanted.append(_NO_YNN_FUSIONS)
    flags = " ".join([flags, *(flag for flag in wanted if flag.partition("=")[0] not in flags)])
    os.environ["XLA_FLAGS"] = flags.strip()


def import_keras_quietly() -> None:
    """Import Keras, if nobody has, without the start-up chatter of its backend; unlike `load_keras` settle nothing."""
    if "keras" not in sys.modules:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        with hold_standard_error():
            import keras

            keras.ops.zeros(1)  # the backend looks for devices now


@contextmanager
def hidden_modules(names: tuple[str, ...]) -> Iterator[None]:
    """Inside the block, importing one of these fails as if it were not installed, unless it is loaded already."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


@contextmanager
def hold_standard_error() -> Iterator[None]:
    """Hold back what anything writes to file descriptor 2 inside the block; show it if the block fails."""
    import tempfile

    sys.stderr.flush()
    try:
        saved = os.dup(2)
    except OSError:  # no descriptor 2 to hold
        yield
        return
    # A spinner may have taken sys.stderr's place.
    with tempfile.TemporaryFile() as held, redirect_stderr(sys.__stderr__ or sys.stderr):
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            sys.stderr.flush()
            held.seek(0)
            os.write(saved, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
