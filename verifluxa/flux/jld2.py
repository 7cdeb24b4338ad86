"""A strict reader of JLD2 files: variables as values, types and functions only ever by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from verifluxa.errors import ModelError
from verifluxa.flux import hdf5
from verifluxa.flux.cursor import damaged, foreign
from verifluxa.flux.hdf5 import (
    Boolean,
    Compound,
    Datatype,
    File,
    FixedString,
    Heap,
    Member,
    Number,
    Opaque,
    Reference,
    Sequence,
    open_file,
)
from verifluxa.flux.juliatypes import absent, check_declared, named_tuple_types, zero_size
from verifluxa.flux.limits import DEPTH, Budget, refuse_deep
from verifluxa.flux.names import is_code, stored_function, untrusted
from verifluxa.flux.structs import STRUCTS, UNREAD, Fields, matching, unknown_fields
from verifluxa.flux.values import (
    Contents,
    Dictionary,
    JuliaType,
    List,
    NamedTuple,
    Parameter,
    Struct,
    Symbol,
    Tuple,
    Value,
    Variable,
    describe,
    expand_tuple,
    make_type,
)
from verifluxa.flux.values import Opaque as Unread

# Values of a JLD2 file: reading follows the declared Julia types, every object is read once.
#
# Fields of size zero are not in the file; they are known from the type alone. A compound that its type does not
# explain, a reference that is empty or leads into itself, a name that is not on the allow list: refused.

_TEXT = Sequence(Number("u", 1), text=True)
_ADDRESSES = Sequence(Reference(), text=False)
_TYPE_LAYOUT = Compound(32, (Member("name", 0, _TEXT), Member("parameters", 16, _ADDRESSES)))
_DICTIONARIES = frozenset({"Base.Dict", "Base.IdDict"})


@dataclass(frozen=True, eq=False)
class Form:
    """How a value lies in the file and what it is.

    Attributes:
        layout: the HDF5 datatype.
        type: the Julia type, None where the file does not say.
        names: the names of all fields, where the file says them.
        custom: whether the value is written in a form of its own (JLD2's custom serialisation).
    """

    layout: Datatype
    type: JuliaType | None
    names: tuple[str, ...] | None = None
    custom: bool = False


class Values:
    """Reads the objects of one file; remembers them by address."""

    def __init__(self, file: File, budget: Budget) -> None:
        self._file = file
        self._budget = budget
        self._heap = Heap(file)
        self._objects: dict[int, hdf5.Object] = {}
        self._values: dict[int, Value] = {}
        self._forms: dict[int, Form] = {}
        self._open: set[int] = set()

    def object(self, address: int) -> hdf5.Object:
        """The object header at an address, read once."""
        if address not in self._objects:
            self._budget.visit(f"address {address}")
            self._objects[address] = hdf5.read_object(self._file, address)
        return self._objects[address]

    def form(self, datatype: Datatype | hdf5.Shared) -> Form:
        """What a dataset's datatype says, committed or inline."""
        if not isinstance(datatype, hdf5.Shared):
            return Form(datatype, None)
        if datatype.address not in self._forms:
            self._forms[datatype.address] = self._committed(datatype.address)
        return self._forms[datatype.address]

    def value(self, address: int) -> Value:
        """The value of the object at an address.

        Raises:
            ModelError: VF2002 to VF2005.
        """
        place = f"address {address}"
        self._budget.visit(place)
        if address == 0:
            raise damaged("a reference is empty (an undefined element in Julia)", place)
        if address in self._values:
            return self._values[address]
        if address in self._open:
            raise damaged("a value contains itself", place)
        self._open.add(address)
        try:
            with self._budget.level(place):
                self._values[address] = self._read(address)
        finally:
            self._open.remove(address)
        return self._values[address]

    def _committed(self, address: int) -> Form:
        found = self.object(address)
        if found.committed is None or "julia_type" not in found.attributes:
            raise damaged("a shared datatype is not one with a Julia type", f"address {address}")
        kind = self._type_of(found.attributes["julia_type"])
        names = found.attributes.get("field_names")
        custom = "written_type" in found.attributes
        return Form(found.committed, kind, None if names is None else self._field_names(names), custom)

    def _type_of(self, stored: hdf5.Stored) -> JuliaType:
        if not isinstance(stored.datatype, hdf5.Shared) or stored.dims != ():
            raise damaged("a Julia type is not stored as one", stored.place)
        if self.object(stored.datatype.address).committed != _TYPE_LAYOUT:
            raise foreign("types are described in another form", stored.place)
        return self._type(hdf5.content(stored, _TYPE_LAYOUT.size, self._budget), stored.place)

    def _type(self, data: memoryview, place: str) -> JuliaType:
        addresses = self._heap.sequence(data[16:32], 8, place)
        self._budget.visit(place, 1 + len(addresses) // 8)
        numbers = [int.from_bytes(addresses[at : at + 8], "little") for at in range(0, len(addresses), 8)]
        parameters = tuple(self._parameter(address) for address in numbers)
        return make_type(self._text(data[:16], place), parameters, place)

    def _parameter(self, address: int) -> Parameter:
        value = self.value(address)
        if isinstance(value, JuliaType | int | Symbol):
            return value
        if isinstance(value, Tuple):
            symbols = tuple(item for item in value.items if isinstance(item, Symbol))
            if len(symbols) == len(value.items):
                return symbols
        raise foreign(f"a type has {describe(value)} as a parameter", f"address {address}")

    def _field_names(self, stored: hdf5.Stored) -> tuple[str, ...]:
        if stored.datatype != _TEXT:
            raise damaged("field names are not strings", stored.place)
        data = hdf5.content(stored, _TEXT.size, self._budget)
        return tuple(self._text(data[at : at + _TEXT.size], stored.place) for at in range(0, len(data), _TEXT.size))

    def _text(self, data: memoryview, place: str) -> str:
        content = bytes(self._heap.sequence(data, 1, place))
        self._budget.visit(place, 1 + len(content) // 1024)
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError:
            raise damaged("a string is not valid UTF-8", place) from None

    def _read(self, address: int) -> Value:
        found = self.object(address)
        if found.committed is not None:
            kind = self.form(hdf5.Shared(address)).type
            assert kind is not None  # a committed form always has one
            return kind
        if found.value is None:
            raise damaged("a value refers to a group", f"address {address}")
        stored = found.value
        form = self.form(stored.datatype)
        if form.type is not None and form.type.name in UNREAD:
            return Unread(form.type)
        if stored.dims is None:
            return self._absent(form.type, stored.place)
        data = hdf5.content(stored, form.layout.size, self._budget)
        return self._decode(form, data, stored.place) if stored.dims == () else self._array(stored, form, data)

    def _array(self, stored: hdf5.Stored, form: Form, data: memoryview) -> Value:
        layout = form.layout
        if form.type is None and isinstance(layout, Number) and layout.size <= 8:
            return _reversed(np.frombuffer(data, f"<{layout.kind}{layout.size}"), stored)
        if form.type is None and isinstance(layout, Boolean):
            return _reversed(np.frombuffer(data, "u1") != 0, stored)
        if stored.dims is None or len(stored.dims) != 1:
            raise foreign(f"an array of size {stored.dims} that does not hold numbers", stored.place)
        self._budget.visit(stored.place, stored.dims[0])
        size = layout.size
        parts = (data[at : at + size] for at in range(0, len(data), size))
        return List(tuple(self._decode(form, part, stored.place) for part in parts))

    def _absent(self, kind: Parameter | None, place: str) -> Value:
        if isinstance(kind, JuliaType):
            self._budget.visit(place, kind.nodes)
        return absent(kind, place)

    def _decode(self, form: Form, data: memoryview, place: str) -> Value:
        layout = form.layout
        if isinstance(layout, Number | Boolean | FixedString):
            return _plain(layout, data, place)
        if isinstance(layout, Sequence) and layout.text:
            text = self._text(data, place)
            return Symbol(text) if form.type is not None and form.type.name == "Core.Symbol" else text
        if isinstance(layout, Reference):
            return self._reference(form, data, place)
        if isinstance(layout, Compound):
            with self._budget.level(place):
                return self._compound(form, layout, data, place)
        if isinstance(layout, Opaque) and zero_size(form.type, place):
            return self._absent(form.type, place)
        raise foreign(f"a {'value' if form.type is None else form.type.name} of {layout.size} bytes", place)

    def _reference(self, form: Form, data: memoryview, place: str) -> Value:
        value = self.value(int.from_bytes(data, "little"))
        if not form.custom:
            check_declared(value, form.type, place)
            return value
        # JLD2 writes a tuple of many Symbols as an array of them.
        is_tuple = form.type is not None and expand_tuple(form.type).name == "Core.Tuple"
        if is_tuple and isinstance(value, List) and all(isinstance(item, Symbol) for item in value.items):
            return Tuple(value.items)
        raise _own_form(form, place)

    def _compound(self, form: Form, layout: Compound, data: memoryview, place: str) -> Value:
        if form.type is None:
            names = tuple(str(index + 1) for index in range(len(layout.members)))
            return Tuple(self._fields(layout, names, (None,) * len(names), data, place))
        kind = expand_tuple(form.type)
        if form.custom:
            return self._custom(form, layout, data, place)
        if kind.name == "Core.DataType" and layout == _TYPE_LAYOUT:
            return self._type(data, place)
        if kind.name == "Core.Tuple":
            names = tuple(str(index + 1) for index in range(len(kind.parameters)))
            return Tuple(self._fields(layout, names, kind.parameters, data, place))
        if kind.name == "Core.NamedTuple":
            names, types = named_tuple_types(kind, place)
            return NamedTuple(names, self._fields(layout, names, types, data, place))
        return self._struct(form, layout, data, place)

    def _custom(self, form: Form, layout: Compound, data: memoryview, place: str) -> Value:
        names = tuple(member.name for member in layout.members)
        if form.type is None or form.type.name not in _DICTIONARIES or names != ("kvvec",):
            raise _own_form(form, place)
        (pairs,) = self._fields(layout, names, (None,), data, place)
        items = pairs.items if isinstance(pairs, List) else ()
        structs = [item for item in items if isinstance(item, Struct) and item.type.name in ("Base.Pair", "Core.Pair")]
        if not isinstance(pairs, List) or len(structs) != len(items):
            raise damaged("a dictionary is not a vector of pairs", place)
        return Dictionary(tuple(pair["first"] for pair in structs), tuple(pair["second"] for pair in structs))

    def _struct(self, form: Form, layout: Compound, data: memoryview, place: str) -> Struct:
        kind = form.type
        assert kind is not None  # _compound has seen to it
        if kind.name not in STRUCTS:
            raise untrusted(kind, place)
        fields = matching(kind, form.names, None) if form.names is not None else self._by_members(kind, layout, place)
        if fields is None:
            members = form.names or tuple(member.name for member in layout.members)
            raise unknown_fields(kind, ", ".join(members), place)
        types = tuple(fields.declared(kind, index) for index in range(len(fields.names)))
        return Struct(kind, fields.names, self._fields(layout, fields.names, types, data, place))

    def _by_members(self, kind: JuliaType, layout: Compound, place: str) -> Fields | None:
        """The version of a struct whose fields are the members, the others being of size zero."""
        self._budget.visit(place, kind.nodes)
        members = {member.name for member in layout.members}
        for fields in STRUCTS[kind.name]:
            missing = [index for index, name in enumerate(fields.names) if name not in members]
            fits = fields.count in (None, len(kind.parameters)) and members <= set(fields.names)
            if fits and all(zero_size(fields.declared(kind, index), place) for index in missing):
                return fields
        return None

    def _fields(
        self,
        layout: Compound,
        names: tuple[str, ...],
        types: tuple[Parameter | None, ...],
        data: memoryview,
        place: str,
    ) -> tuple[Value, ...]:
        """All fields in order: from the members where they are, from the type alone where they are not."""
        members = list(layout.members)
        items: list[Value] = []
        self._budget.visit(place, len(names))
        for name, declared in zip(names, types, strict=True):
            if not members or members[0].name != name:
                items.append(self._absent(declared, f"{place}, field {name}"))
                continue
            member = members.pop(0)
            part = data[member.offset : member.offset + member.datatype.size]
            items.append(self._member(member, declared, part, f"{place}, field {name}"))
        if members:
            raise damaged(f"the member `{members[0].name}` is not one that its type has", place)
        return tuple(items)

    def _member(self, member: Member, declared: Parameter | None, data: memoryview, place: str) -> Value:
        kind = declared if isinstance(declared, JuliaType) else None
        value = self._decode(Form(member.datatype, kind), data, place)
        check_declared(value, declared, place)
        return value


def _own_form(form: Form, place: str) -> ModelError:
    name = "value" if form.type is None else form.type.name
    return foreign(f"a {name} is written in a form of its own", place)


def _reversed(flat: np.ndarray[tuple[int], np.dtype[np.generic]], stored: hdf5.Stored) -> Value:
    """HDF5 writes the dims of a column-major array in reverse, so that all axes must be turned round."""
    return flat.reshape(stored.dims or ()).transpose()


def _plain(layout: Number | Boolean | FixedString, data: memoryview, place: str) -> Value:
    if isinstance(layout, Number):
        return _number(layout, data, place)
    return _boolean(data, place) if isinstance(layout, Boolean) else _fixed_text(data, place)


def _number(layout: Number, data: memoryview, place: str) -> Value:
    if layout.kind in "iu":
        if layout.size > 8:
            raise foreign(f"an integer of {layout.size} bytes", place)
        return int.from_bytes(data, "little", signed=layout.kind == "i")
    scalar: np.floating = np.frombuffer(data, f"<f{layout.size}")[0]
    return scalar


def _fixed_text(data: memoryview, place: str) -> str:
    try:
        return bytes(data).rstrip(b"\0").decode("utf-8")
    except UnicodeDecodeError:
        raise damaged("a string is not valid UTF-8", place) from None


def _boolean(data: memoryview, place: str) -> bool:
    if data[0] > 1:
        raise damaged(f"a Bool is {data[0]}", place, "0 or 1")
    return data[0] == 1


# The variables of a file

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
