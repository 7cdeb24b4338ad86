"""Layers made of layers: Chain, SkipConnection, Parallel, PairwiseFusion, Maxout."""

from __future__ import annotations

from verifluxa.flux.architecture import Call, Expression, Literal, Name, Sequence, refuse
from verifluxa.flux.builder import Builder, EmitChild, LayerRow, Nodes, ReadChild, Row
from verifluxa.flux.layer import Layer, unsupported
from verifluxa.flux.names import written_function
from verifluxa.flux.stored import Stored, unfit
from verifluxa.flux.values import Function, List, NamedTuple, Tuple, Value, describe
from verifluxa.flux.written import Arguments, Child, Written, child, unknown_name
from verifluxa.graph.ops import Add, Concat, MaxPool, Reshape

CONNECTIONS = ("+", "vcat")
_MANY = 10_000


def members(value: Value, place: str) -> list[tuple[str, Value]]:
    """The layers in a tuple, NamedTuple or vector, each with its name or number from 1.

    Raises:
        ModelError: VF2008 for anything else, or none or too many of them.
    """
    if not isinstance(value, Tuple | NamedTuple | List):
        raise unfit(f"{describe(value)} stands here", place, "a tuple or vector of layers")
    if not 0 < len(value.items) <= _MANY:
        raise unfit(f"{len(value.items)} layers stand here", place, f"1 to {_MANY}")
    numbers = tuple(str(index + 1) for index in range(len(value.items)))
    return list(zip(value.names if isinstance(value, NamedTuple) else numbers, value.items, strict=True))


def _form(value: Value) -> str:
    return "named" if isinstance(value, NamedTuple) else "vector" if isinstance(value, List) else "tuple"


def _children(stored: Stored, name: str, read: ReadChild) -> tuple[tuple[str, Layer], ...]:
    at = stored.at(name)
    return tuple((key, read(item, f"{at}[{key}]")) for key, item in members(stored.value(name), at))


def _connection(stored: Stored) -> str:
    value = stored.value("connection")
    if not isinstance(value, Function) or value.name not in CONNECTIONS:
        raise unfit(f"{describe(value)} joins the branches", stored.at("connection"), " or ".join(CONNECTIONS))
    return value.name


def _written_connection(value: Expression) -> str:
    if isinstance(value, Name):
        known = written_function(value.name)
        if known is not None and known.name in CONNECTIONS:
            return known.name
        raise unknown_name(value.name, value.span)
    raise refuse(value.span, "a function that joins the branches belongs here", " or ".join(CONNECTIONS))


def _join(layer: Layer, builder: Builder, nodes: Nodes) -> int:
    """Adds the connection of branches, the first argument first."""
    before = tuple(builder.shape(node) for node in nodes)
    if len(nodes) == 1:
        return nodes[0]
    if layer.facts["connection"] == "+":
        node = builder.add(layer, Add(), *nodes)
    else:
        # vcat puts ends together along Julia's first axis, the graph's last.
        node = builder.add(layer, Concat(len(before[0]) - 1), *nodes)
    connection = str(layer.facts["connection"])
    builder.rows.append(LayerRow(f"{layer.place}.connection", connection, before, (builder.shape(node),), 0))
    return node


# Chain


def _read_chain(stored: Stored, read: ReadChild) -> Layer:
    facts = {"form": _form(stored.value("layers"))}
    return Layer("Chain", stored.place, {**facts}, children=_children(stored, "layers", read))


def _write_chain(arguments: Arguments) -> Written:
    rest = arguments.rest()
    named = arguments.named()
    if named and rest:
        raise refuse(arguments.call.span, "a Chain has either names for all of its layers or for none")
    if named:
        children = tuple(child(value, name) for name, value in named)
        return Written({"form": "named"}, children, arguments.call.span)
    if len(rest) == 1 and isinstance(rest[0], Sequence):
        return Written({"form": "vector" if rest[0].vector else "tuple"}, _items(rest[0]), arguments.call.span)
    return Written({"form": "tuple"}, tuple(child(value, None) for value in rest), arguments.call.span)


def _items(sequence: Sequence) -> tuple[Child, ...]:
    return tuple(child(value, None) for value in sequence.items)


def _show_chain(layer: Layer, inner: str) -> str:
    return f"Chain([{inner}])" if layer.facts["form"] == "vector" else f"Chain({inner})"


def _emit_chain(layer: Layer, builder: Builder, nodes: Nodes, emit: EmitChild) -> Nodes:
    for _, inner in layer.children:
        nodes = emit(inner, builder, nodes)
    return nodes


# SkipConnection


def _read_skip(stored: Stored, read: ReadChild) -> Layer:
    inner = (("1", read(stored.value("layers"), stored.at("layers"))),)
    return Layer("SkipConnection", stored.place, {"connection": _connection(stored)}, children=inner)


def _write_skip(arguments: Arguments) -> Written:
    inner = child(arguments.take("a layer"), None)
    connection = _written_connection(arguments.take("a function such as +"))
    return Written({"connection": connection}, (inner,), arguments.call.span)


def _emit_skip(layer: Layer, builder: Builder, nodes: Nodes, emit: EmitChild) -> Nodes:
    if len(nodes) != 1:
        raise unsupported("SkipConnection", layer.place, f"it is given {len(nodes)} inputs")
    inner = emit(layer.children[0][1], builder, nodes)
    return (_join(layer, builder, (*inner, *nodes)),)


# Parallel, PairwiseFusion


