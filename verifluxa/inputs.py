"""What a run starts from: the checked spec, and the models and data sets that its properties name, loaded."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from verifluxa.data.dataset import IN_MEMORY, Arrays, Dataset
from verifluxa.errors import DataError, ModelError, Span, UsageError
from verifluxa.files import NotAFileError, open_file
from verifluxa.graph.ops import Embedding
from verifluxa.library import Library, resolve
from verifluxa.spec.paths import beside
from verifluxa.spec.problems import SpecWarning
from verifluxa.spec.spec import (
    DataDecl,
    ImageSpace,
    InputSpace,
    ModelDecl,
    Property,
    SeriesSpace,
    Spec,
    TableSpace,
    TokenSpace,
    claims_of,
    models_of,
    named,
)

if TYPE_CHECKING:
    from verifluxa.flux.load import Lifted
    from verifluxa.graph.graph import Graph
    from verifluxa.spec.check import Checked

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Choice:
    """What the user chooses over a spec.

    Attributes:
        models, data: files by the name in the spec, or networks and arrays in memory; they replace what the spec says.
        params: values by name, as text (`1 %`).
        properties: the properties to look at; empty for all.
    """

    models: Mapping[str, str | Graph] = field(default_factory=dict)
    data: Mapping[str, str | Arrays] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    properties: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model of the spec.

    Attributes:
        decl: what the spec says.
        path: the weights file.
        sha256: digest of that file's bytes, as they were read.
        architecture: path and digest of the architecture file, or None.
        lifted: what was read.
    """

    decl: ModelDecl
    path: str
    sha256: str
    architecture: tuple[str, str] | None
    lifted: Lifted


@dataclass(frozen=True, eq=False)
class Inputs:
    """Everything that the chosen properties need, and what the check of the spec had to remark."""

    spec: Spec
    warnings: tuple[SpecWarning, ...]
    properties: tuple[Property, ...]
    models: Mapping[str, LoadedModel]
    data: Mapping[str, Dataset]


def find_spec(name: str) -> str:
    """The path of a spec: the user's own file (`.vfx`), or one of the library by its name.

    Raises:
        UsageError: VF4001 or VF4002 for a name that is not in the library.
    """
    if name.endswith(Library.SPECS.suffix) or "/" in name or Path(name).exists():
        return name
    return str(resolve(Library.SPECS, name).path)


def load_inputs(spec: str, choice: Choice) -> Inputs:
    """Loads a spec, and the models and data that the chosen properties name.

    Raises:
        SpecError: the spec does not parse or type-check.
        UsageError: VF4402 a name that the spec does not declare, VF4408 a file that nobody gave.
        ModelError, DataError: a file that cannot be read, understood or trusted.
    """
    from verifluxa.spec.check import load_spec

    return inputs_of(load_spec(find_spec(spec), choice.params), choice)


def inputs_of(checked: Checked, choice: Choice) -> Inputs:
    """Loads the models and data that the chosen properties of a checked spec name; raises what `load_inputs` does."""
    found = checked.spec
    check_names("model", choice.models, [decl.name for decl in found.models])
    check_names("data set", choice.data, [decl.name for decl in found.data])
    properties = chosen(found, choice.properties)
    model_names = {name for prop in properties for name in models_of(prop.statement)}
    data_names = {claim.selection.data for prop in properties for claim in claims_of(prop.statement)}
    models = {decl.name: load_model_of(found, decl, choice) for decl in found.models if decl.name in model_names}
    data = {decl.name: _data(found, decl, choice) for decl in found.data if decl.name in data_names}
    return Inputs(found, (*checked.warnings, *_unused_words(found, models)), properties, models, data)


def _unused_words(spec: Spec, models: Mapping[str, LoadedModel]) -> Iterator[SpecWarning]:
    """A vocabulary that was cut short leaves words out of what is proved, which nothing else would show."""
    for model in models.values():
        space, nodes = named(spec.spaces, model.decl.space), model.lifted.graph.nodes
        first = nodes[1].op if len(nodes) > 1 else None
        if isinstance(space, TokenSpace) and isinstance(first, Embedding) and len(first.weight) > len(space.words):
            message = (
                f"model `{model.decl.name}` looks up {len(first.weight):,} words, the vocabulary of `{space.name}` has "
                f"{len(space.words):,}; of the others nothing is proved"
            )
            yield SpecWarning("VF2203", message, model.decl.span, None, "use the vocabulary of the training")


