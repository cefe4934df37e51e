"""The same network in PyTorch, as a good script would have it: a module, a bare training step on tensors in memory."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from allcnn.specs import Activation, Conv, Dropout, GlobalAverage, Pool, Spec, layer_shapes, resolve


def make_module(spec: Spec, classes: int = 10) -> nn.Sequential:
    """A spec as PyTorch modules: (batch, 3, height, width) -> (batch, classes) before the softmax.

    Where Keras's "same" would put an odd zero at the right and the bottom, these pad by half the kernel on every
    side, as PyTorch's users do: the sizes and the arithmetic are equal, and there is no padding layer to pay for.
    """
    modules: list[nn.Module] = []
    channels = 3
    for layer, row in zip(spec, layer_shapes(spec, classes=classes), strict=False):
        match layer:
            case Conv(_, size, stride, padding, activation):
                filters = row.output_shape[-1]
                modules.append(nn.Conv2d(channels, filters, size, stride, _zeros(size, padding)))
                modules += [nn.ReLU(inplace=True)] * (activation == Activation("relu"))
                channels = filters
            case Pool("max", size, stride, padding):
                modules.append(nn.MaxPool2d(size, stride, _zeros(size, padding)))
            case Dropout(rate):
                modules.append(nn.Dropout(rate))
            case GlobalAverage():
                modules += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
            case _:
                raise NotImplementedError(f"no PyTorch module here for {layer!r}")
    return nn.Sequential(*modules)


def _zeros(size: int, padding: str | int) -> int:
    return {"same": size // 2, "valid": 0}[padding] if isinstance(padding, str) else padding


class TorchLoop:
    """SGD with momentum and weight decay on images that lie in memory, batch after batch.

    options: of "channels_last", "bfloat16" (autocast) and "compiled"; none is what a plain script gets.
    """

    def __init__(self, model: str, options: set[str], batch_size: int, images: int):
        torch.manual_seed(0)
        layout = torch.channels_last if "channels_last" in options else torch.contiguous_format
        spec, _ = resolve(model)
        network = make_module(spec).to(memory_format=layout).train()
        sample = torch.zeros(1, 3, 32, 32).to(memory_format=layout)
        if network(sample).shape != (1, 10):
            raise ValueError(f"the PyTorch network of {model} gives {tuple(network(sample).shape)}, expected (1, 10)")
        self.network = torch.compile(network) if "compiled" in options else network
        self.optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=0.001)
        self.bfloat16 = "bfloat16" in options
        self.images = torch.randn(images, 3, 32, 32).to(memory_format=layout)
        self.labels = torch.randint(0, 10, (images,))
        self.batch_size = batch_size
        self.position = 0

    def step(self) -> None:
        start = self.position
        self.position = (start + self.batch_size) % len(self.images)
        images = self.images[start : start + self.batch_size]
        labels = self.labels[start : start + self.batch_size]
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            loss = functional.cross_entropy(self.network(images).float(), labels)
        loss.backward()
        self.optimizer.step()
