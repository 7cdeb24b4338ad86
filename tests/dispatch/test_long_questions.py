"""Questions that outlast a slice: pieces go out and come back, are lost, too big, stuck, refuted, spent, taken up."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from dispatch_fakes import FakeEngine, grow, marks, problem
from test_ledger import DATA, ORIGIN, DyingPool, Killed, evidence

from verifluxa.dispatch import ledger as ledger_room
from verifluxa.dispatch.collector import NotCovered, check_cover
from verifluxa.dispatch.driver import Answers, Plan, drive
from verifluxa.dispatch.ledger import Ledger
from verifluxa.dispatch.processes import InProcessPool, ProcessPool
from verifluxa.evidence import NOTHING_FOUND, BoxSplit, Counted, Node, Outcome, SlabSplit, Split
from verifluxa.question import Question
from verifluxa.strategy.work import Limits
from verifluxa.verdict import Reason, Verdict

PLAN = Plan(attack_slice=4, prove_slice=2, limits=Limits(1), pieces=3)


def run(engine: FakeEngine, plan: Plan = PLAN) -> Answers:
    return drive(problem(placements=3), InProcessPool(engine), plan)


def counts(answers: Answers) -> Counter[str]:
    return Counter(str(outcome.reason or outcome.verdict) for outcome in answers.outcomes)


@pytest.mark.parametrize("pieces", [1, 2, 3, 64])
def test_pieces_come_together_to_one_tree_that_covers_the_domain(pieces):
    answers = run(FakeEngine(proofs={1: "long"}), Plan(limits=Limits(1), pieces=pieces))
    assert counts(answers) == {"certified": 6}
    long = answers.outcomes[2]
    assert (long.boxes, long.proved, round(long.seconds, 6)) == (127, 1, 12.7)


def test_many_workers_share_one_question():
    pool = ProcessPool(FakeEngine(proofs={0: "long", 2: "long"}), 2)
    try:
        answers = drive(problem(placements=3), pool, Plan(limits=Limits(1)))
    finally:
        pool.close()
    assert counts(answers) == {"certified": 6}


@pytest.mark.parametrize(
    ("deed", "expected"),
    [
        ("find", {"falsified": 1, "certified": 2, "decided": 3}),
        ("stuck", {"precision": 2, "certified": 4}),
        ("memory", {"memory": 2, "certified": 4}),
        ("big", {"certified": 6}),
        ("unsupported", {"unsupported": 2, "certified": 4}),
    ],
)
def test_what_a_piece_says_decides_about_its_question_alone(deed, expected):
    assert counts(run(FakeEngine(proofs={1: "long"}, pieces={(0, 1, 1): deed}))) == expected


def test_a_question_that_spends_its_boxes_is_unknown_nodes():
    answers = run(FakeEngine(proofs={1: "long"}, allowed=Limits(9, 60.0)))
    assert counts(answers) == {"nodes": 2, "certified": 4}
    assert answers.outcomes[2].proved == 4


@pytest.mark.parametrize(
    ("deed", "expected"), [("die once", {"certified": 6}), ("die", {"lost-worker": 2, "certified": 4})]
)
def test_a_piece_whose_worker_dies_is_tried_again_and_costs_only_its_question(tmp_path, deed, expected):
    engine = FakeEngine(proofs={1: "long"}, pieces={(1, 0): deed}, folder=tmp_path)
    pool = ProcessPool(engine, 2)
    try:
        answers = drive(problem(placements=3), pool, Plan(limits=Limits(1), pieces=4))
    finally:
        pool.close()
    assert counts(answers) == expected


def kept(path: Path, engine: FakeEngine, after: int | None = None) -> Answers:
    ledger = Ledger.open(path) if path.exists() else Ledger.create(path, ORIGIN)
    asked = problem(placements=6)
    with ledger:
        ledger.begin(asked, DATA)
        answers = drive(asked, InProcessPool(engine) if after is None else DyingPool(engine, after), PLAN, None, ledger)
        ledger.end(asked)
        return answers


@pytest.mark.parametrize("after", [3, 4, 5, 9, 40, 130, 200])
def test_a_killed_driver_repeats_no_piece_beyond_those_in_flight(tmp_path, after):
    whole, path = tmp_path / "whole.sqlite", tmp_path / "ledger.sqlite"
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    kept(whole, FakeEngine(proofs={1: "long", 4: "long"}))
    with pytest.raises(Killed):
        kept(path, FakeEngine(proofs={1: "long", 4: "long"}, folder=tmp_path / "first"), after)
    again = kept(path, FakeEngine(proofs={1: "long", 4: "long"}, folder=tmp_path / "second"))
    assert counts(again) == {"certified": 12}
    done = len(marks(tmp_path / "first", "piece")) + len(marks(tmp_path / "second", "piece"))
    assert done <= 4 * 126 + 1
    assert evidence(whole, tmp_path / "a.jsonl") == evidence(path, tmp_path / "b.jsonl")
    with Ledger.open(path) as ledger:
        assert ledger.rows("SELECT count(*) FROM piece") == [(0,)]


@pytest.mark.parametrize(
    ("longest", "deep"), [(100, 9), (600, 3), (600, 1)], ids=["begun", "a piece", "the first piece"]
)
def test_what_is_too_long_for_a_ledger_is_begun_anew(tmp_path, monkeypatch, longest, deep):
    """The other pieces of its question would hang in the air, and a run that is taken up would be refused."""
    encoded = ledger_room.encode_grown

    def padded(done):
        return encoded(done) + b" " * (600 if len(done.slice.paths[0]) == deep else 0)

    monkeypatch.setattr(ledger_room, "encode_grown", padded)
    monkeypatch.setattr(ledger_room, "PIECE_LIMITS", replace(ledger_room.PIECE_LIMITS, size=longest))
    path = tmp_path / "ledger.sqlite"
    with pytest.raises(Killed):
        kept(path, FakeEngine(proofs={1: "long"}), 130)
    with Ledger.open(path) as ledger:
        kept_records = ledger.rows("SELECT record FROM begun UNION ALL SELECT record FROM piece")
        assert all(len(record) <= longest for (record,) in kept_records)
    assert counts(kept(path, FakeEngine(proofs={1: "long"}))) == {"certified": 12}


def certified(root: Node) -> Outcome:
    return Outcome(Question(0, 0, 0, 2), Verdict.CERTIFIED, None, NOTHING_FOUND, 1, tree=root)


def split(low: float, high: float, coordinate: int = 0, **first: bool) -> Node:
    return Node(step=Split(BoxSplit(coordinate, low, high), [Node(step=Counted()), Node(step=Counted())]))


def test_a_tree_that_covers_is_taken():
    root = split(100.0, 101.0)
    root.children[0] = split(0.0, 1.0)
    root.children[1] = split(254.0, 254.0)
    check_cover(problem(), certified(root))


@pytest.mark.parametrize(
    "root",
    [
        None,
        Node(),
        split(100.0, 102.0),
        split(100.5, 101.5),
        split(-1.0, 0.0),
        split(255.0, 256.0),
        split(101.0, 100.0),
        split(1.0, 2.0, coordinate=1),
        split(1.0, 2.0, coordinate=-1),
        Node(step=Split(BoxSplit(0, 1.0, 2.0), [Node(step=Counted())])),
        Node(step=Split(BoxSplit(0, 1.0, 2.0), [Node(step=Counted()), Node()])),
        Node(step=Split(SlabSplit(0, 1.0), [Node(step=Counted()), Node(step=Counted())])),
    ],
)
def test_a_tree_that_leaves_something_out_is_no_proof(root):
    with pytest.raises(NotCovered):
        check_cover(problem(), certified(root))


def test_a_gap_further_down_is_seen_too():
    root = split(100.0, 101.0)
    root.children[0] = split(100.0, 101.0)
    with pytest.raises(NotCovered):
        check_cover(problem(), certified(root))


def test_the_fakes_grow_by_halves():
    root = Node()
    grow(problem(), root, ())
    assert root.split == BoxSplit(0, 127.0, 128.0)
    assert Reason.NODES.value == "nodes"
