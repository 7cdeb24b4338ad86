"""A certificate and its evidence as JSON values: read, written, and made consistent again after a change.

A forger can compute every digest and every sum, so a changed document gets them anew.
"""

from __future__ import annotations

import copy
import gzip
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.certificate.forgery.proofs import leaves

Json = Any
CERTIFICATE, EVIDENCE = "certificate.json", "evidence.jsonl"


@dataclass
class Files:
    """A certificate, and the lines of its evidence."""

    certificate: dict[str, Json]
    evidence: list[dict[str, Json]]

    def copy(self) -> Files:
        return copy.deepcopy(self)

    @property
    def predicate(self) -> dict[str, Json]:
        return self.certificate["predicate"]

    @property
    def properties(self) -> list[dict[str, Json]]:
        return self.predicate["properties"]

    def prop(self, name: str) -> dict[str, Json]:
        return next(item for item in self.properties if item["name"] == name)

    def excluded(self, name: str) -> dict[int, str]:
        """Why inputs of a property's data do not count, or not surely, by their positions."""
        entry = self.predicate["data"][self.prop(name)["data"]]
        return {one["index"]: one["reason"] for one in entry["excluded"]}

    def sections(self) -> list[list[dict[str, Json]]]:
        """The lines of each property: a header, records, an end; what stands before any header is one of its own."""
        found: list[list[dict[str, Json]]] = []
        for line in self.evidence:
            if "schema" in line or not found:
                found.append([])
            found[-1].append(line)
        return found

    def section(self, name: str) -> list[dict[str, Json]]:
        """The lines of a property by its name; none where there is none."""
        return next((lines for lines in self.sections() if lines[0].get("property") == name), [])

    def write(self, folder: Path) -> Path:
        """Both files; the path of the certificate."""
        (folder / EVIDENCE).write_bytes(self.evidence_bytes())
        path = folder / CERTIFICATE
        path.write_bytes(canonical(self.certificate))
        return path

    def evidence_bytes(self) -> bytes:
        return b"".join(canonical(line) + b"\n" for line in self.evidence)

    def evidence_digest(self) -> str:
        return digest(self.evidence_bytes())


def read(folder: Path) -> Files:
    """What `verifluxa verify --out` wrote; the evidence counts as it is behind its compression."""
    packed = (folder / f"{EVIDENCE}.gz").read_bytes()
    lines = [json.loads(line) for line in gzip.decompress(packed).splitlines()]
    return repaired(Files(json.loads((folder / CERTIFICATE).read_bytes()), lines), digest(packed))


def canonical(value: Json) -> bytes:
    """Sorted keys, no white space. Numbers that are none are written as Python does, and to be refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def file_digest(path: Path) -> str:
    return digest(path.read_bytes())


def records(lines: list[dict[str, Json]]) -> list[dict[str, Json]]:
    """The answers to questions among the lines of a section."""
    return [line for line in lines if "q" in line]


def written_leaves(lines: list[dict[str, Json]]) -> int:
    """Leaves of all trees of a section; of what is no tree, none."""
    return sum(leaves(record["tree"]) for record in records(lines) if isinstance(record.get("tree"), list))


def repaired(files: Files, was: str, keep: str = "") -> Files:
    """Sums and digests as they follow from the rest, in place.

    Args:
        files: changed ones.
        was: the digest of the evidence before the change; whatever stated it states the new one.
        keep: the path of the change, which stays as it is: `end` or `leaves` in it are not mended.
    """
    for lines in files.sections():
        if "end" not in keep and isinstance(lines[-1].get("end"), dict):
            lines[-1]["end"] |= {"questions": len(records(lines)), "leaves": written_leaves(lines)}
    for item in _dicts(files.certificate.get("predicate", {}).get("properties", [])):
        lines = files.section(item.get("name", ""))
        if lines and "coverage" not in keep and isinstance(item.get("coverage"), dict):
            item["coverage"]["leaves"] = written_leaves(lines)
        if item.get("evidence") == was:
            item["evidence"] = files.evidence_digest()
    return files


def _dicts(items: Json) -> Iterator[dict[str, Json]]:
    return (item for item in items if isinstance(item, dict)) if isinstance(items, list) else iter(())
