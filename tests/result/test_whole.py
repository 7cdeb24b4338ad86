"""A result document read back is the result that it was written from; what is wrong in it is refused by its name."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from result_fakes import certified_outcomes, falsified_outcomes, image_problem, per_input_outcomes, result_of

from verifluxa.errors import DataError
from verifluxa.result.document import document
from verifluxa.result.read import open_document
from verifluxa.result.whole import whole_result
from verifluxa.result.write import write_result


def results():
    single = image_problem(per_input=True)
    return {
        "certified": result_of(image_problem(), certified_outcomes()),
        "falsified": result_of(image_problem(), falsified_outcomes()),
        "colours": result_of(image_problem(3), certified_outcomes()),
        "per input": result_of(single, per_input_outcomes(single)),
    }


@pytest.mark.parametrize("name", results())
def test_nothing_is_lost_or_changed(name, tmp_path):
    before = results()[name]
    after = whole_result(open_document(write_result(before, tmp_path)))
    assert document(after) == document(before)
    assert after.verdict is before.verdict


def spoilt(tmp_path, change):
    path = write_result(results()["falsified"], tmp_path)
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))
    return path


PROPERTY = "properties[0]"
FOUND = f"{PROPERTY}.counterexample"


def found(**fields):
    return lambda value: value["properties"][0]["counterexample"].update(fields)


def first(**fields):
    return lambda value: value["properties"][0].update(fields)


WRONG = [
    (lambda v: v.update(verdict="certified"), "verdict"),
    (lambda v: v.update(properties=[]), "verdict"),
    (lambda v: v["params"].update(max_rate="1e999999999"), "params.max_rate"),
    (lambda v: v["params"].update(max_rate="1/0"), "params.max_rate"),
    (lambda v: v["machine"].update(workers=-1), "machine.workers"),
    (lambda v: v["machine"].update(workers=10**400), "machine.workers"),
    (lambda v: v["machine"].update(workers=True), "machine.workers"),
    (lambda v: v["data"][0].update(counted="3"), "data[0].counted"),
    (lambda v: v["data"][0].update(path="a\0b"), "data[0].path"),
    (lambda v: v["spec"].update(path="\ud800"), "spec.path"),
    (lambda v: v["spec"].update(path="x" * 5000), "spec.path"),
    (first(kind="other"), f"{PROPERTY}.kind"),
    (first(verdict="proved"), f"{PROPERTY}.verdict"),
    (first(seconds=float("nan")), f"{PROPERTY}.seconds"),
    (lambda v: v["properties"][0]["bound"].update(found="3/3", proved="2/3"), f"{PROPERTY}.bound.found"),
    (lambda v: v["properties"][0]["bound"].update(found="4/3"), f"{PROPERTY}.bound.found"),
    (lambda v: v["properties"][0]["bound"].update(found="1"), f"{PROPERTY}.bound.found"),
    (lambda v: v["properties"][0]["bound"].update(found="0/0"), f"{PROPERTY}.bound.found"),
    (lambda v: v["properties"][0]["questions"].update(total=7), f"{PROPERTY}.questions.total"),
    (lambda v: v["properties"][0]["places"][0]["placement"].update(row="0"), f"{PROPERTY}.places[0].placement.row"),
    (found(margin="nan"), f"{FOUND}.margin"),
    (found(margin="x" * 9), f"{FOUND}.margin"),
    (found(trigger=[[1, 2], [3]]), f"{FOUND}.trigger"),
    (found(trigger=[10**400]), f"{FOUND}.trigger"),
    (found(words=[1]), f"{FOUND}.words"),
    (first(population={"bound": "1e-99999999", "confidence": "0.95"}), "population.bound"),
]


@pytest.mark.parametrize(("change", "place"), WRONG)
def test_what_is_wrong_is_named(change, place, tmp_path):
    with pytest.raises(DataError) as caught:
        whole_result(open_document(spoilt(tmp_path, change)))
    assert caught.value.code == "VF3901"
    assert place in caught.value.message


def nodes(value, at=()):
    yield at
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from nodes(item, (*at, key))


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just([]), st.just({}), st.just([[]])
)
SOUND = document(results()["falsified"])


@settings(max_examples=50, derandomize=True, deadline=None)
@given(st.sampled_from(list(nodes(SOUND))), VALUES)
def test_any_other_value_anywhere_is_read_or_refused(tmp_path_factory, at, value):
    path = tmp_path_factory.mktemp("spoilt") / "result.json"
    whole = json.loads(json.dumps(SOUND))
    inner = whole
    for key in at[:-1]:
        inner = inner[key]
    if at:
        inner[at[-1]] = value
    path.write_text(json.dumps(whole if at else value))
    refused = []
    try:
        json.dumps(document(whole_result(open_document(path))), allow_nan=False)
    except DataError as error:
        refused.append(error.code)
    assert refused in ([], ["VF3901"])
