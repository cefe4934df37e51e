"""A Keras model copied for one way back: a flat graph in which every ReLU has the method's gradient.

The copy shares nothing with the model, and nothing of Keras is exchanged. The paper's Figure 1 c has the three rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from allcnn.errors import InputError, nearest, refuse_unknown

if TYPE_CHECKING:
    import keras

#: The three ways of propagating back (section 3.4).
METHODS = ("backpropagation", "deconvnet", "guided")
#: Begins the names of copies, so that none is a name that Keras itself gives to an operation, such as "softmax".
COPY = "copy."
# The name of the call whose output enters the softmax at a model's end.
_LOGITS = "before the softmax"
# By the name of a function or an operation, the ceiling above which it is flat.
_RELUS = {"relu": None, "relu6": 6.0}
_RELU_OPERATIONS = {"Relu": None, "Relu6": 6.0}


def check_method(method: str) -> str:
    """Raises InputError for a method that is not one of `METHODS`."""
    refuse_unknown("method", method, METHODS)
    return method


def through_relu(method: str, inputs: Any, signal: Any, ceiling: float | None = None) -> Any:
    """A signal R(l+1) that arrives at a ReLU's output, brought to its inputs f(l): R(l), of the same shape.

    backpropagation: R(l) = (f(l) > 0) R(l+1)
    deconvnet:       R(l) = (R(l+1) > 0) R(l+1)
    guided:          R(l) = (f(l) > 0) (R(l+1) > 0) R(l+1)

    ceiling: of a ReLU that is flat above it, as ReLU6 is. There f(l) lets nothing pass either.
    """
    from keras import ops

    if method != "deconvnet":
        passes = inputs > 0 if ceiling is None else ops.logical_and(inputs > 0, inputs < ceiling)
        signal = ops.where(passes, signal, ops.zeros_like(signal))
    return signal if method == "backpropagation" else ops.where(signal > 0, signal, ops.zeros_like(signal))


def relu_of(method: str, ceiling: float | None) -> Callable[[Any], Any]:
    """A ReLU, clipped at `ceiling`, whose gradient is the method's rule."""
    from keras import activations, ops

    @ops.custom_gradient
    def relu(inputs: Any) -> Any:
        def backward(*signals: Any, upstream: Any = None) -> Any:
            (signal,) = signals if upstream is None else (upstream,)
            return through_relu(method, inputs, signal, ceiling)

        return activations.relu(inputs, max_value=ceiling), backward

    return relu


@dataclass(frozen=True)
class Call:
    """One call of a layer, or of an operation such as keras.ops.relu, in the flat graph.

    name: of the layer; "nested/inner" in a nested model.
    layer: the original.
    """

    name: str
    layer: Any
    inputs: list[Any]
    outputs: list[Any]


