"""What a promotion is about: one version of one model in one registry, and the name that would point to it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from verifluxa.errors import GateError

STAGE = "stage:"
_FORM = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]{0,19}):/(?P<name>[^/@\x00-\x20\x7f\\][^/@\x00-\x1f\x7f\\]{0,254})"
    r"/(?P<version>[1-9][0-9]{0,9})(@(?P<alias>(stage:)?[A-Za-z0-9_-][A-Za-z0-9_.-]{0,254}))?"
)


@dataclass(frozen=True)
class Reference:
    """`models:/digits/7@production`: what stands in a certificate as the promotion that it is for.

    Attributes:
        scheme: of the registry: `models` (MLflow), `folder`, `oci`.
        name: of the model.
        version: its number, from 1.
        alias: the name that is to point to it, `stage:Production` for a stage of MLflow, or None.
    """

    scheme: str
    name: str
    version: int
    alias: str | None = None

    def __str__(self) -> str:
        return f"{self.scheme}:/{self.name}/{self.version}" + (f"@{self.alias}" if self.alias else "")

    @property
    def slot(self) -> str:
        """Where the documents of this promotion lie: a version has others for each alias."""
        return self.alias.replace(":", "-") if self.alias else "+version"

    def at(self, alias: str | None) -> Reference:
        """The same version under another name."""
        return replace(self, alias=alias)


def parse_reference(text: str) -> Reference:
    """Reads `SCHEME:/NAME/VERSION` or `SCHEME:/NAME/VERSION@ALIAS`.

    Raises:
        GateError: VF6031 for anything else.
    """
    match = _FORM.fullmatch(text)
    if match is None or match["name"] in (".", "..") or not text.isprintable():
        raise GateError(
            "VF6031",
            f"{text[:80]!r} names no version of a model",
            expected="SCHEME:/NAME/VERSION, such as models:/digits/7, perhaps with @ALIAS",
            remedy="give the number of the version, not an alias: what an alias points to can change",
        )
    return Reference(match["scheme"], match["name"], int(match["version"]), match["alias"])
