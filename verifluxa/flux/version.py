"""Versions of Flux: some layers compute another function in another version."""

from __future__ import annotations

import re

from verifluxa.errors import ModelError, Span

Version = tuple[int, ...]
_FORM = re.compile(r"v?([0-9]{1,3})\.([0-9]{1,3})(?:\.([0-9]{1,3}))?")


def parse_version(text: str) -> Version:
    """Reads `0.16.7`; without the last number the first release of that series is meant.

    Raises:
        ModelError: VF2011 for anything else.
    """
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise ModelError(
            "VF2011",
            f"`{text[:40]}` is not a version of Flux",
            expected="three numbers such as 0.16.7",
            remedy="in Julia, `pkgversion(Flux)` or `] status Flux` prints it",
        )
    return tuple(int(part or 0) for part in found.groups())


def needs_version(layer: str, place: Span | str, why: str) -> ModelError:
    """The error for a layer whose meaning depends on a version that is not known."""
    return ModelError(
        "VF2011",
        f"what {layer} computes depends on the version of Flux, which no model file says: {why}",
        place=place,
        expected="the version of Flux that the model runs under",
        remedy='in a spec: `flux = "0.16.7"` in the model; else `--flux-version`; in Julia, `pkgversion(Flux)` tells',
    )
