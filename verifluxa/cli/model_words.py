"""What `inspect` and `lift` say about a model, line by line."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from verifluxa.errors import ModelError

if TYPE_CHECKING:
    from verifluxa.flux.load import Lifted
    from verifluxa.flux.probe import Probe
    from verifluxa.graph.graph import Node

MOST_VARIABLES = 20
MOST_WIDTH = 48
NOT_COVERED = "not covered by any proof:"


def head(model: str, lifted: Lifted) -> Iterator[str]:
    """File, format, float type and digests."""
    version = f", Flux {lifted.flux_version}" if lifted.flux_version else ""
    yield f"{model}: {lifted.format}{version}, computes in {lifted.graph.dtype}"
    for name, digest in lifted.sources:
        yield f"  {name}  sha256:{digest.removeprefix('sha256:')}"
    yield f"  graph  {lifted.graph.digest}"


def layers(lifted: Lifted) -> Iterator[str]:
    """A row for each layer."""
    rows = [("layer", "as Flux prints it", "input", "output", "parameters")]
    for row in lifted.layers:
        shapes = (_shapes(row.input_shape), _shapes(row.output_shape))
        rows.append((row.name, row.printed, *shapes, f"{row.parameters:,}" if row.parameters else ""))
    yield from _table(rows)
    yield f"{sum(row.parameters for row in lifted.layers):,} parameters in {len(lifted.layers):,} layers"


def steps(lifted: Lifted) -> Iterator[str]:
    """A row for each operation, in the order in which they are computed."""
    rows = [("step", "operation", "reads", "shape", "numbers")]
    for index, node in enumerate(lifted.graph.nodes):
        reads = ", ".join(str(source) for source in node.inputs)
        rows.append((str(index), _operation(node), reads, _one_shape(node.shape), f"{math.prod(node.shape):,}"))
    yield from _table(rows)
    kinds = Counter(node.op.kind for node in lifted.graph.nodes)
    yield f"{len(lifted.graph.nodes):,} steps: " + ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())


def remarks(lifted: Lifted) -> Iterator[str]:
    """What no proof speaks of, and what else a reader should know."""
    yield ""
    yield NOT_COVERED
    for text in lifted.uncovered or ("nothing of this file; a proof speaks of the layers above, in test mode",):
        yield f"  {text}"
    for note in lifted.notes:
        yield f"note: {note}"


def refused(model: str, error: ModelError) -> Iterator[str]:
    """Which part of a model cannot be trusted or understood, and what else the file holds."""
    yield f"{model}: refused, nothing about it can be proved"
    yield from _variables(Path(model))
    yield ""
    yield NOT_COVERED
    yield f"  the whole model, because of {error.place or 'its layers'}: {error.message}"


def _variables(path: Path) -> Iterator[str]:
    """The variables of a file, as far as it can be read at all."""
    from verifluxa.flux.files import read_model_file

    try:
        _, contents = read_model_file(path)
    except ModelError:
        # Why it cannot be read is what the section says.
        return
    names = [f"{item.name or 'a value without a name'} ({item.kind})" for item in contents.variables[:MOST_VARIABLES]]
    more = len(contents.variables) - len(names)
    yield f"  {contents.format} with {', '.join(names) or 'no variables'}" + (f" and {more} more" if more else "")


def compared(probe: Probe) -> Iterator[str]:
    """What a comparison with recorded outputs found."""
    yield ""
    yield "comparison with outputs recorded in Flux:"
    yield f"  samples           {probe.samples}"
    yield f"  worst difference  {probe.difference:.3g} of the largest output"
    yield f"  tolerance         {probe.tolerance:.3g}"
    yield "  the outputs agree" if probe.within else "  the outputs differ: the lifted network is not the recorded one"


def _operation(node: Node) -> str:
    function = getattr(node.op, "function", None)
    return node.op.kind if function is None else str(function)


def _shapes(shapes: tuple[tuple[int, ...], ...]) -> str:
    return " and ".join(_one_shape(shape) for shape in shapes)


def _one_shape(shape: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in shape) if shape else "1"


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [min(MOST_WIDTH, max(len(row[column]) for row in rows)) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
