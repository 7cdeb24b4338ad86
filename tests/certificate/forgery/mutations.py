"""Every plausible other value of every field of a certificate and its evidence, by the type that the schemas give it.

A mutant changes one field; whatever a forger could make consistent with it is mended (`documents.repaired`).
"""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, partial
from pathlib import Path

import jsonschema

import verifluxa.certificate
from tests.certificate.forgery import proofs
from tests.certificate.forgery.documents import Files, Json, repaired
from tests.certificate.forgery.numbers import end
from verifluxa.certificate.population import ASSUMPTIONS

SCHEMAS = Path(verifluxa.certificate.__file__).parent / "schema"
Step = str | int
MOST_ITEMS = 8
"""Of a list that are dropped, doubled or swapped, and of other numbers in the document: the first ones."""
WRONG_TYPES: tuple[Json, ...] = (None, True, 0.5, "1", -1, 2**53 + 2, [], {})
NUMBERS = ("0", "1", "-1", "0.5", "1e300", "-1e300", "5e-324", "1e999", "NaN", "Infinity", "-Infinity", "")
RANDOM = "7d1f" * 16
INVENTED: dict[str, Json] = {
    "counterexample": {
        "placement": {"row": 0, "column": 0},
        "target": None,
        "trigger": [["3"]],
        "inputs": [0],
        "rate": None,
        "replayed": True,
        "margin": "1.0",
        "holdsIn": "every order",
    },
    "population": {
        "bound": "0.5",
        "confidence": "19/20",
        "failures": 0,
        "total": 6,
        "properties": 1,
        "family": "1",
        "assumptions": ASSUMPTIONS,
    },
}
"""What stands where there was null."""


@dataclass(frozen=True)
class Mutant:
    """A changed certificate.

    Attributes:
        name: what was done.
        path: the field, with numbers of list items left out: `predicate.properties[].bound.found`.
        make: the documents, which are made when they are wanted.
    """

    name: str
    path: str
    make: Callable[[], Files]

    @property
    def kind(self) -> tuple[str, str]:
        """The field and what was done, without the values: mutants of one kind are alike."""
        return self.path, self.name.split(" = ")[0].split(": ", 1)[-1]


@cache
def schema(name: str) -> dict[str, Json]:
    return json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))


@cache
def validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(schema(name))