def chosen(spec: Spec, names: Iterable[str]) -> tuple[Property, ...]:
    """The properties of these names, in the order of the spec; all of them when no name is given.

    Raises:
        UsageError: VF4402 for a name that the spec does not have.
    """
    wanted = list(names)
    check_names("property", wanted, [item.name for item in spec.properties])
    return tuple(item for item in spec.properties if not wanted or item.name in wanted)


def check_names(thing: str, given: Iterable[str], declared: list[str]) -> None:
    """Refuses a name that the spec does not declare.

    Raises:
        UsageError: VF4402.
    """
    for name in given:
        if name not in declared:
            close = get_close_matches(name, declared, n=1)
            raise UsageError(
                "VF4402",
                f"the spec declares no {thing} `{name}`",
                expected="one of " + ", ".join(f"`{item}`" for item in declared) if declared else f"no {thing} at all",
                remedy=f"did you mean `{close[0]}`?" if close else None,
            )


def load_model_of(spec: Spec, decl: ModelDecl, choice: Choice) -> LoadedModel:
    """Lifts a model of the spec.

    Raises:
        UsageError: VF4408 when neither the spec nor the user names a file.
        ModelError: the file cannot be read, understood or trusted.
    """
    path = choice.models.get(decl.name) or _beside(spec, decl.file)
    if path is None:
        raise _nobody_gave("model", decl.name)
    space = next(item for item in spec.spaces if item.name == decl.space)
    if not isinstance(path, str):
        return LoadedModel(decl, IN_MEMORY, path.digest, None, _in_memory(path, space, decl))
    architecture = _beside(spec, decl.architecture)
    try:
        lifted = _lifted(path, architecture, decl.flux, space)
    except ModelError as error:
        raise error if error.code != "VF2101" else _other_shape(error, space, decl) from error
    digests = ["sha256:" + digest for _, digest in lifted.sources]
    beside = None if architecture is None else (architecture, digests[1])
    graph = lifted.graph
    log.info("model %s: %s, %s, %d nodes, %s", decl.name, path, lifted.format, len(graph.nodes), graph.dtype)
    return LoadedModel(decl, path, digests[0], beside, lifted)


def _in_memory(graph: Graph, space: InputSpace, decl: ModelDecl) -> Lifted:
    """A network that a program gave; it must have been lifted for inputs of this shape.

    Raises:
        ModelError: VF2101.
    """
    from verifluxa.flux.load import Lifted

    if graph.input_shape not in _shapes(space):
        shape = _shapes(space)[0]
        raise ModelError(
            "VF2101",
            f"the model `{decl.name}` takes inputs of the shape {graph.input_shape}, those of `{space.name}` "
            f"have {shape}",
            place=IN_MEMORY,
            expected=f"a network of inputs {shape}",
            remedy=f"lift it for them: `load_model(..., input_shape={shape})`",
        )
    return Lifted(graph, (), (), IN_MEMORY, None, ())


def _other_shape(error: ModelError, space: InputSpace, decl: ModelDecl) -> ModelError:
    """Shapes that do not fit: what goes in is said by the spec, and is as often wrong as the layers are."""
    shape = _shapes(space)[0]
    size = " x ".join(map(str, shape)) + (f" = {math.prod(shape)}" if len(shape) > 1 else "")
    return ModelError(
        error.code,
        f"the model `{decl.name}` does not take inputs of `{space.name}`, {size} values: {error.message}",
        place=error.place,
        expected=error.expected,
        remedy=f"look at the size in `input {space.name}` first; else compare the architecture "
        "with the arrays in the file",
    )


def lift_files(
    path: str,
    architecture: str | None,
    flux_version: str | None = None,
    input_shape: tuple[int, ...] | tuple[tuple[int, ...], ...] | None = None,
) -> Lifted:
    """Lifts a model file.

    Raises:
        ModelError: the file cannot be read, understood or trusted.
    """
    from verifluxa.flux.load import lift

    with named_as_given(path, architecture):
        return lift(path, None if architecture is None else Path(architecture), flux_version, input_shape)


@contextmanager
def named_as_given(path: str, architecture: str | None = None) -> Iterator[None]:
    """Errors about a model name its files as the user did, beside the place inside them."""
    try:
        yield
    except ModelError as error:
        place = _whole_place(error.place, path, architecture)
        raise ModelError(
            error.code, error.message, place=place, expected=error.expected, remedy=error.remedy
        ) from error


