"""A second, derived statement: in-toto's Simple Verification Result v0.2, for tools that know that form.

https://github.com/in-toto/attestation/blob/main/spec/predicates/svr.md. It names the properties that
passed and nothing else; the full certificate says what they mean and under which assumptions.
"""

from __future__ import annotations

from verifluxa.certificate.document import Json, canonical_json
from verifluxa.certificate.encode import subject_json
from verifluxa.certificate.statement import NONE, STATEMENT_TYPE, PropertyResult, Statement
from verifluxa.documents import time_text
from verifluxa.verdict import Verdict

SVR_TYPE = "https://in-toto.io/attestation/svr/v0.2"


def encode_svr(statement: Statement) -> bytes:
    """The canonical bytes of the derived statement."""
    return canonical_json(svr_json(statement))


def svr_json(statement: Statement) -> dict[str, Json]:
    """The derived statement; `properties` is empty when nothing was certified."""
    policies: list[Json] = []
    if statement.policy != NONE:
        policies.append({"digest": {"sha256": statement.policy.removeprefix("sha256:")}})
    passed = [result for result in statement.properties if result.verdict is Verdict.CERTIFIED]
    return {
        "_type": STATEMENT_TYPE,
        "subject": [subject_json(subject) for subject in statement.subjects],
        "predicateType": SVR_TYPE,
        "predicate": {
            "verifier": {"id": statement.verifier.id, "policies": policies},
            "timeCreated": time_text(statement.time_verified),
            "properties": [passed_property(result) for result in passed],
        },
    }


def passed_property(result: PropertyResult) -> str:
    """`VERIFLUXA_CERTIFIED:no_backdoor:float32:sha256:...`: the name, the arithmetic, the property digest."""
    return f"VERIFLUXA_CERTIFIED:{result.name}:{result.arithmetic}:{result.digest}"
