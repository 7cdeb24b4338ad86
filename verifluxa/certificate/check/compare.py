"""Does the certificate say what files, spec and evidence say? Digests, selections, counts, bounds, counterexamples."""

from __future__ import annotations

from collections.abc import Iterator

from verifluxa.certificate.check.claim import Claim
from verifluxa.certificate.check.section import Section
from verifluxa.certificate.check.witness import check_example, unsupported
from verifluxa.certificate.encode import indices_digest
from verifluxa.certificate.evidence_lines import Header
from verifluxa.certificate.population import population_bound
from verifluxa.certificate.refuse import refused, require
from verifluxa.certificate.selection import selection_words
from verifluxa.certificate.statement import Coverage, PropertyResult, Statement
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
    graphs = {model.name: (model.graph, model.dtype, model.flux_version, model.format) for model in statement.models}
    used: dict[str, str] = {}
    for name, model in inputs.models.items():
        used |= {model.sha256: model.path} | (
            {model.architecture[1]: model.architecture[0]} if model.architecture else {}
        )
        graph, version = model.lifted.graph, model.lifted.flux_version or "unknown"
        if graphs.get(name) != (graph.digest, graph.dtype, version, model.lifted.format):
            yield f"the network of model {name} {_OTHER_THING}", model.path
    strange = sorted(graphs.keys() - inputs.models.keys())
    yield from ((f"no property speaks of the model {name} that the certificate lists", name) for name in strange)
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
    certified = result.verdict is Verdict.CERTIFIED
    found, proved = (None, None) if result.bound is None else (end.value for end in result.bound)
    facts = (
        ("inputs", counts.inputs == len(claim.counted) == frozen.counted),
        ("index list", frozen.indices == indices_digest(claim.counted)),
        ("excluded inputs", sorted(frozen.excluded) == list(claim.excluded)),
        ("placements", counts.placements == len(claim.places)),
        ("targets", counts.targets == len(claim.violations)),
        ("questions", counts.questions == sum(tally.verdicts.values())),
        *((f"{verdict} questions", getattr(counts, verdict) == tally.verdicts[verdict]) for verdict in Verdict),
        ("leaves", counts.leaves == tally.written),
        ("rate", result.bound is None or not claim.per_input),
        # What was recomputed of any other property says nothing of its rate, which is then not vouched for.
        ("proved rate", proved is None or not certified or proved >= tally.claimed),
        ("found rate", found is None or not section.is_recomputed or found <= tally.possible),
        ("population bound", _population_holds(statement, result, claim, section)),
    )
    require("VF5056", _OTHER.format(result.name), facts)
    if proved is not None and (proved < tally.proved or tally.unrechecked):
        tally.unvouched.append(f"that no trigger misleads more than {proved}")
    if found is not None and (found > tally.supported or not section.is_recomputed):
        tally.unvouched.append(f"that a trigger misleads {found} in every evaluation")
    if result.population is not None and (tally.unrechecked or tally.unjudged):
        tally.unvouched.append(f"that at most {result.population.decimal} of the population is misled")
    if result.counterexample is not None and section.is_recomputed:
        shown = check_example(claim, result.counterexample, section.shown)
        tally.unvouched += unsupported(claim, result.counterexample, shown)


def check_unasked(statement: Statement, result: PropertyResult) -> None:
    """A property without evidence says that nothing was found out about it, and no more.

    Raises:
        CertificateError: VF5057 for one that is falsified, VF5056 for one that states more.
    """
    if result.verdict is not Verdict.UNKNOWN:
        raise refused("VF5057", f"property {result.name} is called {result.verdict} without evidence")
    counts, frozen = result.coverage, statement.data[result.data]
    nothing = Coverage(inputs=0, placements=0, targets=0, questions=1, certified=0, falsified=0, unknown=1, leaves=0)
    facts = (
        ("coverage", counts == nothing),
        ("inputs", (frozen.counted, frozen.excluded, frozen.indices) == (0, (), indices_digest(()))),
        ("bound", result.bound is None and result.population is None),
    )
    require("VF5056", _OTHER.format(result.name), facts)


def _population_holds(statement: Statement, result: PropertyResult, claim: Claim, section: Section) -> bool:
    stated, certified = result.population, section.certified_inputs()
    if stated is None or certified is None or stated.family != 1 or stated.properties != len(statement.properties):
        return stated is None
    total = len(claim.counted) + len(claim.excluded)
    bound = population_bound(total - certified, total, stated.confidence, stated.properties)
    return (stated.failures, stated.total, stated.bound) == (bound.failures, bound.total, bound.bound)
