"""What a policy demands of a certificate's content: who verified, with what, which properties, and the recheck."""

from __future__ import annotations

from collections.abc import Iterator

from verifluxa.certificate.statement import PropertyResult, Statement
from verifluxa.errors import GateError, VerifluxaError
from verifluxa.gate.case import Rechecked
from verifluxa.gate.policy import Policy, Requirement, version_numbers
from verifluxa.verdict import Verdict

_AGAIN = "verify the model again as the policy demands, and sign the new certificate"


def check_tool(policy: Policy, statement: Statement) -> Iterator[VerifluxaError]:
    """Verifier, its version, the strategy."""
    if statement.verifier.id not in policy.signers.verifiers:
        yield _reason(
            "VF6040",
            f"the verifier does not count for these signers: {statement.verifier.id}",
            "one of " + ", ".join(policy.signers.verifiers),
        )
    version = dict(statement.verifier.versions).get("verifluxa", "")
    if not version_numbers(version) or version_numbers(version) < policy.tool.minimum:
        yield _reason(
            "VF6041",
            f"the version of verifluxa is too old or not told: {version or 'none'}",
            "at least " + (".".join(map(str, policy.tool.minimum)) or "a known version"),
        )
    if version in policy.tool.recalled:
        yield _reason(
            "VF6042",
            f"version {version} of verifluxa was recalled: its certificates do not count",
            "a version that was not recalled",
        )
    if policy.tool.strategies and not set(statement.strategy) & set(policy.tool.strategies):
        yield _reason(
            "VF6043",
            f"the strategy does not count: {statement.strategy[0]}, {statement.strategy[1]}",
            "one of " + ", ".join(policy.tool.strategies),
        )


def check_properties(policy: Policy, statement: Statement) -> Iterator[VerifluxaError]:
    """Every required property, found by its digest, never by its name."""
    for wanted in policy.requirements:
        found = [item for item in statement.properties if item.digest == wanted.property]
        if not found:
            yield _absent(wanted, statement)
        for item in found:
            yield from _property(wanted, item, statement)


def _absent(wanted: Requirement, statement: Statement) -> VerifluxaError:
    if any(item.name == wanted.name for item in statement.properties):
        return _reason(
            "VF6051",
            f"what the certificate calls {wanted.name} is another statement than the policy's: "
            "other triggers, params, inputs or selection",
            wanted.property,
        )
    return _reason("VF6050", f"the certificate does not speak of the required property {wanted.name}", wanted.property)


def _property(wanted: Requirement, item: PropertyResult, statement: Statement) -> Iterator[VerifluxaError]:
    counts, name = item.coverage, wanted.name
    if item.verdict is not Verdict.CERTIFIED:
        yield _reason("VF6052", f"property {name} is {item.verdict}, not certified", "certified")
    if counts.unknown or counts.falsified or counts.certified != counts.questions:
        yield _reason(
            "VF6054",
            f"property {name} has {counts.questions - counts.certified} questions that are not certified",
            "every question certified, none unknown",
        )
    if item.arithmetic not in wanted.arithmetic:
        yield _reason(
            "VF6053",
            f"property {name} was proved in {item.arithmetic} arithmetic",
            "one of " + ", ".join(wanted.arithmetic),
        )
    if wanted.rate_at_most is not None and (item.bound is None or item.bound[1].value > wanted.rate_at_most):
        proved = "no rate" if item.bound is None else f"a rate of at most {item.bound[1].value}"
        yield _reason("VF6063", f"property {name} proves {proved}", f"at most {wanted.rate_at_most}")
    for digest in sorted(set(wanted.files) - {subject.sha256 for subject in statement.subjects}):
        yield _reason("VF6064", f"property {name} does not speak of a file that the policy refers to", digest)
    digest = statement.data[item.data].digest
    if digest not in wanted.data:
        yield _reason(
            "VF6055",
            f"property {name} speaks of a data file that does not count: {digest}",
            "one of " + ", ".join(wanted.data),
        )
    for what, least in (
        ("inputs", wanted.inputs),
        ("placements", wanted.placements),
        ("targets", wanted.targets),
        ("questions", wanted.questions),
    ):
        number = getattr(counts, what)
        if number < least:
            yield _reason("VF6056", f"property {name} covers {number} {what}", f"at least {least} {what}")


def check_recheck(policy: Policy, statement: Statement, rechecked: Rechecked) -> Iterator[VerifluxaError]:
    """The gate's own recomputation, where the policy or the draw asks for one."""
    report = rechecked.report
    if report is None:
        if rechecked.drawn:
            yield _reason(
                "VF6058",
                "the proof was not recomputed, for lack of evidence, spec or data",
                "the evidence, and the spec and data beside the policy",
            )
        return
    if not report.accepted:
        # Where nothing was recomputed, its reasons say which file is missing or wrong, and what to do about it.
        if report.properties or not report.reasons:
            yield _reason("VF6058", "the proof does not hold when it is recomputed", "evidence that proves every bound")
        yield from report.reasons
        return
    if report.statement != statement:
        yield _reason("VF6058", "another certificate was recomputed than the one presented", "the same certificate")
    missing = {item.name for item in statement.properties if item.digest in _wanted(policy)} - {
        item.said.name for item in report.properties
    }
    for name in sorted(missing):
        yield _reason("VF6058", f"nothing of property {name} was recomputed", "evidence of every required property")
    if report.unrechecked > policy.recheck.most_unrechecked:
        yield _reason(
            "VF6057",
            f"{report.unrechecked} leaves of the proof cannot be recomputed",
            f"at most {policy.recheck.most_unrechecked}",
        )
    for item in report.properties:
        name, wanted = item.said.name, item.said.digest in _wanted(policy)
        if wanted and item.unjudged:
            yield _reason("VF6057", f"which inputs property {name} speaks of cannot be recomputed", "all of them")
        # Leaves that may stay unrechecked leave open what would follow from them.
        for what in item.unvouched if wanted and not item.unrechecked else ():
            yield _reason("VF6057", f"of property {name} it does not follow {what}", "what follows from the proof")


def _wanted(policy: Policy) -> set[str]:
    return {item.property for item in policy.requirements}


def _reason(code: str, message: str, expected: str) -> GateError:
    return GateError(code, message, expected=expected, remedy=_AGAIN)
