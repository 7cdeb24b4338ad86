"""Policies: what is missing, misspelt or of another kind makes the whole file invalid."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.gate.desk import Desk
from verifluxa.errors import GateError
from verifluxa.gate.policy import Protected, load_policy, parse_policy, version_numbers
from verifluxa.gate.reference import parse_reference
from verifluxa.gate.run import Ask, judge


def test_a_short_policy_has_safe_defaults(desk: Desk) -> None:
    policy = desk.policy(lambda text: text.replace('[recheck]\nmode = "never"\n', ""))
    assert policy.recheck.mode == "always"
    assert policy.recheck.most_unrechecked == 0
    assert policy.override.keys == ()
    assert policy.signers.threshold == 1
    assert policy.requirements[0].arithmetic == ("float32",)
    assert policy.protected.alias("anything", "PRODUCTION")
    assert policy.protected.stage("anything", "Production")
    assert policy.log == desk.policy_path.with_name("decisions.jsonl")


WRONG: dict[str, Callable[[str], str]] = {
    "an unknown key": lambda text: "allow_unsigned = true\n" + text,
    "a misspelt table": lambda text: text.replace("[protected]", "[protect]"),
    "an unknown key in a table": lambda text: text.replace("aliases", "alias"),
    "no schema": lambda text: text.replace("schema = 1", ""),
    "another schema": lambda text: text.replace("schema = 1", "schema = 2"),
    "no expiry": lambda text: text.replace("expires = 2099-01-01T00:00:00Z", ""),
    "an expiry without zone": lambda text: text.replace("00:00:00Z", "00:00:00"),
    "an expiry that is a text": lambda text: text.replace("2099-01-01T00:00:00Z", '"2099-01-01"'),
    "no signers": lambda text: text.replace('[signers]\nkeys = ["release.pub"]', ""),
    "no keys": lambda text: text.replace('["release.pub"]', "[]"),
    "a key twice": lambda text: text.replace('["release.pub"]', '["release.pub", "release.pub"]'),
    "a threshold of nothing": lambda text: text.replace('"release.pub"]', '"release.pub"]\nthreshold = 0'),
    "a threshold above the number of keys": lambda text: text.replace(
        '"release.pub"]', '"release.pub"]\nthreshold = 2'
    ),
    "a threshold that is true": lambda text: text.replace('"release.pub"]', '"release.pub"]\nthreshold = true'),
    "no property": lambda text: text[: text.index("[[require]]")],
    "a property without digest": lambda text: text.replace("sha256:aaaa", "sha256:"),
    "no data": lambda text: text.replace('data = ["sha256:' + "4" * 64 + '"]', "data = []"),
    "no inputs": lambda text: text.replace("inputs = 3", "inputs = 0"),
    "no number of placements": lambda text: text.replace("placements = 2\n", ""),
    "an arithmetic that does not exist": lambda text: text.replace("inputs = 3", 'inputs = 3\narithmetic = ["float8"]'),
    "no arithmetic": lambda text: text.replace("inputs = 3", "inputs = 3\narithmetic = []"),
    "a recheck that does not exist": lambda text: text.replace('"never"', '"sometimes"'),
    "an age of nothing": lambda text: text.replace("max_age_days = 30", "max_age_days = 0"),
    "an age that is no whole number": lambda text: text.replace("max_age_days = 30", "max_age_days = 30.5"),
    "signers who may override": lambda text: text + '\n[override]\nkeys = ["release.pub"]\n',
    "no TOML": lambda text: text + "[[[",
    "a key twice in TOML": lambda text: "schema = 1\n" + text,
    "no table where one belongs": lambda text: text.replace("[protected]\n", "protected = 3\n"),
    "brackets without end": lambda text: "x = " + "[" * 5000 + text,
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_policy_is_none_and_denies(desk: Desk, name: str) -> None:
    before = desk.policy_path.read_text()
    desk.policy_path.write_text(WRONG[name](before))
    assert desk.policy_path.read_text() != before
    with pytest.raises(GateError) as caught:
        load_policy(desk.policy_path)
    assert caught.value.code == "VF6002"
    decision = judge(desk.policy_path, ask(desk))
    assert [reason.code for reason in decision.reasons] == ["VF6002"]
    assert not decision.permitted


def ask(desk: Desk) -> Ask:
    certificate = desk.root / "certificate.dsse.json"
    certificate.write_bytes(desk.signed())
    return Ask(parse_reference("models:/digits/7@production"), desk.model, (certificate,))


@pytest.mark.parametrize("name", ["policy.toml", "release.pub"])
def test_a_missing_or_unreadable_policy_or_key(desk: Desk, name: str) -> None:
    path = desk.policy_path.with_name(name)
    data = path.read_bytes()
    path.unlink()
    assert [reason.code for reason in judge(desk.policy_path, ask(desk)).reasons] == ["VF6001"]
    path.mkdir()
    assert [reason.code for reason in judge(desk.policy_path, ask(desk)).reasons] == ["VF6001"]
    path.rmdir()
    path.write_bytes(b"\xff\xfe" + data)
    assert judge(desk.policy_path, ask(desk)).permitted is False


def test_a_policy_beside_the_model_is_none(desk: Desk) -> None:
    for path in desk.policy_path.parent.iterdir():
        (desk.model / path.name).write_bytes(path.read_bytes())
    decision = judge(desk.model / "policy.toml", ask(desk))
    assert [reason.code for reason in decision.reasons] == ["VF6004"]


def test_protected_names_ignore_case_and_form() -> None:
    protected = Protected(models=("prod.*", "digits"), aliases=("production", "live-*"), stages=("Production",))
    assert protected.alias("Digits", "PRODUCTION")
    assert protected.alias("prod.letters", "live-eu")
    assert protected.alias("digits", "ｐroduction")
    assert not protected.alias("letters", "production")
    assert not protected.alias("digits", "staging")
    assert protected.stage("digits", "production")
    assert not protected.versions("digits")


def test_versions_compare_as_numbers() -> None:
    assert version_numbers("0.10.0") > version_numbers("0.9")
    assert version_numbers("1.0") == version_numbers("1")
    assert version_numbers("1.0rc1") == version_numbers("") == ()


@pytest.mark.parametrize(
    "text",
    ["models:/digits", "digits/7", "models:/digits/0", "models:/a/b/7", "models:/../7", "models:/x/7@", "models:/x/07"],
)
def test_references_that_are_none(text: str) -> None:
    with pytest.raises(GateError) as caught:
        parse_reference(text)
    assert caught.value.code == "VF6031"


@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_fuzzed_policies_are_refused_or_a_policy(desk: Desk, data: st.DataObject) -> None:
    """Any edit of the bytes gives a policy or VF6001/VF6002, never another error; and never drops a demand unseen."""
    text = desk.policy_path.read_bytes()
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 30)))
    new = data.draw(
        st.one_of(st.binary(max_size=12), st.sampled_from([b"", b"true", b"0", b"[]", b'"*"', b"\n[[require]]\n"]))
    )
    changed = text[:start] + new + text[end:]
    try:
        policy = parse_policy(changed, desk.policy_path)
    except GateError as error:
        assert error.code in ("VF6001", "VF6002")  # noqa: PT017 - one of two codes
        return
    assert policy.signers.keys
    assert policy.requirements
    assert all(item.property.startswith("sha256:") and item.inputs >= 1 for item in policy.requirements)
    assert policy.signers.threshold >= 1
