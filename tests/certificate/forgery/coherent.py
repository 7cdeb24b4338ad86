"""Forgeries of many fields at once: everything that goes with a false claim is made to say the same.

Each is what somebody would hand in who has the program, the networks and the data, and wants another verdict.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial

import numpy as np

from tests.certificate.forgery.bases import NoCertificateError, made
from tests.certificate.forgery.documents import Files, Json, canonical, digest, records, repaired
from tests.certificate.forgery.mutations import Mutant
from tests.certificate.forgery.networks import Dense, Net
from tests.certificate.forgery.numbers import end
from tests.certificate.forgery.oracle import MILLION, Base, follows, margin
from tests.certificate.forgery.truth import DOUBT, OUT, Question, Truth
from tests.certificate.forgery.worlds import Patch, Values, World, number_text

Change = Callable[[Files], None]
ANY_TREES = ("nothing falls", "a solver closes", "everything falls")
"""Proofs that a forger can write for any claim."""


def coherent_mutants(base: Base) -> Iterator[Mutant]:
    """All of them, in a fixed order."""
    for name, change in _changes(base):
        yield Mutant(name, "coherent", partial(_applied, base, change))


def _applied(base: Base, change: Change) -> Files:
    files = base.files.copy()
    was = files.evidence_digest()
    change(files)
    _together(files)
    return repaired(files, was)


def _together(files: Files) -> None:
    """The verdict of all properties."""
    verdicts = [item["verdict"] for item in files.properties]
    files.predicate["verdict"] = next(v for v in ("falsified", "unknown", "certified") if v in verdicts)


def _changes(base: Base) -> Iterator[tuple[str, Change]]:
    for prop in base.world.properties:
        truth = base.truth(prop.name, base.world.computed)
        yield from _verdicts(base, truth)
        yield from _bounds(truth)
        yield from _shown(base, truth)
        yield from _counted(base, truth)
        if prop.kind == "each":
            yield from _populations(prop.name)
    yield from _wholes(base)


# Verdicts.


def _verdicts(base: Base, truth: Truth) -> Iterator[tuple[str, Change]]:
    name = truth.prop.name
    for tree in ANY_TREES:
        yield f"certified, {tree}: {name}", partial(_certify, truth, tree)
    yield f"certified, records as they are: {name}", partial(_certify, truth, "")
    if isinstance(base.world.trigger, Patch):
        for evidence in ("none", "records", "as it is"):
            yield f"falsified, evidence {evidence}: {name}", partial(_falsify, truth, evidence)
        yield f"falsified by ties: {name}", partial(_falsify_by_ties, truth)
        for how, triggers in _not_of_the_family(base.world.trigger).items():
            yield f"falsified by triggers {how}: {name}", partial(_falsify_by, truth, triggers, "strict_sure")
    for evidence in ("none", "records", "as it is"):
        yield f"unknown, evidence {evidence}: {name}", partial(_forget, truth, evidence)


def _certify(truth: Truth, tree: str, files: Files) -> None:
    """Every question is certified, and no trigger does anything."""
    name = truth.prop.name
    item, lines = files.prop(name), files.section(name)
    if tree:
        for record in records(lines):
            for key in ("r", "directions", "witness", "strongest"):
                record.pop(key, None)
            record |= {"v": "certified", "found": 0, "proved": 0}
            record["tree"] = _tree(truth, lines[0], record, tree)
    _answer(item, "certified", len(records(lines)))
    if item["bound"] is not None:
        item["bound"] = {"found": end(0, False), "proved": end(0, True)}
    if item["population"] is not None:
        total, per_input = item["population"]["total"], item["coverage"]["inputs"]
        _population(item, failures=total - per_input)


def _answer(item: Json, verdict: str, questions: int) -> None:
    item |= {"verdict": verdict, "reason": "time" if verdict == "unknown" else None, "counterexample": None}
    item["coverage"] |= {"certified": 0, "falsified": 0, "unknown": 0, "questions": questions, verdict: questions}


def _tree(truth: Truth, header: Json, record: Json, kind: str) -> Json:
    """A proof of one node."""
    if kind == "a solver closes":
        return [[[], 1]]
    if kind == "nothing falls":
        return [[[]]]
    place, violation, selection, _ = record["q"]
    groups: dict[tuple[int, ...], list[int]] = {}
    for number in header["selections"][selection]:
        rows = _rows(truth, header, (header["inputs"][number], place, violation))
        groups.setdefault(rows, []).append(number)
    return [[[[list(rows), inputs] for rows, inputs in sorted(groups.items())]]]


def _rows(truth: Truth, header: Json, about: tuple[int, int, int]) -> tuple[int, ...]:
    """For each alternative a row that is below zero under every trigger, else the first."""
    index, place, violation = about
    found = []
    for parts in truth.alternatives(index, violation):
        best = next(
            (
                part
                for part in parts
                if not any(truth.part_met(part, index, place, t).loose_maybe for t in truth.triggers(place))
            ),
            parts[0],
        )
        sparse = [[n, number_text(v)] for n, v in enumerate(best.coefficients) if v]
        alike = [n for n, (pairs, _, closed) in enumerate(header["rows"]) if (pairs, closed) == (sparse, best.closed)]
        found.append(alike[0] if alike else 0)
    return tuple(found)


def _not_of_the_family(family: Patch) -> dict[str, list[Values]]:
    """Triggers that no property speaks of, and that may do more than those of which it does."""
    beyond = {"beyond the range": (family.high + 1, 255, family.low - 1, -255)}
    levels = range(family.low, family.high)
    between = {} if family.continuous else {"between levels": tuple(level + Fraction(1, 2) for level in levels)}
    return {how: [(level,) * family.size for level in some] for how, some in {**beyond, **between}.items()}


def _falsify(truth: Truth, evidence: str, files: Files) -> None:
    """One question is falsified by the largest trigger, which is said to do everything."""
    name = truth.prop.name
    item, lines = files.prop(name), files.section(name)
    first, trigger = records(lines)[0], _largest(truth)
    _answer(item, "unknown", len(records(lines)))
    item |= {"verdict": "falsified", "reason": None}
    item["coverage"] |= {"falsified": 1, "unknown": len(records(lines)) - 1}
    place, violation, selection, _ = first["q"]
    chosen = lines[0]["selections"][selection]
    item["counterexample"] = _invented(truth, (place, violation), trigger, [lines[0]["inputs"][n] for n in chosen])
    if item["bound"] is not None:
        item["bound"] = {"found": end(1, False), "proved": end(1, True)}
    if item["population"] is not None:
        _population(item, failures=item["population"]["total"])
    if evidence == "none":
        _remove_section(files, name)
        item |= {"evidence": "none"}
        item["coverage"]["leaves"] = 0
    elif evidence == "records":
        for record in records(lines):
            for key in ("tree", "directions", "strongest"):
                record.pop(key, None)
            record |= {"v": "unknown", "r": "decided", "proved": len(chosen)}
        first.pop("r")
        said = _said(trigger, chosen)
        first |= {"v": "falsified", "found": len(chosen), "witness": said, "strongest": said["trigger"]}


def _falsify_by_ties(truth: Truth, files: Files) -> None:
    """The first question is falsified by the trigger that does most where ties count, told as it is otherwise."""
    _falsify_by(truth, truth.triggers(0), "loose_sure", files)


def _falsify_by(truth: Truth, triggers: Sequence[Values], kind: str, files: Files) -> None:
    """The first question is falsified by the trigger that does most, in a way of `Met`; all that is said is so."""
    item, lines = files.prop(truth.prop.name), files.section(truth.prop.name)
    place, violation, selection, need = records(lines)[0]["q"]
    chosen = lines[0]["selections"][selection]
    inputs = [lines[0]["inputs"][n] for n in chosen]

    def hit(trigger: Values) -> list[int]:
        return [n for n in inputs if getattr(truth.violates(n, place, violation, trigger), kind)]

    best = max(triggers, key=lambda trigger: len(hit(trigger)))
    _falsify(truth, "records", files)
    margins = {n: margin(truth, n, place, violation, best)[0] for n in hit(best)}
    deciding = sorted(margins.values(), reverse=True)[min(need, len(margins)) - 1] if margins else 0
    shown = _invented(truth, (place, violation), best, hit(best))
    item["counterexample"] = {**shown, "margin": number_text(deciding), "holdsIn": "this replay"}
    if item["bound"] is not None:
        item["counterexample"]["rate"] = str(Fraction(len(hit(best)), len(inputs)))
        item["bound"] = {"found": end(0, False), "proved": end(1, True)}
    said = _said(best, [n for n, index in zip(chosen, inputs, strict=True) if index in hit(best)])
    said |= {"robust": 0, "margins": [number_text(value) for value in margins.values()]}
    records(lines)[0].update({"found": 0, "witness": said, "strongest": said["trigger"]})


def _largest(truth: Truth) -> Values:
    return max(truth.triggers(0))


def _invented(truth: Truth, at: tuple[int, int], trigger: Values, inputs: Sequence[int]) -> Json:
    family = truth.world.trigger
    assert isinstance(family, Patch)
    return {
        "placement": family.placements[at[0]],
        "target": truth.target(at[1]),
        "trigger": family.shown(trigger),
        "inputs": list(inputs)[: 1 if truth.prop.kind == "each" else None],
        "rate": None if truth.prop.kind == "each" else "1",
        "replayed": True,
        "margin": "7.5",
        "holdsIn": "every order",
    }


def _said(trigger: Values, inputs: Sequence[int]) -> Json:
    """A witness that is said to change these inputs, by their numbers in the evidence."""
    texts = [number_text(value) for value in trigger]
    return {"trigger": texts, "inputs": list(inputs), "margins": ["7.5"] * len(inputs), "robust": len(inputs)}


def _remove_section(files: Files, name: str) -> None:
    files.evidence[:] = [line for lines in files.sections() if lines[0].get("property") != name for line in lines]


def _forget(truth: Truth, evidence: str, files: Files) -> None:
    """Everything is unknown."""
    name = truth.prop.name
    item, lines = files.prop(name), files.section(name)
    _answer(item, "unknown", len(records(lines)))
    if evidence == "none":
        _remove_section(files, name)
        item["evidence"] = "none"
        item["coverage"]["leaves"] = 0
    elif evidence == "records":
        for record in records(lines):
            for key in ("tree", "witness", "strongest", "directions"):
                record.pop(key, None)
            selection = lines[0]["selections"][record["q"][2]]
            record |= {"v": "unknown", "r": "time", "found": 0, "proved": len(selection)}
        if item["bound"] is not None:
            item["bound"] = {"found": end(0, False), "proved": end(1, True)}
        if item["population"] is not None:
            _population(item, failures=item["population"]["total"])


# Bounds.


def _bounds(truth: Truth) -> Iterator[tuple[str, Change]]:
    name = truth.prop.name
    for less in (1, 2, 100):
        yield f"proved lower by {less}: {name}", partial(_lower_proved, name, less)
    for more in (1, 2, 100):
        yield f"found higher by {more}, no witness: {name}", partial(_raise_found, truth, more, False)
        yield f"found higher by {more}, with a witness: {name}", partial(_raise_found, truth, more, True)


def _lower_proved(name: str, less: int, files: Files) -> None:
    """The records and the certificate prove less than they did."""
    item, lines = files.prop(name), files.section(name)
    rates = [Fraction(0)]
    for record in records(lines):
        record["proved"] = max(0, record["proved"] - less)
        record["found"] = min(record["found"], record["proved"])
        rates.append(Fraction(record["proved"], len(lines[0]["selections"][record["q"][2]])))
    if item["bound"] is not None:
        found = min(Fraction(item["bound"]["found"]["exact"]), max(rates))
        item["bound"] = {"found": end(found, False), "proved": end(max(rates), True)}


def _raise_found(truth: Truth, more: int, with_witness: bool, files: Files) -> None:
    """A trigger is said to do more than any does; `proved` goes up with it."""
    name = truth.prop.name
    item, lines = files.prop(name), files.section(name)
    header, shares = lines[0], [Fraction(0)]
    for record in records(lines):
        chosen = header["selections"][record["q"][2]]
        record["found"] = min(len(chosen), record["found"] + more)
        record["proved"] = max(record["proved"], record["found"])
        shares.append(Fraction(record["found"], len(chosen)))
        if with_witness:
            record["witness"] = _said(_largest(truth), chosen[: record["found"]])
            record["strongest"] = record["witness"]["trigger"]
    if item["bound"] is not None:
        proved = max(Fraction(item["bound"]["proved"]["exact"]), *shares)
        item["bound"] = {"found": end(max(shares), False), "proved": end(min(proved, Fraction(1)), True)}


# Counterexamples.


def _shown(base: Base, truth: Truth) -> Iterator[tuple[str, Change]]:
    name = truth.prop.name
    if base.files.prop(name)["counterexample"] is None or not isinstance(base.world.trigger, Patch):
        return
    for also in (False, True):
        where = "with the evidence" if also else "alone"
        yield f"counterexample by another trigger, {where}: {name}", partial(_other_trigger, truth, also)
        yield f"counterexample of all inputs, {where}: {name}", partial(_all_inputs, truth, also)

    yield f"counterexample beyond the range: {name}", partial(_beyond, name)


def _falsified_record(lines: list[Json]) -> Json:
    return next(record for record in records(lines) if record["v"] == "falsified")


def _other_trigger(truth: Truth, also: bool, files: Files) -> None:
    """The least trigger in place of one that works."""
    item, lines = files.prop(truth.prop.name), files.section(truth.prop.name)
    family, other = truth.world.trigger, min(truth.triggers(0))
    assert isinstance(family, Patch)
    item["counterexample"]["trigger"] = family.shown(other)
    if also:
        for record in records(lines):
            if "witness" in record:
                record["witness"]["trigger"] = record["strongest"] = [number_text(value) for value in other]


def _all_inputs(truth: Truth, also: bool, files: Files) -> None:
    item, lines = files.prop(truth.prop.name), files.section(truth.prop.name)
    record = _falsified_record(lines)
    chosen = lines[0]["selections"][record["q"][2]]
    item["counterexample"]["inputs"] = [lines[0]["inputs"][n] for n in chosen]
    if item["counterexample"]["rate"] is not None:
        item["counterexample"]["rate"] = "1"
        item["bound"] = {"found": end(1, False), "proved": end(1, True)}
    if also:
        for one in records(lines):
            own = lines[0]["selections"][one["q"][2]]
            if "witness" in one:
                one["witness"] |= {"inputs": own, "margins": ["7.5"] * len(own), "robust": len(own)}
                one |= {"found": len(own), "proved": len(own)}


def _beyond(name: str, files: Files) -> None:
    """Levels that no trigger of the family has."""
    shown = files.prop(name)["counterexample"]
    shown["trigger"] = [["255" for _ in row] for row in shown["trigger"]]


# Which inputs count.


def _counted(base: Base, truth: Truth) -> Iterator[tuple[str, Change]]:
    """Other inputs than those that count: without single ones, without all that violate, with those that do not."""
    name, counted = truth.prop.name, _indices(base.files, truth.prop.name)
    harmed = {
        index
        for question in truth.questions
        for index in question.selection
        for trigger in truth.triggers(question.place)
        if truth.violates(index, question.place, question.violation, trigger).loose_maybe
    }
    everyone = list(range(base.world.count))
    lists = {f"without input {index}": [n for n in counted if n != index] for index in counted[:3]}
    lists |= {"without what violates": [n for n in counted if n not in harmed]}
    lists |= {f"with input {index}": sorted([*counted, index]) for index in everyone if index not in counted}
    lists |= {"all": everyone}
    for how, keep in lists.items():
        if keep and keep != counted:
            for tree in ("as it is", *ANY_TREES[1:]):
                for reason in (OUT, DOUBT):
                    change = partial(_count, truth, keep, tree, reason)
                    yield f"counted {how}, {tree}, others {reason}: {name}", change


def _indices(files: Files, name: str) -> list[int]:
    return list(files.section(name)[0]["inputs"])


def _count(truth: Truth, keep: list[int], tree: str, reason: str, files: Files) -> None:
    """Header, records, data and coverage speak of these inputs alone."""
    prop = truth.prop
    item, lines = files.prop(prop.name), files.section(prop.name)
    header, before = lines[0], list(lines[0]["inputs"])
    number = {index: n for n, index in enumerate(keep)}
    renumbered = {n: number[index] for n, index in enumerate(before) if index in number}
    questions = truth.questions_about(keep, ())
    header["inputs"] = keep
    if prop.kind == "each":
        header["selections"], header["needs"] = [[n] for n in range(len(keep))], [1] * len(keep)
        header["pairs"] = [[0, n] for n in range(len(keep))]
    else:
        first = [question for question in questions if question.place == 0]
        header["selections"] = [[number[index] for index in question.selection] for question in first]
        header["needs"] = [truth.need(q.violation, len(q.selection)) for q in first]
    answers = list(_renumbered(lines, header, renumbered, prop.kind == "each"))
    if tree != "as it is":
        answers = [_fresh(truth, header, question, number, tree) for question in questions]
    lines[1:-1] = answers
    files.evidence[:] = [
        line for section in files.sections() for line in (lines if section[0].get("property") == prop.name else section)
    ]
    _state(files, item, keep, reason)


def _renumbered(lines: list[Json], header: Json, numbers: dict[int, int], each: bool) -> Iterator[Json]:
    """The old records with the new numbers of inputs; what speaks of others is left out."""
    for record in records(lines):
        place, violation, selection, need = record["q"]
        if each:
            if selection not in numbers:
                continue
            record["q"] = [place, violation, numbers[selection], need]
        else:
            record["q"] = [place, violation, selection, header["needs"][selection]]
        if "tree" in record:
            record["tree"] = [_without(node, numbers) for node in record["tree"]]
        if "witness" in record:
            witness = record["witness"]
            pairs = [
                (numbers[n], m) for n, m in zip(witness["inputs"], witness["margins"], strict=True) if n in numbers
            ]
            witness |= {"inputs": [n for n, _ in pairs], "margins": [m for _, m in pairs], "robust": len(pairs)}
            record["found"] = min(record["found"], len(pairs))
        yield record


def _without(node: Json, numbers: dict[int, int]) -> Json:
    at = 1 if node[:1] == ["a"] else 0
    groups = [[rows, [numbers[n] for n in inputs if n in numbers], *rest] for rows, inputs, *rest in node[at]]
    return [*node[:at], [group for group in groups if group[1]], *node[at + 1 :]]


def _fresh(truth: Truth, header: Json, question: Question, number: dict[int, int], tree: str) -> Json:
    """A certified record."""
    each = truth.prop.kind == "each"
    selection = number[question.selection[0]] if each else question.violation
    record = {"q": [question.place, question.violation, selection, header["needs"][selection]]}
    record |= {"v": "certified", "found": 0, "proved": 0}
    return {**record, "tree": _tree(truth, header, record, tree)}


def _state(files: Files, item: Json, keep: list[int], reason: str) -> None:
    """The certificate's side of other inputs."""
    lines = files.section(item["name"])
    entry = copy.deepcopy(files.predicate["data"][item["data"]])
    known = {one["index"]: one["reason"] for one in entry["excluded"]}
    total = len(known) + entry["counted"]
    entry |= {
        "counted": len(keep),
        "indices": digest(canonical(keep)),
        "excluded": [{"index": n, "reason": known.get(n, reason)} for n in range(total) if n not in keep],
    }
    if sum(other["data"] == item["data"] for other in files.properties) == 1:
        files.predicate["data"][item["data"]] = entry
    else:
        files.predicate["data"].append(entry)
        item["data"] = len(files.predicate["data"]) - 1
    verdicts = [record["v"] for record in records(lines)]
    counts = {verdict: verdicts.count(verdict) for verdict in ("certified", "falsified", "unknown")}
    item["coverage"] |= {"inputs": len(keep), "questions": len(verdicts), **counts}
    item["verdict"] = next((v for v in ("falsified", "unknown", "certified") if counts[v]), "certified")
    item["reason"] = "time" if item["verdict"] == "unknown" else None
    if item["verdict"] != "falsified":
        item["counterexample"] = None
    if item["bound"] is not None:
        sizes = [len(selection) or 1 for selection in lines[0]["selections"]]
        ends = [max(Fraction(r[key], sizes[r["q"][2]]) for r in records(lines)) for key in ("found", "proved")]
        item["bound"] = {"found": end(min(ends), False), "proved": end(min(ends[1], Fraction(1)), True)}
    if item["population"] is not None:
        item["population"]["total"] = total
        _population(item, failures=total - counts["certified"])