class Graph:
    """A copy of a functional or sequential model, nested models unfolded, in which each ReLU has the rule as gradient.

    A ReLU may be a layer, an operation, or the activation of a layer of Keras, with a ceiling (ReLU6) or without. Leaky
    ReLUs, PReLU and all other activations keep their gradient.

    Attributes:
        image: the symbolic input, a batch of images.
        calls: every call of a layer, in order; a call of a nested model follows those inside it.
        ruled: the copies in which a ReLU follows the rule, by identity.

    Args:
        method: one of `METHODS`.

    Raises:
        InputError: a model that takes anything but one batch of images, or gives several outputs; a model, or one
            inside it, that is neither functional nor sequential; a layer that cannot be copied; or a layer or
            activation from outside Keras that may hide a ReLU. The message names it.
    """

    def __init__(self, model: keras.Model, method: str):
        self.method = check_method(method)
        self.name = model.name
        self.ruled: set[int] = set()
        self._relus = 0  # how many were given the rule
        self._copies: dict[int, Any] = {}
        self._originals: list[tuple[Any, Any]] = []
        original = functional(model)
        self.image_shape = _image_shape(original)
        if len(original.outputs) != 1:
            raise InputError(f"the model's output gives a list of {len(original.outputs)} outputs; expected one.")
        self._softmax = _softmax_at_the_end(original)
        flat, self.calls = self._unfolded(original, "")
        self.image = flat.inputs[0]
        self._classes = flat.outputs[-1]
        # The layers in the order of their last calls.
        self._outputs = {original.operations[0].name: [self.image]}
        for call in self.calls:
            if call.name == _LOGITS:
                self._classes = call.outputs[0]
                continue
            self._outputs.pop(call.name, None)
            self._outputs[call.name] = call.outputs
        self.take_weights()

    @property
    def variables(self) -> list[Any]:
        """The copies' variables."""
        return [variable for _, copied in self._originals for variable in copied.variables]

    def full_name(self, name: str) -> str:
        """The name of a layer; the last part of a nested layer's is enough where only one has it.

        Raises:
            InputError: there is none, or more than one.
        """
        if name in self._outputs:
            return name
        names = list(self._outputs)
        inner = [full for full in names if full.endswith(f"/{name}")]
        if len(inner) == 1:
            return inner[0]
        if inner:
            raise InputError(f'several layers are named "{name}"; expected one of: {", ".join(inner)}.')
        near = nearest(name, names) or names[:20]
        raise InputError(f'the model has no layer "{name}"; expected, for example: {", ".join(near)}.')

    def output(self, name: str | None) -> Any:
        """The symbolic output of a layer's last call; of None the classes: the model's output, before its softmax.

        Raises:
            InputError: no such layer, or one of several outputs.
        """
        if name is None:
            return self._classes
        outputs = self._outputs[self.full_name(name)]
        if len(outputs) != 1:
            raise InputError(f'layer "{name}" gives {len(outputs)} outputs; expected one.')
        return outputs[0]

    def comes_before(self, first: str, second: str) -> bool:
        """Whether the last call of one layer ends before that of another, or they are one."""
        names = list(self._outputs)
        return names.index(self.full_name(first)) <= names.index(self.full_name(second))

    def take_weights(self) -> None:
        """Give the copies the weights that the model has now."""
        for original, copied in self._originals:
            copy_weights(original, copied)

    def _unfolded(self, model: keras.Model, prefix: str) -> tuple[keras.Model, list[Call]]:
        """A model's copy that gives the outputs of all its calls, in the order of the calls, and these calls."""
        import keras

        calls: list[Call] = []

        def call(layer: Any, *arguments: Any, **options: Any) -> Any:
            given = [one for one in keras.tree.flatten((arguments, options)) if isinstance(one, keras.KerasTensor)]
            name = prefix + layer.name
            if isinstance(layer, keras.Model):
                nested, inner = self._unfolded(functional(layer), f"{name}/")
                # Called this way, it adds its layers to the graph of its inputs.
                outputs = keras.tree.flatten(nested.call(given))
                places = dict(zip(map(id, [*nested.inputs, *nested.outputs]), [*given, *outputs], strict=True))
                for one in inner:
                    ends = ([places[id(end)] for end in tensors] for tensors in (one.inputs, one.outputs))
                    calls.append(Call(one.name, one.layer, *ends))
                outputs = outputs[-len(layer.outputs) :]
            elif id(layer) == self._softmax:
                logits = self._copied(layer, name)(given[0])
                calls.append(Call(_LOGITS, keras.layers.Identity(), given, [logits]))
                outputs = keras.ops.softmax(logits, axis=getattr(layer, "axis", -1))
            else:
                copied = self._copied(layer, name)
                # The replacement of a ReLU takes one argument, whatever the ReLU called it.
                outputs = copied(*arguments, **options) if type(copied) is type(layer) else copied(given[0])
                if self.method != METHODS[0]:
                    self._refuse_hidden_relus(layer, given, outputs)
            calls.append(Call(name, layer, given, keras.tree.flatten(outputs)))
            return outputs

        copy = keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)
        return keras.Model(copy.inputs, [end for one in calls for end in one.outputs] + copy.outputs), calls

    def _copied(self, layer: Any, name: str) -> Any:
        """A layer's copy, with the rule in place of its ReLU's gradient; the same one for every call of the layer."""
        import keras

        if id(layer) not in self._copies:
            relus = self._relus
            try:
                copied = self._copy(layer, COPY + name.replace("/", "."))
            except Exception as error:  # every layer has its own
                raise cannot_be_copied(layer, error) from error
            self._copies[id(layer)] = copied
            if self._relus > relus:
                self.ruled.add(id(copied))
            if isinstance(layer, keras.layers.Layer):
                self._originals.append((layer, copied))
        return self._copies[id(layer)]

    def _copy(self, layer: Any, name: str) -> Any:
        import keras

        config = {**layer.get_config(), "name": name}
        if callable(activation := getattr(layer, "activation", None)) and not _is_known(activation):
            config["activation"] = activation
        if id(layer) == self._softmax:
            if "activation" not in config:
                return keras.layers.Activation("linear", dtype=layer.output.dtype, name=name)
            config["activation"] = "linear"
        elif self.method != METHODS[0]:
            if (rule := self._rule(type(layer).__name__, config)) is not None:
                return keras.layers.Activation(rule, dtype=layer.output.dtype, name=name)
            config = self._with_rules(config)
        return type(layer).from_config(config)

    def _rule(self, kind: str, config: dict[str, Any]) -> Callable | None:
        """What takes the place of a ReLU of this class; None for any other class, and for a leaky or shifted ReLU."""
        if kind in _RELU_OPERATIONS:
            return self._relu(_RELU_OPERATIONS[kind])
        if kind == "ReLU" and not config["negative_slope"] and not config["threshold"]:
            return self._relu(config["max_value"])
        return None

    def _relu(self, ceiling: float | None) -> Callable:
        self._relus += 1
        return relu_of(self.method, ceiling)

    def _with_rules(self, config: Any, key: str = "") -> Any:
        """A layer's configuration, with the rule in place of every activation in it that is a ReLU."""
        if isinstance(config, list | tuple):
            return type(config)(self._with_rules(one) for one in config)
        if key.endswith("activation"):
            # A function of a backend is itself, or written as a dictionary with its name.
            name = config.get("config") if isinstance(config, dict) else getattr(config, "__name__", config)
            if isinstance(name, str) and name in _RELUS:
                return self._relu(_RELUS[name])
        if isinstance(config, dict):
            if "class_name" in config and (rule := self._rule(config["class_name"], config["config"])) is not None:
                return rule if key.endswith("activation") else _activation_layer(config, rule)
            return {name: self._with_rules(value, name) for name, value in config.items()}
        return config

    def _refuse_hidden_relus(self, layer: Any, inputs: list[Any], outputs: Any) -> None:
        """Raises InputError for a layer, or an activation, from outside Keras that may hide a ReLU."""
        activation = getattr(layer, "activation", None)
        if not _is_known(type(layer)):
            hides = self._may_hide_a_relu(self._copies[id(layer)].call, inputs)
        elif callable(activation) and not _is_known(activation) and id(self._copies[id(layer)]) not in self.ruled:
            hides = self._may_hide_a_relu(activation, [outputs])
        else:
            return
        if hides:
            raise InputError(
                f'layer "{layer.name}" ({type(layer).__name__}) has a ReLU inside, or computes with more than Keras\'s '
                "layers and operations, so that its ReLUs cannot be found; expected them as layers of the model."
            )

    def _may_hide_a_relu(self, function: Callable, inputs: Iterable[Any]) -> bool:
        import keras

        try:
            given = [keras.Input(batch_shape=one.shape, dtype=one.dtype) for one in inputs]
            inside = keras.Model(given, keras.tree.map_structure(keras.layers.Identity(), function(*given))).operations
            relus = self._relus
            for one in inside:
                self._with_rules({"class_name": type(one).__name__, "config": one.get_config()})
            return self._relus > relus or not all(_is_known(type(one)) for one in inside)
        except Exception:
            return True


