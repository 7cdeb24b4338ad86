"""What the independent checker does not know it does not vouch for; what it knows it recomputes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soundness.language import HEAD, World, declare, images, net
from verifluxa.certificate.check.run import check_certificate
from verifluxa.cli.verify_command import Presentation, execute
from verifluxa.verify import Request

DIGITS = declare("digits", "class(3)")
CLASS = "class(digits(t1(x)))"
RATE = f"property p {{{{ forall t1 in {{}} assert rate(x in eval : {CLASS} != label(x)) <= 99 % }}}}"

UNKNOWN = {
    "range": declare("digits", "real(3)")
    + "property p { forall x in eval, t1 in dot assert digits(t1(x))[0] <= 1000 }",
    "deviation": declare("digits", "real(3)")
    + "property p { forall x in eval, t1 in dot assert abs(digits(t1(x))[0] - digits(x)[0]) <= 1000 }",
    "measure": DIGITS
    + f"property p {{ measure max rate(x in eval : {CLASS} != label(x)) over t1 in dot within 99 % }}",
    "comparison": DIGITS
    + declare("other", "class(3)").replace("other.", "digits.")
    + "property p { assert max rate of digits <= max rate of other over t1 in dot }",
    "blend": "trigger t : tile { replace 1 px x 1 px at any with 0..3 level blend 10 % }\n" + DIGITS + RATE.format("t"),
    "perturbation": "trigger t : tile { add 1 px x 1 px at any with -1..1 level }\n" + DIGITS + RATE.format("t"),
    "union": "trigger t : tile { one of dot, bar }\n" + DIGITS + RATE.format("t"),
    "around": DIGITS + f"property p {{ forall x in around eval within 1 level, t1 in dot assert {CLASS} in {{0, 1}} }}",
    "sanitiser": DIGITS.replace("encode = level", "encode = clip(level, 0, 3)") + RATE.format("dot"),
}
KNOWN = {
    "strict limit": DIGITS + RATE.format("dot").replace("<= 99", "< 99"),
    "search": DIGITS + f"property p {{ search exists t1 in dot : rate(x in eval : {CLASS} != label(x)) >= 100 % }}",
    "limits": DIGITS
    + f"property p {{ forall t1 in dot, c in {{0, 1}} assert rate(x in eval : {CLASS} == c) <= 99 %, 98 % for {{1}} }}",
}


def checked(folder: Path, text: str) -> tuple[int, object]:
    world = World(folder)
    world.model("digits", net(77, 3))
    world.data(images(4, 3), [0, 1, 0])
    (folder / "s.vfx").write_text(HEAD + text.replace("\\\\n", "\\n"))
    code = execute(Request(str(folder / "s.vfx"), budget=60.0), Presentation(out=folder / "out"))
    return code, check_certificate(folder / "out" / "certificate.json")


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_not_known_is_not_vouched_for(tmp_path: Path, name: str) -> None:
    code, report = checked(tmp_path, UNKNOWN[name])
    assert code in (0, 1, 3)
    assert all(not item.leaves for item in report.properties), "nothing was recomputed"
    assert not report.accepted or any(item.unrechecked for item in report.properties)


@pytest.mark.parametrize("name", KNOWN)
def test_what_is_known_is_recomputed(tmp_path: Path, name: str) -> None:
    code, report = checked(tmp_path, KNOWN[name])
    assert code in (0, 1)
    assert report.accepted, report.reasons
    assert all(not item.unrechecked for item in report.properties)