def _whole_place(place: Span | str | None, path: str, architecture: str | None) -> Span | str:
    """Readers know a place inside a file (`byte 540`, `model_state.layers[2]`) and a file's name; people its path."""
    if isinstance(place, Span):
        return replace(place, file=architecture) if architecture and place.file == Path(architecture).name else place
    if place is None or place in (path, architecture):
        return place or path
    return f"{architecture if architecture and place.startswith(Path(architecture).name) else path}: {place}"


def file_digest(path: str) -> str:
    """`sha256:` and hex digits of a file's bytes, read in pieces.

    Raises:
        DataError: VF3905 when it is no file or cannot be read.
    """
    try:
        with open_file(path) as file:
            return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    except NotAFileError as error:
        raise _unreadable(path, "it is not a file") from error
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error


def _unreadable(path: str, reason: str) -> DataError:
    return DataError("VF3905", f"the file cannot be read: {reason}", place=path, remedy="check the path")


def data_path(spec: Spec, decl: DataDecl, chosen: Mapping[str, str | Arrays]) -> str | Arrays:
    """Where a data set is: what the user chose, else what the spec says.

    Raises:
        UsageError: VF4408 when neither names a file.
    """
    path = chosen.get(decl.name) or _beside(spec, decl.file)
    if path is None:
        raise _nobody_gave("data", decl.name)
    return path


def _data(spec: Spec, decl: DataDecl, choice: Choice) -> Dataset:
    from verifluxa.data.load import load_dataset

    space = next(item for item in spec.spaces if item.name == decl.space)
    path = data_path(spec, decl, choice.data)
    dataset = load_dataset(decl, space, path, _labels(spec, decl, choice.data))
    log.info("data %s: %s, %d inputs", decl.name, dataset.path, len(dataset.inputs))
    return dataset


def data_digest(spec: Spec, decl: DataDecl, chosen: Mapping[str, str | Arrays]) -> str:
    """The digest of a data set, as `digest` in a spec has it: of the bytes of a file, or of the listing of a folder.

    Raises:
        DataError: VF3905 when a file cannot be read; what `data.gathered` says of folders and arrays.
    """
    from verifluxa.data.gathered import gather, gather_arrays

    path = data_path(spec, decl, chosen)
    if not isinstance(path, str):
        return gather_arrays(path).sha256
    if Path(path).is_dir() or path.lower().endswith(".npy"):
        return gather(path, _labels(spec, decl, chosen)).sha256
    return file_digest(path)


def _labels(spec: Spec, decl: DataDecl, chosen: Mapping[str, str | Arrays]) -> str | None:
    """The file of labels that a spec names; another file of inputs that is no NPY file holds its own."""
    path = chosen.get(decl.name)
    if not isinstance(path, str | None):
        return None
    return _beside(spec, decl.labels) if path is None or path.lower().endswith(".npy") else None


def _lifted(path: str, architecture: str | None, flux: str | None, space: InputSpace) -> Lifted:
    """Lifts for the shape of an input; words may also stand in a row of one picture, as (1, length)."""
    shapes = _shapes(space)
    for shape in shapes[1:]:
        try:
            return lift_files(path, architecture, flux, shapes[0])
        except ModelError as first:
            try:
                return lift_files(path, architecture, flux, shape)
            except ModelError:
                raise first from None
    return lift_files(path, architecture, flux, shapes[0])


def _shapes(space: InputSpace) -> tuple[tuple[int, ...], ...]:
    match space:
        case ImageSpace():
            return ((space.channels, space.height, space.width),)
        case SeriesSpace():
            return ((space.channels, space.steps),)
        case TokenSpace():
            return (space.length,), (1, space.length)
        case TableSpace():
            return ((space.width,),)


def _beside(spec: Spec, file: str | None) -> str | None:
    """A file as the spec writes it, which is relative to the spec."""
    return None if file is None else str(beside(spec.path, file))


def _nobody_gave(thing: str, name: str) -> UsageError:
    return UsageError(
        "VF4408",
        f"no file is given for the {thing} `{name}`",
        expected=f"a `file` in the spec, or --{thing} {name}=FILE",
        remedy=f"add --{thing} {name}=FILE",
    )
