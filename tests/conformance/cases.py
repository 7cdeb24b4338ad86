"""Every fixture file with its architecture, version and the outputs that Flux computed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1] / "fixtures" / "flux"
DIGITS = ROOT.parents[2] / "examples" / "digits"
NEWEST = "0.16.7"
Array = NDArray[Any]


@dataclass(frozen=True)
class Case:
    """One model file.

    Attributes:
        file: the model file.
        architecture: the text that goes with it, or None where the file says it all.
        version: of Flux.
        folder: with the expected outputs.
    """

    file: Path
    architecture: Path | str | None
    version: str | None
    folder: Path

    def __str__(self) -> str:
        base = ROOT if self.file.is_relative_to(ROOT) else DIGITS.parent
        return self.file.relative_to(base).as_posix()


def index(folder: str) -> dict[str, dict[str, Any]]:
    """The index of a folder."""
    entries: dict[str, dict[str, Any]] = json.loads((ROOT / folder / "index.json").read_text(encoding="utf-8"))
    return entries


def files(folder: Path, version: str | None) -> list[Case]:
    """The cases of one model: each file that is there, with the text where it needs one."""
    path = folder / "architecture.txt"
    if not path.exists():
        path = folder / "architecture_repr.txt"
    text: Path | str = path
    if folder.name.startswith("reviews_bag"):
        # Neither the state nor what Flux prints says how a bag is reduced: refused in `layers/embeddingbag_mean`.
        text = path.read_text(encoding="utf-8").replace("EmbeddingBag(2002 => 16)", "EmbeddingBag(2002 => 16, mean)")
    found = sorted([*folder.glob("*.jld2"), *folder.glob("*.bson")])
    return [Case(file, None if file.stem == "model" else text, version, folder) for file in found]


def expected(folder: Path) -> tuple[list[Array], Array, float]:
    """Inputs and outputs, samples first, and the tolerance relative to the largest output."""
    if (folder / "x_julia.npy").exists():
        x, y = np.load(folder / "x_julia.npy"), np.load(folder / "y_julia.npy")
        return [x.transpose()], y.transpose(), 1e-5
    with np.load(folder / "expect.npz") as arrays:
        names = ["x_numpy"] if "x_numpy" in arrays else ["x1_numpy", "x2_numpy"]
        inputs = [arrays[name] for name in names if name in arrays]
        # Attention gives its scores as well, after its output.
        output = arrays[next(name for name in ("y64_numpy", "y_numpy", "y1_numpy") if name in arrays)]
        exact = inputs[0].dtype == np.float64
    if folder.name in ("embedding", "embeddingbag_mean"):
        # Julia counts words from 1.
        inputs = [words - 1 for words in inputs]
    if folder.name == "dense_vector_input":
        inputs, output = [inputs[0][None]], output[None]
    return inputs, output, 1e-12 if exact else 1e-5


def distance(result: Array, output: Array) -> float:
    """The largest difference, relative to the largest output."""
    assert result.shape == output.shape
    return float(np.abs(result - output).max() / np.abs(output).max())
