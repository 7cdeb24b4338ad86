"""A slow judge of proofs, which shares nothing with the checker: every claim of a split tree is tried at every trigger.

A proof says of parts of the domain what cannot happen there. The judge knows what does happen at each point of a tiny
domain, exactly, and refuses a proof that says something false, splits that leave a part out, and leaves that close on
less than they need. It does not ask how a bound was found: slopes and multipliers make bounds better or worse and not
true or false. So whatever the checker accepts, the judge must accept; what the judge accepts and the checker refuses is
true, and the checker's bounds do not show it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from itertools import combinations, pairwise, product
from typing import Any

from tests.certificate.forgery import proofs
from tests.certificate.forgery.documents import Json, records
from tests.certificate.forgery.networks import Dense, Number
from tests.certificate.forgery.proofs import BY_SOLVER, STILL_OPEN, Node
from tests.certificate.forgery.truth import DOUBT, Question, Truth
from tests.certificate.forgery.worlds import Part, Patch, Values

OPEN, CONTRADICTED = -1, -2
"""In the rows of what falls: the alternative stays; some value's bounds exclude each other."""
Claim = tuple[int, int]
"""An input, by its number in the evidence, and one of its alternatives."""
Sign = tuple[int, int, int, bool]
"""Input, hidden layer and neuron of a value that is >= 0 (True) or <= 0."""


class Refused(Exception):
    """The proof does not hold; the first word says which part of it."""


class Undecided(Exception):
    """The judge does not know this network well enough: a split of a neuron that it has no value of."""


@dataclass(frozen=True)
class Judged:
    """What was found of the section of a property.

    Attributes:
        accepted: nothing in it is known to be false.
        why: why not.
        unrechecked: leaves that say nothing which could be checked.
        undecided: the judge does not know enough.
    """

    accepted: bool
    why: str = ""
    unrechecked: int = 0
    undecided: bool = False


def judge(truth: Truth, lines: Sequence[Json], excluded: Mapping[int, str]) -> Judged:
    """Judges the section of a property.

    Args:
        truth: the property.
        lines: of the section.
        excluded: inputs that do not count, or are in doubt, with the reasons.
    """
    try:
        section = Section(truth, lines, excluded)
        section.check()
    except Refused as error:
        return Judged(False, str(error))
    except Undecided as error:
        return Judged(True, str(error), undecided=True)
    except (
        proofs.NoTreeError,
        StopIteration,
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        OverflowError,
    ) as error:
        return Judged(False, f"form: {type(error).__name__}: {error}")
    return Judged(True, unrechecked=section.unrechecked)


def refuse(kind: str, what: str) -> None:
    raise Refused(f"{kind}: {what}")


@dataclass(frozen=True)
class Region:
    """A part of the domain.

    Attributes:
        lower, upper: the box.
        points: triggers that surely lie in it: in every evaluation, where a neuron's sign is part of it.
        boxed: those that lie in the box and its strips.
        signs: of neurons.
        fallen: what cannot be met.
        above: rows that clipped what a claim starts from.
        must: inputs that are taken to violate.
    """

    lower: tuple[Number, ...]
    upper: tuple[Number, ...]
    points: tuple[Values, ...]
    boxed: tuple[Values, ...]
    signs: tuple[Sign, ...] = ()
    fallen: frozenset[Claim] = frozenset()
    above: Mapping[Claim, tuple[Part, ...]] = field(default_factory=dict)
    must: frozenset[int] = frozenset()


def _cut(region: Region, inside: Callable[[Values], bool]) -> Region:
    """The part of a region where something holds of the trigger."""
    points, boxed = (tuple(point for point in some if inside(point)) for some in (region.points, region.boxed))
    return replace(region, points=points, boxed=boxed)