def shown(path: tuple[Step, ...]) -> str:
    """A path without the numbers of list items."""
    return "".join("[]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def at(value: Json, path: tuple[Step, ...]) -> Json:
    for step in path:
        value = value[step]
    return value


def changed(value: Json, path: tuple[Step, ...], new: Json) -> Json:
    """A copy with another value at a path; equal parts are shared."""
    if not path:
        return new
    result = copy.copy(value)
    result[path[0]] = changed(value[path[0]], path[1:], new)
    return result


Field = tuple[tuple[Step, ...], dict[str, Json], Json]
"""Where, the schema, the value."""


def walk(name: str, part: dict[str, Json], value: Json, path: tuple[Step, ...] = ()) -> Iterator[Field]:
    """Every value inside a document, with the schema that it fits."""
    part = resolved(name, part, value)
    yield path, part, value
    if isinstance(value, dict):
        free = part.get("additionalProperties")
        for key, inner in value.items():
            below = part.get("properties", {}).get(key, free if isinstance(free, dict) else {})
            yield from walk(name, below, inner, (*path, key))
    elif isinstance(value, list):
        first, items = part.get("prefixItems", []), part.get("items")
        for number, inner in enumerate(value):
            below = first[number] if number < len(first) else items if isinstance(items, dict) else {}
            yield from walk(name, below, inner, (*path, number))


def resolved(name: str, part: dict[str, Json], value: Json) -> dict[str, Json]:
    """The schema behind references, and the one of several that the value fits."""
    while True:
        if "$ref" in part:
            target: Json = schema(name)
            for step in part["$ref"].removeprefix("#/").split("/"):
                target = target[step]
            part = {**target, "of": part["$ref"].rsplit("/", 1)[-1]}
        elif options := part.get("anyOf", part.get("oneOf")):
            null = {"type": "null"} in options
            fitting = [one for one in options if validator(name).evolve(schema=one).is_valid(value)]
            part = {**(fitting or options)[0], "nullable": null}
            if null and value is None:
                part["other"] = next(one for one in options if one != {"type": "null"})
        else:
            return part


@dataclass(frozen=True)
class Pool:
    """What else stands in a document, by type: plausible other values."""

    counts: tuple[int, ...]
    digests: tuple[str, ...]
    names: tuple[str, ...]

    @staticmethod
    def of(*documents: Json) -> Pool:
        every = [value for document in documents for value in every_scalar(document)]
        texts = [value for value in every if isinstance(value, str)]
        digests = [text for text in texts if re.fullmatch(r"(sha256:)?[0-9a-f]{64}", text)]
        counts = [value for value in every if type(value) is int and value < 1000]
        names = [text for text in texts if len(text) < 12 and text.isidentifier()]
        return Pool(*(tuple(sorted(set(some))) for some in (counts, digests, names)))  # type: ignore[arg-type]


def every_scalar(value: Json) -> Iterator[Json]:
    """What stands in a document and is neither an object nor a list."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from every_scalar(item)
    else:
        yield value


Other = tuple[str, Json]
"""What was done, and the new value."""


def others(key: str, part: dict[str, Json], value: Json, pool: Pool) -> Iterator[Other]:
    """Other values of a field: of its own type first, then a few of other types."""
    if part.get("of") == "exact":
        yield from _ends(value, up=key == "proved")
        return
    if part.get("nullable") and value is not None:
        yield "null", None
    if value is None:
        yield from _invented(key, part)
    elif "enum" in part or "const" in part:
        listed = part.get("enum", [part.get("const")])
        yield from ((f"other = {one!r}", one) for one in [*listed, "other", None] if one != value)
    elif isinstance(value, bool):
        yield "turned", not value
    elif isinstance(value, int):
        yield from _integers(value, pool)
    elif isinstance(value, str):
        yield from _texts(key, part, value, pool)
    elif isinstance(value, list):
        yield from _lists(value)
    elif isinstance(value, dict):
        yield from _objects(part, value)


def _invented(key: str, part: dict[str, Json]) -> Iterator[Other]:
    if key == "bound":
        yield from (
            (f"invented = {f}..{p}", {"found": end(f, False), "proved": end(p, True)}) for f, p in ((0, 0), (0, 1))
        )
    elif key in INVENTED:
        yield "invented", copy.deepcopy(INVENTED[key])
    elif key == "reason":
        yield "invented", "time"
    elif key == "rate":
        yield from ((f"invented = {one}", one) for one in ("1/2", "1"))
    else:
        yield "invented", 0


def _integers(value: int, pool: Pool) -> Iterator[Other]:
    found = dict.fromkeys([value + 1, value - 1, 0, 1, 2 * value + 1, *pool.counts[:MOST_ITEMS], 2**53])
    yield from ((f"other = {one}", one) for one in found if one != value)
    yield from ((f"of another type = {one!r}", one) for one in WRONG_TYPES)


def _texts(key: str, part: dict[str, Json], value: str, pool: Pool) -> Iterator[Other]:
    pattern = part.get("pattern", "")
    if re.fullmatch(r"(sha256:)?[0-9a-f]{64}", value):
        head = "sha256:" if value.startswith("sha256:") else ""
        others = [head + one.removeprefix("sha256:") for one in pool.digests] + [head + RANDOM, "none", value[:-1]]
    elif "0x[01]" in pattern:
        number = float.fromhex(value)
        others = [float.hex(one) for one in (-number, 2 * number, number / 2, 0.0, 1e308)] + ["inf", "nan"]
    elif "T[0-9]" in pattern:
        others = ["2020-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2027-13-01T00:00:00Z"]
    elif "A-Za-z0-9+/" in pattern:
        others = ["A" * len(value), value[::-1], value.swapcase(), ""]
    elif "0-9a-f]{2}" in pattern:
        others = ["0" * len(value), "f" * len(value), "80" * (len(value) // 2), value[2:], ""]
    elif pattern.startswith("^(0|[1-9]") or re.fullmatch(r"[0-9]+/[0-9]+", value):
        exact = Fraction(value)
        steps = [exact + Fraction(sign, exact.denominator) for sign in (1, -1)]
        others = [str(one) for one in (*steps, exact / 2, 2 * exact, Fraction(0), Fraction(1))] + ["2/4", "1/0", "x"]
    elif _is_number(value):
        number = float(value)
        scaled = [repr(one).removesuffix(".0") for one in (-number, 2 * number, number / 2, number + 1)]
        others = [*scaled, *NUMBERS]
    else:
        others = [*pool.names[:MOST_ITEMS], "other", "", value + "x", value.upper(), "\u202e", "x" * 5000]
    yield from ((f"other = {one[:40]}", one) for one in dict.fromkeys(others) if one != value)
    yield from ((f"of another type = {one!r}", one) for one in (None, 0, [value], {}))


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _lists(value: list[Json]) -> Iterator[Other]:
    few = range(min(len(value), MOST_ITEMS))
    yield from ((f"drop = {n}", value[:n] + value[n + 1 :]) for n in few)
    yield from ((f"double = {n}", value[: n + 1] + value[n:]) for n in few)
    yield from (
        (f"swap = {n}", [*value[:n], value[n + 1], value[n], *value[n + 2 :]])
        for n in few
        if n + 1 < len(value) and value[n] != value[n + 1]
    )
    if value:
        yield "empty", []
    yield from ((f"one more = {item!r:.40}", [*value, item]) for item in _more(value))


def _more(value: list[Json]) -> Iterator[Json]:
    """Items that are not there."""
    last = value[-1] if value else 0
    if isinstance(last, int) and not isinstance(last, bool):
        yield from (max(v for v in value if isinstance(v, int)) + 1 if value else 0, 10**6)
    elif isinstance(last, dict):
        own = copy.deepcopy(last)
        for key in own:
            if isinstance(own[key], str) and key in ("name", "graph", "indices"):
                own[key] = "sha256:" + RANDOM if own[key].startswith("sha256:") else "invented"
            elif key == "index":
                own[key] += 1
            elif key == "digest" and isinstance(own[key], dict):
                own[key] = {"sha256": RANDOM}
        yield own
    elif isinstance(last, str):
        yield "0"


def _objects(part: dict[str, Json], value: dict[str, Json]) -> Iterator[Other]:
    yield from ((f"without {key}", {k: v for k, v in value.items() if k != key}) for key in value)
    yield "with x_note", {**value, "x_note": "also robust to 100 %"}
    yield "with an unknown key", {**value, "safe": True}
    if isinstance(part.get("additionalProperties"), dict):
        sample = next(iter(value.values()), "1")
        yield "one more key", {**value, "invented": sample}
        yield from ((f"renamed {key}", {("other" if k == key else k): v for k, v in value.items()}) for key in value)


def _ends(value: Json, up: bool) -> Iterator[Other]:
    """Ends of an interval, each with the rounded forms that follow from it."""
    exact = Fraction(value["exact"])
    twelfths = [Fraction(n, 12) for n in range(13)]
    for one in dict.fromkeys([*twelfths, exact + Fraction(1, 6), Fraction(2), Fraction(1, 10**9)]):
        if one != exact:
            yield f"end = {one}", end(one, up)
    yield "not what follows", {**value, "hex": float.hex(float(exact) / 2 + 0.125)}
    yield "not what follows, for people", {**value, "decimal": "0.001"}
    yield from ((f"without {key}", {k: v for k, v in value.items() if k != key}) for key in value)


def statement_mutants(files: Files) -> Iterator[Mutant]:
    """Changes of the certificate."""
    pool, was = Pool.of(files.certificate, files.evidence), files.evidence_digest()
    for path, part, value in walk("statement", schema("statement"), files.certificate):
        where = shown(path)
        for name, new in others(str(path[-1]) if path else "", part, value, pool):
            made = Files(changed(files.certificate, path, new), files.evidence)
            yield Mutant(f"{_place(path)}: {name}", where, partial(_mended, made, was, where))


def _mended(files: Files, was: str, keep: str = "") -> Files:
    """A copy of its own; the parts of the original are shared until then."""
    return repaired(files.copy(), was, keep)


def _place(path: tuple[Step, ...]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def line_mutants(files: Files) -> Iterator[Mutant]:
    """Changes of single lines of the evidence: whatever stands in them by the schema."""
    pool, was = Pool.of(files.certificate, files.evidence), files.evidence_digest()
    for number, line in enumerate(files.evidence):
        for path, part, value in walk("evidence", schema("evidence"), line):
            where = "evidence." + shown(path)
            for name, new in others(str(path[-1]) if path else "", part, value, pool):
                lines = [*files.evidence[:number], changed(line, path, new), *files.evidence[number + 1 :]]
                made = partial(_mended, Files(files.certificate, lines), was, where)
                yield Mutant(f"line {number} {_place(path)}: {name}", where, made)


def order_mutants(files: Files) -> Iterator[Mutant]:
    """Lines and sections that are dropped, doubled, swapped or moved, with and without their properties."""
    was, lines = files.evidence_digest(), files.evidence
    for name, new in _lists(lines):
        if name.split(" ")[0] in ("drop", "double", "swap"):
            yield Mutant(f"lines: {name}", "evidence lines", partial(_mended, Files(files.certificate, new), was))
    sections = files.sections()
    for name, some in _lists(sections):
        if name.split(" ")[0] in ("drop", "double", "swap") and len(sections) > 1:
            new = [line for section in some for line in section]
            yield Mutant(f"sections: {name}", "evidence sections", partial(_mended, Files(files.certificate, new), was))


def tree_mutants(files: Files) -> Iterator[Mutant]:
    """Proofs that are written anew: parts of trees left out, moved, swapped, closed early, or put in elsewhere."""
    was = files.evidence_digest()
    every = [(n, line) for n, line in enumerate(files.evidence) if isinstance(line.get("tree"), list)]
    for number, line in every:
        for name, tree in rewritten(line["tree"], [other["tree"] for _, other in every if other is not line]):
            lines = [*files.evidence[:number], {**line, "tree": tree}, *files.evidence[number + 1 :]]
            made = partial(_mended, Files(files.certificate, lines), was)
            yield Mutant(f"line {number} tree: {name}", "evidence.tree", made)


def rewritten(flat: list[Json], foreign: list[list[Json]]) -> Iterator[tuple[str, list[Json]]]:
    """Other trees, made of the same parts."""
    for n, _ in enumerate(proofs.parse(flat).walk()):
        for name, change in _TREE_CHANGES.items():
            root = proofs.parse(copy.deepcopy(flat))
            if change(root, list(root.walk())[n]):
                yield f"{name} = node {n}", proofs.flatten(root)
    for number, other in enumerate(foreign[:MOST_ITEMS]):
        if other != flat:
            yield f"that of another question = {number}", copy.deepcopy(other)


def _closed_early(root: proofs.Node, node: proofs.Node) -> bool:
    node.children, node.rest, was = [], [], node.split
    node.how = None
    return was is not None


def _closed_by_solver(root: proofs.Node, node: proofs.Node) -> bool:
    node.children, node.rest, was = [], [], node.how
    node.how = proofs.BY_SOLVER
    return was != proofs.BY_SOLVER


def _left_open(root: proofs.Node, node: proofs.Node) -> bool:
    if node.split is not None:
        return False
    node.how = proofs.STILL_OPEN
    return True


def _children_swapped(root: proofs.Node, node: proofs.Node) -> bool:
    node.children.reverse()
    return len(node.children) > 1


def _first_child_twice(root: proofs.Node, node: proofs.Node) -> bool:
    if not node.children:
        return False
    node.children = [copy.deepcopy(node.children[0]) for _ in node.children]
    return True


def _only_first_child(root: proofs.Node, node: proofs.Node) -> bool:
    """A split is skipped: its first child stands for the whole."""
    if not node.children:
        return False
    first = node.children[0]
    node.dropped = [*node.dropped, *first.dropped]
    node.how, node.rest, node.children = first.how, first.rest, first.children
    return True


def _drops_at_the_root(root: proofs.Node, node: proofs.Node) -> bool:
    if node is root or not node.dropped:
        return False
    root.dropped, node.dropped = [*root.dropped, *node.dropped], []
    return True


def _drops_for_all_inputs(root: proofs.Node, node: proofs.Node) -> bool:
    """What falls for one input falls for each that is named anywhere."""
    every = sorted({number for own in root.walk() for group in own.dropped for number in group[1]})
    if not node.dropped or every == node.dropped[0][1]:
        return False
    node.dropped = [[node.dropped[0][0], every, *node.dropped[0][2:]]]
    return True


def _anew(root: proofs.Node, node: proofs.Node) -> bool:
    node.anew = not node.anew
    return True


def _nothing_handed_down(root: proofs.Node, node: proofs.Node) -> bool:
    had = bool(node.rest)
    node.rest = []
    return had


_TREE_CHANGES = {
    "closed early": _closed_early,
    "closed by a solver": _closed_by_solver,
    "left open": _left_open,
    "children swapped": _children_swapped,
    "first child twice": _first_child_twice,
    "only the first child": _only_first_child,
    "drops at the root": _drops_at_the_root,
    "drops for all inputs": _drops_for_all_inputs,
    "anew": _anew,
    "nothing handed down": _nothing_handed_down,
}


def mutants(files: Files) -> Iterator[Mutant]:
    """All of them, in a fixed order."""
    yield from statement_mutants(files)
    yield from line_mutants(files)
    yield from order_mutants(files)
    yield from tree_mutants(files)
