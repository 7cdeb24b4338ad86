"""From a model file to a graph: read, choose, put together with the architecture text, check, lift."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from verifluxa.errors import ModelError
from verifluxa.flux.architecture import Call, Name, parse_architecture
from verifluxa.flux.builder import Builder, LayerRow
from verifluxa.flux.files import Digest, read_bytes, read_model_file, read_text_file
from verifluxa.flux.layer import Fact, Facts, Layer, Version, parse_version
from verifluxa.flux.layers import TABLE, LayerReader, emit, show
from verifluxa.flux.layers_function import write_function
from verifluxa.flux.limits import FILE_BYTES
from verifluxa.flux.merge_weights import (
    PRINTS_OPTIONS,
    ArrayList,
    ArrayNames,
    disagree,
    fill,
    is_function,
    merge_weights,
    write,
)
from verifluxa.flux.values import Array, Contents, List, Value, Variable
from verifluxa.graph.graph import Graph
from verifluxa.graph.ops import Shape

_MODEL_NAMES = ("model", "model_state", "state", "weights", "params", "parameters")
# A model without any field has the state `()`.
_STATES = ("Core.NamedTuple", "Core.Tuple", "Tuple")
_MOST_NAMED = 8


@dataclass(frozen=True, eq=False)
class Chosen:
    """The model in a file.

    Attributes:
        value: a whole model, or a state; None where the file holds arrays only.
        whole: whether the value has its types, so that it needs no text.
        arrays: where the file holds arrays only.
        name: of the variable.
        notes: which variables were left alone.
    """

    value: Value
    whole: bool
    arrays: ArrayList | ArrayNames | None
    name: str
    notes: tuple[str, ...]


def choose(contents: Contents) -> Chosen:
    """Finds and reads the model of a file.

    Raises:
        ModelError: VF2014 when there is none or more than one, and whatever reading it raises.
    """
    flat = contents.format in ("NPZ", "safetensors")
    whole = [variable for variable in contents.variables if variable.kind.startswith("Flux.")]
    states = [variable for variable in contents.variables if variable.kind in _STATES]
    for found, has_types in ((whole, True), (states, False)):
        if found:
            one = _one(found)
            return Chosen(one.read(), has_types, None, one.name, _others(contents, [one]))
    lists = [(variable, arrays) for variable in contents.variables if (arrays := _list(variable)) is not None]
    if lists:
        one = _one([variable for variable, _ in lists])
        arrays = next(arrays for variable, arrays in lists if variable is one)
        return Chosen(None, False, ArrayList(arrays), one.name, _others(contents, [one]))
    return _bare(contents, flat)


def _one(found: list[Variable]) -> Variable:
    if len(found) == 1:
        return found[0]
    named = [variable for variable in found if variable.name.rpartition("/")[2] in _MODEL_NAMES]
    if len(named) == 1:
        return named[0]
    raise ModelError(
        "VF2014",
        f"the file holds {len(found)} models: {_names(found)}",
        expected="one, or one with the name `model` or `model_state`",
        remedy="save the one model in a file of its own",
    )


def _list(variable: Variable) -> tuple[Array, ...] | None:
    """The arrays of a variable that is a vector of arrays of floats."""
    if variable.kind != "List":
        return None
    value = variable.read()
    items = value.items if isinstance(value, List) else ()
    arrays = tuple(item for item in items if isinstance(item, np.ndarray))
    return arrays if arrays and len(arrays) == len(items) else None


def _bare(contents: Contents, flat: bool) -> Chosen:
    """A file of arrays: by name where the format is one of names, else by order where sizes leave no doubt."""
    found = [variable for variable in contents.variables if variable.kind == "Core.Array"]
    if not found:
        raise ModelError(
            "VF2014",
            f"the file holds no model; its variables are {_names(list(contents.variables)) or 'none'}",
            expected="a Flux model, a `Flux.state`, or a vector of its arrays",
            remedy="save it with `jldsave(file; model_state = Flux.state(model))`",
        )
    arrays = {variable.name: value for variable in found if isinstance(value := variable.read(), np.ndarray)}
    if flat:
        return Chosen(None, False, ArrayNames(arrays), "", ())
    sizes = [array.shape for array in arrays.values()]
    if len(set(sizes)) != len(sizes):
        raise ModelError(
            "VF2014",
            f"the file holds arrays of equal size under names of their own: {_names(found)}",
            expected="a `Flux.state`, which says what belongs where",
            remedy="save it with `jldsave(file; model_state = Flux.state(model))`",
        )
    return Chosen(None, False, ArrayList(tuple(arrays.values())), "", _others(contents, found))


def _names(variables: list[Variable]) -> str:
    shown = ", ".join(f"{variable.name} ({variable.kind})" for variable in variables[:_MOST_NAMED])
    return shown + (f" and {len(variables) - _MOST_NAMED} more" if len(variables) > _MOST_NAMED else "")


def _others(contents: Contents, read: list[Variable]) -> tuple[str, ...]:
    others = [variable for variable in contents.variables if variable not in read]
    return (f"not read: {_names(others)}",) if others else ()


# The shape of the input, where the layers tell it: features of a Dense, channels of a convolution.

LARGEST_IMAGE = 512
_FIRST_ONLY = frozenset({"SkipConnection", "Maxout"})
_CHANNELS_FIRST = frozenset({"BatchNorm", "InstanceNorm", "GroupNorm"})
_POOLS = frozenset(f"{form}{kind}Pool" for form in ("", "Global", "Adaptive") for kind in ("Max", "Mean"))
# Layers that leave the number of channels or features to the next one.
_PASSING = (
    _CHANNELS_FIRST | _POOLS | {"flatten", "activation", "softmax", "logsoftmax", "Dropout", "AlphaDropout", "Upsample"}
)


@dataclass(frozen=True)
class Wanted:
    """What the first layer takes.

    Attributes:
        shapes: of the inputs, complete, for features.
        channels: of an image of unknown size, or 0.
        axes: how many spatial axes the image has.
    """

    shapes: tuple[Shape, ...] = ()
    channels: int = 0
    axes: int = 0


def wanted(layer: Layer) -> Wanted | None:
    """What the first layer that knows says; None where nothing tells the shape of the input."""
    return _first(_leaves([layer]))


def first_kind(layer: Layer) -> str:
    """The kind of the first layer that the input meets."""
    return next(iter(_leaves([layer]))).kind


def candidates(found: Wanted) -> Iterable[tuple[Shape, ...]]:
    """The input shapes to try, the largest image first."""
    if found.shapes:
        yield found.shapes
        return
    for size in range(LARGEST_IMAGE, 0, -1):
        yield ((found.channels, *(size,) * found.axes),)


def _leaves(layers: list[Layer]) -> Iterable[Layer]:
    """The layers that the input meets, in order; of branches the first stands for all."""
    for layer in layers:
        if layer.kind == "Chain":
            yield from _leaves([child for _, child in layer.children])
        elif layer.kind in _FIRST_ONLY or (layer.kind == "Parallel" and len(layer.children) == 1):
            yield from _leaves([layer.children[0][1]])
        else:
            yield layer


def _first(layers: Iterable[Layer]) -> Wanted | None:
    fallback: Wanted | None = None
    for layer in layers:
        if layer.kind == "Parallel":
            return fallback or _of_parallel(layer)
        found = _of_layer(layer)
        if found is not None:
            return found
        channels = layer.facts.get("channels")
        if layer.kind == "BatchNorm" and isinstance(channels, int) and fallback is None:
            fallback = Wanted(((channels,),))
        if layer.kind not in _PASSING:
            return fallback
    return fallback


def _of_layer(layer: Layer) -> Wanted | None:
    facts = layer.facts
    inputs, sizes, window = facts.get("in"), facts.get("sizes"), facts.get("window")
    if isinstance(window, tuple) and isinstance(inputs, int):
        return Wanted(channels=inputs, axes=len(window))
    if layer.kind == "Dense" and isinstance(inputs, int):
        return Wanted(((inputs,),))
    if layer.kind == "Bilinear" and isinstance(inputs, tuple):
        return Wanted(((inputs[0],), (inputs[1],)))
    if layer.kind in ("Scale", "LayerNorm") and isinstance(sizes, tuple):
        return Wanted((tuple(reversed(sizes)),))
    return None


def _of_parallel(layer: Layer) -> Wanted | None:
    """One input for all branches if they agree, else one for each."""
    found = [wanted(child) for _, child in layer.children]
    if found[0] is None or all(item == found[0] for item in found):
        return found[0]
    shapes: list[Shape] = []
    for item in found:
        if item is None or len(item.shapes) != 1:
            return None
        shapes.extend(item.shapes)
    return Wanted(tuple(shapes))


# Whether an architecture text says what the layers of a file say: every name, size, count and option.

_SILENT = frozenset({"stride", "pad", "dilation", "groups"})
_SHOWN = 120


def check(layer: Layer, text: Call | Name, version: Version | None) -> None:
    """Compares layers with a text, all the way down.

    Args:
        layer: from the file.
        text: the architecture.
        version: of Flux; up to 0.12.4 it prints no stride, padding or dilation.

    Raises:
        ModelError: VF2009 at the first place where they differ.
    """
    if isinstance(text, Name) or is_function(text):
        kind, facts = write_function(text)
        _compare_kind(layer, kind, text)
        _compare_facts(layer, facts, text)
        return
    row, written = write(text)
    # DepthwiseConv is only another way to write a Conv.
    _compare_kind(layer, "Conv" if row.name == "DepthwiseConv" else row.name, text)
    silent = layer.silent | (_SILENT if version is not None and version < PRINTS_OPTIONS else frozenset())
    defaults = {key: value for key, value in row.defaults(written.facts).items() if key not in silent}
    _compare_facts(layer, {**defaults, **written.facts}, text)
    if len(written.children) != len(layer.children):
        message = f"the text says {len(written.children)} layers here, the file holds {len(layer.children)}"
        raise disagree(message, text.span)
    for child, (name, inner) in zip(written.children, layer.children, strict=True):
        if child.name is not None and child.name != name:
            raise disagree(f"the text names a layer {child.name}, the file {name}", child.text.span)
        check(inner, child.text, version)


def _compare_kind(layer: Layer, kind: str, text: Call | Name) -> None:
    if layer.kind != kind:
        raise disagree(f"the text says {text.name}, the file holds {_printed(layer)} at {layer.place}", text.span)


def _compare_facts(layer: Layer, facts: Facts, text: Call | Name) -> None:
    for name, said in facts.items():
        if name in layer.facts and not _same(layer.facts[name], said):
            message = f"the text says {name} = {said}, the file {name} = {layer.facts[name]} at {layer.place}"
            raise disagree(message, text.span, _printed(layer))


def _same(stored: Fact, said: Fact) -> bool:
    if isinstance(stored, float) and isinstance(said, float):
        # A text may say 0.1 where the file holds the Float32 nearest to it.
        return abs(stored - said) <= 1e-6 * max(abs(stored), abs(said))
    return type(stored) is type(said) and stored == said


def _printed(layer: Layer) -> str:
    if layer.kind in TABLE and layer.children:
        return f"a {layer.kind} of {len(layer.children)} layers"
    text = show(layer)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


# From a file to a graph

_SHAPE_WORDS = {
    "Conv": ("(channels, height, width) for an image", "3,32,32"),
    **dict.fromkeys(("Embedding", "EmbeddingBag", "onehotbatch"), ("the number of its words", "32")),
    **dict.fromkeys(
        ("RNN", "LSTM", "GRU", "GRUv3", "MultiHeadAttention"), ("(steps, features) for a sequence", "20,8")
    ),
}
"""What is missing and an example, by the kind of the first layer."""
InputShape = Shape | tuple[Shape, ...]


@dataclass(frozen=True, eq=False)
class Lifted:
    """A model file, understood.

    Attributes:
        graph: the network in its deployed operation order.
        layers: one row for each layer, in order.
        sources: names and sha256 (hex) of the files that make up the function; a text that was given as
            such is listed as `architecture`.
        format: of the model file, `JLD2 0.2.0` or `BSON`.
        flux_version: as given, or None.
        notes: what a reader of the result should know.
        uncovered: parts of the file, and ways to run the model, that no proof speaks of.
    """

    graph: Graph
    layers: tuple[LayerRow, ...]
    sources: tuple[tuple[str, str], ...]
    format: str
    flux_version: str | None
    notes: tuple[str, ...]
    uncovered: tuple[str, ...] = ()


def load_model(
    path: str | Path,
    architecture: str | Path | None = None,
    flux_version: str | None = None,
    input_shape: InputShape | None = None,
) -> Graph:
    """Lifts a Flux model file to a graph.

    Args:
        path: a `.jld2` or `.bson` file: a whole model, a `Flux.state`, or a list of its arrays; a `.npz` or
            `.safetensors` file with the names of a flattened `Flux.state`; an `.onnx` file.
        architecture: path of the architecture text, or the text itself; needed where the file holds no
            layer types, compared with the file where it does.
        flux_version: of the Flux that the model runs under, `0.16.7`; some layers need it.
        input_shape: of one input without the sample axis, (channels, height, width) or (features,); for
            several inputs a tuple of such. Inferred where the layers tell it.

    Raises:
        ModelError: VF20xx for a file that cannot be read, understood or trusted; VF2101 for layers that do
            not fit together.
    """
    # The graph alone does not need the digests of the files.
    return _lift(path, architecture, flux_version, input_shape, None).graph


def lift(
    path: str | Path,
    architecture: str | Path | None = None,
    flux_version: str | None = None,
    input_shape: InputShape | None = None,
) -> Lifted:
    """Lifts a Flux model file and tells all about it; arguments and errors as for `load_model`."""
    with Digest() as digest:
        return _lift(path, architecture, flux_version, input_shape, digest)


def _lift(
    path: str | Path,
    architecture: str | Path | None,
    flux_version: str | None,
    input_shape: InputShape | None,
    digest: Digest | None,
) -> Lifted:
    version = None if flux_version is None else parse_version(flux_version)
    file = Path(path)
    if file.suffix.lower() == ".onnx":
        return _lift_onnx(file, architecture, input_shape, digest)
    data, contents = read_model_file(file, None if digest is None else digest.add)
    name, source, text = (None, "", None) if architecture is None else text_of(architecture)
    layer, left = layers_of(contents, text, version, len(data))
    form, julia = contents.format, contents.julia_version
    # The bytes may be as large as the arrays that were made from them: let go of them before the lifting.
    del data, contents
    built = _build(layer, version, input_shape)
    sources = [] if digest is None else [(file.name, digest.result())]
    if name is not None and digest is not None:
        sources.append((name, hashlib.sha256(source.encode()).hexdigest()))
    written = () if julia is None else (f"written by Julia {julia}",)
    return Lifted(
        graph=built.graph(),
        layers=tuple(built.rows),
        sources=tuple(sources),
        format=form,
        flux_version=flux_version,
        notes=(*built.notes, *written),
        uncovered=(*left, *built.uncovered),
    )


def _lift_onnx(
    file: Path,
    architecture: str | Path | None,
    input_shape: InputShape | None,
    digest: Digest | None,
) -> Lifted:
    """A network in ONNX: it says all about itself, and no version of Flux enters."""
    from verifluxa.interop.onnx_import import import_onnx

    if architecture is not None:
        raise ModelError(
            "VF2009",
            "an ONNX file holds its layers, and an architecture is given beside it",
            remedy="leave the architecture out",
        )
    data = read_bytes(file, FILE_BYTES, None if digest is None else digest.add)
    found = import_onnx(data, None if input_shape is None else _shapes(input_shape))
    rows = [LayerRow(row.place, row.kind, row.input_shape, (row.output_shape,), row.parameters) for row in found.rows]
    return Lifted(
        graph=found.graph,
        layers=tuple(rows),
        sources=() if digest is None else ((file.name, digest.result()),),
        format=found.format,
        flux_version=None,
        notes=(f"written by {found.producer}",) if found.producer else (),
        uncovered=(
            "runtimes that fuse operators or change their order: a proof speaks of each operator as ONNX has it",
        ),
    )


def text_of(architecture: str | Path) -> tuple[str, str, Call | Name]:
    """Name and text of an architecture, and what it says: of a path, or of the text itself, which has brackets."""
    if isinstance(architecture, str) and "(" in architecture:
        name, text = "architecture", architecture
    else:
        name, text = Path(architecture).name, read_text_file(Path(architecture))
    return name, text, parse_architecture(text, name)


def layers_of(
    contents: Contents, text: Call | Name | None, version: Version | None, size: int
) -> tuple[Layer, tuple[str, ...]]:
    """The model of a file, put together with its architecture, and what of the file was left alone.

    Raises:
        ModelError: VF2012 when there are arrays alone, and what choosing, reading and comparing raise.
    """
    chosen = choose(contents)
    value = chosen.value
    if not chosen.whole:
        if text is None:
            raise ModelError(
                "VF2012",
                f"the file ({contents.format}) holds arrays, but not which layers and activations they belong to",
                place=chosen.name or None,
                expected="the architecture, a text with the model as Julia prints it",
                remedy=(
                    'give it with `--architecture FILE`, in a spec with `architecture = "FILE"`; Julia writes it: '
                    '`write("architecture.txt", sprint(show, MIME("text/plain"), model))`'
                ),
            )
        value = (
            fill(text, chosen.arrays, version) if chosen.arrays is not None else merge_weights(text, value, chosen.name)
        )
    layer = LayerReader(size).read(value, chosen.name or "model")
    if text is not None:
        check(layer, text, version)
    return layer, chosen.notes


def _build(layer: Layer, version: Version | None, input_shape: InputShape | None) -> Builder:
    dtype = _float_type(layer)
    if input_shape is not None:
        return _emitted(layer, _shapes(input_shape), dtype, version)
    found = wanted(layer)
    if found is None:
        raise _no_shape("the layers do not tell the shape of the input", None, layer)
    failure: ModelError | None = None
    for shapes in candidates(found):
        try:
            built = _emitted(layer, shapes, dtype, version)
            if not found.shapes:
                sizes = " x ".join(str(size) for size in shapes[0][1:])
                built.note(f"no input shape was given: {sizes} is the largest that fits, not that of the training data")
            return built
        except ModelError as error:
            # Only a shape that does not fit is a reason to try a smaller image.
            if error.code not in ("VF2101", "VF2008", "VF2010") or found.shapes:
                raise
            failure = failure or error
    raise _no_shape("no square image up to 512 x 512 fits the layers", failure, layer)


def _no_shape(message: str, cause: ModelError | None, layer: Layer) -> ModelError:
    expected, example = _SHAPE_WORDS.get(first_kind(layer), _SHAPE_WORDS["Conv"])
    why = "" if cause is None else f"; the largest fails: {cause.message}"
    return ModelError(
        "VF2013",
        message + why,
        place=None if cause is None else cause.place,
        expected=f"the shape of one input, {expected}",
        remedy=f"give it: `--input-shape {example}`, or `input_shape` in Python",
    )


def _shapes(given: InputShape) -> tuple[Shape, ...]:
    parts = tuple(given)
    nested = tuple(part for part in parts if isinstance(part, tuple))
    if nested and len(nested) == len(parts):
        return nested
    numbers = tuple(part for part in parts if isinstance(part, int) and 1 <= part < 2**31)
    if nested or len(numbers) != len(parts):
        raise ModelError("VF2013", f"{given} is no shape of an input", expected="whole numbers from 1")
    return (numbers,)


def _emitted(layer: Layer, shapes: tuple[Shape, ...], dtype: str, version: Version | None) -> Builder:
    builder = Builder(shapes, dtype, version)
    nodes = emit(layer, builder, builder.inputs)
    if len(nodes) > 1 and builder.scores.intersection(nodes):
        nodes = tuple(node for node in nodes if node not in builder.scores)
        builder.leave_out("the attention scores, which the model gives beside its output: a proof speaks of the first")
    if len(nodes) != 1:
        raise ModelError(
            "VF2010",
            f"the model gives {len(nodes)} outputs",
            place=layer.place,
            expected="one",
            remedy="take one of them with `Chain(model, first)` or `last`",
        )
    builder.finish(layer, nodes[0])
    return builder


def _float_type(layer: Layer) -> str:
    """The one float type of all arrays; a model without arrays computes in Float32."""
    found: dict[np.dtype[np.floating], str] = {}
    pending = [layer]
    while pending:
        current = pending.pop()
        pending.extend(child for _, child in reversed(current.children))
        for name, array in current.arrays.items():
            found.setdefault(array.dtype.newbyteorder("="), f"{current.place}.{name}")
    if len(found) > 1:
        places = " and ".join(f"{dtype} at {place}" for dtype, place in found.items())
        raise ModelError(
            "VF2008",
            f"the model mixes float types: {places}",
            expected="Float32 or Float64 throughout",
            remedy="convert the model with `f32(model)` or `f64(model)` in Julia",
        )
    return next(iter(found)).name if found else "float32"
