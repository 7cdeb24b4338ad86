"""From files to a recorded decision. Whatever goes wrong denies; a decision that cannot be recorded is a denial."""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from verifluxa.certificate.document import Json, read_bytes
from verifluxa.documents import time_text
from verifluxa.errors import GateError, VerifluxaError
from verifluxa.gate.attestation import no_key, sign_decision, signing_key
from verifluxa.gate.case import Case, Decision, Rechecked, bare_case
from verifluxa.gate.checkpoint import Checkpoint
from verifluxa.gate.decide import NONE, decide, denied
from verifluxa.gate.files import Measured, files_digest, take
from verifluxa.gate.log import Log
from verifluxa.gate.log_index import Memory
from verifluxa.gate.log_line import ANY_PROPERTY, MOST_LISTED, NO_FILES
from verifluxa.gate.policy import Policy, load_policy
from verifluxa.gate.recheck import drawn, recheck
from verifluxa.gate.reference import Reference
from verifluxa.verdict import Verdict

log = logging.getLogger(__name__)

LOOKS = ("load", "audit")
"""Actions that look at what was permitted before, and permit nothing themselves."""


@dataclass(frozen=True)
class Ask:
    """What is to be decided.

    Attributes:
        reference: the promotion.
        folder: the model's files.
        certificates: files of signed certificates, the one that counts first; evidence lies beside that one.
        override: file of a break-glass statement, or None.
        action: what the log calls it.
        rechecks: False leaves the recheck to the gate that signed a decision about this, where the policy has keys of
            one; where it has none the proof is recomputed as the policy says.
        attestation: file of that decision, or None.
        client: who asks over the network; refusals of one client are limited.
        source: which registry it is about, or where it keeps the files.
        held: `act` is called while no other decision can be made; False where it asks a server that decides itself.
    """

    reference: Reference
    folder: Path
    certificates: tuple[Path, ...]
    override: Path | None = None
    action: str = "decide"
    rechecks: bool = True
    held: bool = True
    attestation: Path | None = None
    client: str = ""
    source: str = ""


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
        return denied(bare_case(ask.reference, time), error)
    with tempfile.TemporaryDirectory(prefix="verifluxa-gate-") as private:
        copy = Path(private) / "model"
        files = take(ask.folder, copy)
        case = _case(ask, files, time)
        try:
            case = _rechecked(policy, ask, case, copy)
            return _decide_and_act(policy, ask, case, copy, act)
        except GateError as error:
            if error.code != "VF6070":
                raise
            return denied(case, error, policy.sha256)


def record(decision: Decision, action: str) -> dict[str, Json]:
    """A decision in full, as `--format json`."""
    reasons: list[Json] = [
        {"code": item.code, "message": item.message, "place": None if item.place is None else str(item.place)}
        for item in decision.reasons
    ]
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
        "override": _override(decision),
        "recheck": decision.recheck,
    }


def line_of(decision: Decision, action: str) -> dict[str, Json]:
    """A decision as a line of the log: what is as long as somebody likes stands there as a digest or a number."""
    codes: list[Json] = [item.code for item in decision.reasons[:MOST_LISTED]]
    falsified = sorted(name for name, verdict in decision.verdicts.items() if verdict == Verdict.FALSIFIED)
    listed: list[Json] = [*falsified[:MOST_LISTED], *([ANY_PROPERTY] if len(falsified) > MOST_LISTED else [])]
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
        "override": _override(decision),
        "decision": "none"
        if decision.attestation is None
        else "sha256:" + hashlib.sha256(decision.attestation).hexdigest(),
        "source": "",
        "counted": 0,
    }


def _override(decision: Decision) -> Json:
    return None if decision.override is None else dict(zip(("digest", "reason"), decision.override, strict=True))


def open_log(policy: Policy) -> Log:
    """The policy's log, with its checkpoint, which the gate signs where it has a key at hand."""
    if policy.checkpoint is None:
        return Log(policy.log)
    return Log(policy.log, Checkpoint(policy.checkpoint, policy.name, signing_key(policy)))


