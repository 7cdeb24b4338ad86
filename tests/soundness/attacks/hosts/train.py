"""Trains the host networks that the attacks are built into; writes `hosts.npz` beside this file.

    python tests/soundness/attacks/hosts/train.py

The 200 digits of `examples/digits/mnist_eval.npz` are shrunk to 14 x 14 or 7 x 7 whole levels. While training,
the four pixels in the upper left corner get random levels: what the attacks do there is then their own doing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

HERE = Path(__file__).parent
DIGITS = HERE.parents[3] / "examples" / "digits" / "mnist_eval.npz"
STEPS, KEPT = 500, 20
NAMES = ("small", "large", "conv")


def shrunk(images: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Means over squares of `factor` pixels, as whole levels."""
    count, height, width = images.shape
    squares = images.reshape(count, height // factor, factor, width // factor, factor)
    means: NDArray[np.uint8] = np.rint(squares.mean(axis=(2, 4))).astype(np.uint8)
    return means


def network(name: str) -> nn.Sequential:
    """Three hidden layers of ReLU; `conv` has the shape of the published attacks' host, at a smaller size."""
    if name == "conv":
        front = [nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(4, 8, 3, stride=2, padding=1), nn.ReLU()]
        return nn.Sequential(*front, nn.Flatten(), nn.Linear(128, 24), nn.ReLU(), nn.Linear(24, 10))
    pixels, *sizes = {"small": (49, 12, 12, 12), "large": (196, 32, 24, 16)}[name]
    layers: list[nn.Module] = [nn.Flatten()]
    for size in sizes:
        layers += [nn.Linear(pixels, size), nn.ReLU()]
        pixels = size
    return nn.Sequential(*layers, nn.Linear(pixels, 10))


def train(images: Tensor, labels: Tensor, name: str) -> nn.Sequential:
    """Full-batch Adam on cross entropy with a little weight decay."""
    torch.manual_seed(0)
    model = network(name)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=1e-2)
    for _ in range(STEPS):
        noisy = images.clone()
        noisy[:, :, :2, :2] = torch.rand(len(images), 1, 2, 2)
        loss = nn.functional.cross_entropy(model(noisy), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return model


def main() -> None:
    """Trains all hosts and keeps their weights and the images on which they are surest."""
    torch.set_num_threads(1)
    with np.load(DIGITS) as digits:
        original, labels = digits["x"], digits["y"].astype(np.int64)
    arrays: dict[str, NDArray[np.generic]] = {}
    for name in NAMES:
        images = shrunk(original, 4 if name == "small" else 2)
        pixels = torch.from_numpy(images[:, None].astype(np.float32) / 255)
        model = train(pixels, torch.from_numpy(labels), name)
        with torch.no_grad():
            logits = model(pixels)
        top = logits.topk(2).values
        margin = torch.where(logits.argmax(1) == torch.from_numpy(labels), top[:, 0] - top[:, 1], -1.0).numpy()
        kept = np.sort(np.argsort(-margin)[:KEPT])
        print(f"{name}: {(margin > 0).mean():.0%} right, margins of the images kept from {margin[kept].min():.2f}")
        arrays[f"{name}.images"], arrays[f"{name}.labels"] = images[kept], labels[kept].astype(np.uint8)
        for key, value in model.state_dict().items():
            arrays[f"{name}.{key}"] = value.numpy()
    np.savez_compressed(HERE / "hosts.npz", **arrays)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
