"""Does the certificate say what files, spec and evidence say? Digests, selections, counts, bounds, counterexamples."""

from __future__ import annotations

from collections.abc import Iterator

from verifluxa.certificate.check.lower import Claim
from verifluxa.certificate.check.section import Section
from verifluxa.certificate.encode import indices_digest
from verifluxa.certificate.evidence_lines import Header
from verifluxa.certificate.population import population_bound
from verifluxa.certificate.refuse import refused, require
from verifluxa.certificate.selection import selection_words
from verifluxa.certificate.statement import PropertyResult, Statement
from verifluxa.errors import CertificateError
from verifluxa.inputs import Inputs
from verifluxa.spec.digest import property_digest
from verifluxa.spec.spec import Property, named
from verifluxa.verdict import Verdict

_OTHER = "property {}: the certificate states another {{}} than was recomputed"
_OTHER_THING = "is not what was certified"


def differing(statement: Statement, inputs: Inputs) -> Iterator[CertificateError]:
    """What of the files, networks, params, data and properties is not what was certified, each as VF5050."""
    properties = [item for prop in inputs.properties for item in _of_property(statement, inputs, prop)]
    for what, place in (*_of_files(statement, inputs), *properties):
        yield refused("VF5050", what, place)


def _of_files(statement: Statement, inputs: Inputs) -> Iterator[tuple[str, str]]:
    certified = {subject.sha256: subject.name for subject in statement.subjects}
    graphs = {model.name: (model.graph, model.dtype, model.flux_version) for model in statement.models}
    used: dict[str, str] = {}
    for name, model in inputs.models.items():
        used |= {model.sha256: model.path} | (
            {model.architecture[1]: model.architecture[0]} if model.architecture else {}
        )
        graph, version = model.lifted.graph, model.lifted.flux_version or "unknown"
        if graphs.get(name) != (graph.digest, graph.dtype, version):
            yield f"the network of model {name} {_OTHER_THING}", model.path
    yield from ((f"this file {_OTHER_THING}", path) for digest, path in used.items() if digest not in certified)
    missing = "this file was certified, and none with its digest is given"
    yield from ((missing, name) for digest, name in certified.items() if digest not in used)
    if dict(statement.params) != {name: str(value) for name, value in inputs.spec.params}:
        yield f"the list of params {_OTHER_THING}", inputs.spec.path


def _of_property(statement: Statement, inputs: Inputs, prop: Property) -> Iterator[tuple[str, str]]:
    result = next(item for item in statement.properties if item.name == prop.name)
    frozen, selection = statement.data[result.data], prop.statement.selection
    words = selection_words(selection, named(inputs.spec.data, selection.data))
    digest = property_digest(inputs.spec, prop, {name: item.sha256 for name, item in inputs.data.items()})
    if frozen.digest != inputs.data[selection.data].sha256:
        yield f"the data of property {prop.name} {_OTHER_THING}", inputs.data[selection.data].path
    elif digest != result.digest:
        yield f"property {prop.name} {_OTHER_THING}", inputs.spec.path
    if (frozen.name, frozen.selection) != (selection.data, words):
        yield f"the selection of property {prop.name} {_OTHER_THING}", inputs.spec.path


def check_header(statement: Statement, result: PropertyResult, header: Header) -> None:
    """The evidence must be about the certified property and data, in the certified arithmetic.

    Raises:
        CertificateError: VF5056.
    """
    facts = (
        ("digest", header.digest == result.digest),
        ("data", header.data == statement.data[result.data].digest),
        ("arithmetic", header.arithmetic == result.arithmetic),
    )
    require("VF5056", _OTHER.format(result.name), facts)


def check_records(statement: Statement, result: PropertyResult, claim: Claim, section: Section) -> None:
    """The numbers of the certificate must be those of the evidence.

    Raises:
        CertificateError: VF5056, or VF5057 for a counterexample that the evidence does not show.
    """
    tally, counts, frozen = section.tally, result.coverage, statement.data[result.data]
    excluded = [index for index, _ in frozen.excluded]
    # Only a certified property's rate was recomputed: `PropertyCheck.vouched` says so of any other.
    bound = result.bound if result.verdict is Verdict.CERTIFIED else None
    facts = (
        ("inputs", counts.inputs == len(claim.indices) == frozen.counted),
        ("index list", frozen.indices == indices_digest(claim.indices)),
        ("excluded inputs", sorted(excluded) == list(claim.excluded)),
        ("placements", counts.placements == len(claim.places)),
        ("targets", counts.targets == len(claim.violations)),
        ("questions", counts.questions == sum(tally.verdicts.values())),
        *((f"{verdict} questions", getattr(counts, verdict) == tally.verdicts[verdict]) for verdict in Verdict),
        ("leaves", counts.leaves == tally.written),
        ("rate", bound is None or bound[1].value >= tally.proved),
        ("population bound", _population_holds(result, claim, section)),
    )
    require("VF5056", _OTHER.format(result.name), facts)
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
