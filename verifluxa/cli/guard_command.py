"""`verifluxa guard`: checks for found triggers in production, and a monitor of class rates."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from verifluxa.cli.options import MovedData, MovedModels, MovedSpec, pairs

if TYPE_CHECKING:
    from verifluxa.spec.spec import InputSpace
    from verifluxa.triage.guard.monitor import Monitored

SCHEMA = "verifluxa/rates/1"
RATES_MEAN = (
    "What no alarm does not mean: an attacker who uses a trigger rarely does not change rates. The test assumes that "
    "the traffic is like that of the reference; other traffic raises an alarm too."
)


class GuardFormat(StrEnum):
    """What stands on stdout."""

    TEXT = "text"
    JSON = "json"


FormatOption = Annotated[GuardFormat, typer.Option("--format", help="What stands on stdout.")]


def group() -> typer.Typer:
    """The commands `guard export`, `guard check`, `guard rates`."""
    app = typer.Typer(help="Checks for found triggers in production, and a monitor of class rates.")
    app.command()(export)
    app.command()(check)
    app.command()(rates)
    return app


def export(
    result: Annotated[Path, typer.Argument(metavar="RESULT", help="The result.json of a falsified property.")],
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="FILE", help="A .json or .py file, or a folder for both.")
    ] = Path("guard.json"),
    tolerance: Annotated[
        float | None, typer.Option(metavar="T", help="How far a value may be off; usually 3 % of the range.")
    ] = None,
    anywhere: Annotated[bool, typer.Option("--anywhere", help="Look for patches at every place.")] = False,
    model: MovedModels = None,
    data: MovedData = None,
    spec: MovedSpec = None,
) -> int:
    """Replays the triggers of a result and writes a check for them that needs NumPy alone."""
    from verifluxa.cli.output import print_words
    from verifluxa.inputs import Choice
    from verifluxa.replay import replay_result
    from verifluxa.result.write import write_whole
    from verifluxa.triage.guard.export import Wish, as_json, as_module, guard_of

    replayed = replay_result(result, Choice(pairs("--model", model), pairs("--data", data)), spec)
    guard = guard_of(replayed, _spaces(result, spec), Wish(tolerance, anywhere))
    files = [out] if out.suffix in (".json", ".py") else [out / "guard.json", out / "guard.py"]
    for file in files:
        write_whole(file, (as_module(guard) if file.suffix == ".py" else as_json(guard)).encode())
    print_words([*_described(guard), "written: " + ", ".join(map(str, files)), guard["means"]])
    return 0


def _spaces(result: Path, spec: str | None) -> dict[str, InputSpace]:
    """The input space of each property of a result's spec."""
    from verifluxa.inputs import find_spec
    from verifluxa.result.read import read_result
    from verifluxa.spec.check import load_spec
    from verifluxa.spec.spec import named

    stored = read_result(result)
    checked = load_spec(find_spec(spec or str(stored.locate(stored.spec.path))), dict(stored.params)).spec
    models = {prop.name: named(checked.models, prop.statement.model) for prop in checked.properties}
    return {name: named(checked.spaces, model.space) for name, model in models.items()}


def _described(guard: dict[str, Any]) -> Iterator[str]:
    for one in guard["triggers"]:
        place = ", ".join(f"{name} {value}" for name, value in one["place"].items())
        what = {"values": "values", "mixed": "mixed in", "words": "words"}[one["kind"]]
        target = "" if one["target"] is None else f", target {one['target']}"
        yield f"{one['property']}: {what} at {place}{target}"
        if one["kind"] == "words":
            yield f"  words: {' '.join(one['words'])}; anywhere in a text, exactly"
        else:
            where = "anywhere in the picture" if one.get("anywhere") else "at this place"
            yield f"  {len(one['positions'])} values {where}, each within {one['tolerance']:g}"
        measured = one["measured"]
        yield f"  on the inputs of the property: flagged {measured['clean']} clean, {measured['stamped']} triggered"
        if not measured["clean"].startswith("0/"):
            yield "  clean inputs are flagged: a smaller --tolerance, or only this place, flags fewer"


def check(
    guard: Annotated[str, typer.Argument(metavar="GUARD", help="A guard.json.")],
    data: Annotated[str, typer.Argument(metavar="DATA", help="Inputs: .npz, .jsonl, .csv; labels are not needed.")],
    format_: FormatOption = GuardFormat.TEXT,
) -> int:
    """Says in which inputs a trigger of the guard is present. Exit code 1: in some."""
    from verifluxa.cli.output import emit, print_words
    from verifluxa.result.document import dumps
    from verifluxa.triage.guard.monitor import present, read_guard

    known = read_guard(guard)
    found = present(known, data)
    names = [str(one["property"]) for one in known["triggers"]]
    hits = {name: [int(row) for row in found[:, k].nonzero()[0]] for k, name in enumerate(names)}
    means = str(known.get("means", ""))
    if format_ is GuardFormat.JSON:
        emit(dumps({"schema": "verifluxa/guard-check/1", "inputs": len(found), "present": hits, "means": means}))
    else:
        lines = [f"{len(found):,} inputs, a trigger is present in {int(found.any(axis=1).sum()):,}"]
        for name, rows in hits.items():
            shown = ", ".join(map(str, rows[:20])) + (", ..." if len(rows) > 20 else "")
            lines.append(f"  {name}: {f'present in input {shown}' if rows else 'absent'}")
        print_words([*lines, means])
    return 1 if found.any() else 0


def rates(
    log: Annotated[str, typer.Argument(metavar="LOG", help="Predictions in order: .csv or .jsonl.")],
    reference: Annotated[str, typer.Option(metavar="FILE", help="Predictions of a time that is known to be good.")],
    false_alarm: Annotated[float, typer.Option(metavar="P", help="Probability of ever raising a false alarm.")] = 0.01,
    column: Annotated[str, typer.Option(metavar="NAME", help="Where the predicted class stands.")] = "class",
    format_: FormatOption = GuardFormat.TEXT,
) -> int:
    """Tests whether a class is predicted more often than in the reference. Exit code 1: an alarm.

    The test may be read after every record: the false alarm rate holds for all moments together (a mixture of
    likelihood ratios, Ville's inequality).
    """
    from dataclasses import asdict

    from verifluxa.cli.output import emit, print_words
    from verifluxa.result.document import dumps
    from verifluxa.triage.guard.monitor import monitor, predictions

    found = monitor(predictions(reference, column), predictions(log, column), false_alarm)
    if format_ is GuardFormat.JSON:
        classes = [asdict(one) for one in found.classes]
        head = {"schema": SCHEMA, "records": found.records, "false_alarm": false_alarm, "needed": found.needed}
        emit(dumps({**head, "classes": classes, "means": RATES_MEAN}))
    else:
        print_words([*_rates(found, false_alarm), RATES_MEAN])
    return 1 if found.alarms else 0


def _rates(found: Monitored, false_alarm: float) -> Iterator[str]:
    words = f"{len(found.alarms)} alarms" if len(found.alarms) != 1 else "1 alarm"
    yield f"{found.records:,} predictions: {words} (false alarms ever: at most {false_alarm:g})"
    yield f"  {'class':<16} {'reference':>10} {'allowed':>9} {'seen':>9} {'evidence':>10}  needed {found.needed:.4g}"
    for one in found.classes:
        alarm = "" if one.alarm is None else f"  ALARM at record {one.alarm:,}"
        rates = f"{one.reference:>10.2%} {one.limit:>9.2%} {one.rate:>9.2%}"
        yield f"  {one.name[:16]:<16} {rates} {one.evidence:>10.3g}{alarm}"