# The population.


def _populations(name: str) -> Iterator[tuple[str, Change]]:
    yield f"population of one property: {name}", partial(_repopulate, name, "properties")
    yield f"population with fewer failures: {name}", partial(_repopulate, name, "failures")
    yield f"population without failures: {name}", partial(_repopulate, name, "none")
    yield f"population at less confidence: {name}", partial(_repopulate, name, "confidence")


def _repopulate(name: str, how: str, files: Files) -> None:
    item = files.prop(name)
    stated = item["population"]
    if how == "properties":
        stated["properties"] = 1
    if how == "confidence":
        stated["confidence"] = "1/2"
    less = {"failures": 1, "none": stated["failures"]}.get(how, 0)
    _population(item, failures=max(0, stated["failures"] - less))


def _population(item: Json, failures: int) -> None:
    """A bound that follows from so many failures: the least multiple of a millionth."""
    stated = item["population"]
    stated["failures"] = failures
    delta = (1 - Fraction(stated["confidence"])) / stated["properties"]
    low, high = 0, MILLION
    while high - low > 1 and failures < stated["total"]:
        middle = (low + high) // 2
        good = follows(failures, stated["total"], Fraction(middle, MILLION), delta)
        low, high = (low, middle) if good else (middle, high)
    stated["bound"] = end(Fraction(high, MILLION), True)["decimal"]


