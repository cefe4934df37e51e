"""The recipe `fast` in PyTorch, as a good script would have it, on the same batches in the same order."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional
from torch_peer import make_module

from allcnn.data.load import load_data
from allcnn.data.order import FLIP, SHIFT_X, SHIFT_Y
from allcnn.data.pipeline import BatchOrder
from allcnn.runs.recipe import RECIPES, Recipe
from allcnn.specs import resolve


def make_network(model: str, recipe: Recipe) -> nn.Sequential:
    """The network with the recipe's dropout rates and its start, from the same distribution as Keras's."""
    network = make_module(resolve(model)[0])
    scales = [recipe.input_dropout_scale if isinstance(network[0], nn.Dropout) else recipe.dropout_scale]
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p *= scales.pop() if scales else recipe.dropout_scale
        elif isinstance(module, nn.Conv2d):
            # Keras's he_normal is cut at two standard deviations, and widened by what that takes.
            deviation = math.sqrt(2 / module.weight[0].numel()) / 0.87962566
            nn.init.trunc_normal_(module.weight, std=deviation, a=-2 * deviation, b=2 * deviation)
            nn.init.zeros_(module.bias)
            classes = module.bias
    nn.init.constant_(classes, recipe.class_bias)
    return network


class Muon(torch.optim.Optimizer):
    """`allcnn.optimizers.Muon`: orthogonalised momentum that keeps norms for kernels, Adam for biases."""

    def __init__(self, network: nn.Module, momentum: float, bias_ratio: float = 0.1):
        super().__init__(network.parameters(), {"lr": 0.0})
        self.momentum = momentum
        self.bias_ratio = bias_ratio
        self.adam = torch.optim.Adam([one for one in network.parameters() if one.ndim == 1], 0.0, (0.9, 0.99), 1e-7)

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for kernel in group["params"]:
                if kernel.ndim > 1:
                    self._kernel_step(kernel, group["lr"])
            self.adam.param_groups[0]["lr"] = self.bias_ratio * group["lr"]
        self.adam.step()

    def _kernel_step(self, kernel: torch.Tensor, learning_rate: float) -> None:
        momentum = self.state[kernel].setdefault("momentum", torch.zeros_like(kernel))
        momentum.mul_(self.momentum).add_(kernel.grad)
        direction = orthogonalize((kernel.grad + self.momentum * momentum).flatten(1)).view_as(kernel)
        norm = kernel.norm()
        kernel.sub_(direction, alpha=float(learning_rate * norm / direction.norm().clamp_min(1e-7)))
        kernel.mul_(norm / kernel.norm().clamp_min(1e-7))


def orthogonalize(matrix: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Newton-Schulz on the small Gram matrix, as allcnn's."""
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonalize(matrix.T, steps).T
    a, b, c = 3.4445, -4.7750, 2.0315
    matrix = matrix / (matrix.norm() + 1e-7)
    gram = matrix @ matrix.T
    identity = total = torch.eye(len(gram))
    for _ in range(steps):
        factor = a * identity + (b * identity + c * gram) @ gram
        total = factor @ total
        gram = factor @ gram @ factor
    return total @ matrix


def augmented(images: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
    """Images (n, height, width, 3) shifted, reflected at their edges, then mirrored, by their draws."""
    size = images.shape[1]
    rows = torch.arange(size) + draws[:, SHIFT_Y, None]
    columns = torch.arange(size).expand(len(images), size)
    columns = torch.where(draws[:, FLIP, None] > 0, size - 1 - columns, columns) + draws[:, SHIFT_X, None]
    rows, columns = (size - 1 - (size - 1 - lines.abs()).abs() for lines in (rows, columns))
    return images[torch.arange(len(images))[:, None, None], rows[:, :, None], columns[:, None, :]]


def epochs_in_torch(model: str, data_dir: str, state: Path, epochs: int, seed: int) -> Iterator[tuple[float, float]]:
    """Train, with channels_last and bfloat16 autocast: each epoch's seconds and test error in percent.

    Goes on from the epoch whose state lies in the file `state`, and writes the next ones there.
    """
    recipe, data = RECIPES["fast"].with_overrides(length=epochs), load_data("cifar10", data_dir)
    torch.manual_seed(seed)
    network = make_network(model, recipe).to(memory_format=torch.channels_last)
    optimizer = Muon(network, recipe.momentum)
    train, test = (torch.from_numpy(images).float() for images in (data.train_images, data.test_images))
    mean, deviation = train.mean((0, 1, 2)), train.std((0, 1, 2), unbiased=False)
    train, test = ((images - mean) / deviation for images in (train, test))
    labels, wanted = torch.from_numpy(data.train_labels).long(), torch.from_numpy(data.test_labels).long()
    order = BatchOrder(
        len(labels), recipe.batch_size, seed, augmentation=recipe.augmentation, alternate_flips=recipe.alternate_flips
    )
    done, steps = 0, order.steps_per_epoch
    if state.exists():
        done, *states, masks = torch.load(state)
        for part, loaded in zip((network, optimizer, optimizer.adam), states, strict=True):
            part.load_state_dict(loaded)
        torch.set_rng_state(masks)
    for epoch in range(done, epochs):
        begun = time.perf_counter()
        network.train()
        for step, (indices, draws) in enumerate(order.steps(epoch * steps, (epoch + 1) * steps), start=epoch * steps):
            images = augmented(train[indices], torch.from_numpy(draws)).permute(0, 3, 1, 2)
            with torch.autocast("cpu", torch.bfloat16):
                values = network(images)
            loss = functional.cross_entropy(values.float(), labels[indices], label_smoothing=recipe.label_smoothing)
            network.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.param_groups[0]["lr"] = recipe.learning_rate * (1 - step / (epochs * steps))
            optimizer.step()
        seconds = time.perf_counter() - begun
        network.eval()
        with torch.no_grad():
            guesses = torch.cat([network(part.permute(0, 3, 1, 2)).argmax(1) for part in test.split(500)])
        states = (part.state_dict() for part in (network, optimizer, optimizer.adam))
        torch.save((epoch + 1, *states, torch.get_rng_state()), state)
        yield seconds, 100 * (guesses != wanted).float().mean().item()
