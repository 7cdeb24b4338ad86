"""JLD2 files: the same values as h5py reads, the same as BSON holds, types and functions by name only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tests.conformance.cases import ROOT
from tests.flux.trees import leaves
from verifluxa.errors import ModelError
from verifluxa.flux.bson import read_bson
from verifluxa.flux.jld2 import read_jld2
from verifluxa.flux.values import Contents, Dictionary, Function, List, NamedTuple, Opaque, Struct, Symbol, Tuple

STATES = sorted(
    [*ROOT.glob("layers/*/state.jld2"), *ROOT.glob("old/*/*/state.jld2"), *ROOT.glob("jld2-*/*/state.jld2")]
)
PAIRS = sorted(path.parent for path in ROOT.glob("layers/*/model.bson"))


def _name(path: Path) -> str:
    return "/".join(path.parts[-3:-1]) if path.suffix else path.name


def read(*parts: str) -> Contents:
    """A JLD2 file of the fixtures."""
    return read_jld2(ROOT.joinpath(*parts).read_bytes())


def _by_h5py(file: h5py.File, value: Any, path: str) -> Iterator[tuple[str, object]]:
    """Arrays that h5py finds behind a value: it follows compounds and references, and knows no Julia types."""
    if isinstance(value, h5py.Reference):
        dataset = file[value]
        if dataset.dtype.kind == "f" and dataset.shape:
            array = dataset[()].transpose()
            yield path, (array.dtype.str, array.shape, array.tobytes(order="F"))
        elif dataset.dtype.kind == "O":
            for index, item in enumerate(np.ravel(dataset[()])):
                yield from _by_h5py(file, item, f"{path}.{index + 1}")
        elif dataset.dtype.kind == "V":
            yield from _by_h5py(file, dataset[()], path)
    elif isinstance(value, np.void) and value.dtype.names:
        for name in value.dtype.names:
            yield from _by_h5py(file, value[name], f"{path}.{name}")


@pytest.mark.parametrize("path", STATES, ids=_name)
def test_h5py_finds_the_same_arrays(path: Path) -> None:
    (variable,) = read_jld2(path.read_bytes()).variables
    ours = {place: leaf for place, leaf in leaves(variable.read()) if isinstance(leaf, tuple) and len(leaf) == 3}
    with h5py.File(path) as file:
        theirs = dict(_by_h5py(file, file["model_state"][()], ""))
    assert ours == theirs


@pytest.mark.parametrize("folder", PAIRS, ids=_name)
@pytest.mark.parametrize("form", ["model", "state"])
def test_both_formats_hold_the_same_values(folder: Path, form: str) -> None:
    trees = []
    for reader, suffix in ((read_jld2, "jld2"), (read_bson, "bson")):
        try:
            (variable,) = reader((folder / f"{form}.{suffix}").read_bytes()).variables
            trees.append(list(leaves(variable.read())))
        except ModelError as error:
            trees.append([("refused", error.code)])
    assert trees[0] == trees[1]


def test_fields_of_size_zero_come_from_the_types() -> None:
    (variable,) = read("layers", "chain_softmax", "model.jld2").variables
    model = variable.read()
    assert isinstance(model, Struct)
    assert model.type.name == "Flux.Chain"
    layers = model["layers"]
    assert isinstance(layers, Tuple)
    first, _, last = layers.items
    assert isinstance(last, Function)
    assert last.name == "softmax"
    assert isinstance(first, Struct)
    assert first.names == ("weight", "bias", "σ")
    assert isinstance(first["σ"], Function)


def test_groups_and_plain_values_beside_the_model_are_read() -> None:
    contents = read("hostile", "groups.jld2")
    values = {variable.name: variable.read() for variable in contents.variables}
    assert values["net/name"] == "digits"
    assert values["epoch"] == 3
    assert values["history/loss_4"] == 0.25
    assert isinstance(values["when"], Symbol)
    assert values["when"].name == "today"
    assert isinstance(values["tags"], List)
    assert values["tags"].items == ("a", "b")
    assert isinstance(values["options"], Dictionary)
    assert set(values["options"].keys) == {"lr", "batch"}
    assert isinstance(values["net/model_state"], NamedTuple)
    assert contents.format == "JLD2 0.2.0"
    assert contents.julia_version == "1.5.3"


def test_a_random_generator_is_let_through_unread() -> None:
    (variable,) = read("layers", "dropout", "model.jld2").variables
    found = [leaf for path, leaf in leaves(variable.read()) if path.endswith(".rng")]
    assert found == ["Random.MersenneTwister"]
    model = variable.read()
    assert isinstance(model, Struct)
    layers = model["layers"]
    assert isinstance(layers, Tuple)
    dropout = layers.items[1]
    assert isinstance(dropout, Struct)
    assert isinstance(dropout["rng"], Opaque)


def test_shared_arrays_are_one_array() -> None:
    (variable,) = read("layers", "tied_layers", "model.jld2").variables
    model = variable.read()
    assert isinstance(model, Struct)
    layers = model["layers"]
    assert isinstance(layers, Tuple)
    first, second, _ = layers.items
    assert isinstance(first, Struct)
    assert isinstance(second, Struct)
    assert first["weight"] is second["weight"]


def test_a_variable_can_be_read_again_after_another_was_refused() -> None:
    contents = read("hostile", "reference_null.jld2")
    (variable,) = contents.variables
    for _ in range(2):
        with pytest.raises(ModelError, match="undefined"):
            variable.read()