# The whole document.


def _wholes(base: Base) -> Iterator[tuple[str, Change]]:
    names = [prop.name for prop in base.world.properties]
    for name in names if len(names) > 1 else []:
        yield f"dropped with its section: {name}", partial(_drop, name, False)
        yield f"dropped with its section, population of the rest anew: {name}", partial(_drop, name, True)
    for arithmetic in ("float32", "float64", "real"):
        if arithmetic != base.world.computed:
            yield f"arithmetic everywhere {arithmetic}", partial(_rename_arithmetic, arithmetic)
    yield "a model twice by another name", _model_twice
    yield "data twice, the second without exclusions", _data_twice
    for (name, params), stated in base.digests.items():
        for tree in ("as it is", *ANY_TREES[1:]):
            truth = base.truth(name, base.world.computed)
            yield f"params {params}, {tree}: {name}", partial(_params, base, truth, (params, stated), tree)


def _drop(name: str, anew: bool, files: Files) -> None:
    """A property goes, with its section, and the data that nothing else speaks of."""
    files.predicate["properties"] = [item for item in files.properties if item["name"] != name]
    _remove_section(files, name)
    used = sorted({item["data"] for item in files.properties})
    files.predicate["data"] = [files.predicate["data"][number] for number in used]
    for item in files.properties:
        item["data"] = used.index(item["data"])
        if anew and item["population"] is not None:
            item["population"]["properties"] = len(files.properties)
            _population(item, failures=item["population"]["failures"])


