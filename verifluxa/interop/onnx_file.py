"""An ONNX file as checked parts: nodes with plain attributes, constants as arrays, inputs and one output.

Whatever a proof could not speak of is refused by name: external data, functions, control flow, operators of
other domains, quantised and sparse constants. Nothing is computed here, and nothing outside the file is read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verifluxa.errors import ModelError, UsageError


def onnx_package() -> Any:
    """The package with its helpers loaded.

    Raises:
        UsageError: VF4411 when it is not installed.
    """
    try:
        import onnx
        import onnx.checker
        import onnx.helper
        import onnx.numpy_helper
    except ImportError:
        raise UsageError(
            "VF4411",
            "ONNX files need the package `onnx`, which is not installed",
            remedy='install it with `pip install "verifluxa[onnx]"`',
        ) from None
    return onnx


def decode_error() -> type[Exception]:
    """What protobuf, which `onnx` brings along, raises for bytes that are no message."""
    error = import_module("google.protobuf.message").DecodeError
    assert issubclass(error, Exception)  # so protobuf documents it
    return error  # type: ignore[no-any-return]


# The file

FILE_BYTES = (2 << 30) - 1
"""A protobuf message cannot be larger."""
MOST_NODES = 10_000
MOST_AXES = 8
OPSETS = range(7, 24)
_TYPES = {1: "<f4", 11: "<f8", 7: "<i8", 6: "<i4", 9: "|b1"}
_FLOATS = {1: "float32", 11: "float64"}
_FIELDS = {1: "float_data", 11: "double_data", 7: "int64_data", 6: "int32_data", 9: "int32_data"}

Array = NDArray[Any]
Dims = tuple[int | None, ...]
Attribute = int | float | str | tuple[int, ...] | tuple[float, ...] | Array


@dataclass(frozen=True, eq=False)
class OnnxNode:
    """One operator: names of what it reads and gives (what is optional and left out is an empty name)."""

    kind: str
    place: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute]


@dataclass(frozen=True, eq=False)
class OnnxFile:
    """A file.

    Attributes:
        opset: version of ONNX's own operators.
        dtype: the float type of inputs and output.
        inputs: name and sizes of each; None where a size, or how many there are, is left open.
        constants: by name.
        nodes: in an order in which every node reads only what stands before it.
        output: name of the one output.
        producer: what wrote the file, as it says itself.
    """

    opset: int
    dtype: str
    inputs: tuple[tuple[str, Dims | None], ...]
    constants: Mapping[str, Array]
    nodes: tuple[OnnxNode, ...]
    output: str
    producer: str


def broken(message: str, place: str | None = None, expected: str | None = None) -> ModelError:
    """VF2017: an ONNX file that is malformed, or holds what no proof covers."""
    return ModelError(
        "VF2017",
        message,
        place=place,
        expected=expected,
        remedy="export the model again, for inference, in one file, with constant shapes",
    )


def read_onnx(data: bytes | memoryview) -> OnnxFile:
    """Reads the bytes of an ONNX file.

    Raises:
        ModelError: VF2017 for a file that is malformed or refused, VF2004 when it is too large.
        UsageError: VF4411 when the `onnx` package is not installed.
    """
    if len(data) > FILE_BYTES:
        raise ModelError("VF2004", f"the file has {len(data)} bytes", expected=f"at most {FILE_BYTES}")
    model = _parsed(bytes(data))
    opset = _opset(model)
    body = model.graph
    if len(body.sparse_initializer) or len(body.quantization_annotation):
        raise broken("the file holds sparse or quantised constants", expected="dense arrays")
    if len(body.node) > MOST_NODES:
        raise broken(f"the network has {len(body.node)} operators", expected=f"at most {MOST_NODES}")
    constants = _constants(body)
    inputs, dtype = _inputs(body, constants)
    if len(body.output) != 1:
        raise broken(f"the network gives {len(body.output)} outputs", expected="one")
    return OnnxFile(
        opset=opset,
        dtype=dtype,
        inputs=inputs,
        constants=constants,
        nodes=tuple(_node(index, node) for index, node in enumerate(body.node)),
        output=body.output[0].name,
        producer=f"{model.producer_name} {model.producer_version}".strip()[:60],
    )


def _parsed(data: bytes) -> Any:
    model = onnx_package().ModelProto()
    try:
        model.ParseFromString(data)
    except decode_error():
        raise broken("the file is not ONNX: it cannot be decoded") from None
    if not model.HasField("graph") or not model.ir_version:
        raise broken("the file is not ONNX: it has no graph")
    if len(model.functions) or len(model.training_info):
        raise broken("the file defines operators of its own, or how to train", expected="ONNX's operators only")
    return model


def _opset(model: Any) -> int:
    versions = {item.domain: item.version for item in model.opset_import}
    # Domains that no node uses do no harm; a node of another domain is refused where it stands.
    opset = int(versions.get("", versions.get("ai.onnx", 0)))
    if opset not in OPSETS:
        raise broken(f"the operators are of version {opset}", expected=f"{OPSETS[0]} to {OPSETS[-1]}")
    return opset


def _constants(body: Any) -> dict[str, Array]:
    found: dict[str, Array] = {}
    for tensor in body.initializer:
        if tensor.name in found:
            raise broken(f"the constant `{short(tensor.name)}` is there twice")
        found[tensor.name] = array_of(tensor, short(tensor.name))
    return found


def array_of(tensor: Any, place: str) -> Array:
    """The values of a constant, checked before anything is allocated.

    Raises:
        ModelError: VF2017.
    """
    if tensor.data_location or len(tensor.external_data):
        raise broken("the values of a constant lie in another file", place, "all values in the one file")
    if tensor.data_type not in _TYPES or tensor.HasField("segment"):
        raise broken("a constant has a type that no proof covers", place, "float32, float64, int32, int64 or bool")
    shape = tuple(int(size) for size in tensor.dims)
    if len(shape) > MOST_AXES or any(size < 0 for size in shape):
        raise broken(f"a constant has the shape {shape}", place, f"at most {MOST_AXES} axes")
    dtype = np.dtype(_TYPES[tensor.data_type])
    if tensor.HasField("raw_data"):
        if len(tensor.raw_data) != math.prod(shape) * dtype.itemsize:
            raise broken(f"a constant of shape {shape} holds {len(tensor.raw_data)} bytes", place)
        values = np.frombuffer(tensor.raw_data, dtype)
    else:
        field = getattr(tensor, _FIELDS[tensor.data_type])
        if len(field) != math.prod(shape):
            raise broken(f"a constant of shape {shape} holds {len(field)} numbers", place)
        values = np.array(field, dtype)
    if dtype.kind == "f" and not np.isfinite(values).all():
        raise broken("a constant holds NaN or infinity", place, "finite numbers")
    return values.reshape(shape)


def _inputs(body: Any, constants: Mapping[str, Array]) -> tuple[tuple[tuple[str, Dims | None], ...], str]:
    # Up to IR version 3 the constants are listed among the inputs.
    infos = [info for info in body.input if info.name not in constants]
    types = {info.type.tensor_type.elem_type for info in infos}
    if not infos or len(types) != 1 or not types <= set(_FLOATS):
        raise broken("the inputs have no one float type", expected="float32 or float64")
    names = tuple(info.name for info in infos)
    if len(set(names)) != len(names) or "" in names:
        raise broken("two inputs have one name")
    return tuple(zip(names, map(_dims, infos), strict=True)), _FLOATS[types.pop()]


def _dims(info: Any) -> Dims | None:
    kind = info.type.tensor_type
    if not kind.HasField("shape"):
        return None
    sizes = [int(size.dim_value) if size.HasField("dim_value") else 0 for size in kind.shape.dim]
    if len(sizes) > MOST_AXES or any(not 0 <= size < 2**31 for size in sizes):
        raise broken(f"the input `{short(info.name)}` has the shape {sizes}", expected=f"at most {MOST_AXES} axes")
    return tuple(size or None for size in sizes)


def _node(index: int, node: Any) -> OnnxNode:
    place = f"node {index} ({short(node.op_type)}{', ' + short(node.name) if node.name else ''})"
    if node.domain not in ("", "ai.onnx"):
        raise ModelError(
            "VF2018",
            f"the operator is of the domain `{short(node.domain)}`, not of ONNX itself",
            place=place,
            remedy="export the model with ONNX's own operators",
        )
    if not any(node.output):
        raise broken("an operator gives nothing", place)
    attributes = dict(_attributes(node, place))
    return OnnxNode(node.op_type, place, tuple(node.input), tuple(node.output), attributes)


def _attributes(node: Any, place: str) -> Iterator[tuple[str, Attribute]]:
    seen: set[str] = set()
    for item in node.attribute:
        if item.name in seen or item.ref_attr_name:
            raise broken(f"the attribute `{short(item.name)}` is there twice, or refers to another one", place)
        seen.add(item.name)
        match item.type:
            case 1:
                yield item.name, float(item.f)
            case 2:
                yield item.name, int(item.i)
            case 3:
                yield item.name, item.s.decode("utf-8", errors="replace")
            case 4:
                yield item.name, array_of(item.t, place)
            case 6:
                yield item.name, tuple(float(value) for value in item.floats)
            case 7:
                yield item.name, tuple(int(value) for value in item.ints)
            case _:
                raise broken(f"the attribute `{short(item.name)}` is a graph or of another refused type", place)


def short(text: str) -> str:
    """A name of the file, cut for a message."""
    return text if len(text) <= 40 else text[:40] + "..."
