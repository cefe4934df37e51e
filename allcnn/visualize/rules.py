"""How a signal passes back through a ReLU: the paper's Figure 1 c, and putting it in place of the gradient's rule."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, NamedTuple

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


def compiled_on_its_own(name: str = "a function with a ReLU in it") -> InputError:
    """What to raise where a rule would be compiled in for good, or would come too late."""
    return InputError(
        f"{name} is compiled on its own (tf.function, jax.jit, keras.ops.cond or rematerialisation), where a ReLU "
        "cannot be given another rule; take that away."
    )


class Softmax(NamedTuple):
    """A softmax that was met: what went in, what came out, and how many ReLUs had been met before it."""

    inputs: Any
    outputs: Any
    relus: int


@dataclass
class Pass:
    """What is to happen in one forward pass, and what was seen in it.

    Args:
        method: the rule of every ReLU.
        watched: layers, by identity, whose outputs are kept, the last call's where a layer is called more than once.
        added: what to add to the output of a layer, by the layer's identity; its gradient is the signal there.
        calls: which call of such a layer it is added to, the first being 1; where nothing is said, the first.
        trace: says in which trace the code runs, so that parts compiled on their own are noticed and refused: there
            a ReLU would keep the rule after the pass, or not get it.
    """

    method: str
    watched: tuple[Any, ...] = ()
    added: dict[int, Any] = field(default_factory=dict)
    calls: dict[int, int] = field(default_factory=dict)
    trace: Callable[[], Any] | None = None
    outputs: dict[int, Any] = field(default_factory=dict)
    #: Identities of the watched layers, one a call, in the order in which the calls ended.
    ended: list[int] = field(default_factory=list)
    relus: int = 0
    #: ReLUs met before each watched layer gave its output, its own included.
    relus_before: dict[int, int] = field(default_factory=dict)
    softmaxes: list[Softmax] = field(default_factory=list)
    #: What was raised inside the model, before Keras and the backend made it longer.
    refusal: InputError | None = None
    _trace: Any = None

    def begin(self) -> None:
        self._trace = None if self.trace is None else self.trace()

    def check_trace(self, layer: Any = None) -> None:
        """Raises InputError inside another trace than the one that the pass began in, or before a layer opens one."""
        if self.trace is None:
            return
        compiled = layer is not None and any(hasattr(layer.call, mark) for mark in ("get_concrete_function", "lower"))
        if compiled or self.trace() != self._trace:
            named = () if layer is None else (f'"{layer.name}", or what calls it,',)
            self.refusal = compiled_on_its_own(*named)
            raise self.refusal

    def keep(self, layer: Any, outputs: Any) -> Any:
        """Note what a watched layer gave; returns it, with what is to be added."""
        identity = id(layer)
        self.ended.append(identity)
        if identity in self.added and self.ended.count(identity) == self.calls.get(identity, 1):
            from keras import ops

            outputs = outputs + ops.cast(self.added[identity], outputs.dtype)
        self.outputs[identity], self.relus_before[identity] = outputs, self.relus
        return outputs


_current: ContextVar[Pass | None] = ContextVar("current", default=None)


@contextmanager
def forward_pass(wanted: Pass) -> Iterator[Pass]:
    """Inside the block, calls of Keras models follow `wanted`, whatever form their ReLUs have.

    Every form, activation="relu", a layer, keras.ops.relu, in shared layers and nested models, ends in one function of
    Keras's backend; it is exchanged while the block lasts, for this thread alone, and the model itself is never
    touched. So are the backend's own, tf.nn.relu and jax.nn.relu, which layers of one's own may call (by that name: one
    that was imported out of its module is not reached). Values are the same as ever; only the gradient differs. What is
    no ReLU, but made of them, keeps its gradient: leaky ones, PReLU, the hard sigmoid; so does a cap other than 6.
    """
    token = _current.set(wanted)
    try:
        wanted.begin()
        _exchange()
        try:
            yield wanted
        except Exception:
            if wanted.refusal is not None:
                raise wanted.refusal from None
            raise
        finally:
            _put_back()
    finally:
        _current.reset(token)


_lock = threading.Lock()
_blocks = 0  # blocks of all threads; the first exchanges, the last puts back
_originals: list[tuple[Any, str, Any]] = []


def _exchange() -> None:
    global _blocks
    with _lock:
        if _blocks == 0:
            for owner, name, wrapped in _places():
                _originals.append((owner, name, getattr(owner, name)))
                setattr(owner, name, wrapped(getattr(owner, name)))
        _blocks += 1


def _put_back() -> None:
    global _blocks
    with _lock:
        _blocks -= 1
        if _blocks == 0:
            while _originals:
                setattr(*_originals.pop())


def _places() -> list[tuple[Any, str, Callable]]:
    """What is exchanged: whose, its name, and what takes its place, given it."""
    import keras
    from keras.src import backend

    functions = {"relu": _relu(None), "relu6": _relu(6.0), "softmax": _softmax, "hard_sigmoid": _as_it_is}
    owners = [backend.nn, getattr(sys.modules.get(keras.backend.backend()), "nn", None)]
    return [(keras.layers.Layer, "__call__", _call)] + [
        (owner, name, wrapped) for owner in owners for name, wrapped in functions.items() if hasattr(owner, name)
    ]


@contextmanager
def _outside() -> Iterator[None]:
    """Inside the block, calls are as ever."""
    token = _current.set(None)
    try:
        yield
    finally:
        _current.reset(token)


def _relu(ceiling: float | None) -> Callable[[Callable], Callable]:
    """A ReLU with the current pass's rule in place of its gradient."""

    def wrapped(function: Callable) -> Callable:
        @wraps(function)
        def relu(*arguments: Any, **keywords: Any) -> Any:
            from keras import ops

            if (seen := _current.get()) is None:
                return function(*arguments, **keywords)
            seen.check_trace()
            seen.relus += 1
            method = seen.method
            x, plain = _of_its_input(function, arguments, keywords)

            @ops.custom_gradient
            def ruled(inputs: Any) -> Any:
                def backward(*signals: Any, upstream: Any = None) -> Any:
                    (signal,) = signals if upstream is None else (upstream,)
                    return through_relu(method, inputs, signal, ceiling)

                with _outside():  # Keras's function calls the backend's, which is exchanged too
                    return plain(inputs), backward

            return ruled(x)

        return relu

    return wrapped