class Section:
    """The header, and each record."""

    def __init__(self, truth: Truth, lines: Sequence[Json], excluded: Mapping[int, str]) -> None:
        self.truth, self.lines, self.unrechecked = truth, lines, 0
        self.doubtful = [n for n, reason in excluded.items() if reason == DOUBT]
        self.sure = [n for n in range(truth.world.count) if n not in excluded]
        self.inputs = sorted([*self.sure, *self.doubtful])
        self.asked = {
            (q.place, q.violation, self.selection_of(q)): q for q in truth.questions_about(self.sure, self.doubtful)
        }

    def selection_of(self, question: Question) -> int:
        each = self.truth.prop.kind == "each"
        return self.inputs.index(question.selection[0]) if each else question.violation

    def check(self) -> None:
        self._header(self.lines[0])
        waiting = dict(self.asked)
        for record in records(list(self.lines)):
            place, violation, selection, need = record["q"]
            question = waiting.pop((place, violation, selection), None)
            if question is None or need != self.need(question):
                refuse("question", f"{record['q']} is not asked, or stands twice")
            assert question is not None
            Record(self, question, record).check()
        if waiting:
            refuse("question", f"{len(waiting)} have no answer")

    def need(self, question: Question) -> int:
        return self.truth.need(question.violation, len(question.sure))

    def _header(self, header: Json) -> None:
        truth, first = self.truth, [q for q in self.asked.values() if q.place == 0]
        number = {index: n for n, index in enumerate(self.inputs)}
        wanted = {
            "inputs": self.inputs,
            "placements": [[[name, value] for name, value in p.items()] for p in truth.world.trigger.placements],
            "selections": [[number[index] for index in q.selection] for q in first],
            "needs": [self.need(q) for q in first],
            "pairs": [[q.violation, self.selection_of(q)] for q in first],
        }
        for key, value in wanted.items():
            if header[key] != value:
                refuse("header", f"{key} {header[key]} in place of {value}")
        if header["arithmetic"] != truth.arithmetic:
            refuse("header", f"arithmetic {header['arithmetic']}")

    def part(self, row: Any, parts: Sequence[Part]) -> Part | None:
        """The row of an alternative that a number of the evidence means; None for one of another alternative."""
        if not isinstance(row, int) or not 0 <= row < len(self.named):
            return None
        return self.named[row] if self.named[row] in parts else None

    @cached_property
    def named(self) -> list[Part | None]:
        """The property's own row for each of the evidence: with these coefficients, and the nearest constant."""
        truth, found = self.truth, []
        violations = range(len(truth.prop.targets) or 1)
        every = (truth.alternatives(n, v) for n in range(truth.world.count) for v in violations)
        known = list(dict.fromkeys(part for some in every for parts in some for part in parts))
        for pairs, constant, closed in self.lines[0]["rows"]:
            sparse = {int(output): Fraction(value) for output, value in pairs}
            alike = [
                part
                for part in known
                if {n: v for n, v in enumerate(part.coefficients) if v} == sparse and part.closed == closed
            ]
            away = {part: abs(part.constant - Fraction(constant)) for part in alike}
            found.append(min(away, key=away.__getitem__, default=None))
        return found


