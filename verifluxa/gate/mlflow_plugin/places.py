"""Where the documents of a version lie: beside its files, never among them."""

from __future__ import annotations

import hashlib
import re

from verifluxa.gate.reference import Reference

VERDICT_TAG = "verifluxa.verdict"
CERTIFICATE_TAG = "verifluxa.certificate"
SOURCE_TAG = "verifluxa.source"
"""Where a promoted version came from, before it led to what the gate keeps."""
TAG_PREFIX = "verifluxa."
_PLAIN = re.compile(r"[^A-Za-z0-9_-]")


def papers_uri(files: str, reference: Reference) -> str:
    """The artifact folder of a promotion's documents, given that of its files: two versions may share files."""
    short = hashlib.sha256(reference.name.encode()).hexdigest()[:8]
    name = _PLAIN.sub("_", reference.name)[:60]
    return f"{files.rstrip('/')}.verifluxa/{name}-{short}-{reference.version}/{reference.slot}"
