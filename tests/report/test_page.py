"""Pages as text: they need nothing, escape everything, say what is missing, and stay small."""

import contextlib
import json
import re
import shlex
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from page_tools import Reader, changed, many_places, nodes, put

from verifluxa.errors import UnsupportedError, VerifluxaError
from verifluxa.report.page.compare import comparison
from verifluxa.report.page.page import page, verify_command
from verifluxa.report.page.style import DARK, DARK_HEAT, DARK_INK, INK, LIGHT, LIGHT_HEAT, LIGHT_INK
from verifluxa.report.story import account

EVIL = "\"><img src=x onerror=alert(1)><script>alert(2)</script>\u202e\x1b[2J\ud800'&amp;"


def told(path: Path) -> str:
    return page(account(path))


@pytest.mark.parametrize("name", ["goals", "fashion", "reviews", "credit"])
def test_a_page_needs_nothing_else(results, name):
    text = told(results[name])
    reader = Reader(text)
    assert not reader.named("script")
    assert not reader.named("link")
    attributes = [pair for _, given in reader.elements for pair in given.items()]
    addresses = [value for key, value in attributes if key in ("href", "src")]
    assert all(value.startswith(("data:image/png;base64,", "#")) for value in addresses)
    assert not [key for key, _ in attributes if key.startswith("on") or key == "style"]
    identities = [value for key, value in attributes if key == "id"]
    assert len(identities) == len(set(identities))
    (policy,) = [item["content"] for item in reader.named("meta") if "http-equiv" in item]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


def test_a_page_tells_the_whole_story_of_a_refuted_property(results):
    words = Reader(told(results["fashion"])).text
    for part in (
        "Refuted: one and the same trigger misleads 78 of 78 inputs (100.0 %), allowed are 50 %.",
        "At row 1, column 23: 78 of 78 (100.0 %) go to class Sandal",
        "Evaluated again for this page on the network as deployed: 78 of 78 inputs violate, as the result says.",
        "Which pixels of the trigger matter",
        "Inputs before and after",
        "From which class to which",
        "Which places carry the risk",
        "Inputs that do not count",
        "not correct",
        "What is assumed",
        "verifluxa cert check",
        "verifluxa replay",
        "Digests",
        json.loads(results["fashion"].read_text())["models"][0]["sha256"].removeprefix("sha256:"),
    ):
        assert part in words, part


def test_texts_and_tables_show_their_words_and_combinations(results):
    texts, table = (Reader(told(results[name])).text for name in ("reviews", "credit"))
    assert "The strongest of all 2,000 triggers at position 0" in texts
    assert "chateau 77 of 85 (90.6 %)" in texts
    assert "The strongest of all 40 triggers at purpose, installment_rate" in table
    assert "purpose = car_used, installment_rate = 1 35 of 37 (94.6 %)" in table


def evil(document: dict) -> None:
    item = document["properties"][0]
    item["name"] = item["statement"] = EVIL
    document["machine"]["cluster"] = document["strategy"]["name"] = document["models"][0]["name"] = EVIL
    document["spec"]["path"] = document["models"][0]["path"] = EVIL.replace("\ud800", "")
    document["data"][0]["excluded"] = [{"index": 1, "reason": EVIL}]
    item["places"] = [{"placement": {EVIL: 3}, "target": None, "found": "1/3", "proved": "2/3"}]
    item["counterexample"]["words"] = [EVIL]
    item["unknown"] = [{"question": EVIL, "reason": "time"}]
    item["stages"] = {EVIL: 1.0}


def test_nothing_from_a_file_is_taken_for_markup(results, tmp_path):
    hostile = changed(results["fashion"], tmp_path / "result.json", evil)
    for text in (told(hostile), comparison(account(hostile), account(hostile))):
        reader = Reader(text)
        assert not reader.named("script")
        assert not [item for item in reader.named("img") if item.get("src") == "x"]
        assert "\u202e" not in text
        assert "\x1b" not in text
        assert "<U+202E>" in reader.text
        text.encode("utf-8")


def test_very_long_names_are_cut(results, tmp_path):
    def long(document: dict) -> None:
        document["properties"][0]["name"] = "x" * 300_000
        document["models"][0]["path"] = "x" * 4_000

    assert len(told(changed(results["fashion"], tmp_path / "result.json", long))) < 400_000


def off_the_grid(value: dict) -> None:
    value["properties"][0]["counterexample"]["trigger"][0][0] = 0.5


MISSING = {
    "the spec is gone": lambda value: value["spec"].update(path="gone.vfx"),
    "the spec is another one": lambda value: value["spec"].update(sha256="sha256:" + "0" * 64),
    "the model is gone": lambda value: value["models"][0].update(path="gone.jld2"),
    "the model is another one": lambda value: value["models"][0].update(sha256="sha256:" + "0" * 64),
    "the trigger is off the grid": off_the_grid,
}


@pytest.mark.parametrize("reason", MISSING)
def test_what_cannot_be_derived_is_said_and_not_made_up(results, tmp_path, reason):
    words = Reader(told(changed(results["fashion"], tmp_path / "result.json", MISSING[reason]))).text
    assert "Not shown here: inputs before and after" in words
    assert re.search(r", VF\d{4}[.;]", words)
    assert "It was not evaluated again for this page." in words
    assert "Which pixels of the trigger matter" not in words
    assert "78 of 78" in words


