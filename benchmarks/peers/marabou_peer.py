"""Runs in Marabou's own environment."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

warnings.simplefilter("ignore")
from maraboupy import Marabou  # noqa: E402

from benchmarks.peers.instances import Found, answer_all  # noqa: E402


def solve(onnx: Path, vnnlib: Path, limit: int) -> Found:
    """One instance, with one worker."""
    network = Marabou.read_onnx(str(onnx))
    options = Marabou.createOptions(verbosity=0, timeoutInSeconds=limit, numWorkers=1)
    word, values, _ = network.solve(verbose=False, options=options, propertyFilename=str(vnnlib))
    return str(word).lower(), [values[int(i)] for i in network.inputVars[0].flatten()] if values else None


if __name__ == "__main__":
    sys.exit(answer_all(solve))
