"""The summary in the terminal, as people read it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from result_fakes import certified_outcomes, per_input_outcomes, result_of

from verifluxa.report.blocks import blocks
from verifluxa.report.summary import HELP, summary
from verifluxa.verdict import Reason


def text(result, out=None) -> str:
    return "\n".join(line.words for line in summary(result, out))


def test_certified(problem, snapshot):
    assert text(result_of(problem, certified_outcomes())) == snapshot


def test_certified_with_a_folder_says_how_to_check_it(problem):
    lines = text(result_of(problem, certified_outcomes()), Path("out")).splitlines()
    assert lines[-1] == "next: verifluxa cert check out/certificate.json"


def test_falsified(problem, falsified, snapshot):
    assert text(result_of(problem, falsified)) == snapshot


def test_falsified_with_a_folder(problem, falsified, snapshot):
    assert text(result_of(problem, falsified), Path("build/out")) == snapshot


def test_unknown(problem, open_outcomes, snapshot):
    assert text(result_of(problem, open_outcomes)) == snapshot


def test_per_input(per_input_problem, snapshot):
    result = result_of(per_input_problem, per_input_outcomes(per_input_problem), ())
    with_bound = replace(result.properties[0], population=("0.98741", "0.95"))
    assert text(replace(result, properties=(with_bound,))) == snapshot


@pytest.mark.parametrize("reason", Reason)
def test_there_is_advice_for_every_reason(reason):
    assert HELP[reason]


def test_blocks_show_rows_as_rows(snapshot):
    trigger = np.array([[[0.0, 128.0, 255.0], [255.0, 64.0, 0.0]]])
    assert "\n".join(blocks(trigger, (9, 10), (0.0, 255.0))) == snapshot


def test_blocks_of_colours_and_of_large_patches(snapshot):
    trigger = np.arange(12.0).reshape(3, 2, 2)
    assert "\n".join(blocks(trigger, (0, 0), (0.0, 12.0))) == snapshot
    assert blocks(np.zeros((1, 40, 40)), (0, 0), (0.0, 1.0)) == ["(40 x 40 pixels; see the pictures)"]


def test_a_trigger_whose_levels_are_all_fixed_is_still_drawn():
    assert blocks(np.full((1, 1, 1), 7.0), (0, 0), (7.0, 7.0))[1].split() == ["0", "██", "7"]
