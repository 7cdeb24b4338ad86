"""A strict reader of JLD2 files: variables as values, types and functions only ever by name."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from verifluxa.errors import ModelError
from verifluxa.flux.contents import Contents, Variable
from verifluxa.flux.cursor import damaged
from verifluxa.flux.hdf5 import dataset as hdf5
from verifluxa.flux.hdf5.datatype import Number
from verifluxa.flux.hdf5.header import open_file
from verifluxa.flux.jld2_values import Values
from verifluxa.flux.limits import DEPTH, Budget, refuse_deep
from verifluxa.flux.names import is_code, stored_function, untrusted

TYPES = "_types"
SIGNATURE = b"HDF5-based Julia Data Format"


def read_jld2(data: bytes | memoryview) -> Contents:
    """Reads the structure of a JLD2 file; a variable is read when asked for.

    Args:
        data: the whole file.

    Raises:
        ModelError: VF2002 for damage, VF2003 for what JLD2 never writes, VF2004 past the limits, VF2005
            when the file's list of types names code.
    """
    file = open_file(memoryview(data))
    values = Values(file, Budget(len(data)))
    root = _links(values, file.root)
    for error in _suspects(values, root.pop(TYPES, None)):
        raise error
    variables = tuple(
        Variable(path, _kind(values, address), partial(values.value, address))
        for path, address in _paths(values, root, file.root)
    )
    return Contents(f"JLD2 {file.format_version}", variables, file.julia_version)


def _links(values: Values, address: int) -> dict[str, int]:
    links = values.object(address).links
    if links is None:
        raise damaged("an object that is not a group stands where one belongs", f"address {address}")
    return dict(links)


def _paths(values: Values, root: dict[str, int], top: int) -> list[tuple[str, int]]:
    """Every dataset of every group by its path, in the order of the file."""
    found: list[tuple[str, int]] = []
    seen = {top}
    pending = [(name, address) for name, address in reversed(root.items())]
    while pending:
        path, address = pending.pop()
        links = values.object(address).links
        if links is None:
            found.append((path, address))
            continue
        if address in seen:
            raise damaged(f"the group `{path}` is reached by two links", f"address {address}")
        if path.count("/") >= DEPTH:
            raise refuse_deep(path)
        seen.add(address)
        pending.extend((f"{path}/{name}", target) for name, target in reversed(links.items()))
    return found


def suspects(data: memoryview) -> list[ModelError]:
    """Every type in a file's list that names code, whether a variable uses it or not.

    Raises:
        ModelError: VF2002 to VF2004 when the file cannot be read.
    """
    file = open_file(data)
    values = Values(file, Budget(len(data)))
    return list(_suspects(values, _links(values, file.root).get(TYPES)))


def _suspects(values: Values, address: int | None) -> Iterator[ModelError]:
    for name, target in ({} if address is None else _links(values, address)).items():
        kind = values.form(hdf5.Shared(target)).type
        if kind is not None and is_code(kind.name) and stored_function(kind.name) is None:
            yield untrusted(kind, f"{TYPES}/{name}")


def _kind(values: Values, address: int) -> str:
    """The name of a variable's type, as far as it can be told without reading the variable."""
    stored = values.object(address).value
    if stored is None:
        return "Core.DataType"
    kind = values.form(stored.datatype).type
    if kind is not None:
        return kind.name
    if not stored.dims:
        return "scalar"
    return "Core.Array" if isinstance(stored.datatype, Number) else "List"
