"""A certificate in words, for people."""

from __future__ import annotations

from pathlib import Path

from verifluxa.certificate.free_text import free_text
from verifluxa.certificate.load import load_statement
from verifluxa.certificate.statement import NONE, Counterexample, PropertyResult, Statement


def show(path: Path) -> str:
    """The text of `verifluxa cert show`; it verifies nothing, and says so.

    Raises:
        CertificateError: VF5001 to VF5023 when the file is no certificate.
    """
    statement, signed = load_statement(path)
    note = "signed; the signature was NOT verified here" if signed else "NOT signed"
    return show_statement(statement, note)


def show_statement(statement: Statement, note: str) -> str:
    """The statement as text, one line per fact: first what `cert check` recomputes, then what nobody can."""
    lines = [f"certificate: {statement.verdict} ({note})"]
    lines += [f"  file       {subject.name}  {subject.sha256}" for subject in statement.subjects]
    for model in statement.models:
        lines.append(
            f"  model      {model.name}: {model.format}, Flux {model.flux_version}, {model.dtype}, graph {model.graph}"
        )
    for data in statement.data:
        counted = f"{data.counted} inputs ({data.selection}), {len(data.excluded)} excluded"
        lines.append(f"  data       {data.name}: {counted}, {data.digest}")
    lines += [f"  param      {name} = {value}" for name, value in statement.params]
    for result in statement.properties:
        lines += _property(result)
    lines += ["stated by whoever made it (`cert check` recomputes all of the above, and none of this):"]
    lines += [f"  {what:<10} {text}" for what, text in free_text(statement)]
    # A fact is one line: what a maker writes into a name must not look like a line of ours.
    return "\n".join("\\n".join(line.splitlines()) for line in lines) + "\n"


def _many(count: int, name: str) -> str:
    return f"{count} {name if count == 1 else {'leaf': 'leaves'}.get(name, name + 's')}"


def _property(result: PropertyResult) -> list[str]:
    counts = result.coverage
    answers = f"{counts.certified} certified, {counts.falsified} falsified, {counts.unknown} unknown"
    counted = {"input": counts.inputs, "place": counts.placements, "target": counts.targets, "leaf": counts.leaves}
    lines = [
        f"property {result.name}: {result.verdict}, arithmetic {result.arithmetic}",
        f"  digest     {result.digest}",
        f"  questions  {counts.questions}: {answers}",
        f"  coverage   {', '.join(_many(count, name) for name, count in counted.items())}",
        f"  evidence   {'none was written' if result.evidence == NONE else result.evidence}",
    ]
    if result.bound:
        found, proved = (end.to_json() for end in result.bound)
        lines.append(
            f"  rate       found {found['exact']} ({found['decimal']}), proved {proved['exact']} ({proved['decimal']})"
        )
    if result.population:
        known = result.population
        share = f"at most {known.decimal} at confidence {known.confidence}"
        lines.append(f"  population {share} (assumptions: in the certificate)")
    return lines + (_counterexample(result.counterexample) if result.counterexample else [])


def _counterexample(example: Counterexample) -> list[str]:
    place = ", ".join(f"{name} {value}" for name, value in example.placement)
    target = "untargeted" if example.target is None else f"target {example.target}"
    rate = f", rate {example.rate}" if example.rate is not None else ""
    return [f"  trigger    at {place}, {target}{rate}, margin {example.margin}, holds in {example.holds_in}"]
