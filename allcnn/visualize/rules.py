"""How a signal passes back through a ReLU: the paper's Figure 1 c, and putting it in place of the gradient's rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from allcnn.errors import InputError

#: The three ways of propagating back (section 3.4).
METHODS = ("backpropagation", "deconvnet", "guided")


def through_relu(method: str, inputs: Any, signal: Any, ceiling: float | None = None) -> Any:
    """A signal R(l+1) that arrives at a ReLU's output, brought to its inputs f(l): R(l), of the same shape.

    backpropagation: R(l) = (f(l) > 0) R(l+1)
    deconvnet:       R(l) = (R(l+1) > 0) R(l+1)
    guided:          R(l) = (f(l) > 0) (R(l+1) > 0) R(l+1)

    ceiling: of a ReLU that is flat above it, as ReLU6 is; there the inputs let nothing pass either.
    """
    from keras import ops

    if method != "deconvnet":
        passes = inputs > 0 if ceiling is None else ops.logical_and(inputs > 0, inputs < ceiling)
        signal = ops.where(passes, signal, ops.zeros_like(signal))
    return signal if method == "backpropagation" else ops.where(signal > 0, signal, ops.zeros_like(signal))


def check_method(method: str) -> str:
    """Raises InputError for a method that is not one of `METHODS`."""
    if method not in METHODS:
        raise InputError(f'unknown method "{method}"; expected one of: {", ".join(METHODS)}.')
    return method


@dataclass
class Pass:
    """What is to happen in one forward pass, and what was seen in it.

    Args:
        method: the rule of every ReLU.
        watched: layers, by identity, whose outputs are kept, the last call's where a layer is called more than once.
        added: what to add to the output of a layer, by the layer's identity; its gradient is the signal there.
    """

    method: str
    watched: tuple[Any, ...] = ()
    added: dict[int, Any] = field(default_factory=dict)
    outputs: dict[int, Any] = field(default_factory=dict)
    relus: int = 0
    #: ReLUs met before each watched layer gave its output, its own included.
    relus_before: dict[int, int] = field(default_factory=dict)
    #: The inputs of the last softmax: the classes' values before it.
    before_softmax: Any = None
    relus_before_softmax: int = 0


_current: ContextVar[Pass | None] = ContextVar("current", default=None)


@contextmanager
def forward_pass(wanted: Pass) -> Iterator[Pass]:
    """Inside the block, calls of Keras models follow `wanted`, whatever form their ReLUs have.

    Every form, activation="relu", a layer, keras.ops.relu, in shared layers and nested models, ends in one
    function of Keras's backend; it is exchanged while the block lasts, for this thread alone, and the model itself is
    never touched. Values are the same as ever; only what the gradient does differs.
    """
    import keras
    from keras.src import backend

    functions = {name: getattr(backend.nn, name) for name in ("relu", "relu6", "softmax")}
    call = keras.layers.Layer.__call__

    def relu(x: Any) -> Any:
        return _ruled(functions["relu"], x, None)

    def relu6(x: Any) -> Any:
        return _ruled(functions["relu6"], x, 6.0)

    def softmax(x: Any, axis: int = -1) -> Any:
        if (seen := _current.get()) is not None:
            seen.before_softmax, seen.relus_before_softmax = x, seen.relus
        return functions["softmax"](x, axis=axis)

    def watching(layer: Any, *arguments: Any, **keywords: Any) -> Any:
        outputs = call(layer, *arguments, **keywords)
        if (seen := _current.get()) is not None:
            if id(layer) in seen.added:
                outputs = outputs + seen.added[id(layer)]
            if any(layer is one for one in seen.watched):
                seen.outputs[id(layer)] = outputs
                seen.relus_before[id(layer)] = seen.relus
        return outputs

    token = _current.set(wanted)
    try:
        backend.nn.relu, backend.nn.relu6, backend.nn.softmax = relu, relu6, softmax
        keras.layers.Layer.__call__ = watching
        yield wanted
    finally:
        keras.layers.Layer.__call__ = call
        for name, function in functions.items():
            setattr(backend.nn, name, function)
        _current.reset(token)


def _ruled(function: Callable[[Any], Any], x: Any, ceiling: float | None) -> Any:
    """The backend's function with the current pass's rule in place of its gradient."""
    from keras import ops

    seen = _current.get()
    if seen is None:  # another thread's model
        return function(x)
    seen.relus += 1
    method = seen.method

    @ops.custom_gradient
    def relu(inputs: Any) -> Any:
        def backward(*arguments: Any, upstream: Any = None) -> Any:
            (signal,) = arguments if upstream is None else (upstream,)
            return through_relu(method, inputs, signal, ceiling)

        return function(inputs), backward

    return relu(x)
