"""What the checker refuses to speak of, headers about something else, and a thousand edited evidence files."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.certificate.scenes import Scene, Shape, scene, stated_of, write_scene_evidence
from tests.certificate.test_check_spoiled import HARD, most_violations
from verifluxa.asking import untouched
from verifluxa.certificate.check import section
from verifluxa.certificate.check.claim import UNDERSTOOD, claim_of, deployed, understand
from verifluxa.certificate.check.compare import check_header
from verifluxa.certificate.check.report import CheckReport, PropertyCheck, Tally
from verifluxa.certificate.check.section import Section
from verifluxa.certificate.document import canonical_json
from verifluxa.certificate.evidence_file import read_evidence
from verifluxa.certificate.evidence_lines import Header, Record, encode_record, record_of
from verifluxa.certificate.free_text import free_text
from verifluxa.certificate.statement import Statement
from verifluxa.errors import CertificateError
from verifluxa.evidence import Counted, Node
from verifluxa.lower import Given, lower
from verifluxa.spec.spec import Measure, OutputRow, RateBound, RealOutput, Rows
from verifluxa.spec.triggers.patch import PatchTrigger
from verifluxa.strategy.decide import decide
from verifluxa.strategy.load import BoundStage, load_strategy
from verifluxa.verdict import Verdict

NONE = (Fraction(0),) * 3


def above(limit: Fraction, *, weight: Fraction = Fraction(1), clean: tuple[Fraction, ...] = NONE) -> Rows:
    """The first output lies above a limit, or the second below its negative."""
    first = OutputRow((weight, Fraction(0), Fraction(0)), clean, -limit)
    return ((first,), (OutputRow((Fraction(0), -weight, Fraction(0)), clean, -limit),))


ROWS = above(Fraction(1), clean=(Fraction(-1), Fraction(0), Fraction(0)))


def code_of(found: Scene, statement: Any) -> str:
    try:
        claim_of(statement, found.sources, stated_of(found.problem))
    except CertificateError as error:
        return error.code
    return ""


def test_statements_with_more_to_them_than_is_known_are_not_spoken_of() -> None:
    """Read as something simpler, each of them would be accepted for a proof of something else."""
    found, single = scene(4, Shape()), scene(4, Shape(per_input=True))
    statement = found.prop.statement
    assert isinstance(statement, RateBound)
    assert code_of(found, statement) == ""
    assert code_of(found, replace(statement, rows=ROWS)) == "VF5058"
    assert code_of(single, replace(single.prop.statement, rows=ROWS)) == "VF5058"
    assert code_of(single, replace(single.prop.statement, rows=above(Fraction(1), weight=Fraction(1, 3)))) == "VF5058"
    assert code_of(single, replace(single.prop.statement, rows=above(Fraction(1)))) == ""
    assert code_of(found, Measure(statement, Fraction(0))) == "VF5058"
    assert code_of(found, replace(statement, limit=Fraction(0), below=True)) == "VF5058"

    @dataclass(frozen=True)
    class Blended(PatchTrigger):
        alpha: float = 0.5

    trigger = Blended(**{name: getattr(statement.trigger, name) for name in UNDERSTOOD[PatchTrigger].split()})
    assert code_of(found, replace(statement, trigger=trigger)) == "VF5058"


@pytest.mark.parametrize("limit", [Fraction(1, 2), Fraction(7, 10)])
def test_conditions_on_outputs_are_recomputed(limit: Fraction) -> None:
    single = scene(4, Shape(per_input=True))
    prop = replace(single.prop, statement=replace(single.prop.statement, rows=above(limit)))
    spec = replace(single.spec, properties=(prop,))
    problem = lower(spec, prop, Given(single.graph, single.data, single.problem.digest, "float32", untouched=untouched))
    found = replace(single, spec=spec, problem=problem)
    records = found.prove()
    tally = found.check(records)
    assert tally.unrechecked == 0
    assert {Verdict.CERTIFIED, Verdict.FALSIFIED} <= set(tally.verdicts)
    closer = replace(prop, statement=replace(prop.statement, rows=above(limit / 4)))
    with pytest.raises(CertificateError) as caught:
        replace(found, spec=replace(spec, properties=(closer,))).check(records)
    assert caught.value.code == "VF5054"


@pytest.mark.parametrize("known", [True, False])
def test_nothing_is_certified_without_a_proof(known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a network cannot be recomputed the leaves of a tree stay unrechecked; without one none would."""
    found = scene(4)
    records = found.prove()
    if not known:
        monkeypatch.setattr(section, "constants_of", lambda *_: None)
    assert (found.check(records).unrechecked == 0) == known
    bare = [replace(record, tree=None) if record.verdict is Verdict.CERTIFIED else record for record in records]
    with pytest.raises(CertificateError, match="VF5055"):
        found.check(bare)


