"""Known triggers in a spec: `trigger known : digit { probe badnets_square, sinusoid }`."""

from __future__ import annotations

from dataclasses import dataclass, replace

from verifluxa.errors import SpecError
from verifluxa.spec.names import did_you_mean
from verifluxa.spec.placements import Room, groups_of
from verifluxa.spec.probes import Drawing, Probe, load_probes, probe_trigger, size_of
from verifluxa.spec.problems import Problems
from verifluxa.spec.spec import ImageSpace
from verifluxa.spec.syntax import At, Clause, TriggerSyntax
from verifluxa.spec.terms import Name
from verifluxa.spec.triggers.stamp import Patterns, Place, StampTrigger, Times, amplitudes
from verifluxa.spec.triggers.union import UnionTrigger

ALL = "all"
SHOWN = 12


@dataclass(frozen=True)
class Probes(Clause):
    """`probe badnets_square, sinusoid`, `probe all`: known triggers; `times 0..60 level`: with another amplitude."""

    names: tuple[Name, ...]
    times: Times | None


def is_probe(syntax: TriggerSyntax) -> bool:
    """Whether a trigger on images names known ones."""
    return any(isinstance(clause, Probes) for clause in syntax.clauses)


def check_probes(syntax: TriggerSyntax, space: ImageSpace, problems: Problems) -> StampTrigger | UnionTrigger:
    """The union of the probes that a trigger names; `all` are all of the library.

    Raises:
        SpecError: VF1020 for a probe that the library does not have, VF1024 for one that is named twice, VF1041 for one
            that is larger than the image, VF1042 and VF1043 for places, VF1057 for clauses that do not go with it;
            VF1030 to VF1033 and VF1044 for amplitudes.
    """
    (clause,) = [clause for clause in syntax.clauses if isinstance(clause, Probes)][:1]
    at = next((clause for clause in syntax.clauses if isinstance(clause, At)), None)
    for other in syntax.clauses:
        if other is not clause and other is not at:
            raise SpecError(
                "VF1057",
                "a probe is a whole trigger, only `at` goes with it",
                place=other.span,
                expected="`probe badnets_square at corners`",
                remedy="give each family a trigger of its own, and `one of` them",
            )
    members: list[StampTrigger] = []
    for name, probe in _chosen(clause):
        member = probe_trigger(probe, space, _places(name, probe, space, at, problems), name.span)
        members.append(member if clause.times is None else _amplified(member, clause.times))
    return members[0] if len(members) == 1 else UnionTrigger(syntax.name.text, space.name, tuple(members))


def _amplified(member: StampTrigger, times: Times) -> StampTrigger:
    """The probe with any amplitude of a range, as patterns have."""
    if not isinstance(member.values, Patterns):
        raise SpecError(
            "VF1057",
            f"`{member.name}` replaces and has no amplitude, so it does not go with `times`",
            place=times.levels.span,
            expected="a probe that is added, such as `sinusoid` or `trojan_watermark`",
        )
    low, high = amplitudes(times)
    values = Patterns(member.values.patterns, low, high, None if times.continuous else 1)
    return replace(member, values=values)


def _chosen(clause: Probes) -> list[tuple[Name, Probe]]:
    known = {probe.name: probe for probe in load_probes()}
    if [name.text for name in clause.names] == [ALL]:
        return [(clause.names[0], probe) for probe in known.values()]
    found: dict[str, tuple[Name, Probe]] = {}
    for name in clause.names:
        if name.text not in known:
            more = ", ..." if len(known) > SHOWN else ""
            raise SpecError(
                "VF1020",
                f"the library has no probe called `{name.text}`",
                place=name.span,
                expected=", ".join(f"`{one}`" for one in list(known)[:SHOWN]) + more,
                remedy=did_you_mean(name.text, [*known, ALL]),
            )
        if name.text in found:
            raise SpecError("VF1024", f"the probe `{name.text}` is named twice", place=name.span)
        found[name.text] = name, known[name.text]
    return list(found.values())


def _places(
    name: Name, probe: Probe, space: ImageSpace, at: At | None, problems: Problems
) -> tuple[tuple[Place, ...], ...]:
    """Where `at` says; none: the probe's own places. A probe of the whole image has one place."""
    if at is None or (name.text == ALL and not isinstance(probe.pattern, Drawing)):
        return ()
    if not isinstance(probe.pattern, Drawing):
        raise SpecError(
            "VF1057",
            f"`{probe.name}` covers the whole image and `at` do not go together",
            place=at.span,
            remedy="the whole image has one place",
        )
    height, width = size_of(probe.pattern)
    if height > space.height or width > space.width:
        return ()
    return groups_of(at.places, Room.of(height, width, space), problems)
