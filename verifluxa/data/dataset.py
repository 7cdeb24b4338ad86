"""A data set: labelled inputs in the user's units, with the digest of the file they came from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled inputs, samples first, in file order, already cut by `take`.

    Attributes:
        name: the name in the spec.
        path: the file, as the user gave it.
        sha256: `sha256:` and hex digits of the file's bytes.
        inputs: float64 in the user's units (pixel levels), shape (N, channels, height, width).
        labels: int64, shape (N,), 0-based classes.
        sampled: shape (N,): which of them are in the sample; None: all.
    """

    name: str
    path: str
    sha256: str
    inputs: NDArray[np.float64]
    labels: NDArray[np.int64]
    sampled: NDArray[np.bool_] | None = None