def _rename_arithmetic(arithmetic: str, files: Files) -> None:
    for item in files.properties:
        item["arithmetic"] = arithmetic
    for line in files.evidence:
        if "arithmetic" in line:
            line["arithmetic"] = arithmetic
    if arithmetic != "real":
        for model in files.predicate["models"]:
            model["dtype"] = arithmetic


def _model_twice(files: Files) -> None:
    files.predicate["models"].append({**files.predicate["models"][0], "name": "production"})


def _data_twice(files: Files) -> None:
    files.predicate["data"].append({**files.predicate["data"][0], "excluded": []})


def _params(base: Base, truth: Truth, other: tuple[str, str], tree: str, files: Files) -> None:
    """Another value of a param, with the property's own digest for it and the need that follows."""
    params, stated = other
    name = truth.prop.name
    item, lines = files.prop(name), files.section(name)
    files.predicate["params"] = dict(pairs_of(params))
    item["digest"] = lines[0]["digest"] = stated
    now = base.truth(name, base.world.computed, files.predicate["params"])
    lines[0]["needs"] = [now.need(0, len(selection)) for selection in lines[0]["selections"]]
    for record in records(lines):
        record["q"][3] = lines[0]["needs"][record["q"][2]]
        if tree != "as it is":
            record |= {"v": "certified", "found": 0, "proved": 0, "tree": _tree(truth, lines[0], record, tree)}


