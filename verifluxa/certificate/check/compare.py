"""Does the certificate say what files, spec and evidence say? Digests, selections, counts, bounds, counterexamples."""

from __future__ import annotations

from verifluxa.certificate.check.lower import Claim
from verifluxa.certificate.check.refuse import refused
from verifluxa.certificate.check.section import Section
from verifluxa.certificate.encode import indices_digest
from verifluxa.certificate.evidence_lines import Header
from verifluxa.certificate.population import population_bound
from verifluxa.certificate.selection import selection_words
from verifluxa.certificate.statement import PropertyResult, Statement
from verifluxa.errors import VerifluxaError
from verifluxa.inputs import Inputs
from verifluxa.spec.digest import property_digest
from verifluxa.spec.spec import Property
from verifluxa.verdict import Verdict


def check_files(statement: Statement, inputs: Inputs) -> list[VerifluxaError]:
    """The model files must be the certified ones, and the params those of the spec that was verified."""
    certified = {subject.sha256: subject.name for subject in statement.subjects}
    graphs = {model.name: (model.graph, model.dtype, model.flux_version) for model in statement.models}
    used: dict[str, str] = {}
    wrong: list[tuple[str, str]] = []
    for name, model in inputs.models.items():
        used[model.sha256] = model.path
        if model.architecture is not None:
            used[model.architecture[1]] = model.architecture[0]
        graph, version = model.lifted.graph, model.lifted.flux_version or "unknown"
        if graphs.get(name) != (graph.digest, graph.dtype, version):
            wrong.append((f"the network {name}", model.path))
    wrong += [("the file", path) for digest, path in used.items() if digest not in certified]
    wrong += [("the certified file", name) for digest, name in certified.items() if digest not in used]
    if dict(statement.params) != {name: str(value) for name, value in inputs.spec.params}:
        wrong.append(("the list of params", inputs.spec.path))
    return _differing(wrong)


def check_property(
    statement: Statement, result: PropertyResult, inputs: Inputs, prop: Property
) -> list[VerifluxaError]:
    """The property, its data and its selection rule must be the certified ones."""
    frozen, selection = statement.data[result.data], prop.statement.selection
    data = inputs.data[selection.data]
    decl = next(item for item in inputs.spec.data if item.name == selection.data)
    digest = property_digest(inputs.spec, prop, {name: item.sha256 for name, item in inputs.data.items()})
    wrong: list[tuple[str, str]] = []
    if frozen.digest != data.sha256:
        wrong.append((f"the data of property {prop.name}", data.path))
    elif digest != result.digest:
        wrong.append((f"property {prop.name}", inputs.spec.path))
    if (frozen.name, frozen.selection) != (selection.data, selection_words(selection, decl)):
        wrong.append((f"the selection of property {prop.name}", inputs.spec.path))
    return _differing(wrong)


def _differing(wrong: list[tuple[str, str]]) -> list[VerifluxaError]:
    return [refused("VF5050", f"{what} is not what was certified", place) for what, place in wrong]


def check_header(statement: Statement, result: PropertyResult, header: Header) -> None:
    """The evidence must be about the certified property and data, in the certified arithmetic.

    Raises:
        CertificateError: VF5056.
    """
    said = (header.digest, header.data, header.arithmetic)
    certified = (result.digest, statement.data[result.data].digest, result.arithmetic)
    for name, mine, theirs in zip(("digest", "data", "arithmetic"), said, certified, strict=True):
        if mine != theirs:
            raise _other(result, name)


def check_records(statement: Statement, result: PropertyResult, claim: Claim, section: Section) -> None:
    """The numbers of the certificate must be those of the evidence.

    Raises:
        CertificateError: VF5056, or VF5057 for a counterexample that the evidence does not show.
    """
    tally, counts, frozen = section.tally, result.coverage, statement.data[result.data]
    excluded = {index for index, _ in frozen.excluded}
    # Only a certified property's rate was recomputed: `PropertyCheck.vouched` says so of any other.
    bound = result.bound if result.verdict is Verdict.CERTIFIED else None
    same = (
        ("inputs", counts.inputs == len(claim.indices) == frozen.counted),
        ("index list", frozen.indices == indices_digest(claim.indices)),
        ("excluded inputs", len(excluded) == len(frozen.excluded) and excluded == set(claim.excluded)),
        ("placements", counts.placements == len(claim.places)),
        ("targets", counts.targets == len(claim.violations)),
        ("questions", counts.questions == sum(tally.verdicts.values())),
        ("certified questions", counts.certified == tally.verdicts[Verdict.CERTIFIED]),
        ("falsified questions", counts.falsified == tally.verdicts[Verdict.FALSIFIED]),
        ("unknown questions", counts.unknown == tally.verdicts[Verdict.UNKNOWN]),
        ("leaves", counts.leaves == tally.written),
        ("rate", bound is None or bound[1].value >= tally.proved),
        ("population bound", _population_holds(result, claim, section)),
    )
    for name, equal in same:
        if not equal:
            raise _other(result, name)
    example = result.counterexample
    if example is not None:
        known = section.shown.get((tuple(sorted(example.placement)), example.target), [])
        if tuple(sorted(example.inputs)) not in known:
            what = f"property {result.name}: no trigger of the evidence is the counterexample of the certificate"
            raise refused("VF5057", what)


def _population_holds(result: PropertyResult, claim: Claim, section: Section) -> bool:
    stated, certified = result.population, section.certified_inputs()
    if stated is None or certified is None or stated.family != 1:
        return stated is None
    total = len(claim.indices) + len(claim.excluded)
    bound = population_bound(total - certified, total, stated.confidence, stated.properties)
    return (stated.failures, stated.total, stated.bound) == (bound.failures, bound.total, bound.bound)


def _other(result: PropertyResult, name: str) -> VerifluxaError:
    return refused("VF5056", f"property {result.name}: the certificate states another {name} than was recomputed")
