"""A result and all that can be told about it: what the document says, and what its model and data still show.

Where the spec, models and data are there, and have the digests that the result names, questions are put again and
triggers are evaluated again; else the page says what is missing and why.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from verifluxa.errors import UnsupportedError, VerifluxaError
from verifluxa.files import open_file
from verifluxa.inputs import Choice, Inputs
from verifluxa.replay import AskedAgain, Replayed, asked_again, stored_inputs
from verifluxa.result.read import StoredProperty, StoredResult, open_document, stored_result
from verifluxa.result.result import Counterexample, PropertyResult, Result
from verifluxa.result.whole import whole_result
from verifluxa.spec.spec import InputSpace, claims_of, named

MOST_PROPERTIES = 200
MOST_PLACES = 500_000


@dataclass(frozen=True, eq=False)
class Story:
    """A property.

    Attributes:
        item: what the result says, with the names of classes and limits where the spec is there.
        again: the property as it is asked, and its trigger evaluated again; None where that cannot be done.
        space: what its inputs are.
        missing: why it cannot be asked again, in words.
    """

    item: PropertyResult
    again: AskedAgain | None = None
    space: InputSpace | None = None
    missing: str | None = None

    @property
    def found(self) -> Counterexample | None:
        """The trigger that the result shows, if any."""
        return self.item.counterexample or self.item.strongest

    @property
    def replayed(self) -> Replayed | None:
        """The same, evaluated again; None where that cannot be done."""
        return None if self.again is None else self.again.replayed


@dataclass(frozen=True, eq=False)
class Account:
    """A result document and the stories of its properties.

    Attributes:
        path: of the document, as the user gave it.
        sha256: digest of its bytes.
        result: what it says.
        stories: one for each property.
        whole: whether the result speaks of all properties of the spec; None where the spec is not there.
    """

    path: str
    sha256: str
    result: Result
    stories: tuple[Story, ...]
    whole: bool | None = None


def account(path: Path, moved: Choice | None = None, spec: str | None = None) -> Account:
    """Reads a result document, and what it names.

    Args:
        path: of the document.
        moved: models and data that are not where the result says.
        spec: the spec, where it is not.

    Raises:
        DataError: VF3901 when it is no result document.
        UnsupportedError: VF7011 when it holds more than a page can.
    """
    top = open_document(path)
    stored, result = stored_result(path, top), whole_result(top)
    _check_size(path, result)

    def loaded(*names: str) -> Inputs | VerifluxaError:
        try:
            return stored_inputs(stored, names, moved, spec)
        except VerifluxaError as error:
            return error

    inputs = [loaded(*(item.name for item in stored.properties))] * len(stored.properties)
    if isinstance(inputs[0], VerifluxaError) and len(inputs) > 1:
        inputs = [loaded(item.name) for item in stored.properties]
    stories = tuple(map(_story, [stored] * len(inputs), stored.properties, result.properties, inputs))
    specs = [len(one.spec.properties) for one in inputs if isinstance(one, Inputs)]
    with open_file(path) as file:
        digest = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    return Account(str(path), digest, result, stories, specs[0] == len(stories) if specs else None)


def _check_size(path: Path, result: Result) -> None:
    places = sum(len(item.places) for item in result.properties)
    if len(result.properties) > MOST_PROPERTIES or places > MOST_PLACES:
        raise UnsupportedError(
            "VF7011",
            f"this result is too large for a page: {len(result.properties):,} properties, {places:,} places",
            place=str(path),
            expected=f"at most {MOST_PROPERTIES:,} properties, and {MOST_PLACES:,} places of all together",
            remedy="verify some of the properties at a time (--property NAME)",
        )


def _story(stored: StoredResult, entry: StoredProperty, item: PropertyResult, inputs: Inputs | VerifluxaError) -> Story:
    if isinstance(inputs, VerifluxaError):
        return Story(item, missing=_why(inputs))
    statement = named(inputs.spec.properties, item.name).statement
    space = named(inputs.spec.spaces, inputs.models[claims_of(statement)[0].model].decl.space)
    try:
        return Story(_completed(item, again := asked_again(stored, entry, inputs)), again, space)
    except VerifluxaError as error:
        return Story(item, None, space, _why(error))


def _completed(item: PropertyResult, again: AskedAgain) -> PropertyResult:
    """The property with what only the spec knows."""
    asked, replayed = again.asked, again.replayed
    item = replace(
        item,
        classes=asked.classes,
        condition=asked.condition,
        limit=asked.limit,
        limits=asked.limits,
        problem=again.problem,
    )
    shown = item.counterexample or item.strongest
    if replayed is None or shown is None:
        return item
    at = replayed.question
    located = replace(shown, placement_index=at.placement, violation=at.violation, selection=at.selection)
    return replace(item, **{"counterexample" if item.counterexample else "strongest": located})  # type: ignore[arg-type]


def _why(error: VerifluxaError) -> str:
    where = f" ({error.place})" if error.place is not None else ""
    remedy = f"; {error.remedy}" if error.remedy is not None else ""
    return f"{error.message}{where}, {error.code}{remedy}"