def _softmax(function: Callable) -> Callable:
    @wraps(function)
    def softmax(*arguments: Any, **keywords: Any) -> Any:
        if (seen := _current.get()) is None:
            return function(*arguments, **keywords)
        x, plain = _of_its_input(function, arguments, keywords)
        with _outside():
            outputs = plain(x)
        seen.softmaxes.append(Softmax(x, outputs, seen.relus))
        return outputs

    return softmax


def _of_its_input(function: Callable, arguments: tuple, keywords: dict[str, Any]) -> tuple[Any, Callable[[Any], Any]]:
    """A call's first argument, which may have come by name, and the function of that argument alone."""
    if arguments:
        return arguments[0], lambda x: function(x, *arguments[1:], **keywords)
    name = next(iter(keywords))
    return keywords[name], lambda x: function(**{**keywords, name: x})


def _as_it_is(function: Callable) -> Callable:
    @wraps(function)
    def unruled(*arguments: Any, **keywords: Any) -> Any:
        with _outside():
            return function(*arguments, **keywords)

    return unruled


def _call(function: Callable) -> Callable:
    """`Layer.__call__`, watched."""

    @wraps(function)
    def call(layer: Any, *arguments: Any, **keywords: Any) -> Any:
        if (seen := _current.get()) is None:
            return function(layer, *arguments, **keywords)
        seen.check_trace(layer)
        if _leaks(layer):
            with _outside():
                outputs = function(layer, *arguments, **keywords)
        else:
            outputs = function(layer, *arguments, **keywords)
        return seen.keep(layer, outputs) if any(layer is one for one in seen.watched) else outputs

    return call


def _leaks(layer: Any) -> bool:
    """Whether a layer is a leaky ReLU that Keras puts together from two plain ones."""
    import keras

    return isinstance(layer, keras.layers.PReLU) or bool(isinstance(layer, keras.layers.ReLU) and layer.negative_slope)
