"""From files to a recorded decision. Whatever goes wrong denies; a decision that cannot be recorded is a denial."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from verifluxa.certificate.document import Json, read_bytes
from verifluxa.certificate.fields import time_text
from verifluxa.errors import GateError, VerifluxaError
from verifluxa.gate.case import Case, Decision, Rechecked
from verifluxa.gate.decide import decide, denied
from verifluxa.gate.files import Measured, files_digest, take
from verifluxa.gate.log import Log
from verifluxa.gate.log_index import Memory
from verifluxa.gate.log_line import ANY_PROPERTY, MOST_LISTED, NO_FILES
from verifluxa.gate.policy import Policy, load_policy
from verifluxa.gate.recheck import drawn, recheck
from verifluxa.gate.reference import Reference
from verifluxa.verdict import Verdict


@dataclass(frozen=True)
class Ask:
    """What is to be decided.

    Attributes:
        reference: the promotion.
        folder: the model's files.
        certificates: files of signed certificates, the one that counts first; evidence lies beside that one.
        override: file of a break-glass statement, or None.
        action: what the log calls it.
        rechecks: False leaves the recheck out whatever the policy says: for loading, after a promotion that did it.
        held: `act` is called while no other decision can be made; False where it asks a server that decides itself.
    """

    reference: Reference
    folder: Path
    certificates: tuple[Path, ...]
    override: Path | None = None
    action: str = "decide"
    rechecks: bool = True
    held: bool = True


Act = Callable[[Decision, Path], None]
"""What follows from a permission: it gets the decision and the copy of the files that was decided about."""


def judge(policy_path: Path, ask: Ask, act: Act | None = None, now: datetime | None = None) -> Decision:
    """Copies the files, decides about the copy, records the decision, and acts on a permission.

    Args:
        policy_path: the policy.
        ask: what is to be decided.
        act: called with a permission.
        now: the time; the machine's clock.

    Returns:
        The decision. Every error before `act` is a denial with its reason.

    Raises:
        VerifluxaError: what `act` raises; the permission stays in the log.
    """
    time = now or datetime.now(UTC)
    try:
        policy = load_policy(policy_path)
        if ask.folder.resolve() in policy_path.resolve().parents:
            raise _beside_the_model(policy_path)
    except VerifluxaError as error:
        return denied(_empty(ask, time), error)
    with tempfile.TemporaryDirectory(prefix="verifluxa-gate-") as private:
        copy = Path(private) / "model"
        files = take(ask.folder, copy)
        case = _case(policy, ask, files, copy, time)
        return _decide_and_act(policy, ask, case, copy, act)


def record(decision: Decision, action: str) -> dict[str, Json]:
    """A decision in full, as `--format json`."""
    reasons: list[Json] = [
        {"code": item.code, "message": item.message, "place": None if item.place is None else str(item.place)}
        for item in decision.reasons
    ]
    override: Json = None
    if decision.override is not None:
        override = {"digest": decision.override[0], "reason": decision.override[1]}
    return {
        "action": action,
        "time": time_text(decision.now),
        "reference": str(decision.reference),
        "permitted": decision.permitted,
        "reasons": reasons,
        "policy": decision.policy,
        "certificate": decision.certificate,
        "timeVerified": None if decision.time_verified is None else time_text(decision.time_verified),
        "keys": list(decision.keys),
        "files": dict(decision.files),
        "filesDigest": files_digest(decision.files),
        "verdicts": dict(decision.verdicts),
        "override": override,
    }


def line_of(decision: Decision, action: str) -> dict[str, Json]:
    """A decision as a line of the log: what is as long as somebody likes stands there as a digest or a number."""
    codes: list[Json] = [item.code for item in decision.reasons[:MOST_LISTED]]
    falsified = sorted(name for name, verdict in decision.verdicts.items() if verdict == Verdict.FALSIFIED)
    listed: list[Json] = [*falsified[:MOST_LISTED], *([ANY_PROPERTY] if len(falsified) > MOST_LISTED else [])]
    override: Json = None
    if decision.override is not None:
        override = {"digest": decision.override[0], "reason": decision.override[1]}
    return {
        "action": action,
        "time": time_text(decision.now),
        "reference": str(decision.reference),
        "permitted": decision.permitted,
        "codes": codes,
        "reasons": len(decision.reasons),
        "policy": decision.policy,
        "serial": 0,
        "certificate": decision.certificate,
        "timeVerified": None if decision.time_verified is None else time_text(decision.time_verified),
        "keys": list(decision.keys[:MOST_LISTED]),
        "files": files_digest(decision.files) if decision.files else NO_FILES,
        "falsified": listed,
        "override": override,
        "decision": "none",
        "source": "",
        "counted": 0,
    }


def _decide_and_act(policy: Policy, ask: Ask, case: Case, copy: Path, act: Act | None) -> Decision:
    try:
        with Log(policy.log).held() as held:
            case = replace(case, memory=held.memory(case.reference, case.files.digest))
            decision = _closed(policy, case)
            held.append(line_of(decision, ask.action))
            if decision.permitted and act is not None and ask.held:
                act(decision, copy)
        if decision.permitted and act is not None and not ask.held:
            act(decision, copy)
        return decision
    except GateError as error:
        if error.code != "VF6070":
            raise
        return denied(case, error, policy.sha256)


def _closed(policy: Policy, case: Case) -> Decision:
    """The decision, or a denial where deciding itself failed."""
    try:
        return decide(policy, case)
    except Exception as error:  # noqa: BLE001 - fail closed: a mistake of the gate's must never let a model through
        return denied(case, _failed(error), policy.sha256)


def _case(policy: Policy, ask: Ask, files: Measured, copy: Path, now: datetime) -> Case:
    problems: list[VerifluxaError] = []
    certificates, override = [], None
    try:
        certificates = [read_bytes(path) for path in ask.certificates]
        override = None if ask.override is None else read_bytes(ask.override)
    except VerifluxaError as error:
        problems.append(error)
    rechecked = Rechecked(False)
    if ask.rechecks and not problems and not files.problems:
        rechecked = _recheck(policy, ask, copy, files, problems)
    files = replace(files, problems=(*files.problems, *problems))
    return Case(ask.reference, tuple(certificates), files, now, Memory(), rechecked, override)


def _recheck(policy: Policy, ask: Ask, copy: Path, files: Measured, problems: list[VerifluxaError]) -> Rechecked:
    wanted = True
    try:
        wanted = drawn(policy, policy.recheck.mode == "sample" and _denied_before(policy, ask, files))
        return recheck(policy, ask.certificates[0] if ask.certificates else None, copy, wanted)
    except Exception as error:  # noqa: BLE001 - fail closed
        problems.append(_failed(error))
        return Rechecked(wanted)


def _denied_before(policy: Policy, ask: Ask, files: Measured) -> bool:
    with Log(policy.log).held() as held:
        return held.memory(ask.reference, files.digest).denied


def _empty(ask: Ask, now: datetime) -> Case:
    return Case(ask.reference, (), Measured({}), now, Memory(), Rechecked(False))


def _failed(error: Exception) -> GateError:
    return GateError(
        "VF6099",
        f"the gate could not decide: {type(error).__name__}: {error}",
        expected="a decision",
        remedy="report this; until it is mended the promotion stays denied",
    )


def _beside_the_model(policy: Path) -> GateError:
    return GateError(
        "VF6004",
        "the policy lies within the model's folder",
        place=str(policy),
        expected="policy and keys beside the gate, where whoever makes models cannot write",
        remedy="keep the policy elsewhere, under review",
    )
