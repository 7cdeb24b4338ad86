"""The gate's memory: what was changed, left out, moved or cut off is noticed, and then nothing is permitted."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.gate.desk import Desk
from verifluxa.errors import GateError
from verifluxa.gate.log import START, check_contains, read_log
from verifluxa.gate.reference import parse_reference
from verifluxa.gate.run import Ask, judge


def ask(desk: Desk, action: str = "decide") -> Ask:
    certificate = desk.root / "certificate.dsse.json"
    certificate.write_bytes(desk.signed())
    return Ask(parse_reference("models:/digits/7@production"), desk.model, (certificate,), action=action)


@pytest.fixture
def log(desk: Desk) -> Path:
    """A log with three decisions, the last of them a denial."""
    judge(desk.policy_path, ask(desk))
    judge(desk.policy_path, ask(desk, "promote"))
    (desk.model / "extra").touch()
    judge(desk.policy_path, ask(desk))
    (desk.model / "extra").unlink()
    return desk.policy_path.with_name("decisions.jsonl")


def test_every_decision_is_a_line(desk: Desk, log: Path) -> None:
    history = read_log(log)
    # The desk's certificate is of its own time, and this runs today: what counts is that all is recorded.
    assert [entry.action for entry in history.entries] == ["decide", "promote", "decide"]
    assert [entry.words["index"] for entry in history.entries] == [0, 1, 2]
    assert "VF6012" in str(history.entries[2].words["reasons"])
    assert read_log(log.with_name("no.jsonl")).head == START


def edit(change: Callable[[list[bytes]], list[bytes]]) -> Callable[[Path], None]:
    def apply(log: Path) -> None:
        log.write_bytes(b"".join(change(log.read_bytes().splitlines(keepends=True))))

    return apply


TAMPERED: dict[str, Callable[[Path], object]] = {
    "a word changed": edit(lambda lines: [lines[0].replace(b"decide", b"promote"), *lines[1:]]),
    "a denial made a permission": edit(lambda lines: [*lines[:2], lines[2].replace(b"false", b"true")]),
    "the first line left out": edit(lambda lines: lines[1:]),
    "a line left out": edit(lambda lines: [lines[0], lines[2]]),
    "the last line cut off": edit(lambda lines: lines[:2]),
    "two lines swapped": edit(lambda lines: [lines[1], lines[0], lines[2]]),
    "a line twice": edit(lambda lines: [*lines, lines[2]]),
    "half a line": edit(lambda lines: [*lines[:2], lines[2][:20]]),
    "no line end": edit(lambda lines: [*lines[:2], lines[2].rstrip()]),
    "rubbish": edit(lambda lines: [*lines, b"{}\n"]),
    "all gone": lambda log: log.unlink(),
    "emptied": lambda log: log.write_bytes(b""),
    "the head gone": lambda log: log.with_name(log.name + ".head").unlink(),
    "the head changed": lambda log: log.with_name(log.name + ".head").write_text(f"2 {START}\n"),
    "a folder in its place": lambda log: (log.unlink(), log.mkdir()),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_tampering_is_noticed_and_denies(desk: Desk, log: Path, name: str) -> None:
    TAMPERED[name](log)
    with pytest.raises(GateError) as caught:
        read_log(log)
    assert caught.value.code == "VF6070"
    decision = judge(desk.policy_path, ask(desk))
    assert [reason.code for reason in decision.reasons] == ["VF6070"]


def test_a_log_that_was_rewritten_whole_lacks_a_head_that_was_kept(desk: Desk, log: Path) -> None:
    kept = read_log(log).head
    check_contains(log, kept)
    for path in (log, log.with_name(log.name + ".head")):
        path.unlink()
    judge(desk.policy_path, ask(desk))
    with pytest.raises(GateError):
        check_contains(log, kept)


def test_a_decision_that_cannot_be_recorded_is_a_denial(desk: Desk) -> None:
    desk.policy(lambda text: 'log = "no/such/folder/log.jsonl"\n' + text)
    decision = judge(desk.policy_path, ask(desk))
    assert [reason.code for reason in decision.reasons] == ["VF6070"]


def _decide(root: str, times: int) -> None:
    desk = Desk(Path(root), None, {})  # type: ignore[arg-type]
    asked = Ask(parse_reference("models:/digits/7@production"), desk.model, (desk.root / "certificate.dsse.json",))
    for _ in range(times):
        judge(desk.policy_path, asked)


def test_processes_do_not_break_each_others_chain(desk: Desk) -> None:
    ask(desk)
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_decide, args=(str(desk.root), 5)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(read_log(desk.policy_path.with_name("decisions.jsonl")).entries) == 15
