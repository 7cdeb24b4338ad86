"""Times: of the policy, the certificate and the gate's own memory. A clock that goes back denies."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from verifluxa.certificate.statement import Statement
from verifluxa.certificate.verify import CLOCK_SKEW
from verifluxa.certificate.verify import check_times as check_validity
from verifluxa.documents import time_text
from verifluxa.errors import GateError, VerifluxaError
from verifluxa.gate.case import Case
from verifluxa.gate.log_index import place_of
from verifluxa.gate.policy import Policy


def check_policy_time(policy: Policy, now: datetime) -> Iterator[VerifluxaError]:
    """A policy that nobody has looked at for long permits nothing."""
    if policy.expires <= now:
        yield GateError(
            "VF6003",
            f"the policy has expired: {time_text(policy.expires)}",
            place=str(policy.path),
            expected=f"a policy that is valid at {time_text(now)}",
            remedy="review the policy and give it a later `expires`",
        )


def check_serial(policy: Policy, case: Case) -> Iterator[VerifluxaError]:
    """An older edition of the policy than one that was used before permits nothing."""
    if policy.serial < case.memory.serial:
        yield GateError(
            "VF6007",
            f"this is an older edition of the policy: serial {policy.serial}",
            place=str(policy.path),
            expected=f"serial {case.memory.serial} or later",
            remedy="restore the newest edition; an owner who goes back to older rules gives them a higher `serial`",
        )


def check_clock(case: Case) -> Iterator[VerifluxaError]:
    """The clock must not be behind the last decision: set back, an expired certificate would count again."""
    last = case.memory.last
    if last is not None and case.now < last - CLOCK_SKEW:
        yield GateError(
            "VF6021",
            f"the clock was set back: it is {time_text(case.now)}",
            expected=f"not before the last decision: {time_text(last)}",
            remedy="set the clock of the gate's machine right",
        )


def check_times(policy: Policy, statement: Statement, now: datetime) -> Iterator[VerifluxaError]:
    """Not from the future, not expired, not older than the policy allows."""
    yield from check_validity(statement, now)
    if now - statement.time_verified > timedelta(days=policy.max_age_days):
        yield GateError(
            "VF6020",
            f"the certificate is too old: {time_text(statement.time_verified)}",
            expected=f"at most {policy.max_age_days} days old at {time_text(now)}",
            remedy="verify the model again and sign the new certificate",
        )


def check_history(case: Case, statement: Statement, digest: str) -> Iterator[VerifluxaError]:
    """Not older than the last certificate that was accepted for the same model and name: no replay.

    One that passed only because the glass was broken was not accepted.
    """
    accepted = case.memory.accepted
    if accepted is None or digest == accepted.certificate or statement.time_verified >= accepted.time_verified:
        return
    yield GateError(
        "VF6022",
        f"a newer certificate was already accepted here: of {time_text(accepted.time_verified)}",
        place=place_of(case.reference),
        expected="a certificate that is not older than the last accepted one",
        remedy="to go back to an earlier version, verify it again and sign a new certificate",
    )
