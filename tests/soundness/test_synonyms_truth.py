"""Ground truth for synonyms and for unions of families of words: every trigger is tried, by its meaning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.soundness.word_problems import LENGTH, NETWORKS, WORDS, Setting, build_problem, violating
from verifluxa.errors import DataError
from verifluxa.lower.families import family
from verifluxa.lower.reading import Reads
from verifluxa.question import Problem, Question
from verifluxa.search.replay import replay_trigger
from verifluxa.spec.spec import TokenSpace, Trigger
from verifluxa.spec.triggers.synonyms import SynonymTrigger
from verifluxa.spec.triggers.union import UnionTrigger
from verifluxa.spec.triggers.words import WordTrigger
from verifluxa.strategy.decide import decide
from verifluxa.strategy.load import load_strategy
from verifluxa.verdict import Verdict

Texts_ = NDArray[np.float64]
SPACE = TokenSpace("text", LENGTH, ("[PAD]", "a", "b", "c", "d", "e"), "vocab.txt", "sha256:0", 0, None, True, False)
SYNONYMS = SynonymTrigger("reword", "text", ((1, 2, 5), (3, 4)))
APPEND = WordTrigger("behind", "text", True, 1, (0,), (1, 4), appends=True)
INSERT = WordTrigger("within", "text", True, 1, (0, 2), (2, 3))
UNION = UnionTrigger("any", "text", (APPEND, SYNONYMS, INSERT))


def asked(kind: str, seed: int, trigger: Trigger, per_input: bool) -> Problem:
    """Texts that end in padding, so that there is room to append."""
    problem = build_problem(Setting(kind, seed, 1, inserts=False, per_input=per_input))
    texts = problem.inputs.copy()
    texts[:, -1] = 0
    labels = problem.graph.run(texts).argmax(1).astype(np.int64)
    placements, domain = family(trigger, SPACE, Reads("float32", texts, "texts.jsonl"))
    return replace(problem, inputs=texts, labels=labels, placements=placements, domain=domain)


def reworded(texts: Texts_, trigger: SynonymTrigger) -> Iterator[tuple[dict[str, int], Texts_]]:
    for words in trigger.sets:
        for word in words:
            for other in words:
                if other != word:
                    yield {"word": word}, np.where(texts == word, other, texts)


def appended(texts: Texts_, trigger: WordTrigger) -> Iterator[tuple[dict[str, int], Texts_]]:
    for word in trigger.words:
        result = texts.copy()
        for row in result:
            row[max((at + 1 for at, token in enumerate(row) if token), default=0)] = word
        yield {"appended": 1}, result


def inserted(texts: Texts_, trigger: WordTrigger) -> Iterator[tuple[dict[str, int], Texts_]]:
    for place in trigger.places:
        for word in trigger.words:
            put = np.full((len(texts), 1), word)
            yield {"position": place}, np.concatenate([texts[:, :place], put, texts[:, place:]], axis=1)[:, :LENGTH]


def meanings(texts: Texts_, trigger: Trigger) -> Iterator[tuple[dict[str, int], Texts_]]:
    """Each trigger of a family as it is meant: its place, and what it makes of the texts."""
    if isinstance(trigger, UnionTrigger):
        for number, member in enumerate(trigger.members):
            for label, made in meanings(texts, member):
                yield {"family": number, **label}, made
    elif isinstance(trigger, SynonymTrigger):
        yield from reworded(texts, trigger)
    elif isinstance(trigger, WordTrigger):
        yield from (appended if trigger.appends else inserted)(texts, trigger)


def truth(problem: Problem, question: Question, trigger: Trigger) -> tuple[int, int]:
    label = dict(problem.placements[question.placement].label)
    strict = loose = 0
    for place, made in meanings(problem.inputs, trigger):
        if place != label:
            continue
        counts = violating(problem, question, made)
        strict, loose = max(strict, counts[0]), max(loose, counts[1])
    return strict, loose


@pytest.mark.parametrize("trigger", [SYNONYMS, UNION], ids=["synonyms", "union"])
@pytest.mark.parametrize("kind", NETWORKS)
def test_every_verdict_is_the_truth(kind: str, trigger: Trigger) -> None:
    seen = set()
    for seed in range(4):
        problem = asked(kind, seed, trigger, per_input=seed % 2 == 0)
        for outcome in decide(problem, list(problem.all_questions()), load_strategy("balanced")):
            strict, loose = truth(problem, outcome.question, trigger)
            need = outcome.question.threshold
            if outcome.verdict is Verdict.CERTIFIED:
                assert loose < need
            elif outcome.verdict is Verdict.FALSIFIED:
                assert strict >= need
                assert outcome.witness is not None
                assert len(replay_trigger(problem, outcome.question, outcome.witness.trigger).violated) >= need
            else:
                assert strict < need <= loose, "only a tie is left open: the networks compute exactly"
            seen.add(outcome.verdict)
    assert {Verdict.CERTIFIED, Verdict.FALSIFIED} <= seen


def test_a_word_is_replaced_wherever_it_stands_and_by_its_own_set_alone() -> None:
    texts = np.array([[1.0, 3, 1, 0], [4, 4, 5, 0], [0, 0, 0, 0]])
    placements, _ = family(SYNONYMS, SPACE, Reads("float32", texts, "texts.jsonl"))
    assert [placement.label for placement in placements] == [(("word", word),) for word in (1, 2, 3, 4, 5)]
    first = placements[0]
    assert first.domain is not None
    assert first.domain.lists[0].points.tolist() == [[2], [5]]
    assert first.domain.described(np.array([5.0])) == ("e for a",)
    made = texts.copy()
    for stamp, own in first.groups(np.arange(3)):
        made[own] = stamp.applied(texts[own], np.array([5.0]))
    assert made.tolist() == [[5, 3, 5, 0], [4, 4, 5, 0], [0, 0, 0, 0]]


def test_a_union_asks_for_room_as_its_members_do() -> None:
    full = np.ones((2, LENGTH))
    with pytest.raises(DataError, match="VF3031"):
        family(UNION, SPACE, Reads("float32", full, "texts.jsonl"))


def test_the_networks_know_all_words() -> None:
    assert len(SPACE.words) == WORDS