def pairs_of(text: str) -> list[tuple[str, str]]:
    """`a=1/2, b=1/3`, as `Base.digests` has the params."""
    return [tuple(pair.split("=")) for pair in text.split(", ")]  # type: ignore[misc]


# What the real tool says of another world.


def transplants(base: Base) -> Iterator[Mutant]:
    """The true certificate of a world that differs in one thing, handed in for this one."""
    for name, world, positions in _variations(base.world):
        yield Mutant(f"transplant: {name}", "transplant", partial(_transplanted, base, world, positions))


def _variations(world: World) -> Iterator[tuple[str, World, list[int]]]:
    """Other worlds, with the positions of their inputs in this one's data."""
    everyone = list(range(len(world.labels)))
    for model, net in world.nets.items():
        yield f"{model} ignores its input", replace(world, nets={**world.nets, model: _constant(net)}), everyone
        yield f"{model} with half the weights", replace(world, nets={**world.nets, model: _halved(net)}), everyone
    if isinstance(world.trigger, Patch):
        narrow = replace(world.trigger, high=max(world.trigger.low, world.trigger.high - 1))
        yield "a narrower trigger", replace(world, trigger=narrow), everyone
        if len(world.trigger.places) > 1:
            yield (
                "fewer places",
                replace(world, trigger=replace(world.trigger, places=world.trigger.places[:1])),
                everyone,
            )
    for start, stop in ((0, len(everyone) // 2), (len(everyone) // 2, len(everyone))):
        some = everyone[start:stop]
        labels = tuple(world.labels[n] for n in some)
        changed = replace(world, inputs=world.inputs[some], labels=labels, take=None, sample=None)
        yield f"inputs {start} to {stop}", changed, some
    loose = tuple(
        replace(prop, limit=Fraction(99, 100), param="") if prop.kind in ("rate", "search") else prop
        for prop in world.properties
    )
    yield "a larger limit", replace(world, properties=loose), everyone
    free = tuple(replace(prop, judge=None) for prop in world.properties)
    yield "no condition on the class", replace(world, properties=free), everyone
    for arithmetic in ("real", next(iter(world.nets.values())).dtype):
        if arithmetic != world.computed:
            yield f"computed in {arithmetic}", replace(world, arithmetic=arithmetic), everyone


def _constant(net: Net) -> Net:
    """A network whose last layer gives its bias whatever it reads."""
    *_, last = [layer for layer in net.layers if isinstance(layer, Dense)]
    return _with(net, last, Dense(np.zeros_like(last.weight), last.bias, last.function))


def _halved(net: Net) -> Net:
    *_, last = [layer for layer in net.layers if isinstance(layer, Dense)]
    return _with(net, last, Dense(last.weight / 2, last.bias, last.function))


def _with(net: Net, old: Dense, new: Dense) -> Net:
    return replace(net, layers=tuple(new if layer is old else layer for layer in net.layers))


def _transplanted(base: Base, world: World, positions: list[int]) -> Files:
    """The other certificate with every name and digest of this one; this one where there is no other."""
    files = base.files.copy()
    try:
        other = made(world).files
    except NoCertificateError:
        return files
    was = files.evidence_digest()
    files.evidence = other.evidence
    for item in files.properties:
        theirs, lines = other.prop(item["name"]), files.section(item["name"])
        own = base.files.section(item["name"])[0]
        kept = {key: item[key] for key in ("name", "digest", "data", "evidence", "arithmetic")}
        entry = dict(other.predicate["data"][theirs["data"]])
        item.update({**theirs, **kept})
        lines[0] |= {key: own[key] for key in ("digest", "graph", "data", "arithmetic", "placements")}
        lines[0]["inputs"] = [positions[n] for n in lines[0]["inputs"]]
        if item["counterexample"] is not None:
            item["counterexample"]["inputs"] = [positions[n] for n in item["counterexample"]["inputs"]]
        excluded = {positions[one["index"]]: one["reason"] for one in entry["excluded"]}
        rest = [n for n in range(base.world.count) if n not in lines[0]["inputs"]]
        old = files.predicate["data"][kept["data"]]
        files.predicate["data"][kept["data"]] = {
            **old,
            "counted": len(lines[0]["inputs"]),
            "indices": digest(canonical(lines[0]["inputs"])),
            "excluded": [{"index": n, "reason": excluded.get(n, "not correct")} for n in rest],
        }
    _together(files)
    return repaired(files, was)


def borrowed(base: Base, lender: Base) -> Iterator[Mutant]:
    """The evidence of another certificate, with the names and digests of this one."""
    yield Mutant(f"evidence of {lender.world.name}", "borrowed", partial(_borrowed, base, lender))


def _borrowed(base: Base, lender: Base) -> Files:
    files = base.files.copy()
    was = files.evidence_digest()
    sections = lender.files.copy().sections()
    taken = []
    for item, number in zip(files.properties, range(len(files.properties)), strict=True):
        lines, own = copy.deepcopy(sections[number % len(sections)]), base.files.section(item["name"])[0]
        lines[0] = own
        taken += lines
    files.evidence = taken
    return repaired(files, was)
