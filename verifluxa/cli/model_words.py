"""What `inspect` and `lift` say about a model, line by line."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from verifluxa.errors import ModelError

if TYPE_CHECKING:
    from verifluxa.flux.load import Lifted
    from verifluxa.flux.outline import Outline
    from verifluxa.flux.probe import Probe
    from verifluxa.graph.graph import Node

MOST_VARIABLES = 20
MOST_ROWS = 100
MOST_WIDTH = 64
MORE_NEEDED = ("VF2011", "VF2012", "VF2013")
"""A version of Flux, an architecture, or the shape of the input: nothing is wrong with the file."""
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
    yield f"{sum(row.parameters for row in lifted.layers):,} parameters in {_counted(len(lifted.layers), 'layer')}"


def _counted(count: int, thing: str) -> str:
    return f"{count:,} {thing}" + ("" if count == 1 else "s")


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


def refused(model: str, error: ModelError, found: Outline) -> Iterator[str]:
    """Which part of a model cannot be trusted or understood, what else the file holds, or what must be given."""
    more = error.code in MORE_NEEDED
    form = "" if found.format is None else f"{found.format}, "
    yield f"{model}: {form}" + (
        "more must be given before anything about it can be proved"
        if more
        else "refused, nothing about it can be proved"
    )
    yield from _held(found)
    yield ""
    yield NOT_COVERED
    if more:
        yield f"  the whole model, until this is given: {error.expected}"
        return
    yield f"  the whole model, because of {_inside(model, error.place)}: {error.message}"
    yield from _suspects(error.message, found.suspects)


def _suspects(known: str, suspects: Sequence[tuple[str, str]]) -> Iterator[str]:
    """What else is not to be trusted, each thing once with the first of its places."""
    places: dict[str, list[str]] = {}
    for place, message in suspects:
        places.setdefault(message, []).append(place)
    others = [(message, at) for message, at in places.items() if message != known]
    for message, at in others[:MOST_VARIABLES]:
        yield (
            f"  also at {at[0]}"
            + ("" if len(at) == 1 else f" and {_counted(len(at) - 1, 'other place')}")
            + f": {message}"
        )
    if len(others) > MOST_VARIABLES:
        yield f"  and {len(others) - MOST_VARIABLES:,} more of that kind"


def _inside(model: str, place: object) -> str:
    """The place in the file; which file it is stands above."""
    text = "its layers" if place is None else str(place)
    return "the file" if text == model else text.removeprefix(f"{model}: ")


def _held(found: Outline) -> Iterator[str]:
    """Variables, and layers or else arrays, as far as they can be told."""
    names = [f"{name or 'a value without a name'} ({kind})" for name, kind in found.variables[:MOST_VARIABLES]]
    if names:
        yield f"  holds {', '.join(names)}" + _and_more(len(found.variables))
    rows: list[tuple[str, ...]] = []
    if found.layers:
        rows = [("layer", "as Flux prints it", "parameters")]
        rows += [(row.name, row.printed, f"{row.parameters:,}" if row.parameters else "") for row in found.layers]
    elif found.arrays:
        rows = [("array", "size in Julia")]
        rows += [(place, _one_shape(shape)) for place, shape in found.arrays]
    if rows:
        yield ""
        yield from _table(rows[: MOST_ROWS + 1])
    if len(rows) > MOST_ROWS + 1:
        yield f"and {len(rows) - MOST_ROWS - 1:,} more"


def _and_more(count: int) -> str:
    return f" and {count - MOST_VARIABLES:,} more" if count > MOST_VARIABLES else ""


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
