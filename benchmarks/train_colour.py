"""Networks for colour pictures of 32 x 32 pixels, trained here: plain ones, one against perturbations, a residual one.

Colour pictures that may be shipped are rare. Fashion-MNIST's clothes, painted in a random colour at random places on
backgrounds of noise or of colour gradients, give pictures that small plain networks learn to some 80 %.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from verifluxa.graph.graph import Graph, build
from verifluxa.graph.ops import Activation, Add, Affine, Conv, Input, Op, Reshape

CLOTHES = Path(__file__).parent / "data" / "clothes.npz"
SIDE, PICTURE = 32, 28
TESTS = 400
"""The last pictures of the file are kept for testing."""
EPOCHS, BATCH, RATE = 40, 64, 2e-3
ATTACK_STEPS, ATTACK_SIZE = 4, 4 / 255


def painted(pictures: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    """Pictures (N, 28, 28) in a random colour on coloured backgrounds: shape (N, 3, 32, 32), levels 0..255."""
    rng = np.random.default_rng(seed)
    count = len(pictures)
    corners = rng.uniform(0, 1, (count, 3, 2, 2))
    along = np.linspace(0, 1, SIDE)
    weights = np.stack([1 - along, along])
    gradients = np.einsum("ncij,ia,jb->ncab", corners, weights, weights)
    noise = rng.normal(0, rng.uniform(0.02, 0.15, (count, 1, 1, 1)), (count, 3, SIDE, SIDE))
    canvas = 0.6 * gradients + noise
    colours = rng.uniform(0.4, 1, (count, 3, 1, 1))
    for at, (row, column) in enumerate(rng.integers(0, SIDE - PICTURE + 1, (count, 2))):
        window = canvas[at, :, row : row + PICTURE, column : column + PICTURE]
        opacity = np.minimum(1, pictures[at] / 64.0)
        window[:] = (1 - opacity) * window + opacity * colours[at] * (pictures[at] / 255.0)
    return np.asarray(np.rint(255 * canvas.clip(0, 1)), np.uint8)


@dataclass(frozen=True, eq=False)
class Pictures:
    """Test pictures (N, 3, 32, 32) in levels and their labels."""

    inputs: NDArray[np.uint8]
    labels: NDArray[np.int64]


def tests() -> Pictures:
    """The pictures that no network was trained on."""
    with np.load(CLOTHES) as file:
        return Pictures(painted(file["train_x"][-TESTS:], 10_000), file["train_y"][-TESTS:].astype(np.int64))


class Residual(nn.Module):
    """Two convolutions and what goes past them, as in a ResNet's basic block without batch norm."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride, 1)
        self.second = nn.Conv2d(after, after, 3, 1, 1)
        self.past = nn.Conv2d(before, after, 1, stride) if stride > 1 or before != after else nn.Identity()

    def forward(self, values: Tensor) -> Tensor:
        """Shape (N, after, H / stride, W / stride)."""
        return torch.relu(self.second(torch.relu(self.first(values))) + self.past(values))


def plain(channels: tuple[int, int], dense: int) -> nn.Sequential:
    """Two convolutions (4x4, stride 2) and two dense layers."""
    first, second = channels
    return nn.Sequential(
        nn.Conv2d(3, first, 4, 2, 1),
        nn.ReLU(),
        nn.Conv2d(first, second, 4, 2, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(second * 64, dense),
        nn.ReLU(),
        nn.Linear(dense, 10),
    )


def residual() -> nn.Sequential:
    """The shape of VNN-COMP's resnet_2b: some 110k parameters."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1),
        nn.ReLU(),
        Residual(8, 16, 2),
        Residual(16, 16, 1),
        nn.Flatten(),
        nn.Linear(16 * 64, 100),
        nn.ReLU(),
        nn.Linear(100, 10),
    )


NETS: dict[str, Callable[[], nn.Sequential]] = {
    "cnn 50k": lambda: plain((8, 16), 45),
    "cnn 50k, PGD": lambda: plain((8, 16), 45),
    "cnn 500k": lambda: plain((32, 64), 115),
    "resnet 2b": residual,
}


def train(name: str, epochs: int | None = None) -> tuple[nn.Sequential, float]:
    """A network of this name, and its accuracy on the test pictures; `epochs` in place of the usual number."""
    epochs = epochs or EPOCHS
    torch.manual_seed(0)
    net = NETS[name]()
    with np.load(CLOTHES) as file:
        pictures, labels = file["train_x"][:-TESTS], torch.as_tensor(file["train_y"][:-TESTS].astype(np.int64))
    batches = -(-len(pictures) // BATCH)
    optimizer = torch.optim.AdamW(net.parameters(), RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=epochs * batches)
    for epoch in range(epochs):
        images = torch.as_tensor(painted(pictures, epoch), dtype=torch.float32) / 255
        for chosen in torch.split(torch.randperm(len(images)), BATCH):
            batch, wanted = images[chosen], labels[chosen]
            if "PGD" in name:
                batch = attacked(net, batch, wanted)
            optimizer.zero_grad()
            torch.autograd.backward(functional.cross_entropy(net(batch), wanted))
            optimizer.step()
            schedule.step()
    kept = tests()
    with torch.no_grad():
        said = net(torch.as_tensor(kept.inputs, dtype=torch.float32) / 255).argmax(1).numpy()
    return net, float((said == kept.labels).mean())


def attacked(net: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Projected gradient ascent on the loss (Madry et al. 2018, ICLR)."""
    moved = images + ATTACK_SIZE * (2 * torch.rand_like(images) - 1)
    for _ in range(ATTACK_STEPS):
        leaf = moved.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(functional.cross_entropy(net(leaf), labels), leaf)
        moved = leaf.detach() + 2 * ATTACK_SIZE / ATTACK_STEPS * gradient.sign()
        moved = (images + (moved - images).clamp(-ATTACK_SIZE, ATTACK_SIZE)).clamp(0, 1)
    return moved


def graph(net: nn.Sequential) -> Graph:
    """The network in the project's own form; it reads encoded (0..1) pictures."""
    steps: list[tuple[Op, tuple[int, ...]]] = [(Input((3, SIDE, SIDE)), ())]

    def add(op: Op, *reads: int) -> int:
        steps.append((op, reads or (len(steps) - 1,)))
        return len(steps) - 1

    for part in net:
        if isinstance(part, Residual):
            start = len(steps) - 1
            add(_conv(part.first))
            add(Activation("relu"))
            last = add(_conv(part.second))
            past = start if isinstance(part.past, nn.Identity) else add(_conv(part.past), start)
            add(Add(), last, past)
            add(Activation("relu"))
        elif isinstance(part, nn.Conv2d):
            add(_conv(part))
        elif isinstance(part, nn.Linear):
            add(Affine(_array(part.weight), _array(part.bias)))
        else:
            add(Activation("relu") if isinstance(part, nn.ReLU) else Reshape((-1,)))
    return build(steps)


def _conv(part: nn.Module) -> Conv:
    assert isinstance(part, nn.Conv2d)
    (stride, _), pad = part.stride, int(part.padding[0])
    return Conv(_array(part.weight), _array(part.bias), (stride, stride), (pad, pad), (pad, pad), (1, 1))


def _array(value: Tensor | None) -> NDArray[np.float32]:
    assert value is not None
    array: NDArray[np.float32] = value.detach().numpy()
    return array
