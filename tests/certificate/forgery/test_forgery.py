"""Forged certificates and forged proofs: nothing false passes.

Each mutant is rejected, or its false values are said not to be rechecked, or all that it states is true, or it differs
in free text alone.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path

import pytest

from tests.certificate.forgery.bases import (
    NOT_UNDERSTOOD,
    SHARED,
    SINGLE,
    WORLDS,
    NoCertificateError,
    base,
    drawn,
    made,
    own,
)
from tests.certificate.forgery.coherent import borrowed, coherent_mutants, transplants
from tests.certificate.forgery.disagreement import AGREE, TOO_LOOSE, TOO_STRICT, Compared, compared
from tests.certificate.forgery.documents import Files, Json, canonical
from tests.certificate.forgery.forger import (
    ACCEPTED,
    NOT_RECHECKED,
    REJECTED,
    Passed,
    check,
    try_all,
)
from tests.certificate.forgery.grown import grown
from tests.certificate.forgery.mutations import (
    Mutant,
    every_scalar,
    line_mutants,
    mutants,
    schema,
    shown,
    statement_mutants,
    tree_mutants,
    validator,
    walk,
)
from tests.certificate.forgery.oracle import Base, false_values, is_free
from tests.certificate.forgery.worlds import Patch, Property

SEED = 20
SAMPLED = ("two_properties", "targets", "search", "continuous", "strips", "conflicts")
"""Worlds of which single fields are changed in the normal suite."""
UNKNOWN = {"stopped", "doubtful_and_open", "tied", "unknown_judge", "unknown_judge_each"}
NOT_FULLY_RECHECKED = NOT_UNDERSTOOD | UNKNOWN | {"solver", "overflowing"}
"""Worlds of which something is not recomputed: leaves of a solver, a margin in float32 that may overflow, what is said
of a claim that is unknown."""
ONCE_ACCEPTED: dict[str, tuple[str, ...]] = {
    "doubtful": ("transplant: no condition on the class", "transplant: computed in real", "transplant: inputs 3 to 7"),
    "doubtful_and_open": ("transplant: no condition on the class", "transplant: computed in real"),
    "doubtful_each": ("transplant: no condition on the class", "transplant: computed in real"),
    "overflowing": ("falsified by ties", "predicate.properties[0].counterexample.margin: other"),
    "softmax": ("transplant: no condition on the class",),
    "unknown_judge": ("falsified by ties", "transplant: inputs", "predicate.properties[0].counterexample.inputs["),
    "unknown_judge_each": ("counted all, everything falls", "counted all, a solver closes", "transplant: no condition"),
}
"""How the names of mutants begin that a checker once let pass, by world."""
SHELF = ("balanced", "thorough", "exact-small", "quick")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


# The certificates that forgeries start from.


@pytest.mark.parametrize("name", WORLDS)
def test_the_tool_says_nothing_false(name: str, folder: Path) -> None:
    found = base(name)
    report = check(found, found.files.write(folder))
    assert report.exit_code == (NOT_RECHECKED if name in NOT_FULLY_RECHECKED else ACCEPTED), report.text()
    assert not found.false_before


def kinds_of_proof(files: Files) -> set[str]:
    """What the trees of a certificate rest on."""
    found = set()
    for line in files.evidence:
        for node in line.get("tree", []):
            parts = node[1:] if node[0] == "a" else node
            found.add("counted" if len(parts) == 1 else parts[1] if isinstance(parts[1], int) else parts[1][0])
            found |= {"clipped" for group in parts[0] if len(group) > 2 and group[2]}
            found |= {"slopes" for group in parts[0] if len(group) > 3 and any(group[3])}
            found |= {"handed down" for _ in parts[2:3]} | {"shared" for _ in parts[3:4]}
            found |= {"ends" for _ in parts[1:2] if isinstance(parts[1], list) and parts[1][0] == "c" and parts[1][2:]}
    return found


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("boxes", {"b", "counted"}),
        ("strips", {"b", "s", "j", "clipped", "handed down"}),
        ("first_to_violate", {"i", "j", "shared"}),
        ("joint", {"j"}),
        ("neurons", {"n", "slopes"}),
        ("conflicts", {"c"}),
        ("cases", {"c", "ends"}),
        ("solver", {1}),
    ],
)
def test_proofs_of_all_kinds_are_among_them(name: str, kinds: set[str | int]) -> None:
    assert kinds <= kinds_of_proof(base(name).files)


def test_all_verdicts_are_among_them() -> None:
    verdicts = {
        (item["verdict"], item["population"] is None) for name in WORLDS for item in base(name).files.properties
    }
    assert len(verdicts) >= 5


# The forger and its oracle.


def test_each_field_is_judged_by_the_oracle_or_is_free_text() -> None:
    """A field of the schema that is new is found here: some value of it must be false, or it is free text."""
    fields, judged = set(), set()
    for name in ("two_properties", "search", "judged", "parameter", "by_a_hair"):
        found = base(name)
        for path, part, value in walk("statement", schema("statement"), found.files.certificate):
            if "const" not in part and (not isinstance(value, dict | list) or not value):
                fields.add(shown(path))
        for mutant in statement_mutants(found.files):
            if mutant.path in judged:
                continue
            files = mutant.make()
            if validator("statement").is_valid(files.certificate) and false_values(found, files):
                judged.add(mutant.path)
    free = set(filter(is_free, fields))
    assert fields - free <= judged
    assert free & judged <= {"predicate.properties[].reason"}, "what is judged is no free text"


def test_mutants_are_the_same_each_time_and_each_has_its_own_name() -> None:
    first, second = (
        [mutant.name for mutant in chain(mutants(base("joint").files), coherent_mutants(base("joint")))]
        for _ in range(2)
    )
    assert first == second
    assert len(set(first)) == len(first)


def test_every_mutant_differs_from_its_original() -> None:
    found = base("joint")
    was = (canonical(found.files.certificate), found.files.evidence_bytes())
    for mutant in islice(mutants(found.files), 0, None, 7):
        files = mutant.make()
        assert (canonical(files.certificate), files.evidence_bytes()) != was, mutant.name


# What passes.


def by_kind(every: Iterable[tuple[str, Mutant]], count: int) -> Iterator[tuple[str, Mutant]]:
    """A few of the mutants of each kind, drawn by a seed."""
    kinds: dict[tuple[str, str], list[tuple[str, Mutant]]] = defaultdict(list)
    for name, mutant in every:
        kinds[mutant.kind].append((name, mutant))
    draw = random.Random(SEED)
    for kind in sorted(kinds):
        yield from draw.sample(kinds[kind], min(count, len(kinds[kind])))


def passed(chosen: Iterable[tuple[str, Mutant]], folder: Path) -> tuple[Counter[int], list[Passed]]:
    """How mutants ended, and those with false values that a reader is left to believe."""
    codes: Counter[int] = Counter()
    found = []
    for name, mutant in chosen:
        for code, one in try_all(name, base(name), [mutant], folder):
            codes[code] += 1
            found += [one] if one is not None and one.wrong else []
    return codes, found


def assert_none(found: Iterable[Passed]) -> None:
    said = {
        wrong.path: f"{one.base}: {one.mutant.name}: exit code {one.code}: {wrong.why}"
        for one in found
        for wrong in one.wrong
    }
    assert not said, "false values are accepted"


@pytest.mark.parametrize("name", ONCE_ACCEPTED)
def test_what_was_once_accepted(name: str, folder: Path) -> None:
    every = chain(coherent_mutants(base(name)), transplants(base(name)), mutants(base(name).files))
    codes, found = passed(((name, one) for one in every if one.name.startswith(ONCE_ACCEPTED[name])), folder)
    assert sum(codes.values()) >= len(ONCE_ACCEPTED[name])
    assert_none(found)


def test_single_fields(folder: Path) -> None:
    every = ((name, mutant) for name in SAMPLED for mutant in mutants(base(name).files))
    codes, found = passed(islice(by_kind(every, 1), 0, None, 2), folder)
    assert codes[REJECTED] > 150
    assert codes[ACCEPTED] + codes[NOT_RECHECKED] > 15
    assert_none(found)


def test_many_fields_that_agree(folder: Path) -> None:
    every = ((name, mutant) for name in WORLDS for mutant in coherent_mutants(base(name)))
    labelled = ((name, replace(mutant, path=mutant.name.rsplit(": ", 1)[0])) for name, mutant in every)
    codes, found = passed(islice(by_kind(labelled, 1), 0, None, 2), folder)
    assert codes[REJECTED] > 20
    assert_none(found)


def test_certificates_of_other_worlds(folder: Path) -> None:
    names = ("two_properties", "targets", "real")
    every = ((name, mutant) for name in names for mutant in transplants(base(name)))
    labelled = ((name, replace(mutant, path=mutant.name)) for name, mutant in every)
    lent = (("both_certified", mutant) for mutant in borrowed(base("both_certified"), base("two_properties")))
    codes, found = passed(chain(islice(by_kind(labelled, 1), 0, None, 2), lent), folder)
    assert codes[REJECTED] > 3
    assert_none(found)


def scalars(value: Json) -> Counter[str]:
    """The texts in a document, and how often each is there."""
    return Counter(map(str, every_scalar(value)))


@pytest.mark.parametrize("name", ["both_certified", "stopped"])
def test_free_text_is_named_as_such(name: str, folder: Path) -> None:
    """Whatever a forger writes there stands below the heading that says so; of extensions, where they are."""
    found, tried = base(name), set()
    free = (one for one in statement_mutants(found.files) if is_free(one.path) and "x_note" not in one.name)
    for mutant in islice(free, 0, None, 3):
        files = mutant.make()
        report = check(found, files.write(folder))
        if report.exit_code == REJECTED:
            continue
        tried.add(mutant.path)
        _, named = report.text().split("not vouched for:\n")
        for text in scalars(files.certificate) - scalars(found.files.certificate):
            assert text in named, mutant.name
    assert len(tried) > 8


def test_extensions_are_named_as_free_text(folder: Path) -> None:
    files = base("both_certified").files.copy()
    files.predicate["x_note"] = "robust in every respect"
    report = check(base("both_certified"), files.write(folder))
    assert (report.exit_code, "extension field: " in report.text()) == (ACCEPTED, True)


@pytest.mark.soak
@pytest.mark.parametrize("name", WORLDS)
def test_all_single_fields(name: str, folder: Path) -> None:
    codes, found = passed(((name, mutant) for mutant in mutants(base(name).files)), folder)
    assert codes[REJECTED] > 500
    assert_none(found)


@pytest.mark.soak
@pytest.mark.parametrize("name", WORLDS)
def test_all_that_agree(name: str, folder: Path) -> None:
    found = base(name)
    lent = [mutant for other in ("both_certified", "search", "strips") for mutant in borrowed(found, base(other))]
    every = chain(coherent_mutants(found), transplants(found), lent)
    codes, some = passed(((name, mutant) for mutant in every), folder)
    assert codes[REJECTED] > 3
    assert_none(some)


@pytest.mark.soak
@pytest.mark.parametrize("name", SAMPLED)
def test_two_fields_at_once(name: str, folder: Path) -> None:
    """Each change on top of a coherent forgery."""
    found, draw = base(name), random.Random(SEED)
    first = list(coherent_mutants(found))

    def twice() -> Iterator[tuple[str, Mutant]]:
        for one in first:
            files = one.make()
            some = list(statement_mutants(files))
            for two in draw.sample(some, 20):
                yield name, replace(two, name=f"{one.name}; {two.name}")

    assert_none(passed(twice(), folder)[1])


# Proofs, judged twice.


def assert_sound(results: Iterable[tuple[str, Compared]]) -> Counter[str]:
    """Nothing that the checker accepts is false; how often both agreed."""
    counts: Counter[str] = Counter()
    for name, result in results:
        assert result.how != TOO_LOOSE, f"{name}: {result.judged.why}"
        counts[result.how] += 1
        counts[f"{result.how}, accepted"] += not result.checker
        if result.how == TOO_STRICT:
            counts[result.kind] += 1
    return counts


def single(names: Iterable[str]) -> Iterator[tuple[str, Base, str]]:
    """Worlds with one property that the checker knows, and its name."""
    for name in names:
        world = WORLDS[name]()
        if name not in NOT_UNDERSTOOD and len(world.properties) == 1:
            yield name, base(name), world.properties[0].name


def compared_with(found: Base, prop: str, files: Files, folder: Path) -> Compared:
    return compared(found, found.truth(prop, found.world.computed), files, folder)


def test_the_tools_own_proofs(folder: Path) -> None:
    """Of a few worlds under each strategy: both accept them."""
    for strategy in (*SHELF, own("strips"), own("conflicts")):
        for seed, each in ((2, False), (16, True)):
            prop = (
                Property(SINGLE, "each", judge="m")
                if each
                else Property(SHARED, "rate", limit=Fraction(1, 3), judge="m")
            )
            found = made(drawn(seed, strategy, prop, trigger=Patch(1, 2)))
            assert compared_with(found, prop.name, found.files, folder).how == AGREE


def test_the_tools_own_proofs_of_all_kinds(folder: Path) -> None:
    for name, found, prop in single(WORLDS):
        result = compared_with(found, prop, found.files, folder)
        assert (result.how, result.checker) == (AGREE, ""), f"{name}: {result}"


def proof_mutants(files: Files) -> Iterator[Mutant]:
    """Changes of trees and of directions."""
    yield from tree_mutants(files)
    yield from (one for one in line_mutants(files) if one.path.startswith(("evidence.tree", "evidence.directions")))


def test_forged_proofs(folder: Path) -> None:
    draw = random.Random(SEED)
    results = []
    for name, found, prop in single(("targets", "boxes", "strips", "first_to_violate", "joint", "conflicts", "cases")):
        for mutant in draw.sample(list(proof_mutants(found.files)), 14):
            results.append((f"{name}: {mutant.name}", compared_with(found, prop, mutant.make(), folder)))
    counts = assert_sound(results)
    assert counts[f"{AGREE}, accepted"] > 5
    assert counts[AGREE] > counts[f"{AGREE}, accepted"] + 20


def grown_worlds(seeds: Iterable[int], trigger: Patch | None) -> Iterator[tuple[int, Base, str]]:
    """Random worlds with one question each, in all arithmetics."""
    for seed in seeds:
        prop = Property(SHARED, "rate", limit=Fraction(seed % 4, 6), judge="m")
        scale, arithmetic = (0.6 if seed % 4 == 3 else 0.0), ("real" if seed % 3 == 1 else None)
        function = "tanh" if seed % 12 == 7 else "relu"
        world = drawn(seed, own("stopped"), prop, 3, trigger, None, scale, arithmetic, function)
        try:
            yield seed, made(world), prop.name
        except NoCertificateError:  # no input is left
            continue


def try_grown(seeds: Iterable[int], count: int, folder: Path, trigger: Patch | None = None) -> Counter[str]:
    results = (
        (f"seed {seed}, proof {k}", compared_with(found, prop, files, folder))
        for seed, found, prop in grown_worlds(seeds, trigger)
        for k in range(count)
        for files in [grown(found.truth(prop, found.world.computed), found.files, 1000 * seed + k)]
    )
    return assert_sound(results)


def test_proofs_made_of_nothing(folder: Path) -> None:
    counts = try_grown(range(8), 12, folder, Patch(1, 2))
    assert counts[f"{AGREE}, accepted"] > 10
    assert counts[AGREE] > counts[f"{AGREE}, accepted"] + 10


@pytest.mark.soak
@pytest.mark.parametrize("start", range(0, 60, 5))
def test_many_proofs_made_of_nothing(start: int, folder: Path) -> None:
    """At least 5,000 in all, each with one question."""
    counts = try_grown(range(1000 + start, 1005 + start), 110, folder)
    print(sorted(counts.items()))
    assert counts[f"{AGREE}, accepted"] > 20


@pytest.mark.soak
@pytest.mark.parametrize("strategy", [*SHELF, *map(own, ("boxes", "strips", "neurons", "conflicts", "solver"))])
def test_many_of_the_tools_own_proofs(strategy: str, folder: Path) -> None:
    for seed in range(60, 100):
        each = seed % 2 == 0
        prop = (
            Property(SINGLE, "each", judge="m")
            if each
            else Property(SHARED, "rate", limit=Fraction(seed % 5, 6), judge="m")
        )
        scale, arithmetic = (0.6 if seed % 4 == 3 else 0.0), ("real" if seed % 3 == 1 else None)
        try:
            found = made(drawn(seed, strategy, prop, scale=scale, arithmetic=arithmetic))
        except NoCertificateError:
            continue
        assert not false_values(found, found.files)
        result = compared_with(found, prop.name, found.files, folder)
        assert (result.how, result.checker) == (AGREE, ""), f"{seed}: {result}"


@pytest.mark.soak
@pytest.mark.parametrize("name", [name for name in WORLDS if name not in NOT_UNDERSTOOD])
def test_all_forged_proofs(name: str, folder: Path) -> None:
    for _, found, prop in single([name]):
        draw = random.Random(SEED)
        some = list(proof_mutants(found.files))
        chosen = draw.sample(some, min(400, len(some)))
        counts = assert_sound((m.name, compared_with(found, prop, m.make(), folder)) for m in chosen)
        print(name, sorted(counts.items()))
