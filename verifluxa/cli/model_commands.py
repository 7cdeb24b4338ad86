"""`verifluxa inspect`, `lift` and `supports`: what a model file holds, and what can be proved about."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from verifluxa.errors import UsageError

if TYPE_CHECKING:
    from verifluxa.flux.load import Lifted
    from verifluxa.graph.graph import Node

Model = Annotated[str, typer.Argument(metavar="MODEL", help="A .jld2, .bson, .safetensors or .npz file.")]
Architecture = Annotated[
    str | None, typer.Option("--architecture", metavar="FILE", help="The layers as Flux prints them.")
]
FluxVersion = Annotated[
    str | None, typer.Option("--flux-version", metavar="V", help="Of the Flux that it runs under, as 0.16.7.")
]
InputShape = Annotated[
    str | None, typer.Option("--input-shape", metavar="SIZES", help="Channels, height, width: 1,28,28.")
]

FORMATS = (
    "JLD2 and BSON: a whole model, a Flux.state, a list of arrays",
    "NPZ and safetensors: a flattened Flux.state",
)
_SHAPE = re.compile(r"\s*\d{1,9}(\s*[,x]\s*\d{1,9}){0,4}\s*")
WIDTH = 96


def inspect(
    model: Model, architecture: Architecture = None, flux_version: FluxVersion = None, input_shape: InputShape = None
) -> int:
    """Shows the layers of a model with shapes and parameters, its digests, and what no proof covers."""
    from verifluxa.cli.output import print_words

    lifted = _lift(model, architecture, flux_version, input_shape)
    print_words([*_head(model, lifted), "", *_layers(lifted), *_notes(lifted)])
    return 0


def lift(
    model: Model, architecture: Architecture = None, flux_version: FluxVersion = None, input_shape: InputShape = None
) -> int:
    """Lifts a model to its graph, and shows the operations in the order in which they are computed."""
    from verifluxa.cli.output import print_words

    lifted = _lift(model, architecture, flux_version, input_shape)
    print_words([*_head(model, lifted), "", *_steps(lifted), *_notes(lifted)])
    return 0


def supports() -> int:
    """Lists the files, layers, activations, triggers and properties that are understood, and those provable."""
    from verifluxa.cli.output import print_words

    print_words(_supported())
    return 0


def _lift(model: str, architecture: str | None, flux_version: str | None, input_shape: str | None) -> Lifted:
    from verifluxa.inputs import lift_files

    return lift_files(model, architecture, flux_version, _shape(input_shape))


def _shape(text: str | None) -> tuple[int, ...] | None:
    """Reads `1,28,28`, or `784`.

    Raises:
        UsageError: VF4409 for anything else.
    """
    if text is None:
        return None
    sizes = tuple(int(part) for part in re.findall(r"\d+", text)) if _SHAPE.fullmatch(text) else ()
    if not sizes or 0 in sizes:
        raise UsageError(
            "VF4409", f"--input-shape {text} is no shape", expected="channels, height, width with commas: 1,28,28"
        )
    return sizes


def _head(model: str, lifted: Lifted) -> Iterator[str]:
    version = f", Flux {lifted.flux_version}" if lifted.flux_version else ""
    yield f"{model}: {lifted.format}{version}, computes in {lifted.graph.dtype}"
    for name, digest in lifted.sources:
        yield f"  {name}  sha256:{digest.removeprefix('sha256:')}"
    yield f"  graph  {lifted.graph.digest}"


def _layers(lifted: Lifted) -> Iterator[str]:
    rows = [("layer", "as Flux prints it", "input", "output", "parameters")]
    for row in lifted.layers:
        shapes = (_shapes(row.input_shape), _shapes(row.output_shape))
        rows.append((row.name, row.printed, *shapes, f"{row.parameters:,}" if row.parameters else ""))
    yield from _table(rows)
    yield f"{sum(row.parameters for row in lifted.layers):,} parameters in {len(lifted.layers):,} layers"


def _steps(lifted: Lifted) -> Iterator[str]:
    rows = [("step", "operation", "reads", "shape", "numbers")]
    for index, node in enumerate(lifted.graph.nodes):
        reads = ", ".join(str(source) for source in node.inputs)
        rows.append((str(index), _operation(node), reads, _one_shape(node.shape), f"{math.prod(node.shape):,}"))
    yield from _table(rows)
    kinds = Counter(node.op.kind for node in lifted.graph.nodes)
    yield f"{len(lifted.graph.nodes):,} steps: " + ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())


def _operation(node: Node) -> str:
    function = getattr(node.op, "function", None)
    return node.op.kind if function is None else str(function)


def _notes(lifted: Lifted) -> Iterator[str]:
    for note in lifted.notes:
        yield f"note: {note}"


def _shapes(shapes: tuple[tuple[int, ...], ...]) -> str:
    return " and ".join(_one_shape(shape) for shape in shapes)


def _one_shape(shape: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in shape) if shape else "1"


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [min(48, max(len(row[column]) for row in rows)) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _supported() -> Iterator[str]:
    from verifluxa.dispatch.cluster import KINDS
    from verifluxa.flux.layers import TABLE
    from verifluxa.flux.layers_function import LAYERS
    from verifluxa.graph.activations import ACTIVATIONS
    from verifluxa.graph.ops import OPS
    from verifluxa.library import Shelf, names
    from verifluxa.verify import ARITHMETICS

    provable, lifted = _split(sorted(ACTIVATIONS))
    operations = _provable_operations([op.kind for op in OPS])
    yield from _listed("model files", list(FORMATS))
    yield from _listed("layers that lift", sorted({*TABLE, *LAYERS}))
    yield from _listed("operations with bounds", operations)
    yield from _listed("activations with bounds", provable)
    yield from _listed("activations that lift, but are unknown(unsupported) in proofs", lifted)
    yield from _listed("input spaces", ["image"])
    yield from _listed("triggers", ["patch: replace H px x W px, at any, corners, listed places or ranges"])
    yield from _listed("properties", ["rate bound, targeted or untargeted", "per input"])
    yield from _listed("arithmetics", list(ARITHMETICS))
    yield from _listed("strategies", list(names(Shelf.SOLVERS)))
    yield from _listed("clusters", [*names(Shelf.CLUSTER), f"your own: {' or '.join(KINDS)}"])


def _split(activations: list[str]) -> tuple[list[str], list[str]]:
    from verifluxa.bounds.functions import function_of
    from verifluxa.graph.ops import Activation

    provable = [name for name in activations if function_of(Activation(name)) is not None]
    return provable, [name for name in activations if name not in provable]


def _provable_operations(kinds: list[str]) -> list[str]:
    from verifluxa.bounds.linear_map import BUILD

    others = {"input", "clip", "maxpool", "activation", "add", "concat"}
    at_the_end = [f"{kind} (as the last step)" for kind in kinds if kind in {"softmax", "logsoftmax"}]
    return [kind for kind in kinds if kind in {*BUILD, *others}] + at_the_end


def _listed(title: str, items: list[str]) -> Iterator[str]:
    yield f"{title}:"
    line = " "
    for item in items:
        if len(line) + len(item) + 2 > WIDTH and line.strip():
            yield line
            line = " "
        line += f" {item}," if item is not items[-1] else f" {item}"
    yield line
