"""What the gate needs of a registry: three ways to read, three to write. Each implementation is one small file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from verifluxa.errors import GateError
from verifluxa.gate.case import Decision
from verifluxa.gate.policy import Policy
from verifluxa.gate.reference import Reference, parse_reference

_BY_ALIAS = re.compile(r"(?P<head>[a-z][a-z0-9+.-]*:/[^/@]+)@(?P<alias>[^@/]+)")
CERTIFICATE = "certificate.dsse.json"
OVERRIDE = "override.dsse.json"
REPORT = "decision.json"
DECISION = "decision.dsse.json"
BESIDE = ("evidence.jsonl", "evidence.jsonl.gz", "result.json")
"""What lies beside a certificate, for the recheck."""
PAPERS = (CERTIFICATE, OVERRIDE, REPORT, DECISION, *BESIDE)
"""Documents that may lie beside a version; anything else there is ignored."""


@dataclass(frozen=True)
class Fetched:
    """A version, copied out of its registry: the folder of its files, and that of its documents."""

    folder: Path
    papers: Path

    @property
    def certificates(self) -> tuple[Path, ...]:
        """The certificate, and any others (`*.dsse.json`), in the order of their names."""
        others = sorted(path for path in self.papers.glob("certificate*.dsse.json") if path.name != CERTIFICATE)
        found = [self.papers / CERTIFICATE, *others]
        return tuple(path for path in found if path.exists() and ".svr." not in path.name)

    @property
    def override(self) -> Path | None:
        """The break-glass statement, where there is one."""
        return self._found(OVERRIDE)

    @property
    def attestation(self) -> Path | None:
        """The gate's signed decision, where there is one."""
        return self._found(DECISION)

    def _found(self, name: str) -> Path | None:
        path = self.papers / name
        return path if path.exists() else None


class Registry(Protocol):
    """A registry of models; methods raise VF6080 when it cannot be reached, VF6081 when it has no such version.

    Attributes:
        decides: it decides itself (a server with the plugin), with a log of its own or the same one.
        sources: what the log calls it; the first is what is written there.
    """

    decides: bool

    @property
    def sources(self) -> tuple[str, ...]:
        """See the class."""
        ...

    def fetch(self, reference: Reference, into: Path) -> Fetched:
        """Copies a version's files and documents into a new folder."""
        ...

    def attach(self, reference: Reference, documents: Mapping[str, bytes]) -> None:
        """Stores documents beside a version, under names of `PAPERS`."""
        ...

    def current(self, reference: Reference) -> int | None:
        """The version that the reference's alias points to now."""
        ...

    def point(self, reference: Reference, decision: Decision, copy: Path) -> None:
        """Lets the reference's alias point to its version; the decision permits it, and is about the files in `copy`.

        From then on the name leads to those very bytes.
        """
        ...

    def withdraw(self, reference: Reference, to: int | None) -> None:
        """Lets the alias point to `to` again, or to nothing."""
        ...

    def check_guard(self, policy: Policy) -> None:
        """Looks whether the registry's own gate is on, where it has one (VF6090)."""
        ...

    def live(self) -> Iterator[Reference]:
        """Every version that an alias points to, with that alias; where copying is promoting, every version."""
        ...


def unreachable(what: str, why: str) -> GateError:
    """The error for a registry that does not answer (VF6080)."""
    return GateError(
        "VF6080",
        f"the registry cannot be reached or does not answer: {why}",
        place=what,
        expected="a registry that can be read and written",
        remedy="check its address and whether it runs; nothing was promoted",
    )


def no_version(reference: Reference, place: str) -> GateError:
    """The error for a version that the registry does not have (VF6081)."""
    return GateError(
        "VF6081",
        f"the registry has no such version: {reference}",
        place=place,
        expected="a version that was registered",
        remedy="register the model first, then promote that version by its number",
    )


def resolve(source: str, registry: Registry) -> Reference:
    """The version that `models:/digits@production` leads to now; `models:/digits/7@production` is one already.

    Raises:
        GateError: VF6031 for another form, VF6081 where no version has the alias.
    """
    match = _BY_ALIAS.fullmatch(source)
    if match is None:
        return parse_reference(source)
    asked = parse_reference(f"{match['head']}/1@{match['alias']}")
    version = registry.current(asked)
    if version is None:
        raise no_version(asked.at(match["alias"]), "no version has this alias")
    return replace(asked, version=version)


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