class Record:
    """The answer to a question."""

    def __init__(self, section: Section, question: Question, record: Json) -> None:
        self.section, self.question, self.record = section, question, record
        self.truth, self.need = section.truth, section.need(question)
        self.selection = [section.inputs.index(index) for index in question.selection]
        self.directions = [[Fraction(float.fromhex(v)) for v in row] for row in record.get("directions", [])]

    def check(self) -> None:
        if self.record["v"] == "certified":
            self._certified()
        elif self.record["v"] == "falsified":
            self._falsified()

    # What happens at a point.

    def options(self, number: int) -> tuple[tuple[Part, ...], ...]:
        """The alternatives of an input by its number in the evidence."""
        return self.truth.alternatives(self.section.inputs[number], self.question.violation)

    def met(self, number: int, parts: Iterable[Part], point: Values) -> bool:
        """Whether rows of an input are surely met, where a tie counts."""
        index, place = self.section.inputs[number], self.question.place
        return all(self.truth.part_met(part, index, place, point).loose_sure for part in parts)

    def violating(self, point: Values) -> int:
        """How many inputs surely violate."""
        place, violation = self.question.place, self.question.violation
        every = (self.truth.violates(index, place, violation, point) for index in self.question.selection)
        return sum(met.loose_sure for met in every)

    def least(self, number: int, part: Part, point: Values) -> Number:
        """The least value of a row that an evaluation may have."""
        center, radius = self.truth.row(part, self.section.inputs[number], self.question.place, point)
        return center - radius

    def most(self, number: int, part: Part, point: Values) -> Number:
        """The largest value of a row that an evaluation may have."""
        center, radius = self.truth.row(part, self.section.inputs[number], self.question.place, point)
        return center + radius

    def has_sign(self, sign: Sign, point: Values) -> bool:
        """Whether a neuron surely has a sign."""
        number, layer, neuron, positive = sign
        before, _ = self.truth.traced(self.section.inputs[number], self.question.place, point)
        center, radius = before[layer][neuron]
        return center - radius >= 0 if positive else center + radius <= 0

    # The tree.

    def _certified(self) -> None:
        root = proofs.parse(self.record["tree"])
        points = self.points(root)
        trigger = self.truth.world.trigger
        assert isinstance(trigger, Patch)
        lower, upper = (trigger.low,) * trigger.size, (trigger.high,) * trigger.size
        if any(len(row) != trigger.size for row in self.directions):
            refuse("form", "directions of another size")
        waiting = [(root, Region(lower, upper, points, points))]
        while waiting:
            node, region = waiting.pop()
            waiting += self._node(node, region)

    def points(self, root: Node) -> tuple[Values, ...]:
        """All triggers; along a continuous value also those at which the tree splits, and one between each two."""
        points = self.truth.triggers(self.question.place)
        trigger = self.truth.world.trigger
        if not (isinstance(trigger, Patch) and trigger.continuous):
            return points
        values = {Fraction(point[0]) for point in points}
        for split in (node.split for node in root.walk()):
            if split is not None and split[0] == "b":
                values |= {Fraction(split[2]), Fraction(split[3])}
            elif split is not None and split[0] == "s" and self.directions[split[1]][0]:
                values.add(Fraction(split[2]) / self.directions[split[1]][0])
        ordered = sorted(value for value in values if trigger.low <= value <= trigger.high)
        return tuple((value,) for value in [*ordered, *((a + b) / 2 for a, b in pairwise(ordered))])

    def _node(self, node: Node, region: Region) -> list[tuple[Node, Region]]:
        fallen = set(region.fallen)
        for group in node.dropped:
            for claim in self._group(group, region):
                if claim in fallen:
                    refuse("form", "an alternative falls twice")
                fallen.add(claim)
        region = replace(region, fallen=frozenset(fallen))
        left = self.left(region)
        if node.split is None:
            self._leaf(node, region, left)
            return []
        children, below = self._parts(node, region, left), region.above
        if node.rest:
            below = {**region.above, **self._clips(node.rest[0], left, region)}
        return [
            (child, replace(part, above={} if child.anew else below))
            for child, part in zip(node.children, children, strict=True)
        ]

    def left(self, region: Region) -> dict[int, list[int]]:
        """The alternatives of each input that have not fallen; inputs without any are not there."""
        found = {n: [a for a in range(len(self.options(n))) if (n, a) not in region.fallen] for n in self.selection}
        return {n: some for n, some in found.items() if some}

    def _group(self, group: Json, region: Region) -> Iterator[Claim]:
        """Inputs that fall by the same rows."""
        rows, inputs, *more = group
        planes, betas = more[0] if more else [], more[2] if len(more) > 2 else []
        for number in inputs:
            options = self.options(number) if number in self.selection else ()
            if not options or len(rows) > len(options):
                refuse("form", f"input {number} falls with other alternatives than it has")
            for position, row in enumerate(rows):
                if row != OPEN:
                    self._falls((number, position), row, planes, region)
                    self._pushed(number, betas, region.signs)
                    yield number, position

    def _falls(self, claim: Claim, row: int, planes: Sequence[int], region: Region) -> None:
        """An alternative cannot be met: its row is below zero wherever the rows that clip are met."""
        number, position = claim
        parts = self.options(number)[position]
        clipping, named = [self.section.part(plane, parts) for plane in planes], self.section.part(row, parts)
        if None in clipping or (named is None and row != CONTRADICTED):
            refuse("form", "a row of another alternative")
        known = [part for part in clipping if part is not None] + list(region.above.get(claim, ()))
        for point in region.points:
            if self.met(number, parts, point):
                refuse("drop", f"input {number} may be met at {point}")
            if self.met(number, [*known, *([] if named is None else [named])], point):
                refuse("drop", f"row {row} of input {number} is not below zero at {point}")

    def _pushed(self, number: int, betas: Json, signs: Sequence[Sign]) -> None:
        """A multiplier needs a known sign."""
        for layer, neuron, multiplier in betas:
            if (number, layer, neuron, Fraction(multiplier) > 0) not in signs:
                refuse("form", f"input {number} is pushed where no sign is known")

    def _closes(self, region: Region) -> None:
        """No trigger of the region makes as many inputs violate as are needed, or more than are said to at most."""
        for point in region.points:
            if self.violating(point) >= self.need:
                refuse("leaf", f"{self.violating(point)} inputs violate at {point}")
            if self.violating(point) > self.record["proved"]:
                refuse("proved", f"{self.record['proved']} is less than what {point} does")

    def _clips(self, clips: Json, left: Mapping[int, list[int]], region: Region) -> dict[Claim, tuple[Part, ...]]:
        """What children start from: alternatives that are left, clipped by rows of their own."""
        found: dict[Claim, tuple[Part, ...]] = {}
        for number, position, rows in clips:
            if position not in left.get(number, []) or (number, position) in found:
                refuse("form", "a clip of what is not left, or two of one")
            parts = [self.section.part(row, self.options(number)[position]) for row in rows]
            if None in parts:
                refuse("form", "a clip by a row of another alternative")
            above = region.above.get((number, position), ())
            found[number, position] = (*above, *(part for part in parts if part is not None))
        return found

    def _shared(self, shared: Json, clips: Json, left: Mapping[int, list[int]]) -> None:
        """Claims clip each other only where all that are left must be met."""
        if len(left) != self.need or any(len(some) > 1 for some in left.values()):
            refuse("form", "planes are shared though not all inputs must violate")
        clipped = {(number, position) for number, position, _ in clips}
        for number, row in shared:
            self._cut(number, row, clipped, left)

    def _cut(self, number: int, row: int, clipped: set[Claim], left: Mapping[int, list[int]]) -> None:
        """A plane of an input with one alternative, whose bounds are known."""
        own = left.get(number, [])
        if len(own) != 1 or (number, own[0]) not in clipped:
            refuse("form", f"input {number} has no single alternative that is clipped")
        if self.section.part(row, self.options(number)[own[0]]) is None:
            refuse("form", "a plane that need not be met")

    # Splits.

    def _parts(self, node: Node, region: Region, left: Mapping[int, list[int]]) -> list[Region]:
        assert node.split is not None
        kind, *values = node.split
        clips, shared = [*node.rest, [], []][:2]
        if shared:
            self._shared(shared, clips, left)
        if shared or kind == "i":
            # Below, everything speaks of triggers that meet the question, and shows that there are none.
            if not any(below.how == BY_SOLVER for below in node.walk()):
                self._closes(region)
            region = replace(region, points=())
        if kind == "i":
            if len(left.keys() - {number for number, _ in values[0]}) >= self.need:
                refuse("split", "so many inputs have no case that these alone are enough")
            return list(self.cases(values[0], region, left, {(n, a) for n, a, _ in clips}))
        halves = {"b": self.box_halves, "s": self.strip_halves, "n": self.neuron_halves}[kind](values, region)
        missing = set(region.points) - {point for half in halves for point in half.points}
        if missing and kind != "n":
            refuse("split", f"{len(missing)} triggers are in neither half")
        return halves

    def cases(
        self, cases: Json, region: Region, left: Mapping[int, list[int]], clipped: set[Claim]
    ) -> Iterator[Region]:
        """Which input is the first to violate."""
        for number, row in cases:
            if clipped:
                self._cut(number, row, clipped, left)
            yield replace(region, must=region.must | {number})
            region = replace(region, fallen=region.fallen | {(number, a) for a in left.get(number, [])})

    def box_halves(self, values: Sequence[Any], region: Region) -> list[Region]:
        at, low_end, high_start = values[0], Fraction(values[1]), Fraction(values[2])
        trigger = self.truth.world.trigger
        assert isinstance(trigger, Patch)
        step = 0 if trigger.continuous else 1
        if not 0 <= at < len(region.lower):
            refuse("split", f"there is no value {at}")
        inside = region.lower[at] <= low_end and high_start <= region.upper[at]
        if not inside or high_start - low_end != step or (step and (low_end - trigger.low) % step):
            refuse("split", f"{values} does not cover its box")
        return self.boxes(at, low_end, high_start, region)

    def boxes(self, at: int, low_end: Number, high_start: Number, region: Region) -> list[Region]:
        """The parts of a region where a value is at most one end, and at least another."""
        upper, lower = list(region.upper), list(region.lower)
        upper[at], lower[at] = low_end, high_start
        return [
            replace(_cut(region, lambda point: point[at] <= low_end), upper=tuple(upper)),
            replace(_cut(region, lambda point: point[at] >= high_start), lower=tuple(lower)),
        ]

    def strip_halves(self, values: Sequence[Any], region: Region) -> list[Region]:
        number, cut = values[0], Fraction(values[1])
        if not 0 <= number < len(self.directions):
            refuse("split", f"there is no direction {number}")

        def along(point: Values) -> Number:
            return sum(a * b for a, b in zip(self.directions[number], point, strict=True))

        return [_cut(region, lambda point: along(point) <= cut), _cut(region, lambda point: along(point) >= cut)]

    def neuron_halves(self, values: Sequence[Any], region: Region) -> list[Region]:
        """Cases of an evaluation: a trigger may be in either."""
        number, layer, neuron = values
        self._known(layer, neuron)
        if number not in range(len(self.section.inputs)):  # a case of nothing
            return [region, region]
        halves = []
        for positive in (False, True):
            sign = (number, layer, neuron, positive)
            points = tuple(point for point in region.points if self.has_sign(sign, point))
            halves.append(replace(region, points=points, signs=(*region.signs, sign)))
        return halves

    def _known(self, layer: int, neuron: int) -> None:
        """Whether there is such a neuron; only plain dense networks have the same numbers here and there."""
        net = self.truth.net
        if not all(isinstance(one, Dense | str) for one in net.layers):
            raise Undecided("neurons of a network that is not dense")
        sizes = [len(one.bias) for one in net.layers if isinstance(one, Dense)][:-1]
        if not (0 <= layer < len(sizes) and 0 <= neuron < sizes[layer]):
            refuse("split", f"there is no neuron {neuron} in layer {layer}")

    # Leaves.

    def _leaf(self, node: Node, region: Region, left: Mapping[int, list[int]]) -> None:
        if node.how == STILL_OPEN and node.how is not None:
            refuse("leaf", "it is open")
        if node.how == BY_SOLVER:
            self.section.unrechecked += 1
            return
        if node.how is None:
            if len(left) >= self.need and region.must <= left.keys():
                refuse("leaf", f"{len(left)} inputs are left, {self.need} are needed")
        elif node.how[0] == "j":
            self._joint(node.how, left, region)
        else:
            for conflict in node.how[1]:
                self._conflict(conflict, region)
            self._choices(node.how[1], left)
        self._closes(region)

    def _joint(self, how: Json, left: Mapping[int, list[int]], region: Region) -> None:
        """The form of a joint closing; that it is true is tried at all points."""
        _, flat, clips, _, *more = how
        self._clips(clips, left, region)
        if more:
            self._shared(more[0], clips, left)
        items = iter(flat)
        self._ends(items, frozenset())
        if next(items, None) is not None:
            refuse("form", "something stands behind a joint closing")

    def _ends(self, items: Iterator[Json], fixed: frozenset[int]) -> None:
        item = next(items)
        if item[0] == "w":
            return
        if item[0] != "z" or item[1] in fixed:
            refuse("form", "a joint closing branches twice on one input")
        for _ in range(2):
            self._ends(items, fixed | {item[1]})

    def _conflict(self, conflict: Json, region: Region) -> None:
        """Claims that no trigger meets together, shown by cases of neurons."""
        claims, flat = [tuple(claim) for claim in conflict[0]], iter(conflict[1])
        self._case(flat, claims, replace(region, signs=region.signs), clipped=False)
        if next(flat, None) is not None:
            refuse("form", "something stands behind the cases of a conflict")
        for point in region.points:
            if self._all_met(claims, point):
                refuse("conflict", f"{claims} are met together at {point}")

    def _all_met(self, claims: Sequence[Claim], point: Values) -> bool:
        known = [(n, a) for n, a in claims if n in self.selection and a < len(self.options(n))]
        return len(known) == len(claims) and all(self.met(n, self.options(n)[a], point) for n, a in known)

    def _case(self, items: Iterator[Json], claims: Sequence[Claim], region: Region, clipped: bool) -> None:
        kind, *values = next(items)
        if kind == "p":
            self._sum(values[0], claims, region, clipped)
            return
        number, layer, neuron, *planes = values
        if planes and len(claims) > 1:
            refuse("form", "cases are clipped that are not of one claim")
        if planes:
            self._planes(planes[0], claims, region.signs)
        for half in self.neuron_halves([number, layer, neuron], region):
            self._case(items, claims, half, clipped or bool(planes))

    def _planes(self, planes: Json, claims: Sequence[Claim], signs: Sequence[Sign]) -> list[tuple[int, Part, Fraction]]:
        """Rows of the claims with positive weights."""
        found = []
        for number, position, row, weight, _, betas in planes:
            if (number, position) not in claims or number not in self.selection:
                refuse("form", "a plane of a claim that the conflict does not name")
            part = self.section.part(row, self.options(number)[position])
            if part is None or not Fraction(weight) > 0:
                refuse("form", "a plane that need not be met, or without a weight")
            assert part is not None
            self._pushed(number, betas, signs)
            found.append((number, part, Fraction(weight)))
        return found

    def _sum(self, planes: Json, claims: Sequence[Claim], region: Region, clipped: bool) -> None:
        """The weighted sum of rows is below zero on the part: everywhere, or where the claims are met."""
        found = self._planes(planes, claims, region.signs)
        narrowed = clipped or any(claim in region.above for claim in claims)
        for point in region.points:
            if narrowed and not self._all_met(claims, point):
                continue
            if sum(weight * self.least(number, part, point) for number, part, weight in found) >= 0:
                refuse("conflict", f"a sum of planes is not below zero at {point}")

    def _choices(self, conflicts: Json, left: Mapping[int, list[int]]) -> None:
        """Every choice of as many inputs as are needed, each by an alternative that is left, holds a conflict."""
        known = [{tuple(claim) for claim in claims} for claims, _ in conflicts]
        for some in combinations(left, self.need):
            for choice in product(*([(n, a) for a in left[n]] for n in some)):
                if not any(conflict <= set(choice) for conflict in known):
                    refuse("leaf", f"{choice} holds no conflict")

    # Witnesses.

    def _falsified(self) -> None:
        witness, trigger = self.record["witness"], self.truth.world.trigger
        assert isinstance(trigger, Patch)
        point = tuple(Fraction(text) for text in witness["trigger"])
        whole = trigger.continuous or all(value.denominator == 1 for value in point)
        if len(point) != trigger.size or not whole or not all(trigger.low <= v <= trigger.high for v in point):
            refuse("witness", f"{witness['trigger']} is not in the domain")
        place, violation = self.question.place, self.question.violation
        stamp = tuple(int(value) if value.denominator == 1 else value for value in point)
        met = [self.truth.violates(index, place, violation, stamp) for index in self.question.selection]
        if sum(one.strict_maybe for one in met) < self.need:
            refuse("witness", f"the trigger changes only {sum(one.strict_maybe for one in met)} inputs")
