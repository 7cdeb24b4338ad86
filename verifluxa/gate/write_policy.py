"""A first policy, written from a certificate that people have read: it demands what that certificate proves."""

from __future__ import annotations

from datetime import datetime, timedelta

from verifluxa.certificate.statement import Statement
from verifluxa.documents import time_text
from verifluxa.errors import GateError
from verifluxa.verdict import Verdict

VALID_DAYS = 365


def policy_text(statement: Statement, keys: list[str], now: datetime) -> str:
    """TOML that demands each certified property of a certificate, with its data and at least its numbers.

    Args:
        statement: of the certificate.
        keys: names of public key files beside the policy.
        now: the policy expires a year later.

    Raises:
        GateError: VF6052 when nothing in it is certified.
    """
    certified = [item for item in statement.properties if item.verdict is Verdict.CERTIFIED]
    if not certified:
        raise GateError(
            "VF6052",
            "the certificate certifies nothing that a policy could demand",
            expected="at least one certified property",
            remedy="start from the certificate of a model that you would accept",
        )
    listed = ", ".join(f'"{_escaped(key)}"' for key in keys)
    lines = ["schema = 1", f"expires = {time_text(now + timedelta(days=VALID_DAYS))}", "max_age_days = 90", ""]
    lines += ["[protected]", 'aliases = ["production"]', 'stages = ["Production"]', ""]
    lines += ["[signers]", f"keys = [{listed}]"]
    for item in certified:
        counts, data = item.coverage, statement.data[item.data]
        lines += ["", "[[require]]", f'name = "{_escaped(item.name)}"', f'property = "{item.digest}"']
        lines += [f'arithmetic = ["{item.arithmetic}"]', f'data = ["{data.digest}"]', f"inputs = {counts.inputs}"]
        if item.bound is not None:
            lines += [f'# rate_at_most = "{item.bound[1].value}"   # needed where the property measures a rate']
        lines += [f"placements = {counts.placements}", f"targets = {counts.targets}", f"questions = {counts.questions}"]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
