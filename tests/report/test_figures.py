"""The figures on a page against plain evaluation: parts of a trigger, the strongest triggers, maps of places."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from verifluxa.replay import asked_again, stored_inputs
from verifluxa.report.parts import MOST_PARTS, effects
from verifluxa.report.sensitivity import is_map, place_map, ranking, targets_of
from verifluxa.report.story import account
from verifluxa.report.strongest import strongest
from verifluxa.result.read import read_result
from verifluxa.result.result import Place, Share


def test_the_effect_of_a_pixel_is_that_of_the_network_without_it(results):
    story = account(results["fashion"]).stories[0]
    replayed, problem = story.replayed, story.item.problem
    found = effects(replayed, story.space)
    chosen = problem.selections[replayed.question.selection]
    assert len(found.parts) == 16
    for part in found.parts:
        row, column = 1 + part.place[0], 23 + part.place[1]
        images = problem.inputs[chosen].copy()
        images[:, 0, 1:5, 23:27] = np.array(story.found.trigger)
        images[:, 0, row, column] = problem.inputs[chosen][:, 0, row, column]
        outputs = problem.graph.run(images)
        others = np.delete(outputs, 5, axis=1).max(1)
        margins = np.sort(outputs[:, 5] - others)[::-1]
        assert part.words == f"row {row}, column {column}"
        assert part.rate == Share(int((margins > 0).sum()), len(chosen))
        assert part.margin == pytest.approx(margins[replayed.question.threshold - 1])
    assert found.rate.count == 78
    assert found.ranked[0].margin == min(part.margin for part in found.parts)


def test_columns_of_a_table_are_parts_and_inserted_words_are_not(results):
    table, texts = (account(results[name]).stories[0] for name in ("credit", "reviews"))
    assert [part.words for part in effects(table.replayed, table.space).parts] == ["installment_rate", "purpose"]
    assert effects(texts.replayed, texts.space) is None


def test_many_pixels_are_put_together_in_blocks(results):

    from verifluxa.question import AffineInputMap

    story = account(results["fashion"]).stories[0]
    replayed, size = story.replayed, 28 * 28
    whole = AffineInputMap(np.arange(size), np.zeros(size), np.eye(size), np.zeros(size))
    place = replace(replayed.problem.placements[0], stamp=whole)
    problem = replace(replayed.problem, placements=(place,))
    at = replace(replayed, problem=problem, question=replayed.question._replace(placement=0), trigger=np.zeros(size))
    found = effects(at, story.space)
    assert 1 < len(found.parts) <= MOST_PARTS
    assert found.parts[0].size == (3, 3)
    assert found.parts[0].words == "rows 0 to 2, columns 0 to 2"


@pytest.mark.parametrize("name", ["reviews", "credit"])
def test_the_strongest_triggers_are_those_that_replay_finds(results, name):
    from verifluxa.search.replay import replay_trigger
    from verifluxa.search.words import slots_of

    story = account(results[name]).stories[0]
    problem, question = story.item.problem, story.replayed.question
    found = strongest(problem, question, most=3)
    domain = problem.domain_of(question.placement)
    slots = slots_of(problem.placements[question.placement].stamp, domain)
    chosen = range(slots.count) if slots.count < 100 else [*range(0, slots.count, 97), slots.count - 7]
    counts = {
        domain.described(slots.trigger(n)): len(replay_trigger(problem, question, slots.trigger(n)).violated)
        for n in chosen
    }
    assert found.count == slots.count
    assert found.ranked[0].rate.count == story.found.rate.count
    for one in found.ranked:
        assert counts.get(one.words, one.rate.count) == one.rate.count
    assert max(counts.values()) <= found.ranked[0].rate.count


def place(row: int, column: int, target: int, found: int, proved: int) -> Place:
    return Place((("row", row), ("column", column)), target, Share(found, 100), Share(proved, 100))


TIES = ((5, 0, 54), (3, 1, 50), (8, 0, 53))
PLACES = [place(r, c, t, 10 * r + c + t, 50 + 10 * r + c - t) for r in range(4) for c in range(5) for t in (1, 2)]


def test_a_cell_is_the_worst_of_its_targets():
    found = place_map(PLACES, most=100)
    assert is_map(PLACES)
    assert targets_of(PLACES) == [1, 2]
    assert (found.rows, found.columns, found.block) == ((0, 1, 2, 3), (0, 1, 2, 3, 4), 1)
    cell = found.cells[2, 3]
    assert (cell.words, cell.found, cell.proved, cell.target) == ("row 2, column 3", Share(25, 100), Share(72, 100), 2)
    assert found.worst.found == Share(36, 100)


def test_where_nothing_was_found_the_target_is_that_of_which_least_is_proved():
    label = (("row", 1), ("column", 1))
    places = [replace(PLACES[0], placement=label, target=t, found=Share(0, n), proved=Share(p, n)) for t, p, n in TIES]
    (cell,) = ranking(places, most=1)
    assert (cell.target, cell.found, cell.proved) == (3, Share(0, 50), Share(1, 50))


def test_blocks_keep_the_worst_of_their_places():
    found = place_map(PLACES, most=6)
    assert found.block == 2
    assert (found.rows, found.columns) == ((0, 2), (0, 2, 4))
    assert found.cells[1, 2].found.rate == Fraction(36, 100)
    assert max(cell.found.rate for cell in found.cells.values()) == max(item.found.rate for item in PLACES)


def test_a_ranking_has_each_place_once():
    ranked = ranking(PLACES, most=3)
    assert [cell.words for cell in ranked] == ["row 3, column 4", "row 3, column 3", "row 3, column 2"]


def test_a_measured_trigger_is_evaluated_again_as_well(results):
    stored = read_result(results["goals"])
    item = next(entry for entry in stored.properties if entry.name == "how_bad")
    again = asked_again(stored, item, stored_inputs(stored, ["how_bad"]))
    assert item.counterexample is None
    assert again.replayed.reproduced
