"""Pictures: the right pixels at the right place, readable labels, valid PNG."""

import io

import numpy as np
import pytest
from PIL import Image
from result_fakes import image_problem

from verifluxa.question import Question
from verifluxa.report.pictures import (
    ALARM,
    Caption,
    Corner,
    Example,
    Levels,
    Scene,
    before_after_picture,
    choose,
    pictures,
    png,
    trigger_picture,
)

LEVELS = Levels(0.0, 255.0)
CAPTION = Caption("Trigger", "what it does")


def counts(image: Image.Image) -> dict[tuple[int, ...], int]:
    return {colour: count for count, colour in image.getcolors(1 << 24)}


def test_each_level_fills_one_cell_of_its_own_grey():
    trigger = np.array([[[10.0, 60.0], [120.0, 200.0], [220.0, 30.0]]])
    image = trigger_picture(trigger, Corner(3, 5), LEVELS, CAPTION)
    found = counts(image)
    sizes = [found[(grey, grey, grey)] for grey in (10, 60, 120, 200, 220, 30)]
    assert min(sizes) > 10_000
    assert max(sizes) / min(sizes) < 1.1


def test_rows_go_down_and_columns_go_right():
    trigger = np.array([[[250.0, 130.0, 40.0]]])
    pixels = np.asarray(trigger_picture(trigger, Corner(0, 0), LEVELS, CAPTION))[:, :, 0]
    centre = [int(np.mean(np.nonzero(pixels == grey)[1])) for grey in (250, 130, 40)]
    assert centre == sorted(centre)
    tall = np.asarray(trigger_picture(trigger.transpose(0, 2, 1), Corner(0, 0), LEVELS, CAPTION))[:, :, 0]
    centre = [int(np.mean(np.nonzero(tall == grey)[0])) for grey in (250, 130, 40)]
    assert centre == sorted(centre)


def test_colours_are_red_green_blue():
    trigger = np.array([[[255.0]], [[100.0]], [[0.0]]])
    assert counts(trigger_picture(trigger, Corner(0, 0), LEVELS, CAPTION))[(255, 100, 0)] > 1_000


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_any_number_of_channels_is_drawn(channels):
    trigger = np.full((channels, 2, 2), 128.0)
    image = trigger_picture(trigger, Corner(0, 0), LEVELS, CAPTION)
    assert Image.open(io.BytesIO(png(image))).size == image.size


def test_large_triggers_stay_small_pictures():
    image = trigger_picture(np.zeros((1, 28, 28)), Corner(0, 0), LEVELS, CAPTION)
    assert max(image.size) < 1_500


def test_inputs_before_and_after_with_the_trigger_outlined():
    before = np.zeros((1, 28, 28))
    after = before.copy()
    after[:, 2:4, 20:25] = 200.0
    examples = [Example(7, before, after, "3", "5"), Example(9, before, after, "4", "4")]
    image = before_after_picture(examples, (2, 5), Corner(2, 20), LEVELS, CAPTION)
    scale = 224 // 28
    assert counts(image)[(200, 200, 200)] == 2 * (2 * scale) * (5 * scale)
    red = np.argwhere((np.asarray(image) == np.array(ALARM)).all(axis=2))
    lower_half = red[red[:, 0] > image.height // 2]
    assert len(lower_half) > 2 * 2 * (2 + 5) * scale


def test_examples_come_from_different_classes_first():
    assert choose([3, 3, 1, 2, 1], most=4) == [2, 3, 0, 1]
    assert choose([], most=4) == []
    assert choose([5, 5, 5], most=2) == [0, 1]


def test_the_pictures_of_a_scene():
    problem = image_problem()
    after = problem.inputs[:2].copy()
    after[:, 0, 2:4, 0:3] = 255.0
    scene = Scene(
        problem,
        Question(1, 0, 0, 2),
        np.full((1, 2, 3), 255.0),
        (0, 1),
        problem.inputs[:2],
        after,
        (("0", "1"), ("0", "1")),
        "2 of 3",
    )
    files = pictures(scene)
    assert list(files) == ["trigger.png", "inputs.png"]
    for data in files.values():
        assert Image.open(io.BytesIO(data)).format == "PNG"
