"""NPZ and safetensors: arrays under the names of a flattened `Flux.state`, `layers.1.weight`.

Sizes are Julia's, (outputs, inputs) for a Dense. Nothing is unpickled: object arrays are refused.
"""

from __future__ import annotations

import ast
import json
import math
import zipfile
from functools import partial
from io import BytesIO

import numpy as np

from verifluxa.errors import ModelError
from verifluxa.flux.cursor import Cursor, damaged, foreign
from verifluxa.flux.limits import Budget
from verifluxa.flux.values import Array, Contents, Variable

_DTYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}
_FLOATS = frozenset({"<f2", "<f4", "<f8"})
NUMBERS = _FLOATS | {"|u1", "|i1", "<i2", "<i4", "<i8", "<u2", "<u4", "<u8"}
"""Element types of recorded inputs and outputs."""
_NPY_MAGIC = b"\x93NUMPY"
_MOST_HEADER = 16 << 20
_MOST_ARRAYS = 100_000
_MOST_RANK = 16


def read_safetensors(data: bytes | memoryview) -> Contents:
    """Reads a safetensors file: 8 bytes of length, a JSON header, the arrays.

    Raises:
        ModelError: VF2002 for damage, VF2003 for element types other than floats.
    """
    cursor = Cursor(memoryview(data), 0, len(data), "the file")
    length = cursor.uint(8)
    if length > _MOST_HEADER:
        raise damaged(f"the header says that it is {length} bytes long", "byte 0", f"at most {_MOST_HEADER}")
    start = cursor.position + length
    header = _header(bytes(cursor.take(length)))
    body = Cursor(cursor.data, start, len(data), "the arrays")
    spans: list[tuple[int, int]] = []
    variables: list[Variable] = []
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        array, span = _tensor(body, name, entry)
        spans.append(span)
        variables.append(Variable(name, "Core.Array", partial(_give, array)))
    _check_spans(sorted(spans), body.left)
    return Contents("safetensors", tuple(variables))


def _give(array: Array) -> Array:
    return array


def _header(text: bytes) -> dict[str, object]:
    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        if len({key for key, _ in pairs}) != len(pairs):
            raise damaged("the header names something twice", "byte 8")
        return dict(pairs)

    try:
        header = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError):
        raise damaged("the header is not valid JSON", "byte 8") from None
    if not isinstance(header, dict) or len(header) > _MOST_ARRAYS:
        raise damaged("the header is not a list of arrays", "byte 8")
    return header


def _tensor(body: Cursor, name: str, entry: object) -> tuple[Array, tuple[int, int]]:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise damaged(f"the header's entry for `{name}` is not complete", "byte 8")
    shape, offsets = _whole(entry["shape"]), _whole(entry["data_offsets"])
    if shape is None or offsets is None or len(offsets) != 2 or len(shape) > _MOST_RANK:
        raise damaged(f"the sizes or offsets of `{name}` are no whole numbers", "byte 8")
    dtype = _DTYPES.get(entry["dtype"]) if isinstance(entry["dtype"], str) else None
    if dtype is None:
        raise foreign(f"`{name}` holds {str(entry['dtype'])[:40]}", "byte 8", "F32 or F64")
    start, end = offsets
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if not start <= end <= body.left or end - start != size:
        raise damaged(f"the sizes {shape} of `{name}` ask for {size} bytes", "byte 8", f"{end - start}")
    base = body.position
    return np.frombuffer(body.data[base + start : base + end], dtype).reshape(shape), (start, end)


def _whole(value: object) -> tuple[int, ...] | None:
    if not isinstance(value, list):
        return None
    numbers = tuple(item for item in value if isinstance(item, int) and not isinstance(item, bool) and item >= 0)
    return numbers if len(numbers) == len(value) else None


def _check_spans(spans: list[tuple[int, int]], length: int) -> None:
    end = 0
    for start, stop in spans:
        if start != end:
            raise damaged("the arrays overlap or leave gaps", f"byte {start}")
        end = stop
    if end != length:
        raise damaged(f"{length - end} bytes are left over after the arrays", f"byte {end}")


def read_npz(data: bytes | memoryview, types: frozenset[str] = _FLOATS) -> Contents:
    """Reads an NPZ file: a zip of NPY files, stored or deflated.

    Args:
        data: the whole file.
        types: the element types that may occur, as NumPy writes them.

    Raises:
        ModelError: VF2002 for damage, VF2003 for arrays of other types, VF2004 past the limits.
    """
    budget = Budget(len(data))
    variables: list[Variable] = []
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            entries = archive.infolist()
            names = [entry.filename for entry in entries]
            if len(set(names)) != len(names) or len(names) > _MOST_ARRAYS:
                raise damaged("two arrays have the same name, or there are too many", "the zip directory")
            for entry in entries:
                name = entry.filename.removesuffix(".npy")
                budget.inflate(entry.file_size, name)
                with archive.open(entry) as file:
                    content = file.read(entry.file_size + 1)
                variables.append(Variable(name, "Core.Array", partial(_give, _npy(content, name, types))))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise damaged(f"the file is not a zip of arrays: {str(error)[:80]}", "the zip directory") from None
    return Contents("NPZ", tuple(variables))


def _npy(content: bytes, name: str, types: frozenset[str]) -> Array:
    """One array (NumPy's format, versions 1 to 3); the header is a literal and read as nothing else."""
    cursor = Cursor(memoryview(content), 0, len(content), f"the array `{name}`")
    cursor.expect(_NPY_MAGIC, "the NumPy signature")
    major, _ = cursor.uint(1), cursor.uint(1)
    if major not in (1, 2, 3):
        raise foreign(f"NumPy format {major}", name)
    text = bytes(cursor.take(cursor.uint(2 if major == 1 else 4)))
    descr, fortran, shape = _npy_header(text, name)
    if descr in NUMBERS - types:
        raise ModelError(
            "VF2003",
            f"the array `{name}` holds whole numbers ({np.dtype(descr).name}), shape {shape}: data, and no weights",
            place=name,
            expected="float16, float32 or float64",
            remedy="if this file is a data set, it belongs to --data; models are saved from Julia by JLD2 or BSON",
        )
    if descr not in types:
        raise foreign(f"the array holds `{descr[:40]}`", name, "one of " + ", ".join(sorted(types)))
    size = math.prod(shape) * np.dtype(descr).itemsize
    if cursor.left != size:
        raise damaged(f"the sizes {shape} ask for {size} bytes", name, f"{cursor.left}")
    return np.frombuffer(cursor.take(size), descr).reshape(shape, order="F" if fortran else "C")


def _npy_header(text: bytes, name: str) -> tuple[str, bool, tuple[int, ...]]:
    if len(text) > 4096:
        raise damaged("the header of an array is too long", name)
    try:
        header = ast.literal_eval(text.decode("latin-1").strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        raise damaged("the header of an array is not valid", name) from None
    if isinstance(header, dict) and set(header) == {"descr", "fortran_order", "shape"}:
        descr, fortran = header["descr"], header["fortran_order"]
        shape = _whole(list(header["shape"])) if isinstance(header["shape"], tuple) else None
        if isinstance(descr, str) and isinstance(fortran, bool) and shape is not None and len(shape) <= _MOST_RANK:
            return descr, fortran, shape
    raise damaged("the header of an array is not complete", name)