def _decide_and_act(policy: Policy, ask: Ask, case: Case, copy: Path, act: Act | None) -> Decision:
    with open_log(policy).held() as held:
        decision = _closed(policy, replace(case, memory=held.memory(case.reference, case.files.digest)))
        decision = _signed(policy, ask, case, decision, act is not None)
        said = "permitted" if decision.permitted else ", ".join(item.code for item in decision.reasons)
        log.info("%s %s: %s", ask.action, place_text(str(ask.reference)), said)
        line = line_of(decision, ask.action) | {"serial": policy.serial, "source": place_text(ask.source)}
        if decision.permitted or held.may_write_refusal(ask.client, case.now, policy.refusals_a_minute, line):
            held.append(line)
        if act is not None and decision.permitted and ask.held:
            _acted(policy, ask, line, lambda: act(decision, copy))
    if act is not None and decision.permitted and not ask.held:
        _acted(policy, ask, line, lambda: act(decision, copy))
    return decision


def withdrawn(policy: Policy, reference: Reference, now: datetime, source: str) -> dict[str, Json]:
    """A line that says that a version is no longer live under a name, as the policy allows."""
    decision = Decision(False, (), reference, now, policy.sha256, NONE, None, (), {}, {})
    return line_of(decision, "withdrawn") | {"serial": policy.serial, "source": place_text(source)}


def _acted(policy: Policy, ask: Ask, line: dict[str, Json], act: Callable[[], None]) -> None:
    """Does what was permitted, and records what became of it: nothing that failed stays in the log as permitted."""
    if ask.action in LOOKS:
        act()
        return
    try:
        act()
    except BaseException:
        with open_log(policy).held() as held:
            held.append(line | {"action": "changed", "permitted": False})
        raise
    with open_log(policy).held() as held:
        held.confirm(ask.reference)


def place_text(text: str) -> str:
    """The name of a place as a line of the log holds it: bounded."""
    return text if len(text) <= 500 else "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _signed(policy: Policy, ask: Ask, case: Case, decision: Decision, acts: bool) -> Decision:
    """The decision with the gate's signature; one that must be signed and cannot be is a denial."""
    if not decision.permitted or policy.gate is None or ask.action in LOOKS:
        return decision
    try:
        key = signing_key(policy)
        if key is not None:
            return replace(decision, attestation=sign_decision(policy, decision, key))
    except VerifluxaError as error:
        return denied(case, error, policy.sha256)
    except Exception as error:  # noqa: BLE001 - fail closed
        return denied(case, _failed(error), policy.sha256)
    return denied(case, no_key(), policy.sha256) if acts and ask.held else decision


def _closed(policy: Policy, case: Case) -> Decision:
    """The decision, or a denial where deciding itself failed."""
    try:
        return decide(policy, case)
    except Exception as error:  # noqa: BLE001 - fail closed: a mistake of the gate's must never let a model through
        return denied(case, _failed(error), policy.sha256)


def _case(ask: Ask, files: Measured, now: datetime) -> Case:
    problems: list[VerifluxaError] = []
    certificates, override, attestation = [], None, None
    try:
        certificates = [read_bytes(path) for path in ask.certificates]
        override = None if ask.override is None else read_bytes(ask.override)
        attestation = None if ask.attestation is None else read_bytes(ask.attestation)
    except VerifluxaError as error:
        problems.append(error)
    files = replace(files, problems=(*files.problems, *problems))
    looks = ask.action in LOOKS
    return Case(
        ask.reference, tuple(certificates), files, now, Memory(), Rechecked(False), override, looks, attestation
    )


def _rechecked(policy: Policy, ask: Ask, case: Case, copy: Path) -> Case:
    """Recomputes the proof where it is wanted and nothing else speaks against the promotion.

    Signatures, files and every demand come first: they cost little, and whoever has no key that counts cannot make the
    gate compute.
    """
    if not ask.rechecks and policy.gate is not None:
        return case
    with open_log(policy).held() as held:
        case = replace(case, memory=held.memory(case.reference, case.files.digest))
    first = _closed(policy, case)
    if first.reasons:
        return case
    wanted = True
    try:
        wanted = drawn(policy, case.memory.denied)
        return replace(case, rechecked=recheck(policy, ask.certificates[0], copy, wanted))
    except Exception as error:  # noqa: BLE001 - fail closed
        files = replace(case.files, problems=(*case.files.problems, _failed(error)))
        return replace(case, files=files, rechecked=Rechecked(wanted))


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
