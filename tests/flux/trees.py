"""Values as plain paths and leaves, so that two trees can be compared."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from verifluxa.flux.values import Dictionary, Function, List, NamedTuple, Opaque, Struct, Symbol, Tuple, Value


def leaves(value: Value, path: str = "") -> Iterator[tuple[str, object]]:
    """Every leaf with its path; functions, symbols and types by their names."""
    if isinstance(value, Struct | NamedTuple):
        for name, item in zip(value.names, value.items, strict=True):
            yield from leaves(item, f"{path}.{name}")
    elif isinstance(value, Tuple | List):
        for index, item in enumerate(value.items):
            yield from leaves(item, f"{path}.{index + 1}")
    elif isinstance(value, Dictionary):
        yield path, sorted(str(key) for key in value.keys)
    elif isinstance(value, Function | Symbol):
        yield path, value.name
    elif isinstance(value, Opaque):
        yield path, value.type.name
    elif isinstance(value, np.ndarray):
        yield path, (value.dtype.str, value.shape, value.tobytes(order="F"))
    else:
        yield path, (type(value).__name__, value)
