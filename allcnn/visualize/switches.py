"""Max-pooling in place of strides, after training: what gives the way back its switches (section 3.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from allcnn.errors import InputError

if TYPE_CHECKING:
    import keras

SUFFIX = "_switches"


def with_switches(model: keras.Model) -> keras.Model:
    """A copy of a model in which max-pooling does what strides did: "2x2 max-pooling after training".

    Each convolution of stride s (depthwise and separable ones too) gets stride 1, and after it, after an activation of
    its own, s x s max-pooling of stride s, named `{its name}_switches`. (An activation in a layer of its own comes
    after the pooling, which for one that rises gives the same values.) All later sizes stay as they were. Weights and
    names are the model's; the copy shares nothing with it and is not compiled.

    Args:
        model: functional or sequential, models inside it too.

    Raises:
        InputError: the model has no strided convolution; one lies inside a layer that is no model; or the model, or a
            layer, is of a kind that cannot be copied.
    """
    return _Copy().of(model, outermost=True)


class _Copy:
    """Copies a model and the models inside it, each layer once however often it is called."""

    def __init__(self) -> None:
        self.copies: dict[int, Any] = {}
        self.originals: list[tuple[Any, Any]] = []
        #: The pooling after a copied convolution, by the copy's identity.
        self.pools: dict[int, Any] = {}

    def of(self, model: Any, outermost: bool = False) -> Any:
        import keras

        if not getattr(model, "inputs", None):
            raise InputError(f'"{model.name}" is neither functional nor sequential, so its strides cannot be replaced.')
        # The same graph anew: one that is not compiled, and functional where the model is sequential.
        is_sequential = isinstance(model, keras.Sequential)  # whose `input`, once it lies in a model, is that model's
        ends = (model.inputs[0], model.outputs[0]) if is_sequential else (model.input, model.output)
        graph = keras.Model(*ends, name=model.name)
        if type(model).call not in (type(graph).call, keras.Sequential.call):
            raise InputError(f'"{model.name}" has a call of its own, so its strides cannot be replaced.')
        names = {id(one.output): one.name for one in graph.layers if isinstance(one, keras.layers.InputLayer)}
        inputs = keras.tree.map_structure(
            lambda one: keras.Input(batch_shape=one.shape, dtype=one.dtype, name=names[id(one)]), graph.input
        )
        copy = keras.models.clone_model(graph, inputs, clone_function=self.layer, call_function=self.call)
        if outermost and not self.pools:
            raise InputError(f'"{model.name}" has no strided convolution, whose stride max-pooling could replace.')
        if outermost:
            for original, copied in self.originals:
                _copy_weights(original, copied)
        return copy

    def layer(self, layer: Any) -> Any:
        """A layer's copy, at stride 1."""
        import keras

        if id(layer) not in self.copies:
            is_graph = isinstance(layer, keras.Model) and bool(getattr(layer, "inputs", None))
            self.copies[id(layer)] = self.of(layer) if is_graph else self._layer(layer)
        return self.copies[id(layer)]

    def call(self, layer: Any, *arguments: Any, **keywords: Any) -> Any:
        outputs = layer(*arguments, **keywords)
        return self.pools[id(layer)](outputs) if id(layer) in self.pools else outputs

    def _layer(self, layer: Any) -> Any:
        import keras

        strides = _strides(layer)
        if strides is None and (inner := [one.name for one in _inside(layer) if _strides(one)]):
            raise InputError(
                f'layer "{layer.name}" has a strided convolution inside ("{inner[0]}"), which cannot be replaced; '
                "expected it as a layer of the model."
            )
        config = layer.get_config()
        if strides is not None:
            config["strides"] = (1, 1)
        try:
            copied = type(layer).from_config(config)
        except Exception as error:
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)[:120]
            raise InputError(f'layer "{layer.name}" ({type(layer).__name__}) cannot be copied: {reason}') from error
        if strides is not None:
            self.pools[id(copied)] = keras.layers.MaxPooling2D(
                strides, strides=strides, padding="same", data_format=layer.data_format, dtype=layer.dtype_policy,
                name=layer.name + SUFFIX,
            )  # fmt: skip
        if isinstance(layer, keras.layers.Layer):  # else an operation such as keras.ops.relu
            self.originals.append((layer, copied))
        return copied


def _strides(layer: Any) -> tuple[int, int] | None:
    """The strides of a strided convolution; None of any other layer."""
    import keras

    kinds = keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D
    if not isinstance(layer, kinds):
        return None
    strides = (layer.strides,) * 2 if isinstance(layer.strides, int) else tuple(layer.strides)
    return strides if max(strides) > 1 else None


def _inside(layer: Any) -> list[Any]:
    """The layers that a layer holds."""
    flatten = getattr(layer, "_flatten_layers", None)
    return list(flatten(include_self=False)) if flatten else []


def _copy_weights(original: Any, copied: Any) -> None:
    copied.set_weights(original.get_weights())
    if hasattr(copied, "finalize_state"):  # Normalization works with what it made of its weights
        copied.finalize_state()
