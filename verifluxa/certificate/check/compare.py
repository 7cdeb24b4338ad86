"""Does the certificate say what files, spec and evidence say? Digests, selections, counts, bounds, counterexamples."""

from __future__ import annotations

from fractions import Fraction

from verifluxa.certificate.check.lower import Claim
from verifluxa.certificate.check.section import Section
from verifluxa.certificate.encode import indices_digest
from verifluxa.certificate.population import population_bound
from verifluxa.certificate.selection import selection_words
from verifluxa.certificate.statement import PropertyResult, Statement
from verifluxa.errors import CertificateError, VerifluxaError
from verifluxa.inputs import Inputs
from verifluxa.spec.digest import property_digest
from verifluxa.spec.spec import Property
from verifluxa.verdict import Verdict


def check_files(statement: Statement, inputs: Inputs) -> list[VerifluxaError]:
    """The model files must be the certified ones, and the params those of the spec that was verified."""
    reasons: list[VerifluxaError] = []
    certified = {subject.sha256: subject.name for subject in statement.subjects}
    used: dict[str, str] = {}
    graphs = {model.name: (model.graph, model.dtype, model.flux_version) for model in statement.models}
    for name, model in inputs.models.items():
        used[model.sha256] = model.path
        if model.architecture is not None:
            path, digest = model.architecture
            used[digest] = path
        graph = model.lifted.graph
        version = model.lifted.flux_version or "unknown"
        if graphs.get(name) != (graph.digest, graph.dtype, version):
            reasons.append(_differs(f"the network {name}", model.path))
    reasons += [_differs("the file", used[digest]) for digest in used if digest not in certified]
    reasons += [_differs("the certified file", name) for digest, name in certified.items() if digest not in used]
    if dict(statement.params) != {name: str(value) for name, value in inputs.spec.params}:
        reasons.append(_differs("the list of params", inputs.spec.path))
    return reasons


def check_property(
    statement: Statement, result: PropertyResult, inputs: Inputs, prop: Property
) -> list[VerifluxaError]:
    """The property, its data and its selection rule must be the certified ones."""
    reasons: list[VerifluxaError] = []
    frozen, selection = statement.data[result.data], prop.statement.selection
    data = inputs.data[selection.data]
    decl = next(item for item in inputs.spec.data if item.name == selection.data)
    digest = property_digest(inputs.spec, prop, {name: item.sha256 for name, item in inputs.data.items()})
    if frozen.digest != data.sha256:
        reasons.append(_differs(f"the data of property {prop.name}", data.path))
    elif digest != result.digest:
        reasons.append(_differs(f"property {prop.name}", inputs.spec.path))
    if (frozen.name, frozen.selection) != (selection.data, selection_words(selection, decl)):
        reasons.append(_differs(f"the selection of property {prop.name}", inputs.spec.path))
    return reasons


def check_records(statement: Statement, result: PropertyResult, claim: Claim, section: Section) -> None:
    """The numbers of the certificate must be those of the evidence.

    Raises:
        CertificateError: VF5056, or VF5057 for a counterexample that the evidence does not show.
    """
    tally, counts, frozen = section.tally, result.coverage, statement.data[result.data]
    excluded = {index for index, _ in frozen.excluded}
    same = (
        ("arithmetic", section.arithmetic == result.arithmetic),
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
        ("rate", _rate_holds(result, tally.proved)),
        ("population bound", _population_holds(result, claim, section)),
    )
    for name, equal in same:
        if not equal:
            raise CertificateError(
                "VF5056",
                f"property {result.name}: the certificate states another {name} than was recomputed",
                expected="the numbers that follow from model, spec, data and evidence",
                remedy="do not trust this certificate; verify the model again",
            )
    _check_counterexample(result, claim, section)


def _rate_holds(result: PropertyResult, proved: Fraction) -> bool:
    """Only a certified property's rate was recomputed; any other states it without proof."""
    return result.verdict is not Verdict.CERTIFIED or result.bound is None or result.bound[1].value >= proved


def _population_holds(result: PropertyResult, claim: Claim, section: Section) -> bool:
    stated = result.population
    if stated is None:
        return True
    certified = section.certified_inputs()
    if certified is None or stated.family != 1:
        return False
    total = len(claim.indices) + len(claim.excluded)
    failures = total - certified
    bound = population_bound(failures, total, stated.confidence, stated.properties)
    return (stated.failures, stated.total, stated.bound) == (bound.failures, bound.total, bound.bound)


def _check_counterexample(result: PropertyResult, claim: Claim, section: Section) -> None:
    example = result.counterexample
    if example is None:
        return
    known = section.shown.get((tuple(sorted(example.placement)), example.target), [])
    if not any(tuple(sorted(example.inputs)) == inputs for inputs in known):
        raise CertificateError(
            "VF5057",
            f"property {result.name}: no trigger of the evidence is the counterexample of the certificate",
            expected="a falsified question with this placement, target and inputs",
            remedy="do not trust this certificate; verify the model again",
        )


def _differs(what: str, place: str) -> CertificateError:
    return CertificateError(
        "VF5050",
        f"{what} is not what was certified",
        place=place,
        expected="the files, the spec and the params that the certificate is about",
        remedy="give the certified files with --spec, --model and --data; else verify what you have",
    )
