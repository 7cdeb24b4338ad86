"""Comparison of a lifted graph with outputs that the user recorded in Flux."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from verifluxa.errors import ModelError
from verifluxa.flux.files import read_bytes
from verifluxa.flux.flat import NUMBERS, read_npz, read_safetensors
from verifluxa.flux.values import Array
from verifluxa.graph.graph import Graph
from verifluxa.graph.ops import Embedding

TOLERANCES = {"float32": 1e-5, "float64": 1e-12}
"""The largest difference that sums in another order explain, relative to the largest output."""
_PROBE_BYTES = 1 << 30


@dataclass(frozen=True)
class Probe:
    """What a comparison found.

    Attributes:
        samples: how many inputs were compared.
        difference: the largest difference of an output, relative to the largest output.
        tolerance: the largest that is accepted.
    """

    samples: int
    difference: float
    tolerance: float

    @property
    def within(self) -> bool:
        """Whether the difference is accepted; a NaN never is."""
        return self.difference <= self.tolerance


def compare(graph: Graph, path: str | Path, tolerance: float | None = None) -> Probe:
    """Runs a graph on recorded inputs and compares with the recorded outputs.

    Args:
        graph: the lifted network.
        path: an NPZ or safetensors file with `x` and `y` as Julia has them (samples last; what NPZ.jl writes),
            or `x_numpy` and `y_numpy` with samples first; `x1`, `x2`, ... for several inputs. Words are
            counted from 1 in `x`, from 0 in `x_numpy`.
        tolerance: relative to the largest output; by default `TOLERANCES` of the graph's float type.

    Raises:
        ModelError: VF2015 when the outputs differ by more, or the file does not hold inputs and outputs of
            the network; VF2001 to VF2004 when it cannot be read.
    """
    probe = measure(graph, path, tolerance)
    if not probe.within:
        found = f"an output differs by {probe.difference:.3g} of the largest one"
        raise _differs(path, found, f"at most {probe.tolerance:.3g}")
    return probe


def measure(graph: Graph, path: str | Path, tolerance: float | None = None) -> Probe:
    """How far recorded outputs and those of a graph are apart; arguments as for `compare`.

    Raises:
        ModelError: VF2015 when the file does not hold inputs and outputs of the network; VF2001 to VF2004
            when it cannot be read.
    """
    inputs, expected = _recorded(graph, Path(path))
    try:
        result = graph.run(*inputs)
    except ModelError as error:
        wanted = "`x` with samples last, as Julia has them, or `x_numpy` with samples first"
        raise _differs(path, f"its inputs do not fit: {error.message}", wanted) from error
    if result.shape != expected.shape:
        raise _differs(path, f"the outputs have the shape {expected.shape}", f"{result.shape}, samples first")
    limit = TOLERANCES[graph.dtype] if tolerance is None else tolerance
    with np.errstate(invalid="ignore"):
        largest = float(np.abs(result.astype(np.float64) - expected.astype(np.float64)).max(initial=0.0))
    size = float(np.abs(expected).max(initial=0.0)) or 1.0
    return Probe(len(expected), largest / size, limit)


def _differs(path: str | Path, message: str, expected: str) -> ModelError:
    return ModelError(
        "VF2015",
        f"the lifted network does not give what was recorded: {message}",
        place=str(path),
        expected=expected,
        remedy="record inputs and outputs of this very model, in test mode and with its version of Flux",
    )


def _recorded(graph: Graph, path: Path) -> tuple[list[Array], NDArray[np.generic]]:
    """Inputs and outputs with samples first, words counted from 0."""
    inputs, output, julia = _pair(path)
    return _counted_from_zero(graph, inputs, julia), output


def shapes_of(path: str | Path) -> tuple[tuple[int, ...], ...]:
    """Shapes of the recorded inputs without the sample axis.

    Raises:
        ModelError: VF2015 when there are none, VF2001 to VF2004 when the file cannot be read.
    """
    inputs, _, _ = _pair(Path(path))
    return tuple(array.shape[1:] for array in inputs)


def _pair(path: Path) -> tuple[list[Array], NDArray[np.generic], bool]:
    """Inputs and outputs with samples first, and whether Julia's order and counting were used."""
    data = read_bytes(path, _PROBE_BYTES)
    contents = read_safetensors(data) if path.suffix.lower() == ".safetensors" else read_npz(data, NUMBERS)
    arrays = {
        variable.name: value for variable in contents.variables if isinstance(value := variable.read(), np.ndarray)
    }
    for suffix, julia in (("", True), ("_julia", True), ("_numpy", False)):
        names = [f"x{suffix}"] if f"x{suffix}" in arrays else _numbered(arrays, suffix)
        if names and f"y{suffix}" in arrays:
            inputs = [_samples_first(arrays[name], julia) for name in names]
            return inputs, _samples_first(arrays[f"y{suffix}"], julia), julia
    found = ", ".join(sorted(arrays)[:8]) or "none"
    raise _differs(path, f"its arrays are {found}", "`x` and `y`, or `x_numpy` and `y_numpy`")


def _numbered(arrays: dict[str, Array], suffix: str) -> list[str]:
    names: list[str] = []
    while f"x{len(names) + 1}{suffix}" in arrays:
        names.append(f"x{len(names) + 1}{suffix}")
    return names


def _samples_first(array: Array, julia: bool) -> Array:
    return array.transpose() if julia else array


def _counted_from_zero(graph: Graph, inputs: list[Array], julia: bool) -> list[Array]:
    words = {node.inputs[0] for node in graph.nodes if isinstance(node.op, Embedding)}
    return [array.astype(np.int64) - 1 if julia and index in words else array for index, array in enumerate(inputs)]
