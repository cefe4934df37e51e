"""`allcnn train` with a clock on its parts; the child of startup.py. The product itself knows nothing of it.

    python traced_train.py STARTED STEPS ARGUMENT...

STARTED is `time.time()` when the parent started this process. Functions are wrapped where they are defined, before
anything imports them by name. After STEPS training steps the run is told to stop, and goes on to measure its test
error and save its model; with STEPS 0 the process ends right after its first step. The last line of standard output
is a JSON object: the seconds of each part, none counted twice, and the peak memory so far, in bytes, when the part last
ended.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

REST = "the rest"
IMPORTS = "Python, allcnn and numpy imported"
KERAS = "Keras and its backend imported"
DATA = "data read"
FIT = "whitening fitted, or read"
APPLIED = "whitening applied"
MODELS = "models built"
STEP = "first step, compiled and run"
LATER = "later steps, test error, model saved"

seconds: dict[str, float] = {}
peak_bytes: dict[str, int] = {}
_parts = [REST]
_since = time.time()
# allcnn redirects standard output while it trains.
_figures = os.fdopen(os.dup(1), "w")


def switch(part: str | None) -> None:
    """Charge the time until now to the part that was running; begin another, or with None go back to the one before."""
    global _since
    now = time.time()
    running = _parts[-1]
    seconds[running] = seconds.get(running, 0.0) + now - _since
    peak_bytes[running] = peak_memory()
    _since = now
    if part is None:
        _parts.pop()
    else:
        _parts.append(part)


def peak_memory() -> int:
    """The largest resident size of this process so far, in bytes.

    From Linux's VmHWM: what getrusage says of a child begins with what its parent held when it started it.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def time_function(owner: ModuleType | type, name: str, part: str, after: Callable[[], None] | None = None) -> None:
    """Replace a function of a module or class by one that charges its time to a part."""
    function = getattr(owner, name)

    def timed(*arguments: Any, **keywords: Any) -> Any:
        switch(part)
        try:
            result = function(*arguments, **keywords)
            if after is not None:
                after()
            return result
        finally:
            switch(None)

    setattr(owner, name, timed)


def watch_keras(steps: int) -> None:
    """Once Keras is there: time what imports it, and see the end of the first step."""
    import keras

    from allcnn.training import network

    time_function(network, "make_training_model", MODELS)
    time_function(network, "compile_for_training", MODELS)
    done = 0
    fit, step_ended = keras.Model.fit, keras.callbacks.CallbackList.on_train_batch_end

    def timed_fit(*arguments: Any, **keywords: Any) -> Any:
        switch(STEP)
        try:
            return fit(*arguments, **keywords)
        finally:
            switch(None)

    def after_step(callbacks: Any, batch: int, logs: Any = None) -> None:
        nonlocal done
        done += 1
        if done == 1:
            switch(None)
            if steps == 0:
                report()
                os._exit(0)
            switch(LATER)
        if done == steps:
            callbacks._model.stop_training = True
        step_ended(callbacks, batch, logs)

    keras.Model.fit = timed_fit
    keras.callbacks.CallbackList.on_train_batch_end = after_step


def report() -> None:
    """The last line."""
    print(json.dumps({"seconds": seconds, "peak_bytes": peak_bytes, "peak": peak_memory()}), file=_figures, flush=True)


def main() -> None:
    global _since
    _since = float(sys.argv[1])
    _parts[:] = [REST, IMPORTS]
    from allcnn import backend
    from allcnn.data import dataset, load
    from allcnn.models import build
    from allcnn.preprocessing import base, store
    from allcnn_cli.main import main as allcnn

    time_function(load, "load_data", DATA)
    time_function(dataset.Dataset.digest, "func", DATA)
    time_function(backend, "load_keras", KERAS, after=lambda: watch_keras(int(sys.argv[2])))
    time_function(store, "fit_preprocessing", FIT)
    time_function(base.Preprocessing, "apply", APPLIED)
    time_function(build, "build_model", MODELS)
    from allcnn.training import run  # noqa: F401

    switch(None)
    code = allcnn(sys.argv[3:])
    switch(REST)
    report()
    raise SystemExit(code)


if __name__ == "__main__":
    main()
