"""Evaluates a stored counterexample again: the same files (by digest), the unsimplified network, from scratch."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from verifluxa.asking import build_problem, describe_property
from verifluxa.errors import DataError
from verifluxa.inputs import Choice, Inputs, load_inputs
from verifluxa.question import Domain, Floats, Problem, Question
from verifluxa.result.build import PropertyQuery
from verifluxa.result.read import StoredCounterexample, StoredProperty, StoredResult, read_result
from verifluxa.result.trigger import trigger_vector

if TYPE_CHECKING:
    from verifluxa.search import Replay


@dataclass(frozen=True, eq=False)
class Replayed:
    """A counterexample, evaluated again.

    Attributes:
        name: the property.
        stored: the counterexample as the result tells it.
        problem, question: what it refutes.
        trigger: tau, shape (d,).
        replay: what the network does.
        asked: what the spec says of the property.
    """

    name: str
    stored: StoredCounterexample
    problem: Problem
    question: Question
    trigger: Floats
    replay: Replay
    asked: PropertyQuery

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, or empty."""
        return self.asked.classes

    @property
    def violated(self) -> int:
        """How many inputs violate strictly."""
        return len(self.replay.violated)

    @property
    def reproduced(self) -> bool:
        """Whether the property is refuted again."""
        return self.violated >= self.question.threshold


def replay_result(path: Path, choice: Choice | None = None, spec: str | None = None) -> list[Replayed]:
    """Replays every counterexample of a result.

    Args:
        path: `result.json`.
        choice: other places of the models and data sets, by name; their digests must be the same.
        spec: another place of the spec.

    Raises:
        DataError: VF3901 an unreadable result, VF3902 a file with another digest, VF3903 no counterexample,
            VF3904 a counterexample that does not fit the property.
        VerifluxaError: whatever is wrong with the spec, a model or the data.
    """
    stored = read_result(path)
    falsified = [item for item in stored.properties if item.counterexample is not None]
    if not falsified:
        raise DataError(
            "VF3903",
            "this result holds no counterexample, so there is nothing to replay",
            place=str(path),
            expected="the result of a falsified property",
        )
    inputs = stored_inputs(stored, [item.name for item in falsified], choice, spec)
    return [replayed for item in falsified if (replayed := asked_again(stored, item, inputs).replayed)]


@dataclass(frozen=True, eq=False)
class AskedAgain:
    """A property of a result, put into questions again, and the trigger that the result shows, evaluated again."""

    asked: PropertyQuery
    problem: Problem
    replayed: Replayed | None


def stored_inputs(
    stored: StoredResult, names: Iterable[str], choice: Choice | None = None, spec: str | None = None
) -> Inputs:
    """The spec, models and data of some properties of a result, loaded; see `replay_result`.

    Raises:
        DataError: VF3902 a file that is not there, or has another digest.
        VerifluxaError: whatever is wrong with the spec, a model or the data.
    """
    chosen = _choice(stored, names, choice or Choice())
    place = spec or str(stored.locate(stored.spec.path))
    _are_there(stored, place, chosen)
    inputs = load_inputs(place, chosen)
    _check_digests(stored, inputs)
    return inputs


def _choice(stored: StoredResult, names: Iterable[str], user: Choice) -> Choice:
    models = {item.file.name: str(stored.locate(item.file.path)) for item in stored.models}
    data = {item.name: str(stored.locate(item.path)) for item in stored.data}
    return Choice(
        models={**models, **user.models},
        data={**data, **user.data},
        params=dict(stored.params),
        properties=tuple(names),
    )


def _are_there(stored: StoredResult, spec: str, chosen: Choice) -> None:
    """Says of files that are gone how to name them, before one of the readers says less."""
    # Without an ending the spec is a name in the library.
    files = {"--spec ": spec} if spec.endswith(".vfx") else {}
    files |= {f"--model {name}=": path for name, path in chosen.models.items() if isinstance(path, str)}
    files |= {f"--data {name}=": path for name, path in chosen.data.items() if isinstance(path, str)}
    for option, path in files.items():
        if not os.path.exists(path):
            raise DataError(
                "VF3902",
                "a file that the result speaks of is not there",
                place=path,
                expected=f"it at this place, as seen from here or from a folder that {stored.source} lies in",
                remedy=f"say where it is now: {option}FILE",
            )


