"""What a deployment of the gate lacks: each check is one line, and says what to do where it fails."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from verifluxa.errors import VerifluxaError
from verifluxa.gate.attestation import signing_key
from verifluxa.gate.audit import audit, failures
from verifluxa.gate.policy import POLICY_KEYS, Policy, load_policy
from verifluxa.gate.registry import Registry
from verifluxa.gate.run import open_log

SOON = timedelta(days=30)
_OTHERS = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True)
class Finding:
    """One check: `ok`, `warning` or `failure`, and what was found."""

    level: str
    what: str


def examine(path: Path, registry: Registry | None, now: datetime | None = None) -> list[Finding]:
    """Looks at policy, keys, clock, log, and at the registry where one is given."""
    try:
        policy = load_policy(path)
    except VerifluxaError as error:
        return [Finding("failure", f"policy: {error.message}")]
    found = [*_policy(policy, now or datetime.now(UTC)), *_keys(policy), *_log(policy)]
    return [*found, *(_registry(path, policy, registry) if registry is not None else ())]


def _policy(policy: Policy, now: datetime) -> Iterator[Finding]:
    if policy.expires <= now:
        yield Finding("failure", f"policy: it has expired ({policy.expires:%Y-%m-%d}), so it permits nothing")
    elif policy.expires - now < SOON:
        yield Finding("warning", f"policy: it expires on {policy.expires:%Y-%m-%d}")
    else:
        yield Finding("ok", f"policy: readable, {policy.sha256}")
    for place in (policy.path, policy.path.parent):
        if place.stat().st_mode & _OTHERS:
            yield Finding("failure", f"policy: others may change {place}; chmod go-w {place}")
    if not os.environ.get(POLICY_KEYS):
        yield Finding("warning", f"policy: it need not be signed here ({POLICY_KEYS} is not set)")
    if policy.recheck.mode != "always":
        yield Finding("warning", f"policy: recheck is {policy.recheck.mode}: signers are trusted for the rest")
    if policy.recheck.spec is None:
        yield Finding("warning", "policy: no [recheck] spec: what is rechecked is what result.json names")


def _keys(policy: Policy) -> Iterator[Finding]:
    if policy.gate is None:
        yield Finding("warning", "keys: no [gate] keys, so decisions are not signed; loading and auditing recheck")
        return
    try:
        key = signing_key(policy)
    except VerifluxaError as error:
        yield Finding("failure", f"keys: the gate cannot sign: {error.message}")
        return
    words = "the gate has its key here" if key is not None else "this machine only reads decisions"
    yield Finding("ok", f"keys: {words}")


def _log(policy: Policy) -> Iterator[Finding]:
    try:
        state = open_log(policy).verify()
        yield Finding("ok", f"log: {state.count} decisions, head {state.head}")
    except VerifluxaError as error:
        yield Finding("failure", f"log: {error.message}")
        return
    if policy.checkpoint is None:
        yield Finding("warning", "log: no checkpoint elsewhere, so a log that is rewritten whole is not noticed")
    elif policy.checkpoint.parent.stat().st_dev == policy.log.parent.stat().st_dev:
        yield Finding("warning", "log: its checkpoint lies on the same disk")
    with open_log(policy).held() as held:
        last = held.memory_of_clock()
    if last is not None and last > datetime.now(UTC) + timedelta(minutes=1):
        yield Finding("failure", f"clock: it is behind the last decision ({last:%Y-%m-%dT%H:%M:%SZ})")
    else:
        yield Finding("ok", "clock: not behind the last decision")


def _registry(path: Path, policy: Policy, registry: Registry) -> Iterator[Finding]:
    try:
        registry.check_guard(policy)
        yield Finding("ok", "registry: guarded")
    except VerifluxaError as error:
        yield Finding("failure", f"registry: {error.message}")
        return
    try:
        denied = failures(audit(path, registry))
    except VerifluxaError as error:
        yield Finding("failure", f"registry: {error.message}")
        return
    elsewhere = [item for item in denied if any(reason.code == "VF6066" for reason in item.reasons)]
    if elsewhere:
        names = ", ".join(str(item.reference) for item in elsewhere[:5])
        yield Finding("failure", f"registry: changed past the gate (another server on the same store?): {names}")
    elif denied:
        names = ", ".join(str(item.reference) for item in denied[:5])
        yield Finding("failure", f"registry: live and no longer permitted: {names}")
    else:
        yield Finding("ok", "registry: everything that is live passes, and is what the log says")
