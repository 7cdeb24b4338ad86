"""Whether each value that a certificate states is true, by brute force; nothing of `verifluxa` is asked.

What depends on the program alone (the digest of a network's graph, the selection in words) is compared with the
original, which a run of the real tool made from the same files.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.certificate.forgery.documents import Files, Json, canonical, digest, file_digest, records, written_leaves
from tests.certificate.forgery.networks import Number
from tests.certificate.forgery.numbers import end
from tests.certificate.forgery.truth import DOUBT, IN, Question, Truth
from tests.certificate.forgery.worlds import Patch, Values, World

FREE_TEXT = (
    "subject[].name",
    "predicate.verifier.id",
    "predicate.verifier.versions",
    "predicate.timeVerified",
    "predicate.expires",
    "predicate.resourceUri",
    "predicate.policy",
    "predicate.strategy",
    "predicate.materials",
    "predicate.properties[].method",
    "predicate.properties[].reason",
)
"""Fields that say something which nobody can recompute, with all that stands in them.

Fields that begin with `x_`, wherever they stand, are free text too. Everything else is checked, or refused.
"""
ROUNDING = Fraction(1, 10**5)
"""How far a stated margin may be from the exact one, as a share of it."""
MILLION = 10**6


@dataclass(frozen=True)
class Wrong:
    """A stated value that is false.

    Attributes:
        path: which, as in `Mutant`.
        why: in words.
        prop: the name of the property that it is about; None for what is about the whole.
    """

    path: str
    why: str
    prop: str | None = None


@dataclass(frozen=True, eq=False)
class Base:
    """A true certificate, and the world that it is about.

    Attributes:
        world: its networks, inputs and properties.
        folder: where its files are.
        files: the certificate and its evidence.
        digests: of properties, by name and by the values of the params where these are not the spec's.
    """

    world: World
    folder: Path
    files: Files
    digests: dict[tuple[str, str], str] = field(default_factory=dict)
    truths: dict[tuple[str, str, str], Truth] = field(default_factory=dict, repr=False)

    @cached_property
    def false_before(self) -> frozenset[Wrong]:
        """What is false in the certificate itself: nothing, where the tool is right."""
        return frozenset(false_values(self, self.files))

    def truth(self, name: str, arithmetic: str, params: dict[str, str] | None = None) -> Truth:
        """What is true of a property, found once."""
        prop = self.world.prop(name)
        value = str(self.world.params.get(prop.param, prop.limit))
        if re.fullmatch(r"[0-9]+(/[1-9][0-9]*)?", (params or {}).get(prop.param, "")):
            value = (params or {})[prop.param]
        key = (name, arithmetic, value)
        if key not in self.truths:
            self.truths[key] = Truth(self.world, prop, arithmetic, Fraction(value))
        return self.truths[key]


def is_free(path: str) -> bool:
    """Whether a field is free text, or stands in one that is."""
    return path.startswith(FREE_TEXT)


def false_values(base: Base, files: Files) -> list[Wrong]:
    """Every stated value that is known to be false. The documents are well formed: the checker has read them."""
    found = [*_envelope(base, files), *_models(base, files), *_data(base, files)]
    for item in files.properties:
        if item["name"] in {prop.name for prop in base.world.properties}:
            found += [replace(wrong, prop=item["name"]) for wrong in _property(base, files, item)]
        else:
            found.append(Wrong("predicate.properties[].name", f"the spec has no {item['name']}"))
    return found


def _envelope(base: Base, files: Files) -> Iterator[Wrong]:
    """Kinds, files, params, and what the properties give together."""
    predicate, original = files.predicate, base.files.predicate
    for key in ("_type", "predicateType"):
        if files.certificate[key] != base.files.certificate[key]:
            yield Wrong(key, "another kind of statement")
    used = {name for prop in base.world.properties for name in prop.models}
    own = {file_digest(base.folder / f"{name}.{end}") for name in used for end in ("npz", "txt")}
    stated = {f"sha256:{item['digest']['sha256']}" for item in files.certificate["subject"]}
    if stated != own:
        yield Wrong("subject[].digest.sha256", f"{len(stated ^ own)} files are missing or not there")
    if predicate["params"] != original["params"] and not all(
        _digest(base, files, item["name"]) == item["digest"] for item in files.properties
    ):
        yield Wrong("predicate.params", f"{predicate['params']}")
    verdicts = [item["verdict"] for item in files.properties]
    if predicate["verdict"] != next(v for v in ("falsified", "unknown", "certified") if v in verdicts):
        yield Wrong("predicate.verdict", f"the properties give something else than {predicate['verdict']}")
    for prop in base.world.properties:
        if prop.name not in {item["name"] for item in files.properties}:
            yield Wrong("predicate.properties", f"{prop.name} of the spec is missing", prop.name)


def _digest(base: Base, files: Files, name: str) -> str | None:
    """The property digest as it is with the stated params; None where that is not known."""
    params = files.predicate["params"]
    if params == base.files.predicate["params"]:
        return base.files.prop(name)["digest"]
    return base.digests.get((name, params_text(params)))


def params_text(params: dict[str, str]) -> str:
    """Params as `Base.digests` has them."""
    return ", ".join(f"{name}={value}" for name, value in sorted(params.items()))


def _models(base: Base, files: Files) -> Iterator[Wrong]:
    original = {item["name"]: item for item in base.files.predicate["models"]}
    props = [base.world.prop(item["name"]) for item in files.properties if item["name"] in _names(base.world)]
    used = {name for prop in props for name in prop.models}
    for item in files.predicate["models"]:
        known = original.get(item["name"])
        if known is None or item["name"] not in used:
            yield Wrong("predicate.models[]", f"no property speaks of {item['name']}")
            continue
        for key, value in known.items():
            if item.get(key) != value:
                yield Wrong(f"predicate.models[].{key}", f"{item.get(key)} in place of {value}")
    if missing := used - {item["name"] for item in files.predicate["models"]}:
        yield Wrong("predicate.models[]", f"{sorted(missing)} are missing")


def _names(world: World) -> set[str]:
    return {prop.name for prop in world.properties}


def _data(base: Base, files: Files) -> Iterator[Wrong]:
    """Entries that no property speaks of; the others are looked at with their properties."""
    used = {item["data"] for item in files.properties}
    for number, item in enumerate(files.predicate["data"]):
        if number not in used and item not in base.files.predicate["data"]:
            yield Wrong("predicate.data[]", f"no property speaks of entry {number}")


def _property(base: Base, files: Files, item: Json) -> Iterator[Wrong]:
    prop, arithmetic = base.world.prop(item["name"]), item["arithmetic"]
    head = "predicate.properties[]."
    if _digest(base, files, prop.name) != item["digest"]:
        yield Wrong(f"{head}digest", "not that of the property")
    if item["evidence"] not in ("none", files.evidence_digest()):
        yield Wrong(f"{head}evidence", "not that of the evidence")
    if arithmetic not in ("real", base.world.nets[prop.model].dtype):
        yield Wrong(f"{head}arithmetic", f"the network does not compute in {arithmetic}")
        return
    truth = base.truth(prop.name, arithmetic, files.predicate["params"])
    if item["data"] >= len(files.predicate["data"]):
        yield Wrong(f"{head}data", "there is no such entry")
        return
    yield from _frozen(base, files, truth, files.predicate["data"][item["data"]])
    yield from _coverage(files, truth, item)
    yield from _verdict(base, truth, item)
    if item["bound"] is not None:
        yield from _bound(truth, item["bound"])
    if item["counterexample"] is not None:
        yield from _counterexample(truth, item["counterexample"])
    if item["population"] is not None:
        yield from _population(base, files, truth, item["population"])
    yield from _evidence(base, files, truth)


def _frozen(base: Base, files: Files, truth: Truth, entry: Json) -> Iterator[Wrong]:
    """The data of a property: the file, the selection, which inputs count and why others do not."""
    original = base.files.predicate["data"][base.files.prop(truth.prop.name)["data"]]
    head = "predicate.data[]."
    if entry["name"] != "e":
        yield Wrong(f"{head}name", entry["name"])
    if entry["digest"] != file_digest(base.folder / base.world.data_file):
        yield Wrong(f"{head}digest", "not that of the file")
    if entry["selection"] != original["selection"]:
        yield Wrong(f"{head}selection", entry["selection"])
    reasons = {one["index"]: one["reason"] for one in entry["excluded"]}
    everyone = range(truth.world.count)
    counted = [index for index in everyone if index not in reasons]
    if len(reasons) < len(entry["excluded"]) or not reasons.keys() <= set(everyone):
        yield Wrong(f"{head}excluded[].index", "an input that is not there, or one twice")
    for index in everyone:
        if reasons.get(index, IN) not in truth.may_be(index):
            place = f"{head}excluded[].reason" if index in reasons else f"{head}excluded"
            yield Wrong(place, f"input {index} is {sorted(truth.may_be(index))}, not {reasons.get(index, IN)!r}")
    if entry["counted"] != len(counted):
        yield Wrong(f"{head}counted", f"{entry['counted']}, not {len(counted)}")
    if entry["indices"] != digest(canonical(counted)):
        yield Wrong(f"{head}indices", "not that of the list of counted inputs")


def _coverage(files: Files, truth: Truth, item: Json) -> Iterator[Wrong]:
    """By the inputs that the certificate itself says count, and may count: these are looked at with its data."""
    stated, prop = item["coverage"], truth.prop
    excluded = files.excluded(prop.name)
    sure = [index for index in range(truth.world.count) if index not in excluded]
    questions = truth.questions_about(sure, [index for index, reason in excluded.items() if reason == DOUBT])
    lines = files.section(prop.name) if item["evidence"] != "none" else []
    exact = {
        "inputs": len(sure),
        "placements": len(truth.world.trigger.placements),
        "targets": len(prop.targets) or 1,
        "questions": len(questions),
        "leaves": written_leaves(lines),
    }
    for key, value in exact.items():
        if stated[key] != value:
            yield Wrong(f"predicate.properties[].coverage.{key}", f"{stated[key]}, not {value}")
    most = {
        "certified": sum(map(truth.may_certify, questions)),
        "falsified": sum(map(truth.may_falsify, questions)),
    }
    for key, value in most.items():
        if stated[key] > value and prop.kind not in ("measure", "compare"):
            yield Wrong(f"predicate.properties[].coverage.{key}", f"{stated[key]}, at most {value} can be")
    if stated["certified"] + stated["falsified"] + stated["unknown"] != stated["questions"]:
        yield Wrong("predicate.properties[].coverage.unknown", "answers do not add up")


def _verdict(base: Base, truth: Truth, item: Json) -> Iterator[Wrong]:
    prop, verdict = truth.prop, item["verdict"]
    true = verdict == "unknown"
    if prop.kind == "compare":
        other = Truth(truth.world, replace(prop, model=prop.old, old="", kind="rate"), truth.arithmetic, truth.limit)
        above, below = ((one.largest_rate("strict_sure"), one.largest_rate("loose_maybe")) for one in (truth, other))
        true |= verdict == "certified" and above[0] <= below[1]
        true |= verdict == "falsified" and above[1] > below[0]
    elif prop.kind == "measure":
        ends = [Fraction(item["bound"][key]["exact"]) for key in ("found", "proved")] if item["bound"] else [0, 2]
        true |= verdict == "certified" and ends[1] - ends[0] <= prop.gap
    else:
        true |= verdict == "certified" and all(map(truth.may_certify, truth.questions))
        true |= verdict == "falsified" and any(map(truth.may_falsify, truth.questions))
    if not true:
        yield Wrong("predicate.properties[].verdict", verdict)
    if (item["reason"] is None) == (verdict == "unknown"):
        yield Wrong("predicate.properties[].reason", "a reason where there is none, or none where there is one")


def _bound(truth: Truth, bound: Json) -> Iterator[Wrong]:
    found, proved = (Fraction(bound[key]["exact"]) for key in ("found", "proved"))
    for key, value in (("found", found), ("proved", proved)):
        for form, text in end(value, up=key == "proved").items():
            if bound[key][form] != text:
                yield Wrong(f"predicate.properties[].bound.{key}.{form}", f"{bound[key][form]}, not {text}")
    if found > truth.largest_rate("strict_maybe"):
        yield Wrong("predicate.properties[].bound.found", f"{found} of {truth.largest_rate('strict_maybe')}")
    if proved < truth.largest_rate("loose_sure"):
        yield Wrong("predicate.properties[].bound.proved", f"{proved} of {truth.largest_rate('loose_sure')}")


def _counterexample(truth: Truth, shown: Json) -> Iterator[Wrong]:
    """A trigger of the family, what it does, and how surely."""
    head, family, each = "predicate.properties[].counterexample.", truth.world.trigger, truth.prop.kind == "each"
    if shown["replayed"] is not True:
        yield Wrong(f"{head}replayed", "it was")
    if shown["placement"] not in family.placements:
        yield Wrong(f"{head}placement", f"{shown['placement']}")
        return
    place = family.placements.index(shown["placement"])
    violations = [v for v in range(len(truth.prop.targets) or 1) if truth.target(v) == shown["target"]]
    if not violations:
        yield Wrong(f"{head}target", f"{shown['target']}")
        return
    trigger = trigger_of(family, shown["trigger"])
    if trigger is None:
        yield Wrong(f"{head}trigger", f"{shown['trigger']} is not in the family")
        return
    about = [q for q in truth.questions if (q.place, q.violation) == (place, violations[0])]
    selection = sorted({index for q in about for index in q.selection})
    yield from _changed_inputs(truth, shown["inputs"], (selection, place, violations[0], trigger), head)
    hit = [index for index in shown["inputs"] if index in selection]
    need = 1 if each else truth.need(violations[0], len(about[0].sure))
    if not hit or len(hit) < need:
        return  # said above, or it breaks nothing
    if each != (shown["rate"] is None) or (not each and Fraction(shown["rate"]) not in _rates(about[0], hit)):
        yield Wrong(f"{head}rate", f"{shown['rate']}")
    margins = sorted((margin(truth, index, place, violations[0], trigger) for index in hit), reverse=True)
    center, radius = margins[min(need, len(margins)) - 1]
    if abs(Fraction(shown["margin"]) - center) > radius + ROUNDING * max(abs(center), 1):
        yield Wrong(f"{head}margin", f"{shown['margin']}, not {float(center)}")
    # `this replay` says less than `every order`, and is never false.
    if shown["holdsIn"] == "every order" and truth.fails_somewhere(hit, (place, violations[0], trigger), need):
        yield Wrong(f"{head}holdsIn", shown["holdsIn"])


def _changed_inputs(
    truth: Truth, stated: list[int], at: tuple[list[int], int, int, Values], head: str
) -> Iterator[Wrong]:
    """The inputs of a counterexample are exactly those that violate; of a claim about each input, some that do."""
    selection, place, violation, trigger = at
    met = {index: truth.violates(index, place, violation, trigger) for index in selection}
    surely = {index for index, how in met.items() if how.strict_sure}
    maybe = {index for index, how in met.items() if how.strict_maybe}
    least = set() if truth.prop.kind == "each" else surely
    if len(set(stated)) < len(stated) or not least <= set(stated) <= maybe or not stated:
        yield Wrong(f"{head}inputs", f"{stated}, of {sorted(surely)} to {sorted(maybe)}")
    elif truth.prop.kind != "each":
        base = len([index for index in selection if truth.status[index] != DOUBT])
        if len(stated) < truth.need(violation, base):
            yield Wrong(f"{head}inputs", f"{len(stated)} inputs break nothing")


def trigger_of(family: Any, shown: Json) -> Values | None:
    """The trigger that a certificate shows as rows of pixels; None for none of the family."""
    if not isinstance(family, Patch):
        return None
    if not isinstance(shown, list) or len(shown) != family.height:
        return None
    if not all(isinstance(row, list) and len(row) == family.width for row in shown):
        return None
    if not all(isinstance(text, str) for row in shown for text in row):
        return None
    values: list[Number] = [Fraction(text) for row in shown for text in row]
    whole = family.continuous or all(value.denominator == 1 for value in values)
    if not whole or not all(family.low <= value <= family.high for value in values):
        return None
    return tuple(int(value) if value.denominator == 1 else value for value in values)


def _rates(question: Question, hit: list[int]) -> set[Fraction]:
    """What the rate can be, for all choices among the inputs in doubt."""
    sure = len([index for index in hit if index in question.sure])
    more, rest = len(hit) - sure, len(question.doubtful)
    return {
        Fraction(sure + k, len(question.sure) + k + other)
        for k in range(more + 1)
        for other in range(rest - more + 1)
        if len(question.sure) + k + other
    }


def margin(truth: Truth, index: int, place: int, violation: int, trigger: Values) -> tuple[Number, Number]:
    """By how much an input violates (the least row of the best alternative), and the radius of that."""
    best: tuple[Number, Number] = (-(10**9), 0)
    for parts in truth.alternatives(index, violation):
        balls = [truth.row(part, index, place, trigger) for part in parts]
        best = max(best, (min(ball.center for ball in balls), max(ball.radius for ball in balls)))
    return best


def _population(base: Base, files: Files, truth: Truth, stated: Json) -> Iterator[Wrong]:
    """A bound for the population is about claims on each input; what is not proved, or does not count, is a failure."""
    head, original = "predicate.properties[].population.", base.files.prop(truth.prop.name)["population"]
    if original is not None and stated["assumptions"] != original["assumptions"]:
        yield Wrong(f"{head}assumptions", "other words")
    if truth.prop.kind != "each":
        yield Wrong("predicate.properties[].population", "none follows from a rate")
        return
    total = truth.world.count
    if stated["total"] != total:
        yield Wrong(f"{head}total", f"{stated['total']} of {total}")
        return
    by_input: dict[int, list[Question]] = {}
    for question in truth.questions:
        by_input.setdefault(question.selection[0], []).append(question)
    safe = sum(all(map(truth.may_certify, some)) for index, some in by_input.items() if truth.status[index] == IN)
    if stated["failures"] < total - safe:
        yield Wrong(f"{head}failures", f"{stated['failures']}, at least {total - safe}")
    if stated["properties"] < len(files.properties):
        yield Wrong(f"{head}properties", f"{stated['properties']} of {len(files.properties)}")
    if int(stated["family"]) != 1:
        yield Wrong(f"{head}family", stated["family"])
    delta = (1 - Fraction(stated["confidence"])) / stated["properties"] / int(stated["family"])
    if not 0 < delta < 1 or stated["failures"] > stated["total"]:
        yield Wrong(f"{head}confidence", stated["confidence"])
    elif not follows(stated["failures"], stated["total"], Fraction(stated["bound"]), delta):
        yield Wrong(f"{head}bound", stated["bound"])


def follows(failures: int, total: int, bound: Fraction, delta: Fraction) -> bool:
    """Whether so few failures have at most probability `delta` where each has that of the bound (Clopper-Pearson)."""
    if failures >= total:
        return bound == 1
    tail = sum(math.comb(total, k) * bound**k * (1 - bound) ** (total - k) for k in range(failures + 1))
    return tail <= delta and (bound * MILLION).denominator == 1


def _evidence(base: Base, files: Files, truth: Truth) -> Iterator[Wrong]:
    """What the evidence says of each question and the verdict rests on.

    What it says of triggers is a hint: the checker evaluates a trigger itself. What the certificate states of one is
    looked at there.
    """
    lines = files.section(truth.prop.name)
    original = base.files.section(truth.prop.name)
    if not lines:
        return
    header = lines[0]
    if header["violations"] != original[0]["violations"]:
        yield Wrong("evidence.violations[]", f"{header['violations']}")
    if not set(header["inputs"]) <= set(range(truth.world.count)):
        yield Wrong("evidence.inputs[]", f"{header['inputs']}")
        return
    sure = [index for index in header["inputs"] if truth.status[index] == IN]
    doubtful = [index for index in header["inputs"] if index not in sure]
    asked = {_key(truth, q, header["inputs"]): q for q in truth.questions_about(sure, doubtful)}
    for record in records(lines):
        place, violation, selection, _ = record["q"]
        question = asked.get((place, violation, selection))
        if question is None:
            yield Wrong("evidence.q", f"{record['q']}")
            continue
        right = {"certified": truth.may_certify, "falsified": truth.may_falsify}
        asks = truth.prop.kind not in ("measure", "compare")  # these ask with thresholds of their own
        if asks and record["v"] in right and not right[record["v"]](question):
            yield Wrong("evidence.v", f"{record['q']} is not {record['v']}")
        least = max(sum(count) for count in truth.most(question, "loose_sure"))
        if record["v"] == "certified" and record["proved"] < least:
            yield Wrong("evidence.proved", f"{record['proved']} of {least}")


def _key(truth: Truth, question: Question, counted: list[int]) -> tuple[int, int, int]:
    """Placement, violation and selection by the numbers of the evidence."""
    if truth.prop.kind != "each":
        return question.place, question.violation, question.violation
    return question.place, 0, counted.index(question.selection[0])
