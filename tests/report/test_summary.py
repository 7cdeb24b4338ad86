"""The summary in the terminal, as people read it: one screen, in words, with what to do next."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from result_fakes import certified_outcomes, per_input_outcomes, result_of, unknown_outcomes

from verifluxa.report.advice import HELP, advice, duration, longer
from verifluxa.report.summary import PLAIN, Screen, blocks, summary, time_words
from verifluxa.verdict import Reason, Verdict
from verifluxa.verify import verify

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
OUT = Path("build/my run")


def text(result, out=None, screen=None) -> str:
    return "\n".join(line.words for line in summary(result, out, screen))


def timeless(result, folder: Path):
    """The same result without what depends on the machine."""
    still = tuple(replace(item, seconds=1.0, stages={}) for item in result.properties)
    spec = replace(result.spec, path=result.spec.path.removeprefix(f"{folder.parent}/"))
    models = tuple(replace(m, file=replace(m.file, path=Path(m.file.path).name)) for m in result.models)
    data = tuple(replace(d, file=replace(d.file, path=Path(d.file.path).name)) for d in result.data)
    return replace(result, spec=spec, models=models, data=data, properties=still)


def test_certified(problem, snapshot):
    assert text(result_of(problem, certified_outcomes()), OUT) == snapshot


def test_without_a_folder_it_says_what_a_folder_is_for(problem):
    lines = text(result_of(problem, certified_outcomes())).splitlines()
    assert lines[-1].startswith("next: run it with --out DIR")


def test_falsified(problem, falsified, snapshot):
    assert text(result_of(problem, falsified), OUT) == snapshot


def test_unknown(problem, open_outcomes, snapshot):
    assert text(result_of(problem, open_outcomes), OUT) == snapshot


def test_per_input(per_input_problem, snapshot):
    result = result_of(per_input_problem, per_input_outcomes(per_input_problem), ())
    with_bound = replace(result.properties[0], population=("0.98741", "0.95"))
    assert text(replace(result, properties=(with_bound,))) == snapshot


def mixed(problem, falsified, copies: int = 1):
    """A result with properties of all verdicts."""
    parts = [
        result_of(problem, outcomes).properties[0] for outcomes in (certified_outcomes(), falsified, unknown_outcomes())
    ]
    items = [replace(part, name=f"{part.name}_{n}_{part.verdict}") for n in range(copies) for part in parts]
    return replace(result_of(problem, falsified), properties=tuple(items))


def test_mixed(problem, falsified, snapshot):
    assert text(mixed(problem, falsified), OUT) == snapshot


def test_many_properties_still_fit_and_the_worst_ones_stay(problem, falsified, snapshot):
    words = text(mixed(problem, falsified, copies=12), OUT)
    assert words == snapshot
    assert len(words.splitlines()) <= 23
    assert "... and" in words
    assert ": certified" not in words


def test_text(snapshot):
    folder = EXAMPLES / "reviews"
    result = verify(folder / "no_magic_word.vfx", models={"reviews_net": str(folder / "badnets.jld2")})
    # The word does as much anywhere, and how many places are tried before the first answer ends it is a matter of time.
    words = re.sub(r"position \d+:", "position N:", text(timeless(result, folder), OUT))
    assert re.sub(r"\d falsified; \d\d then", "N falsified; N then", words) == snapshot


def test_table(snapshot):
    folder = EXAMPLES / "credit"
    result = verify(folder / "no_magic_combination.vfx", models={"credit_net": str(folder / "badnets.jld2")})
    assert text(timeless(result, folder), OUT) == snapshot


@pytest.mark.parametrize("width", [40, 80, 100])
def test_no_line_but_a_command_is_wider_than_the_screen(problem, falsified, width):
    for result in (mixed(problem, falsified), result_of(problem, falsified), result_of(problem, unknown_outcomes())):
        for line in text(result, OUT, Screen(width=width)).splitlines():
            assert len(line) <= width or " verifluxa " in line or line.startswith("written: ")


def test_it_fits_one_screen(problem, falsified):
    for outcomes in (certified_outcomes(), falsified, unknown_outcomes()):
        result = result_of(problem, outcomes)
        long = replace(result.properties[0], words="No trigger does anything. " * 40)
        assert len(text(replace(result, properties=(long,)), OUT).splitlines()) <= 23


def test_terminals_without_block_characters_get_plain_ones(problem, falsified):
    words = text(result_of(problem, falsified), OUT, Screen(has_blocks=False))
    assert words.isascii()
    assert "--" in words


@pytest.mark.parametrize("reason", Reason)
def test_there_is_advice_for_every_reason(reason):
    assert HELP[reason]


def open_property(problem, closed: int, left: int, seconds: float, reason: Reason = Reason.TIME):
    item = result_of(problem, unknown_outcomes()).properties[0]
    counts = replace(item.counts, total=closed + left, certified=closed, unknown=left)
    unknown = tuple((f"row 2, column {n}, target 1", reason) for n in range(left))
    return replace(
        item, counts=counts, unknown=unknown, seconds=seconds, stages={"attack": 1.0}, closed={"crown": closed}
    )


def test_advice_is_made_of_the_figures_of_the_run(problem):
    item = open_property(problem, closed=100, left=10, seconds=11.0)
    words = "\n".join(advice(item, "balanced"))
    # 100 were closed in 10 s of proving; 10 are left, each 4 times as hard: 4 s, and no less than 10.
    assert longer(item) == 10.0
    assert "10 of 110 questions open (time)" in words
    assert "100 closed in 11 s (10 a second while proving)" in words
    assert "--strategy thorough" in words
    assert longer(open_property(problem, closed=100, left=1000, seconds=11.0)) == 400.0
    assert longer(open_property(problem, closed=0, left=10, seconds=11.0)) is None


def test_a_run_that_may_go_on_is_told_to_resume_with_a_budget_of_its_own(problem):
    result = result_of(problem, unknown_outcomes())
    slow = open_property(problem, closed=100, left=1000, seconds=11.0)
    assert "next: verifluxa resume 'build/my run' --budget 7m" in text(replace(result, properties=(slow,)), OUT)
    weak = replace(open_property(problem, 0, 2, 3.0, Reason.STRATEGY))
    words = text(replace(result, properties=(weak,), strategy=("attack-only", result.strategy[1])), OUT)
    assert "resume" not in words
    assert "--strategy balanced" in words


@pytest.mark.parametrize(("seconds", "words"), [(9.2, "10s"), (119.0, "119s"), (400.0, "7m"), (9000.0, "3h")])
def test_durations_are_rounded_up_as_a_budget_takes_them(seconds, words):
    assert duration(seconds) == words


def test_the_verdict_comes_first_and_says_the_same_as_the_result(problem, falsified):
    result = mixed(problem, falsified)
    assert result.verdict is Verdict.FALSIFIED
    assert text(result).startswith("FALSIFIED  a/spec.vfx")


def test_blocks_show_rows_as_rows(snapshot):
    trigger = np.array([[[0.0, 128.0, 255.0], [255.0, 64.0, 0.0]]])
    assert "\n".join(blocks(trigger, (9, 10), (0.0, 255.0))) == snapshot
    assert "\n".join(blocks(trigger, (9, 10), (0.0, 255.0), PLAIN)).isascii()


def test_blocks_of_colours_and_of_large_patches(snapshot):
    trigger = np.arange(12.0).reshape(3, 2, 2)
    assert "\n".join(blocks(trigger, (0, 0), (0.0, 12.0))) == snapshot
    assert blocks(np.zeros((1, 40, 40)), (0, 0), (0.0, 1.0)) == ["(40 x 40 pixels; see the pictures)"]


def test_a_trigger_whose_levels_are_all_fixed_is_still_drawn():
    assert blocks(np.full((1, 1, 1), 7.0), (0, 0), (7.0, 7.0))[1].split() == ["0", "██", "7"]


def test_seconds_of_questions_that_were_not_finished_are_proving_and_are_named(problem):
    """3.3 s of attack in 159 s is no run that ended in the attack."""
    item = replace(open_property(problem, closed=0, left=10, seconds=159.0), stages={"attack": 3.3}, closed={})
    words = "\n".join(advice(item, "balanced"))
    assert "ended in the attack" not in words
    assert "none of them was closed in 159 s" in words
    assert time_words(item) == "159.0 s (attack 3.3 s; questions that were not finished 155.7 s)"
    early = replace(item, seconds=3.5)
    assert "ended in the attack" in "\n".join(advice(early, "balanced"))
