"""Proofs made of nothing: random splits, and at their ends random reasons why too few inputs violate, some false.

Most of what is said is true and some of it only just, which is where bounds are put to the test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tests.certificate.forgery.documents import Files, Json, records, repaired
from tests.certificate.forgery.networks import Dense, Number
from tests.certificate.forgery.proofs import BY_SOLVER, Node, flatten
from tests.certificate.forgery.reference import CONTRADICTED, Claim, Record, Region, Section
from tests.certificate.forgery.truth import Truth
from tests.certificate.forgery.worlds import Patch, Values, number_text

DIRECTIONS = 2
LIES, GAPS = 0.1, 0.5
"""How often a false claim is made where one can be, or something is left out, until a tree has its one lie."""


def grown(truth: Truth, files: Files, seed: int) -> Files:
    """The same certificate with proofs made of nothing, for its only property; every question is called certified."""
    random, files = np.random.default_rng(seed), files.copy()
    was, lines = files.evidence_digest(), files.section(truth.prop.name)
    section = Section(truth, lines, files.excluded(truth.prop.name))
    item = files.prop(truth.prop.name)
    for record in records(lines):
        for key in ("witness", "r", "tree", "directions"):
            record.pop(key, None)
        place, violation, selection, _ = record["q"]
        question = section.asked[place, violation, selection]
        size = truth.world.trigger.size  # type: ignore[union-attr]
        if size > 1 and random.random() < 0.5:
            directions = random.choice([-1.0, -0.5, 0.0, 0.5, 1.0], (DIRECTIONS, size)) + 0.0
            record["directions"] = [[float(value).hex() for value in row] for row in directions]
        judge = Record(section, question, record)
        record |= {"v": "certified", "found": 0, "proved": judge.need - 1}
        record["tree"] = flatten(Grower(judge, random).tree())
    questions = len(records(lines))
    item |= {"verdict": "certified", "reason": None, "counterexample": None, "population": None}
    item["coverage"] |= {"certified": questions, "falsified": 0, "unknown": 0, "questions": questions}
    item["bound"] = None
    files.predicate["verdict"] = "certified"
    return repaired(files, was)


ROOMS = (0, 1, 4, 10)
"""How far below zero rows must be before they are said to be: what is true by a hair is often more than bounds show."""


class Grower:
    """Grows a tree for one question."""

    def __init__(self, judge: Record, random: np.random.Generator) -> None:
        self.judge, self.random = judge, random
        # Half of the trees have no lie, and the others one: a false claim, or a part of the domain that is left out.
        self.lies, self.leaves_out = bool(random.integers(2)), bool(random.integers(2))
        self.room = int(random.choice(ROOMS))
        # Whole trees have them or not: nearly every slope that is drawn is worse than the default rule.
        self.with_slopes, self.with_pushes, self.contradicts = (bool(random.random() < 0.3) for _ in range(3))
        self.rows = judge.section.lines[0]["rows"]
        dense = [one for one in judge.truth.net.layers if isinstance(one, Dense)]
        self.hidden = [len(one.bias) for one in dense[:-1]]

    def tree(self) -> Node:
        trigger = self.judge.truth.world.trigger
        assert isinstance(trigger, Patch)
        points = self.judge.truth.triggers(self.judge.question.place)
        whole = Region((trigger.low,) * trigger.size, (trigger.high,) * trigger.size, points, points)
        return self._node(whole, int(self.random.choice([1, 2, 3, 4, 6])))

    def _node(self, region: Region, depth: int) -> Node:
        if depth == 0 or self.random.random() < 0.15:
            return self._leaf(region)
        split, halves = self._split(region)
        node = Node([], split)
        has_cases = split[0] == "i"  # their inputs are those that are left
        if not has_cases and self.random.random() < 0.3:
            node.dropped, region = self._drops(region, all_=False)
            halves = [replace(half, fallen=region.fallen) for half in halves]
        if not has_cases and self.random.random() < 0.3 and (clips := self._clips(region)):
            node.rest = [clips]
        node.children = [self._node(half, depth - 1) for half in halves]
        return node

    def _split(self, region: Region) -> tuple[Json, list[Region]]:
        kind = self.random.choice(["b", "b", "s", "n", "i"])
        if kind == "i" and len(left := self.judge.left(region)) >= max(2, self.judge.need):
            return self._cases(left, region)
        if kind == "s" and self.judge.directions:
            cut = float(self.random.choice([-1.0, 0.0, 0.5, 1.0, 2.0, 3.0]))
            values: list[Json] = [int(self.random.integers(len(self.judge.directions))), number_text(cut)]
            return ["s", *values], self.judge.strip_halves(values, region)
        if kind == "n" and self.hidden:
            layer = int(self.random.integers(len(self.hidden)))
            number = int(self.random.choice(self.judge.selection))
            values = [number, layer, int(self.random.integers(self.hidden[layer]))]
            return ["n", *values], self.judge.neuron_halves(values, region)
        trigger = self.judge.truth.world.trigger
        assert isinstance(trigger, Patch)
        at = int(self.random.integers(len(region.lower)))
        low, high = region.lower[at], region.upper[at]
        if trigger.continuous:
            cut = float(self.random.uniform(float(low), float(high)))
            values = [at, number_text(cut), number_text(cut)]
        elif low < high:
            end = int(self.random.integers(int(low), int(high)))
            if end + 2 <= high and self._leave_out():
                values = [at, number_text(end), number_text(end + 2)]
                return ["b", *values], self.judge.boxes(at, end, end + 2, region)
            values = [at, number_text(end), number_text(end + 1)]
        else:
            return self._split(region) if kind == "b" and self.random.random() < 0.9 else self._same(region)
        return ["b", *values], self.judge.box_halves(values, region)

    def _cases(self, left: dict[int, list[int]], region: Region) -> tuple[Json, list[Region]]:
        """Cases of which input is the first to violate; fewer inputs than needed have none, or one more."""
        most = min(self.judge.need - 1 + self._leave_out(), len(left) - 1)
        inputs = self.random.permutation(list(left))[: len(left) - most].tolist()
        cases = [[number, self._numbers((number, left[number][0]))[0]] for number in inputs]
        return ["i", cases], list(self.judge.cases(cases, region, left, set()))

    def _same(self, region: Region) -> tuple[Json, list[Region]]:
        """A split of a neuron of the first input, which any box has."""
        values = [self.judge.selection[0], 0, 0]
        return ["n", *values], self.judge.neuron_halves(values, region)

    def _numbers(self, claim: Claim) -> list[int]:
        """The evidence's numbers of the rows of an alternative."""
        parts = self.judge.options(claim[0])[claim[1]]
        return [n for n in range(len(self.rows)) if self.judge.section.part(n, parts) is not None]

    def _inside(self, number: int, region: Region) -> list[Values]:
        """Triggers in a box and its strips, for an input whose neurons may have known signs; those of others are not.

        A bound for one input knows nothing of another one's neurons.
        """
        signs = [sign for sign in region.signs if sign[0] == number]
        return [point for point in region.boxed if all(self.judge.has_sign(sign, point) for sign in signs)]

    def _true_rows(self, claim: Claim, region: Region) -> list[int]:
        """Those that are below zero on the whole part, by as much as is wanted unless the part is a point."""
        parts = self.judge.options(claim[0])[claim[1]]
        room = 0 if region.lower == region.upper else self.room
        true = []
        for number in self._numbers(claim):
            part = self.judge.section.part(number, parts)
            assert part is not None
            values = [self.judge.most(claim[0], part, point) for point in self._inside(claim[0], region)]
            if all(value < 0 and value <= -room for value in values):
                true.append(number)
        return true

    def _drops(self, region: Region, all_: bool = True) -> tuple[list[Json], Region]:
        """What falls: truly, or as a lie."""
        groups: list[Json] = []
        fallen = set(region.fallen)
        for number, positions in self.judge.left(region).items():
            for position in positions:
                true = self._true_rows((number, position), region)
                if (not true and not self._lie()) or (not all_ and self.random.random() < 0.5):
                    continue
                row = int(self.random.choice(true or self._numbers((number, position))))
                groups.append(self._group((number, position), row, region))
                fallen.add((number, position))
        return groups, replace(region, fallen=frozenset(fallen))

    def _lie(self) -> bool:
        return self._once(not self.leaves_out, LIES)

    def _leave_out(self) -> bool:
        return self._once(self.leaves_out, GAPS)

    def _once(self, wanted: bool, often: float) -> bool:
        lies = self.lies and wanted and self.random.random() < often
        self.lies = self.lies and not lies
        return lies

    def _group(self, claim: Claim, row: int, region: Region) -> Json:
        """One alternative falls by a row, with random clips, slopes and pushes."""
        number, position = claim
        planes = [int(self.random.choice(self._numbers(claim))) for _ in range(int(self.random.integers(0, 3)))]
        slopes, betas = self._slopes(), self._pushes(number, region)
        row = CONTRADICTED if planes and self.contradicts and self.random.random() < 0.1 else row
        rows = [-1] * position + [row]
        if slopes or betas:
            return [rows, [number], planes, slopes, betas]
        return [rows, [number], planes] if planes else [rows, [number]]

    def _slopes(self) -> list[str]:
        if not self.with_slopes or self.random.random() < 0.8:
            return []
        return [self.random.integers(0, 256, size, dtype=np.uint8).tobytes().hex() for size in self.hidden]

    def _pushes(self, number: int, region: Region) -> list[Json]:
        known = [sign for sign in region.signs if sign[0] == number]
        if not known or not self.with_pushes or self.random.random() < 0.5:
            return []
        _, layer, neuron, positive = known[int(self.random.integers(len(known)))]
        size = float(self.random.choice([0.25, 1.0, 2.5]))
        return [[layer, neuron, number_text(size if positive else -size)]]

    def _clips(self, region: Region) -> list[Json]:
        left = self.judge.left(region)
        claims = [(n, a) for n, positions in left.items() for a in positions if self.random.random() < 0.7]
        return [[n, a, [int(self.random.choice(self._numbers((n, a))))]] for n, a in claims]

    def _leaf(self, region: Region) -> Node:
        dropped, region = self._drops(region)
        left = self.judge.left(region)
        need, closed = self.judge.need, len(left) < self.judge.need or not region.must <= left.keys()
        if (closed and self.random.random() < 0.8) or (len(left) == need and self._leave_out()):
            return Node(dropped)
        true = all(self.judge.violating(point) < need for point in region.points)
        if not left or not (true or self._lie()) or self.random.random() < 0.1:
            return Node(dropped, BY_SOLVER)
        return Node(dropped, self._joint(left, region) if self.random.random() < 0.5 else self._conflicts(left, region))

    def _joint(self, left: dict[int, list[int]], region: Region) -> Json:
        claims = [(n, a) for n, positions in left.items() for a in positions]
        clips = [
            [n, a, [int(self.random.choice(self._numbers((n, a))))][: int(self.random.integers(2))]] for n, a in claims
        ]
        beta = (
            [number_text(float(self.random.normal()))] * len(self.judge.directions)
            if self.random.random() < 0.5
            else []
        )
        flat: list[Json] = []
        if self.random.random() < 0.4:
            flat += [["z", int(self.random.choice(list(left)))], self._weights(claims, beta)]
        flat.append(self._weights(claims, beta))
        point = [number_text(value) for value in self._point(region)]
        return ["j", flat, clips, point]

    def _point(self, region: Region) -> Sequence[Number]:
        points = region.points or self.judge.truth.triggers(self.judge.question.place)
        return points[int(self.random.integers(len(points)))]

    def _weights(self, claims: list[Claim], beta: list[str]) -> Json:
        scale = float(self.random.choice([0.5, 1.0, 1.0, 2.0]))
        weights = [
            [n, a, int(self.random.choice(self._numbers((n, a)))), int(self.random.integers(2)), number_text(scale)]
            for n, a in claims
        ]
        return ["w", weights, beta]

    def _conflicts(self, left: dict[int, list[int]], region: Region) -> Json:
        """Each open alternative alone, or each pair, whether it is a conflict or not."""
        claims = [(n, a) for n, positions in left.items() for a in positions]
        if self.random.random() < 0.5 or len(left) < 2:
            groups: list[tuple[Claim, ...]] = [(claim,) for claim in claims]
        else:
            groups = [(one, two) for k, one in enumerate(claims) for two in claims[k + 1 :] if one[0] != two[0]]
        true = [some for some in groups if not any(self._met(some, point) for point in region.points)]
        chosen = [some for some in groups if some in true or self._lie()]
        return ["c", [self._conflict(some, region) for some in chosen or groups[:1]]]

    def _met(self, claims: Sequence[Claim], point: Sequence[Number]) -> bool:
        return all(self.judge.met(n, self.judge.options(n)[a], tuple(point)) for n, a in claims)

    def _conflict(self, claims: Sequence[Claim], region: Region) -> Json:
        if self.hidden and self.random.random() < 0.5:
            number, layer = claims[0][0], int(self.random.integers(len(self.hidden)))
            split = ["n", number, layer, int(self.random.integers(self.hidden[layer]))]
            if len(claims) == 1 and self.random.random() < 0.4:
                split.append(self._planes(claims, region))
            halves = self.judge.neuron_halves(split[1:4], region)
            cases = [split, *(["p", self._planes(claims, half)] for half in halves)]
        else:
            cases = [["p", self._planes(claims, region)]]
        return [[list(claim) for claim in claims], cases]

    def _planes(self, claims: Sequence[Claim], region: Region) -> Json:
        weights = self.random.choice([0.5, 1.0, 1.0, 1.5], len(claims))
        return [
            [
                n,
                a,
                int(self.random.choice(self._numbers((n, a)))),
                number_text(float(w)),
                self._slopes(),
                self._pushes(n, region),
            ]
            for (n, a), w in zip(claims, weights, strict=True)
        ]
