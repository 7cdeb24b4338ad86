"""`verifluxa inspect` and `lift`: what a model file holds, and what is made of it."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from verifluxa.cli.options import Architecture, FluxVersion, ModelFile, check_ending
from verifluxa.errors import ModelError, UsageError

if TYPE_CHECKING:
    from verifluxa.flux.julia import Exported
    from verifluxa.flux.load import Lifted

InputShape = Annotated[
    str | None,
    typer.Option("--input-shape", metavar="SIZES", help="Channels, height, width: 1,28,28; several inputs: 5;4."),
]
ProbeFile = Annotated[
    str | None,
    typer.Option("--probe", metavar="FILE", help="An .npz of inputs x and Flux's outputs y, to compare with."),
]
Tolerance = Annotated[
    float | None,
    typer.Option("--tolerance", metavar="X", help="Most difference of --probe, relative to the largest output (1e-5)."),
]

Shapes = tuple[tuple[int, ...], ...]
_SHAPE = re.compile(r"\s*\d{1,9}(\s*[,x]\s*\d{1,9}){0,4}\s*")


def inspect(
    model: ModelFile,
    architecture: Architecture = None,
    flux_version: FluxVersion = None,
    input_shape: InputShape = None,
) -> int:
    """Shows the layers of a model with shapes and parameters, its digests, and what no proof covers."""
    from verifluxa.cli import model_words
    from verifluxa.cli.output import print_words

    shape = _shape(input_shape)
    try:
        lifted = _exported(model).lifted if _is_export(model) else _lift(model, architecture, flux_version, shape)
    except ModelError as error:
        if error.code == "VF2001":
            # There is no file to speak of.
            raise
        from verifluxa.flux.outline import outline

        print_words(model_words.refused(model, error, outline(model, architecture, flux_version)))
        raise
    print_words([*model_words.head(model, lifted), "", *model_words.layers(lifted), *model_words.remarks(lifted)])
    return 0


def lift(
    model: ModelFile,
    architecture: Architecture = None,
    flux_version: FluxVersion = None,
    input_shape: InputShape = None,
    probe: ProbeFile = None,
    tolerance: Tolerance = None,
    julia: Annotated[
        bool, typer.Option("--julia", help="MODEL is a Julia script: export it with Flux itself, which runs its code.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FILE", help="An .onnx file for the graph.")
    ] = None,
) -> int:
    """Lifts a model to its graph, and shows the operations in the order in which they are computed.

    Exit codes: 0 lifted, 1 the outputs recorded in --probe differ by more than the tolerance.
    """
    from verifluxa.cli import model_words
    from verifluxa.cli.output import print_words

    _check_tolerance(tolerance, probe)
    check_ending(out, "the graph is written as ONNX", ".onnx")
    if julia or _is_export(model):
        lifted = _by_julia(model, input_shape) if julia else _exported(model).lifted
    else:
        lifted = _lift(model, architecture, flux_version, _shape(input_shape))
    print_words([*model_words.head(model, lifted), "", *model_words.steps(lifted), *model_words.remarks(lifted)])
    if out is not None:
        _write_onnx(lifted, out)
    if probe is None:
        return 0
    from verifluxa.flux.probe import measure

    found = measure(lifted.graph, probe, tolerance)
    print_words(model_words.compared(found))
    return 0 if found.within else 1


def _lift(model: str, architecture: Path | None, flux_version: str | None, input_shape: Shapes | None) -> Lifted:
    from verifluxa.inputs import lift_files

    return lift_files(model, None if architecture is None else str(architecture), flux_version, input_shape)


def _is_export(model: str) -> bool:
    """Whether it is a folder that `export.jl` wrote."""
    return (Path(model) / "export.json").is_file()


def _exported(folder: str) -> Exported:
    from verifluxa.flux.julia import read_export

    return read_export(folder)


def _by_julia(model: str, input_shape: str | None) -> Lifted:
    """Exports with Flux itself, in a process of its own, and lifts what it wrote."""
    from verifluxa.flux.julia import export

    shape = _shape(input_shape)
    if shape is not None and len(shape) > 1:
        raise _no_shape(str(input_shape))
    # Julia has the axes in reverse order.
    sizes = None if shape is None else ",".join(str(size) for size in reversed(shape[0]))
    with tempfile.TemporaryDirectory() as folder:
        export(model, Path(folder) / "export", sizes)
        return _exported(str(Path(folder) / "export")).lifted


def _write_onnx(lifted: Lifted, out: Path) -> None:
    """Writes a graph as ONNX; nothing is left behind where that fails.

    Raises:
        UsageError: VF4406 when it cannot be written, VF4411 without the `onnx` package.
    """
    from verifluxa.cli.output import print_words
    from verifluxa.interop.onnx_export import onnx_bytes
    from verifluxa.result.write import cannot_write

    data = onnx_bytes(lifted.graph)
    try:
        with tempfile.NamedTemporaryFile(dir=out.parent, delete=False) as file:
            file.write(data)
        Path(file.name).chmod(0o644)
        Path(file.name).replace(out)
    except OSError as error:
        raise cannot_write(out, error) from error
    print_words(["", f"written: {out} ({len(data):,} bytes)"])


def _check_tolerance(tolerance: float | None, probe: str | None) -> None:
    """Refuses a tolerance that compares nothing.

    Raises:
        UsageError: VF4410.
    """
    if tolerance is None:
        return
    if probe is None or not 0 < tolerance < 1:
        raise UsageError(
            "VF4410",
            f"--tolerance {tolerance:g} " + ("needs --probe" if probe is None else "is no tolerance"),
            expected="a number between 0 and 1, relative to the largest output, beside --probe FILE",
        )


def _shape(text: str | None) -> Shapes | None:
    """Reads `1,28,28`, `784`, or one such for each input: `5;4`.

    Raises:
        UsageError: VF4409 for anything else.
    """
    if text is None:
        return None
    parts = text.split(";")
    if not all(_SHAPE.fullmatch(part) for part in parts):
        raise _no_shape(text)
    shapes = tuple(tuple(int(size) for size in re.findall(r"\d+", part)) for part in parts)
    if any(0 in shape for shape in shapes):
        raise _no_shape(text)
    return shapes


def _no_shape(text: str) -> UsageError:
    return UsageError(
        "VF4409",
        f"--input-shape {text} is no shape",
        expected="channels, height, width with commas: 1,28,28; for several inputs with semicolons: 5;4",
    )
