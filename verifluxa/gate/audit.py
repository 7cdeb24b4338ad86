"""The audit: everything that is live is decided about again, and compared with what the gate's log says is live."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from verifluxa.errors import GateError
from verifluxa.gate.case import Decision, bare_case
from verifluxa.gate.decide import denied
from verifluxa.gate.files import files_digest
from verifluxa.gate.log_index import Live
from verifluxa.gate.policy import Policy, load_policy
from verifluxa.gate.reference import STAGE, Reference
from verifluxa.gate.registry import Fetched, Registry, resolve
from verifluxa.gate.run import Ask, judge, open_log, place_text


def audit(policy: Path, registry: Registry, rechecks: bool = False, now: datetime | None = None) -> list[Decision]:
    """Decides again about every version that a protected alias points to; nothing is changed or recorded as accepted.

    A name that leads elsewhere than the log says, or nowhere, is a denial too (VF6066).

    Raises:
        GateError: VF6001 and VF6002 for the policy, VF6070 for the log, VF6080 for the registry.
    """
    demands = load_policy(policy)
    registry.check_guard(demands)
    log = open_log(demands)
    log.verify()
    with log.held() as held:
        remembered = [pair for pair in held.live() if _concerns(demands, registry, pair[0])]
    found = [reference for reference in registry.live() if is_protected(demands, reference)]
    decisions = [_audited(policy, registry, reference, rechecks, now) for reference in found]
    return [*_compared(decisions, remembered), *_missing(demands, found, remembered, now)]


def decide_live(policy: Path, registry: Registry, source: str, now: datetime | None = None) -> Decision:
    """Decides again about one name, such as `models:/digits@production`, as the audit does.

    Raises:
        GateError: VF6031 for a name of another form, VF6080 and VF6081 for the registry.
    """
    reference = resolve(source, registry)
    demands = load_policy(policy)
    if not is_protected(demands, reference) or registry.current(reference) != reference.version:
        case = bare_case(reference, now or datetime.now(UTC))
        return denied(case, _elsewhere(str(reference), "this name is not live", "a protected name"), demands.sha256)
    with open_log(demands).held() as held:
        remembered = [pair for pair in held.live(reference.name) if _concerns(demands, registry, pair[0])]
    return next(_compared([_audited(policy, registry, reference, False, now)], remembered))


def is_protected(policy: Policy, reference: Reference) -> bool:
    """Whether a policy protects the alias or stage of a reference; without one, the version itself."""
    protected, alias = policy.protected, reference.alias or ""
    if not alias:
        return protected.versions(reference.name)
    if alias.startswith(STAGE):
        return protected.stage(reference.name, alias.removeprefix(STAGE))
    return protected.alias(reference.name, alias)


def failures(decisions: Iterable[Decision]) -> list[Decision]:
    """Those that do not pass."""
    return [item for item in decisions if not item.permitted]


def check_expected(decisions: Sequence[Decision], expected: Sequence[str], empty: bool) -> Iterator[GateError]:
    """What must be live and is not (VF6067).

    Args:
        decisions: of the audit.
        expected: names of models, or references such as `models:/digits/7@production`.
        empty: whether nothing at all may be live.
    """
    live = {text for item in decisions for text in (item.reference.name, str(item.reference))}
    for text in expected:
        if text not in live:
            yield _not_live(f"{text} is not live", text)
    if not decisions and not expected and not empty:
        yield _not_live("nothing is live in this registry", "at least one version under a protected name")


def _concerns(policy: Policy, registry: Registry, live: Live) -> bool:
    return live.source in map(place_text, registry.sources) and is_protected(policy, live.reference)


def _compared(decisions: list[Decision], remembered: list[tuple[Live, Live | None]]) -> Iterator[Decision]:
    """Where the log remembers just this promotion, it must be of the same files."""
    known: dict[Reference, set[str]] = {}
    for pair in remembered:
        for one in pair:
            if one is not None:
                known.setdefault(one.reference, set()).add(one.files)
    for item in decisions:
        digests = known.get(item.reference)
        if digests is None or not item.files or files_digest(item.files) in digests:
            yield item
        else:
            reason = _elsewhere(str(item.reference), "other files than those that were permitted", *sorted(digests))
            yield replace(item, permitted=False, reasons=(*item.reasons, reason))


def _missing(
    policy: Policy, found: Sequence[Reference], remembered: list[tuple[Live, Live | None]], now: datetime | None
) -> Iterator[Decision]:
    """What the log says is live and the registry does not name: another version was put in its place, or it is gone."""
    if policy.protected.withdrawal:
        return
    there = set(found)
    for one, before in remembered:
        if one.reference in there or (before is not None and before.reference in there):
            continue
        # Between a permission and the change of the registry, or after a crash between the two, nothing was live yet.
        if before is None and not one.confirmed:
            continue
        case = bare_case(one.reference, now or datetime.now(UTC))
        reason = _elsewhere(str(one.reference), "the registry does not name it", "what the log of decisions says")
        yield denied(case, reason, policy.sha256)


def _audited(policy: Path, registry: Registry, reference: Reference, rechecks: bool, now: datetime | None) -> Decision:
    with tempfile.TemporaryDirectory(prefix="verifluxa-gate-") as private:
        try:
            fetched = registry.fetch(reference, Path(private) / "fetched")
        except GateError as error:
            fetched = Fetched(Path(private) / "none", Path(private) / "none")
            decision = judge(policy, _ask(reference, fetched, False, registry), None, now)
            return replace(decision, permitted=False, reasons=(error, *decision.reasons))
        return judge(policy, _ask(reference, fetched, rechecks, registry), None, now)


def _ask(reference: Reference, fetched: Fetched, rechecks: bool, registry: Registry) -> Ask:
    return Ask(
        reference,
        fetched.folder,
        fetched.certificates,
        fetched.override,
        "audit",
        rechecks,
        attestation=fetched.attestation,
        source=place_text(registry.sources[0]),
    )


def _elsewhere(place: str, what: str, *expected: str) -> GateError:
    return GateError(
        "VF6066",
        f"what is live is not what the gate let become live: {what}",
        place=place,
        expected=" or ".join(expected),
        remedy="find out who changed the registry past the gate, then promote the version that should be live",
    )


def _not_live(what: str, expected: str) -> GateError:
    return GateError(
        "VF6067",
        f"something that should be live is not: {what}",
        expected=expected,
        remedy="look whether this is the right registry; where nothing is live on purpose, say --allow-empty",
    )