def test_a_trigger_that_does_not_do_what_the_result_says_is_called_out(results, tmp_path):
    def weaker(value: dict) -> None:
        value["properties"][0]["counterexample"]["trigger"] = [[0] * 4] * 4

    words = Reader(told(changed(results["fashion"], tmp_path / "result.json", weaker))).text
    assert "This does NOT reproduce what the result says." in words


def test_a_large_result_makes_a_small_page(results, tmp_path):
    text = told(changed(results["goals"], tmp_path / "result.json", many_places))
    assert len(text.encode()) < 2_000_000
    titles = re.findall(r"<title>(row \d+, column \d+: found \d+ of 100 [^<]*)</title>", text)
    assert len(titles) == 2 * 676
    assert titles[0].startswith("row 0, column 0: found 9 of 100")


def test_a_result_that_is_too_large_is_refused(results, tmp_path):
    def many(value: dict) -> None:
        value["properties"] = [{**value["properties"][0], "name": f"p{n}"} for n in range(201)]

    with pytest.raises(UnsupportedError) as caught:
        account(changed(results["goals"], tmp_path / "result.json", many))
    assert caught.value.code == "VF7011"


def test_a_comparison_says_what_changed(results):
    words = Reader(comparison(account(results["fashion_clean"]), account(results["fashion"]))).text
    for part in (
        "From A to B the verdict changed: certified, then falsified.",
        "model clothes",
        "The same in both: spec, data eval",
        "Where the strongest trigger found changed most",
        "row 1, column 23 Sandal",
        "How to do it again and check it: A",
        "How to do it again and check it: B",
    ):
        assert part in words, part
    same = Reader(comparison(account(results["fashion"]), account(results["fashion"]))).text
    assert "No verdict changed between A and B: falsified in both." in same


def test_different_questions_are_not_passed_off_as_one(results, tmp_path):
    other = changed(
        results["fashion"], tmp_path / "result.json", lambda v: v["properties"][0].update(digest="sha256:" + "0" * 64)
    )
    assert "did not ask the same" in Reader(comparison(account(results["fashion"]), account(other))).text


def test_results_with_nothing_in_common_are_not_compared(results):
    with pytest.raises(UnsupportedError) as caught:
        comparison(account(results["fashion"]), account(results["credit"]))
    assert caught.value.code == "VF7012"


def test_the_command_on_the_page_does_the_same_run(results, tmp_path, capsys):
    from verifluxa.cli.main import run

    command = shlex.split(verify_command(account(results["credit"])))
    assert command[:2] == ["verifluxa", "verify"]
    assert command[-3:] == ["--out", str(results["credit"].parent), "--force"]
    assert run([*command[1:-2], str(tmp_path / "again")]) == 1
    capsys.readouterr()
    before, after = (json.loads(path.read_text()) for path in (results["credit"], tmp_path / "again" / "result.json"))
    for document in (before, after):
        for item in document["properties"]:
            item["stages"], item["seconds"] = {}, 0
    assert before == after


def test_the_command_line(results, tmp_path, capsys):
    from verifluxa.cli.main import run

    first, second = results["fashion_clean"], results["fashion"]
    assert run(["report", str(first)]) == 0
    assert capsys.readouterr().out == f"written: {first.parent / 'report.html'}\n"
    assert run(["report", str(first), str(second), "-o", str(tmp_path / "both.html")]) == 0
    assert "Verifluxa comparison" in (tmp_path / "both.html").read_text()
    assert run(["report", str(tmp_path / "none.json")]) == 4
    assert "VF3901" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"{}", b"[" * 100_000, b"\xff\xfe", b'{"schema": "verifluxa/result/1"}'])
def test_what_is_no_result_is_one_error(tmp_path, content):
    path = tmp_path / "result.json"
    path.write_bytes(content)
    with pytest.raises(VerifluxaError) as caught:
        account(path)
    assert caught.value.code == "VF3901"


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.sampled_from([EVIL, [], {}, [[]]])
)


@settings(max_examples=50, derandomize=True, deadline=None)
@given(st.data())
def test_whatever_stands_in_a_result_there_is_a_sound_page_or_one_error(results, data):
    document = json.loads(results["fashion"].read_text())
    document["properties"][0]["counterexample"]["inputs"] = [3, 4]
    at = data.draw(st.sampled_from(list(nodes(document))))
    path = results["fashion"].with_name("mutated.json")
    path.write_text(json.dumps(put(document, at, data.draw(VALUES))))
    text = ""
    with contextlib.suppress(VerifluxaError):
        text = told(path)
    assert not Reader(text).named("script")
    text.encode("utf-8")


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, definition of contrast ratio."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(("theme", "heat", "ink"), [(LIGHT, LIGHT_HEAT, LIGHT_INK), (DARK, DARK_HEAT, DARK_INK)])
def test_colours_have_enough_contrast(theme, heat, ink):
    assert all(contrast(colour, INK[look]) >= 4.5 for colour, look in zip(heat, ink, strict=True))
    for name in ("ink", "faint", "certified", "falsified", "unknown", "link"):
        assert contrast(theme[name], theme["paper"]) >= 4.5
        assert contrast(theme[name], theme["panel"]) >= 4.5
    assert contrast(theme["edge"], theme["paper"]) >= 3
