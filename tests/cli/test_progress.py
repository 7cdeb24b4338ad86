"""Live progress: words beside the bar, one bar at a time, nothing where there is no terminal."""

import io
from fractions import Fraction

import pytest
from rich.console import Console
from rich.progress import Progress

from verifluxa.cli.progress import _Bars, progress, words
from verifluxa.dispatch.observe import Progress as RunProgress
from verifluxa.dispatch.observe import Silent


def progress_of(**changed) -> RunProgress:
    values = {
        "name": "few",
        "stage": "prove",
        "total": 6760,
        "attacked": 676,
        "placements": 676,
        "certified": 5120,
        "falsified": 0,
        "unknown": 0,
        "found": Fraction(0),
        "elapsed": 3.0,
        "left": None,
    }
    return RunProgress(**{**values, **changed})


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, "certified"),
        ({"found": Fraction(1, 3), "left": 59.6}, "certified, found 33.3 %, budget 60 s"),
        ({"stage": "attack", "certified": 0, "falsified": 2}, "2 falsified"),
        ({"unknown": 7}, "5,120 certified, 7 unknown"),
    ],
)
def test_words_beside_the_bar(changed, expected):
    assert words(progress_of(**changed)) == expected


def test_only_the_current_stage_is_shown():
    screen = io.StringIO()
    bars = Progress(console=Console(file=screen))
    view = _Bars(bars)
    view.update(progress_of(stage="attack", attacked=64, certified=0))
    view.update(progress_of())
    assert [(task.description, task.completed, task.visible) for task in bars.tasks] == [
        ("attack", 64, False),
        ("prove ", 5120, True),
    ]
    assert screen.getvalue() == "few\n"


def test_without_a_terminal_nothing_is_drawn(capsys):
    with progress() as observer:
        assert isinstance(observer, Silent)
        observer.update(progress_of())
    assert capsys.readouterr().err == ""