def functional(model: keras.Model) -> keras.Model:
    """The graph of a functional or sequential model as a functional model, of the same layers.

    Raises:
        InputError: a model that is neither, or whose class has a `call` of its own.
    """
    import keras

    if not getattr(model, "inputs", None):
        raise InputError(f'"{model.name}" has no graph of layers; expected a functional or sequential model.')
    graph = keras.Model(model.inputs, model.outputs, name=model.name)
    if type(model).call not in (type(graph).call, keras.Sequential.call):
        raise InputError(f'"{model.name}" has a call of its own; expected a functional or sequential model.')
    return graph


def copy_weights(original: Any, copy: Any) -> None:
    """Give the copy of a layer or a model the weights that the original has now."""
    import keras

    for theirs, ours in zip(original.variables, copy.variables, strict=True):
        # JAX would share the array, and Keras gives those of a model that predicts away to be overwritten.
        ours.assign(keras.ops.copy(theirs.value))
    parts = [copy]
    for part in parts:
        if hasattr(part, "finalize_state"):  # Normalization works with what it made of its weights
            part.finalize_state()
        if isinstance(part, keras.Model):
            parts += part.layers


def cannot_be_copied(layer: Any, error: Exception) -> InputError:
    """What to raise for a layer whose configuration does not make a copy."""
    reason = next(iter(str(error).strip().splitlines()), type(error).__name__)[:120]
    return InputError(f'layer "{layer.name}" ({type(layer).__name__}) cannot be copied: {reason}')


def _image_shape(model: keras.Model) -> tuple[int | None, ...]:
    """(height, width, channels) that a model takes; sides that may differ are None."""
    if len(model.inputs) != 1:
        raise InputError(f'"{model.name}" has {len(model.inputs)} inputs; expected one of images.')
    shape = tuple(model.inputs[0].shape[1:])
    if len(shape) != 3:
        raise InputError(f'"{model.name}" takes inputs of shape {shape}; expected images (height, width, channels).')
    return shape


def _softmax_at_the_end(model: keras.Model) -> int | None:
    """The identity of the layer whose softmax gives the model's output; a cast may come after it."""
    import keras

    for operation in reversed(model.operations):
        if isinstance(operation, keras.Model):
            return _softmax_at_the_end(functional(operation)) if len(operation.outputs) == 1 else None
        kind = type(operation).__name__
        activation = getattr(getattr(operation, "activation", None), "__name__", "")
        if kind == "Softmax" or activation == "softmax":
            return id(operation)
        if kind not in ("Identity", "Cast") and (kind, activation) != ("Activation", "linear"):
            break
    return None


def _is_known(thing: Any) -> bool:
    """Whether a class or a function is Keras's or ours, whose ReLUs are known."""
    return getattr(thing, "__module__", "").split(".")[0] in ("keras", "allcnn")


def _activation_layer(config: dict[str, Any], rule: Callable) -> dict[str, Any]:
    kept = {name: config["config"][name] for name in ("name", "dtype")}
    return {**config, "class_name": "Activation", "config": {**kept, "activation": rule}}