def test_a_new_field_is_not_understood_unless_it_is_empty() -> None:
    @dataclass(frozen=True)
    class Kind:
        old: int
        new: tuple[int, ...] = ()

    UNDERSTOOD[Kind] = "old"
    try:
        understand(Kind(3))
        with pytest.raises(CertificateError, match="'new' of Kind"):
            understand(Kind(3, (1,)))
    finally:
        del UNDERSTOOD[Kind]


def test_limits_of_single_targets_and_rates_that_must_stay_below() -> None:
    found = scene(4, Shape(limit=Fraction(1, 2)))
    statement = found.prop.statement
    assert isinstance(statement, RateBound)
    sizes = [len(items) for items in claim_of(statement, found.sources, stated_of(found.problem)).selections]
    changed = replace(statement, limits=((1, Fraction(1, 3)),), below=True)
    claim = claim_of(changed, found.sources, stated_of(found.problem))
    shares = (Fraction(1, 2), Fraction(1, 3), Fraction(1, 2))
    assert claim.needs == tuple(-((-share * size) // 1) for share, size in zip(shares, sizes, strict=True))


def test_other_outputs_and_layouts_are_not_spoken_of() -> None:
    found = scene(4, Shape())
    (decl,), space = found.spec.models, found.sources.space
    for changed in (
        replace(decl, output=RealOutput(3)),
        replace(decl, layout="nchw"),
        replace(decl, encode=(replace(decl.encode[0], kind="power"),)),
    ):
        with pytest.raises(CertificateError) as caught:
            deployed(changed, space, found.graph)
        assert caught.value.code == "VF5058"


@pytest.mark.parametrize(
    "edit",
    [
        {"graph": "sha256:" + "0" * 64},
        {"arithmetic": "float64"},
        {"needs": (1, 1, 1)},
        {"pairs": ((0, 0),)},
        {"placements": ()},
        {"selections": ((0,), (1,), (2,))},
    ],
    ids=lambda item: next(iter(item)),
)
def test_a_header_about_something_else_is_refused(edit: dict[str, Any]) -> None:
    found = scene(4, Shape())
    Section(found.claim(), found.sources.models["net"], found.header)
    with pytest.raises(CertificateError) as caught:
        Section(found.claim(), found.sources.models["net"], replace(found.header, **edit))
    assert caught.value.code == "VF5052"


@pytest.mark.parametrize("name", ["digest", "data", "arithmetic"])
def test_a_header_of_another_property_is_refused(statement: Statement, name: str) -> None:
    found, result = scene(4, Shape()), statement.properties[0]
    data = statement.data[result.data].digest
    header = replace(found.header, digest=result.digest, data=data, arithmetic=result.arithmetic)
    check_header(statement, result, header)
    other = "real" if name == "arithmetic" else "sha256:" + "0" * 64
    with pytest.raises(CertificateError) as caught:
        check_header(statement, result, replace(header, **{name: other}))
    assert caught.value.code == "VF5056"


def with_slopes(node: Node, change: Callable[[str], str]) -> int:
    """Changes the chosen slopes of all records of a tree; how many there were."""
    count = sum(bool(record.slopes) for record in node.dropped)
    node.dropped = [record._replace(slopes=tuple(map(change, record.slopes))) for record in node.dropped]
    return count + sum(with_slopes(child, change) for child in node.children)


def test_chosen_slopes_are_recomputed() -> None:
    found = scene(21, Shape("cnn", limit=Fraction(1, 4)))
    problem, strategy = found.problem, load_strategy("thorough").without("attack")
    asked = [question for place in range(len(problem.placements)) for question in problem.questions(place)]
    records = [record_of(outcome) for outcome in decide(problem, asked, strategy)]
    at = next(n for n, record in enumerate(records) if record.tree and with_slopes(record.tree, str))
    tally = found.check(records)
    assert tally.unrechecked == 0
    assert tally.leaves >= records[at].leaves
    for digits in ("00", "ff"):
        tree = copy.deepcopy(records[at].tree)
        assert tree is not None
        with_slopes(tree, lambda text, digits=digits: digits * (len(text) // 2))  # type: ignore[misc]
        with pytest.raises(CertificateError) as caught:
            found.check([*records[:at], replace(records[at], tree=tree), *records[at + 1 :]])
        assert caught.value.code == "VF5054"


@pytest.mark.parametrize(("activation", "scale"), [("clip", 0.8), ("tanh", 1.0), ("sigmoid", 4.0), ("gelu", 0.8)])
def test_chosen_slopes_of_other_functions_are_recomputed(activation: str, scale: float) -> None:
    """Proofs that rest on them are accepted, and without them, or with others, not."""
    stages = (BoundStage("interval"), BoundStage("crown"), BoundStage("alpha", 30))
    strategy = replace(load_strategy("quick"), stages=stages)
    needed = 0
    for seed in range(2, 12):
        found = scene(seed, Shape(activation=activation, scale=scale, limit=Fraction(3, 5)))
        places = range(len(found.problem.placements))
        asked = [question for place in places for question in found.problem.questions(place)]
        records = [record_of(outcome) for outcome in decide(found.problem, asked, strategy)]
        assert found.check(records).unrechecked == 0
        for at, record in enumerate(records):
            if not record.tree or record.verdict is not Verdict.CERTIFIED or not with_slopes(record.tree, str):
                continue
            for change in (lambda text: "00" * (len(text) // 2), lambda text: "ff" * (len(text) // 2)):
                tree = copy.deepcopy(record.tree)
                with_slopes(tree, change)
                with pytest.raises(CertificateError) as caught:
                    found.check([*records[:at], replace(record, tree=tree), *records[at + 1 :]])
                assert caught.value.code == "VF5054"
            needed += 1
        if needed > 1:
            return
    raise AssertionError("no proof rests on chosen slopes")


def test_what_is_not_vouched_for_is_named(statement: Statement) -> None:
    known = PropertyCheck(leaves=2, said=statement.properties[0])
    told = replace(known, unvouched=["that no trigger misleads more than 2/3"])
    assert told.lines()[1:] == ["    NOT vouched for: that no trigger misleads more than 2/3"]
    assert len(known.lines()) == 1
    for incomplete in (told, replace(known, unrechecked=2), replace(known, unjudged=1)):
        assert CheckReport(True, True, (), (), (incomplete,), None).exit_code == 3
        assert CheckReport(False, True, (), (), (incomplete,), None).exit_code == 1
    report = CheckReport(True, True, (), (), (known,), statement)
    assert report.exit_code == 0
    for what, said in free_text(statement):
        assert f"  {what}: {said}\n" in report.text(), "whatever nobody can recompute is said to be just that"


Change = tuple[list[Any] | dict[str, Any], Any]


def places(value: Any) -> list[Change]:
    """Every (container, key) of a JSON value."""
    if not isinstance(value, list | dict):
        return []
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    return [(value, key) for key in keys] + [found for key in keys for found in places(value[key])]


def mutate(value: Any, random: np.random.Generator) -> None:
    """One edit of a line: a number or number as text changed, an entry dropped, doubled, swapped or moved."""
    every = places(value)
    container, key = every[int(random.integers(len(every)))]
    item, how = container[key], int(random.integers(6))
    if isinstance(item, bool):
        container[key] = not item
    elif isinstance(item, int):
        container[key] = item + int(random.choice([-2, -1, 1, 2, 255]))
    elif isinstance(item, str) and how < 5:
        container[key] = changed_text(item, random)
    elif isinstance(container, list) and how == 0:
        del container[key]
    elif isinstance(container, list) and how == 1:
        container.insert(key, copy.deepcopy(item))
    elif isinstance(container, list) and how == 2:
        container.reverse()
    elif isinstance(container, dict) and how == 3:
        del container[key]
    else:
        other, place = every[int(random.integers(len(every)))]
        container[key] = copy.deepcopy(other[place])


def changed_text(item: str, random: np.random.Generator) -> str:
    """A number as text becomes another one; words are cut."""
    try:
        return repr(float(item) + float(random.choice([-64.0, -1.0, 1.0, 17.5]))).removesuffix(".0")
    except ValueError:
        return item[:-1]


def judged(found: Scene, section: Section, path: Path, first: int) -> tuple[str, list[Record]]:
    """The code with which an edited file is refused, or nothing; and the records of it from line `first` on."""
    records: list[Record] = []
    try:
        for number, item in enumerate(read_evidence(path)):
            if isinstance(item, Header) and item != found.header:
                section = Section(found.claim(), found.sources.models["net"], item)
            if isinstance(item, Record) and number >= first:
                records.append(item)
        for record in records:
            section.records([record])
    except CertificateError as error:
        return error.code, records
    return "", records


def edit_files(found: Scene, records: list[Record], folder: Path, seeds: range) -> tuple[int, int]:
    """How many edited files were refused, and how many hold as proofs of what they now say."""
    path = folder / "evidence.jsonl"
    prepared = Section(found.claim(), found.sources.models["net"], found.header)
    refused = held = 0
    for seed in seeds:
        random = np.random.default_rng(seed)
        write_scene_evidence(path, found, records)
        lines = path.read_bytes().splitlines()
        at = int(random.integers(len(lines)))
        value = json.loads(lines[at])
        mutate(value, random)
        lines[at] = canonical_json(value)
        path.write_bytes(b"\n".join(lines) + b"\n")
        section = copy.copy(prepared)
        section.tally, section.open, section.shown, section._by_selection = Tally(), set(prepared.open), [], {}
        code, read = judged(found, section, path, max(at, 1) if at else 0)
        assert code == "" or code.startswith("VF50")
        refused += code != ""
        if not code:
            held += 1
            for record in read[:1]:
                if record.verdict is Verdict.CERTIFIED and encode_record(record) not in map(encode_record, records):
                    assert most_violations(found, record, seed) < record.question.threshold
    return refused, held


@pytest.fixture(scope="module")
def small() -> tuple[Scene, list[Record]]:
    """A scene with splits, clipping and a joint closing, whose trees are small."""
    found = scene(6, replace(HARD, inputs=16))
    records = found.prove(joint=True)
    assert any(record.tree is not None and record.tree.split is not None for record in records)
    return found, records


def test_a_few_edited_files(small: tuple[Scene, list[Record]], tmp_path: Path) -> None:
    refused, held = edit_files(*small, tmp_path, range(12))
    assert refused >= 6
    assert refused + held == 12


@pytest.mark.soak
def test_a_thousand_edited_files(small: tuple[Scene, list[Record]], tmp_path: Path) -> None:
    """Each is refused, or a valid proof: sampled triggers never make `need` inputs violate in what was changed."""
    refused, held = edit_files(*small, tmp_path, range(1000, 2000))
    assert refused + held == 1000
    assert refused >= 600


def test_an_empty_tree_closes_nothing(small: tuple[Scene, list[Record]]) -> None:
    found, records = small
    at = next(n for n, record in enumerate(records) if record.verdict is Verdict.CERTIFIED)
    records = [replace(records[at], tree=Node(step=Counted()))]
    with pytest.raises(CertificateError) as caught:
        found.check(records)
    assert caught.value.code == "VF5055"