def _check_digests(stored: StoredResult, inputs: Inputs) -> None:
    _same(inputs.spec.path, inputs.spec.sha256, stored.spec.sha256)
    for item in stored.models:
        if item.file.name in inputs.models:
            model = inputs.models[item.file.name]
            _same(model.path, model.sha256, item.file.sha256)
            _same(f"the lifted graph of {model.path}", model.lifted.graph.digest, item.graph_sha256)
    for file in stored.data:
        if file.name in inputs.data:
            _same(inputs.data[file.name].path, inputs.data[file.name].sha256, file.sha256)


def _same(place: str, found: str, expected: str) -> None:
    if found != expected:
        raise DataError(
            "VF3902",
            f"this is not what the result speaks of: its digest is {found}",
            place=place,
            expected=expected,
            remedy="give the file that was verified (--model, --data, --spec), or verify this one anew",
        )


def asked_again(stored: StoredResult, item: StoredProperty, inputs: Inputs) -> AskedAgain:
    """A property of a result as it is asked, from its inputs; its trigger is replayed where it shows one.

    Raises:
        DataError: VF3902 another property than the result speaks of, VF3904 a trigger that does not fit it.
        UnsupportedError: the property cannot be put into questions.
    """
    prop = next(prop for prop in inputs.properties if prop.name == item.name)
    asked = describe_property(inputs, prop)
    _same(f"property {item.name}", asked.digest, item.digest)
    problem = build_problem(inputs, prop, asked.digest, stored.arithmetic)
    replayed = None if item.shown is None else _replayed(stored, item.shown, problem, asked)
    return AskedAgain(asked, problem, replayed)


def _replayed(stored: StoredResult, found: StoredCounterexample, problem: Problem, asked: PropertyQuery) -> Replayed:
    from verifluxa.search import replay_trigger

    question, trigger = _locate(problem, found, stored)
    if asked.kind in ("compare", "measure"):
        # How many are too many was found out by the run; what it showed must show again.
        question = question._replace(threshold=max(1, len(found.inputs)))
    return Replayed(asked.name, found, problem, question, trigger, replay_trigger(problem, question, trigger), asked)


def _locate(problem: Problem, found: StoredCounterexample, stored: StoredResult) -> tuple[Question, Floats]:
    """The question that a counterexample answers, and its trigger as a vector."""
    labels = [dict(placement.label) for placement in problem.placements]
    if dict(found.placement) not in labels:
        raise _does_not_fit(stored, f"there is no placement {dict(found.placement)}")
    placement = labels.index(dict(found.placement))
    trigger = trigger_vector(problem, problem.placements[placement], found.trigger)
    if trigger is None or not _in_domain(problem.domain_of(placement), trigger):
        raise _does_not_fit(stored, "its trigger is not one of the family")
    for question in problem.questions(placement):
        listed = {problem.indices[int(index)] for index in problem.selections[question.selection]}
        if problem.violations[question.violation].target == found.target and set(found.inputs) <= listed:
            return question, trigger
    raise _does_not_fit(stored, "no question has its target and inputs")


def _in_domain(domain: Domain, trigger: Floats) -> bool:
    """Whether a trigger lies in the domain and on its grid."""
    steps = (trigger - domain.lower)[domain.step > 0] / domain.step[domain.step > 0]
    return domain.contains(trigger) and bool((steps == steps.round()).all())


def _does_not_fit(stored: StoredResult, reason: str) -> DataError:
    return DataError(
        "VF3904",
        f"the counterexample does not fit the property: {reason}",
        place=str(stored.source),
        expected="a counterexample that `verifluxa verify` wrote",
        remedy="verify the model anew",
    )
