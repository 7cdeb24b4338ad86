"""The list of accepted files that Julia applications read: one line for each, digest and name, as sha256sum writes."""

from __future__ import annotations

from verifluxa.gate.case import Decision

MANIFEST = "accepted.sha256"
HEADING = "# verifluxa accepted files 1"


def manifest(decision: Decision) -> bytes:
    """The list of a permitted promotion.

    Raises:
        ValueError: for a denial: a mistake of the caller.
    """
    if not decision.permitted:
        raise ValueError("only accepted files are listed")
    lines = [HEADING, f"# {decision.reference} certificate {decision.certificate}"]
    lines += [f"{digest.removeprefix('sha256:')}  {name}" for name, digest in sorted(decision.files.items())]
    return ("\n".join(lines) + "\n").encode()
