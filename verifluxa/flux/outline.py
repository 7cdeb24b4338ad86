"""What a model file holds, as far as it can be told where it cannot be lifted: for `inspect`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from verifluxa.errors import ModelError
from verifluxa.flux.builder import LayerRow
from verifluxa.flux.files import read_bytes, read_model_file
from verifluxa.flux.layer import Layer, parse_version
from verifluxa.flux.layers import show
from verifluxa.flux.limits import FILE_BYTES
from verifluxa.flux.load import choose, layers_of, text_of
from verifluxa.flux.merge_weights import ArrayList, ArrayNames
from verifluxa.flux.values import Contents, List, NamedTuple, Struct, Tuple, Value


@dataclass(frozen=True)
class Outline:
    """What can be told about a file.

    Attributes:
        format: `JLD2 0.2.0`, or None where not even that can be told.
        variables: names and types.
        layers: one row each, shapes left out; empty where they cannot be read.
        arrays: places and sizes, in Julia's order, where there are no layers.
        suspects: everything that is code or comes from the script that saved the model: place and words.
    """

    format: str | None = None
    variables: tuple[tuple[str, str], ...] = ()
    layers: tuple[LayerRow, ...] = ()
    arrays: tuple[tuple[str, tuple[int, ...]], ...] = ()
    suspects: tuple[tuple[str, str], ...] = ()


def outline(path: str | Path, architecture: str | Path | None = None, flux_version: str | None = None) -> Outline:
    """Reads as much as can be read; nothing of it is trusted. Arguments as for `load_model`; raises nothing."""
    file = Path(path)
    try:
        data, contents = read_model_file(file)
    except ModelError:
        return Outline(suspects=_suspects(file))
    variables = tuple((item.name, item.kind) for item in contents.variables)
    layers: tuple[LayerRow, ...] = ()
    arrays: tuple[tuple[str, tuple[int, ...]], ...] = ()
    # A text that contradicts the file does not keep the file's own layers from being shown.
    for text in dict.fromkeys((architecture, None)):
        with suppress(ModelError):
            layers = _rows(contents, text, flux_version, len(data))
            break
    else:
        arrays = _arrays(contents)
    return Outline(contents.format, variables, layers, arrays)


def _suspects(file: Path) -> tuple[tuple[str, str], ...]:
    from verifluxa.flux import bson, jld2

    readers = {".jld2": jld2.suspects, ".bson": bson.suspects}
    if file.suffix.lower() not in readers:
        return ()
    try:
        found = readers[file.suffix.lower()](read_bytes(file, FILE_BYTES))
    except ModelError:
        # Why the file cannot be read is what the refusal says.
        return ()
    return tuple((str(error.place), error.message) for error in found)


def _rows(
    contents: Contents, architecture: str | Path | None, flux_version: str | None, size: int
) -> tuple[LayerRow, ...]:
    version = None if flux_version is None else parse_version(flux_version)
    text = None if architecture is None else text_of(architecture)[2]
    layer, _ = layers_of(contents, text, version, size)
    return tuple(LayerRow(leaf.place, show(leaf), (), (), leaf.parameters) for leaf in _leaves(layer))


def _leaves(layer: Layer) -> Iterator[Layer]:
    if not layer.children:
        yield layer
    for _, child in layer.children:
        yield from _leaves(child)


def _arrays(contents: Contents) -> tuple[tuple[str, tuple[int, ...]], ...]:
    try:
        chosen = choose(contents)
    except ModelError:
        return ()
    if isinstance(chosen.arrays, ArrayNames):
        return tuple((name, array.shape) for name, array in chosen.arrays.arrays.items())
    if isinstance(chosen.arrays, ArrayList):
        return tuple((f"{chosen.name}[{number}]", array.shape) for number, array in enumerate(chosen.arrays.arrays, 1))
    return tuple(_within(chosen.value, chosen.name, set()))


def _within(value: Value, place: str, seen: set[int]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Every array of a value with its place; what is shared is entered once, or it could unfold without end."""
    if isinstance(value, np.ndarray):
        yield place, value.shape
    elif isinstance(value, Struct | NamedTuple | Tuple | List) and id(value) not in seen:
        seen.add(id(value))
        for name, item in _members(value):
            yield from _within(item, place + name, seen)


def _members(value: Struct | NamedTuple | Tuple | List) -> Iterator[tuple[str, Value]]:
    if isinstance(value, Struct | NamedTuple):
        yield from ((f".{name}", item) for name, item in zip(value.names, value.items, strict=True))
    else:
        yield from ((f"[{number}]", item) for number, item in enumerate(value.items, start=1))