def _read_parallel(stored: Stored, read: ReadChild) -> Layer:
    facts = {"connection": _connection(stored), "form": _form(stored.value("layers"))}
    kind = stored.struct.type.name.removeprefix("Flux.")
    return Layer(kind, stored.place, {**facts}, children=_children(stored, "layers", read))


def _write_parallel(arguments: Arguments) -> Written:
    connection = _written_connection(arguments.take("a function such as +"))
    rest, named = arguments.rest(), arguments.named()
    if named and rest:
        raise refuse(arguments.call.span, f"a {arguments.layer} has names for all of its layers or for none")
    children = [child(value, name) for name, value in named] + [child(value, None) for value in rest]
    facts = {"connection": connection, "form": "named" if named else "tuple"}
    return Written({**facts}, tuple(children), arguments.call.span)


def _show_joined(layer: Layer, inner: str) -> str:
    if layer.kind == "SkipConnection":
        return f"SkipConnection({inner}, {layer.facts['connection']})"
    return f"{layer.kind}({layer.facts['connection']}, {inner})"


def _emit_parallel(layer: Layer, builder: Builder, nodes: Nodes, emit: EmitChild) -> Nodes:
    branches = [inner for _, inner in layer.children]
    if len(branches) == 1:
        branches = branches * len(nodes)
    if len(nodes) not in (1, len(branches)):
        raise unsupported("Parallel", layer.place, f"{len(branches)} branches are given {len(nodes)} inputs")
    sources = nodes * len(branches) if len(nodes) == 1 else nodes
    results: list[int] = []
    for inner, source in zip(branches, sources, strict=True):
        results.extend(emit(inner, builder, (source,)))
    return (_join(layer, builder, tuple(results)),)


def _emit_fusion(layer: Layer, builder: Builder, nodes: Nodes, emit: EmitChild) -> Nodes:
    """`y[1] = layers[1](x[1])`, `y[i] = layers[i](x[i] + y[i - 1])`; it gives all of them."""
    branches = [inner for _, inner in layer.children]
    if len(nodes) not in (1, len(branches)):
        raise unsupported("PairwiseFusion", layer.place, f"{len(branches)} layers are given {len(nodes)} inputs")
    if layer.facts["connection"] != "+":
        raise unsupported("PairwiseFusion", layer.place, "the order in which it joins other than by + is not known")
    sources = nodes * len(branches) if len(nodes) == 1 else nodes
    results: list[int] = []
    for inner, source in zip(branches, sources, strict=True):
        results.extend(emit(inner, builder, (_join(layer, builder, (source, *results[-1:])),)))
    return tuple(results)


# Maxout


def _read_maxout(stored: Stored, read: ReadChild) -> Layer:
    name = "layers" if stored.has("layers") else "over"
    return Layer("Maxout", stored.place, children=_children(stored, name, read))


def _write_maxout(arguments: Arguments) -> Written:
    rest = arguments.rest()
    # Flux 0.12 prints the tuple inside.
    if len(rest) == 1 and isinstance(rest[0], Sequence):
        return Written({}, _items(rest[0]), arguments.call.span)
    if len(rest) == 2 and isinstance(rest[1], Literal) and isinstance(rest[0], Call | Name):
        raise refuse(rest[0].span, "write each layer of a Maxout, not a function and a number")
    return Written({}, tuple(child(value, None) for value in rest), arguments.call.span)


def _emit_maxout(layer: Layer, builder: Builder, nodes: Nodes, emit: EmitChild) -> Nodes:
    """The largest of several branches, as a pool over the branches put side by side (exact, like max itself)."""
    results: list[int] = []
    for _, inner in layer.children:
        results.extend(emit(inner, builder, nodes))
    shapes = {builder.shape(node) for node in results}
    if len(shapes) != 1:
        raise unfit(f"the branches of a Maxout give values of shapes {sorted(shapes)}", layer.place, "one shape")
    if len(results) == 1:
        return (results[0],)
    columns = [builder.add(layer, Reshape((-1, 1)), node) for node in results]
    beside = builder.add(layer, Concat(1), *columns)
    window = (len(results),)
    largest = builder.add(layer, MaxPool(window, window, (0,), (0,)), beside)
    return (builder.add(layer, Reshape(shapes.pop()), largest),)


CONTAINER_ROWS: tuple[Row, ...] = (
    Row(
        name="Chain",
        stored=("Flux.Chain",),
        write=_write_chain,
        show_children=_show_chain,
        children="layers",
        read_children=_read_chain,
        emit_children=_emit_chain,
    ),
    Row(
        name="SkipConnection",
        stored=("Flux.SkipConnection",),
        operations=("add", "concat"),
        write=_write_skip,
        show_children=_show_joined,
        functions={"connection": "connection"},
        children="layers",
        read_children=_read_skip,
        emit_children=_emit_skip,
    ),
    *(
        Row(
            name=name,
            stored=(f"Flux.{name}",),
            operations=("add", "concat"),
            write=_write_parallel,
            show_children=_show_joined,
            functions={"connection": "connection"},
            children="layers",
            read_children=_read_parallel,
            emit_children=emit,
        )
        for name, emit in (("Parallel", _emit_parallel), ("PairwiseFusion", _emit_fusion))
    ),
    Row(
        name="Maxout",
        stored=("Flux.Maxout",),
        operations=("concat", "maxpool", "reshape"),
        write=_write_maxout,
        show_children=lambda _, inner: f"Maxout({inner})",
        children="layers",
        read_children=_read_maxout,
        emit_children=_emit_maxout,
    ),
)
