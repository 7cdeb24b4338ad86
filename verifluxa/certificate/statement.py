"""The certificate: an in-toto Statement v1 about the files that define a network.

Layout: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md. The predicate is our own.
Consumers of in-toto statements ignore fields that they do not know, so nothing that weakens a claim is
optional: each field below is required, and `null` or `none` is written out where there is nothing to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Union

from verifluxa.certificate.numbers import Exact
from verifluxa.certificate.population import PopulationBound
from verifluxa.verdict import Reason, Verdict

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://verifluxa.dev/attestation/robustness/v1"
"""An identifier that names this layout and its version; it need not resolve, and nothing ever fetches it."""
VERIFIER_ID = "https://verifluxa.dev/verifier/v1"
"""Names the verification logic; a new version where the meaning of a verdict changes. Never fetched."""
NONE = "none"
"""Written where a digest, a policy or a promotion is required but there is none."""

Nested = Union[str, tuple["Nested", ...]]  # noqa: UP007 (`|` knows no forward reference)
"""The values of a trigger: decimal strings, nested as the trigger is (rows of pixels, for instance)."""


@dataclass(frozen=True)
class Subject:
    """One file that defines the function: its name (no folders) and `sha256:...`."""

    name: str
    sha256: str


@dataclass(frozen=True)
class Verifier:
    """Who verified: the tool's identifier and the versions of what it ran on, `verifluxa` among them."""

    id: str
    versions: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Model:
    """A network: the digest of its canonical graph, the format it came in, its Flux version and float type."""

    name: str
    graph: str
    format: str
    flux_version: str
    dtype: str


@dataclass(frozen=True)
class FrozenData:
    """The inputs that a property speaks of, frozen.

    Attributes:
        name: the data set's name in the spec.
        digest: of the data file.
        selection: the rule, in the spec's words.
        indices: digest of the list of counted positions in the file (`indices_digest`).
        counted: how many inputs count.
        excluded: (position, reason) of those that do not.
    """

    name: str
    digest: str
    selection: str
    indices: str
    counted: int
    excluded: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Coverage:
    """What was asked and how it was answered, in numbers; `leaves` are those of the evidence's trees."""

    inputs: int
    placements: int
    targets: int
    questions: int
    certified: int
    falsified: int
    unknown: int
    leaves: int


@dataclass(frozen=True)
class Counterexample:
    """A replayed trigger.

    Attributes:
        placement: name and value of each of its coordinates.
        target: the class, or None where untargeted.
        trigger: its values, in the user's units.
        inputs: positions in the data file of the inputs that it changes.
        rate: the share of the counted inputs, or None for per-input properties.
        replayed: whether the unsimplified network gave the same in the deployed arithmetic.
        margin: the least strict margin, a decimal string.
        holds_in: `every order` of evaluation, or `this replay` only.
    """

    placement: tuple[tuple[str, int], ...]
    target: int | None
    trigger: Nested
    inputs: tuple[int, ...]
    rate: Fraction | None
    replayed: bool
    margin: str
    holds_in: str


@dataclass(frozen=True)
class PropertyResult:
    """One property and its verdict.

    Attributes:
        name: in the spec.
        digest: the property digest.
        verdict, reason: the reason where unknown, else None.
        arithmetic: `float32`, `float64` or `real`.
        method: the stages that were run, sorted, joined by `+`.
        bound: (found, proved) where the property is a rate.
        data: index into the predicate's frozen data.
        coverage: what was asked.
        counterexample: where falsified.
        evidence: digest of the evidence file, or `none`.
        population: what follows for inputs outside the data, or None.
    """

    name: str
    digest: str
    verdict: Verdict
    reason: Reason | None
    arithmetic: str
    method: str
    bound: tuple[Exact, Exact] | None
    data: int
    coverage: Coverage
    counterexample: Counterexample | None
    evidence: str
    population: PopulationBound | None


@dataclass(frozen=True)
class Statement:
    """A whole certificate, before it is signed.

    Attributes:
        subjects: every file that defines the function.
        verifier: who verified.
        time_verified, expires: UTC, whole seconds.
        resource_uri: which promotion this is for, or `none`.
        policy: digest of the policy that it was signed under, or `none`.
        models, data, params, properties: what was proved of what.
        strategy: name and digest.
        materials: (name, digest) of what the model was made from, where known.
        extensions: places of fields that begin with `x_`, which are other people's additions and ignored.
    """

    subjects: tuple[Subject, ...]
    verifier: Verifier
    time_verified: datetime
    expires: datetime
    resource_uri: str
    policy: str
    verdict: Verdict
    models: tuple[Model, ...]
    data: tuple[FrozenData, ...]
    params: tuple[tuple[str, str], ...]
    strategy: tuple[str, str]
    properties: tuple[PropertyResult, ...]
    materials: tuple[Subject, ...] = ()
    extensions: tuple[str, ...] = ()
