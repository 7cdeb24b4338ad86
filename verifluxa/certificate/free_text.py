"""What a certificate states and nobody can recompute from model, spec, data and evidence: it is said to be just that.

Whoever signs a certificate vouches for it; `cert check` and `cert show` name each of these fields.
"""

from __future__ import annotations

from verifluxa.certificate.statement import Statement
from verifluxa.documents import time_text

Line = tuple[str, str]
"""What is stated, and what it says."""


def free_text(statement: Statement) -> list[Line]:
    """Every field that is not recomputed. Names of files are among them; the digests beside the names are checked."""
    versions = ", ".join(f"{name} {version}" for name, version in statement.verifier.versions)
    lines = [("file name", subject.name) for subject in statement.subjects]
    lines += [
        ("verifier", f"{statement.verifier.id} ({versions})"),
        ("verified", f"{time_text(statement.time_verified)}, expires {time_text(statement.expires)}"),
        ("promotion", f"{statement.resource_uri}; policy {statement.policy}"),
        ("strategy", f"{statement.strategy[0]}  {statement.strategy[1]}"),
    ]
    lines += [("made from", f"{item.name}  {item.sha256}") for item in statement.materials]
    for result in statement.properties:
        reason = f"; unknown because of: {result.reason}" if result.reason else ""
        lines.append((f"method of {result.name}", result.method + reason))
    return lines + [("extension field", place) for place in statement.extensions]
