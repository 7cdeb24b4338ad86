"""The gate's memory: what was changed, left out, moved or cut off is noticed, and then nothing is permitted."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.gate.desk import NOW, OTHER, Desk
from verifluxa.certificate.document import Json, canonical_json
from verifluxa.errors import GateError
from verifluxa.gate.checkpoint import ORIGIN, Checkpoint, Head, decode, encode, read_signed
from verifluxa.gate.log import Log, read_lines
from verifluxa.gate.log_line import LONGEST, START, line_digest
from verifluxa.gate.reference import parse_reference
from verifluxa.gate.run import Ask, judge

REFERENCE = parse_reference("models:/digits/7@production")


def ask(desk: Desk, action: str = "decide") -> Ask:
    certificate = desk.root / "certificate.dsse.json"
    certificate.write_bytes(desk.signed())
    return Ask(REFERENCE, desk.model, (certificate,), action=action)


@pytest.fixture
def log(desk: Desk) -> Path:
    """A log with three decisions, the last of them a denial."""
    judge(desk.policy_path, ask(desk))
    judge(desk.policy_path, ask(desk, "promote"))
    (desk.model / "extra").touch()
    judge(desk.policy_path, ask(desk))
    (desk.model / "extra").unlink()
    return desk.policy_path.with_name("decisions.jsonl")


def beside(log: Path, suffix: str) -> Path:
    return log.with_name(log.name + suffix)


def refused(log: Path) -> bool:
    try:
        Log(log).verify()
    except GateError as error:
        return error.code == "VF6070"
    return False


def test_every_decision_is_a_line(log: Path) -> None:
    lines = read_lines(log)
    # The desk's certificate is of its own time, and this runs today: what counts is that all is recorded.
    assert [line.action for line in lines] == ["decide", "promote", "decide"]
    assert [line.words["index"] for line in lines] == [0, 1, 2]
    assert "VF6012" in str(lines[2].words["codes"])
    assert Log(log).verify().count == 3
    assert Log(log.with_name("no.jsonl")).verify().head == START


def edit(change: Callable[[list[bytes]], list[bytes]]) -> Callable[[Path], None]:
    def apply(log: Path) -> None:
        log.write_bytes(b"".join(change(log.read_bytes().splitlines(keepends=True))))

    return apply


def in_place(log: Path) -> None:
    """The same size, and the times that a file lets itself be given."""
    status = log.stat()
    with log.open("r+b") as file:
        file.seek(file.read().index(b"decide"))
        file.write(b"server")
    os.utime(log, ns=(status.st_atime_ns, status.st_mtime_ns))


TAMPERED: dict[str, Callable[[Path], object]] = {
    "a word changed": edit(lambda lines: [lines[0].replace(b"decide", b"promote"), *lines[1:]]),
    "a word changed, size and times as before": in_place,
    "a denial made a permission": edit(lambda lines: [*lines[:2], lines[2].replace(b"false", b"true")]),
    "the first line left out": edit(lambda lines: lines[1:]),
    "a line left out": edit(lambda lines: [lines[0], lines[2]]),
    "the last line cut off": edit(lambda lines: lines[:2]),
    "two lines swapped": edit(lambda lines: [lines[1], lines[0], lines[2]]),
    "a line twice": edit(lambda lines: [*lines, lines[2]]),
    "half a line": edit(lambda lines: [*lines[:2], lines[2][:20]]),
    "no line end": edit(lambda lines: [*lines[:2], lines[2].rstrip()]),
    "rubbish": edit(lambda lines: [*lines, b"{}\n"]),
    "a line without an end to its length": edit(lambda lines: [*lines, b"x" * 2**21]),
    "all gone": lambda log: log.unlink(),
    "emptied": lambda log: log.write_bytes(b""),
    "the index gone": lambda log: beside(log, ".index").unlink(),
    "the index emptied": lambda log: beside(log, ".index").write_bytes(b""),
    "the index damaged": lambda log: beside(log, ".index").write_bytes(b"no database" * 1000),
    "a folder in its place": lambda log: (log.unlink(), log.mkdir()),
    "a pipe in its place": lambda log: (log.unlink(), os.mkfifo(log)),
    "an older file put before it": lambda log: beside(log, ".000001").write_bytes(log.read_bytes()),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_tampering_is_noticed_and_denies(desk: Desk, log: Path, name: str) -> None:
    TAMPERED[name](log)
    decision = judge(desk.policy_path, ask(desk))
    assert [reason.code for reason in decision.reasons] == ["VF6070"]
    assert refused(log)


def test_an_index_that_says_something_else_is_noticed_by_verify(desk: Desk, log: Path) -> None:
    with Log(log).held() as held:
        held.index._database.execute("delete from denied")
    assert refused(log)
    Log(log).rebuild()
    assert not refused(log)


def test_a_log_that_was_rewritten_whole_lacks_a_head_that_was_kept(desk: Desk, log: Path) -> None:
    kept = Log(log).verify().head
    assert Log(log).verify(kept).count == 3
    for suffix in ("", ".index"):
        beside(log, suffix).unlink()
    judge(desk.policy_path, ask(desk))
    with pytest.raises(GateError):
        Log(log).verify(kept)


def test_a_decision_that_cannot_be_recorded_is_a_denial(desk: Desk) -> None:
    desk.policy(lambda text: 'log = "no/such/folder/log.jsonl"\n' + text)
    decision = judge(desk.policy_path, ask(desk))
    assert [reason.code for reason in decision.reasons] == ["VF6070"]


def _decide(root: str, times: int) -> None:
    desk = Desk(Path(root), None, {})  # type: ignore[arg-type]
    asked = Ask(REFERENCE, desk.model, (desk.root / "certificate.dsse.json",))
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
    assert Log(desk.policy_path.with_name("decisions.jsonl")).verify().count == 15


# The log by itself.


def record(**changes: Json) -> dict[str, Json]:
    plain: dict[str, Json] = {
        "action": "promote",
        "time": "2026-02-10T12:00:00Z",
        "reference": str(REFERENCE),
        "permitted": True,
        "codes": [],
        "reasons": 0,
        "policy": OTHER,
        "keys": [],
        "certificate": OTHER,
        "timeVerified": "2026-02-10T11:00:00Z",
        "files": OTHER,
        "falsified": [],
        "override": None,
        "serial": 0,
        "decision": OTHER,
        "source": "",
        "counted": 0,
    }
    return {**plain, **changes}


def test_a_log_goes_on_in_a_new_file_and_the_chain_goes_on_with_it(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", segment=2000)
    with log.held() as held:
        for _ in range(20):
            held.append(record(permitted=False))
    older = sorted(path.name for path in tmp_path.glob("log.0*"))
    assert older[:2] == ["log.000001", "log.000002"]
    assert len(older) > 3
    assert log.verify().count == 20
    assert max(path.stat().st_size for path in tmp_path.glob("log*") if "index" not in path.name) <= 2000
    (tmp_path / "log.000002").unlink()
    assert refused(log.path)


def test_lines_are_bounded(tmp_path: Path) -> None:
    with Log(tmp_path / "log").held() as held, pytest.raises(GateError, match="too long"):
        held.append(record(source="x" * LONGEST))


def test_a_log_of_schema_1_is_read_and_goes_on(tmp_path: Path) -> None:
    old: dict[str, Any] = {
        "action": "promote",
        "time": "2026-02-10T12:00:00Z",
        "reference": str(REFERENCE),
        "permitted": True,
        "reasons": [],
        "policy": "none",
        "certificate": OTHER,
        "timeVerified": "2026-02-10T11:00:00Z",
        "keys": [],
        "files": {"a": OTHER},
        "filesDigest": OTHER,
        "verdicts": {OTHER: "falsified"},
        "override": None,
    }
    lines, previous = [], START
    for index in range(3):
        lines.append(canonical_json({**old, "index": index, "previous": previous}))
        previous = line_digest(lines[-1])
    log = tmp_path / "log"
    log.write_bytes(b"\n".join(lines) + b"\n")
    assert refused(log)
    beside(log, ".index").unlink()
    beside(log, ".head").write_text(f"3 {previous}\n")
    assert Log(log).verify().count == 3
    assert not beside(log, ".head").exists()
    with Log(log).held() as held:
        assert held.memory(REFERENCE, OTHER).falsified == {OTHER}
        held.append(record())
    assert Log(log).verify().count == 4


def test_what_a_crash_left_behind_is_taken_in(tmp_path: Path) -> None:
    """Between the line and the index, and in the middle of a line."""
    log = Log(tmp_path / "log")
    with log.held() as held:
        held.append(record())
    kept = beside(log.path, ".index").read_bytes()
    with log.held() as held:
        held.append(record(permitted=False))
    beside(log.path, ".index").write_bytes(kept)
    with log.held() as held:
        assert held.state.count == 2
        assert held.memory(REFERENCE, OTHER).denied
    assert not refused(log.path)
    with log.path.open("ab") as file:
        file.write(b'{"half')
    assert refused(log.path)
    assert log.rebuild().count == 2
    assert not refused(log.path)


def test_what_is_live_is_remembered(tmp_path: Path) -> None:
    log, eight = Log(tmp_path / "log"), "models:/digits/8@production"
    with log.held() as held:
        held.append(record())
        held.confirm(REFERENCE)
        assert [(str(one.reference), other) for one, other in held.live()] == [(str(REFERENCE), None)]
        held.append(record(reference=eight))
        ((now, before),) = held.live("digits")
        assert (now.reference.version, before and before.reference.version) == (8, 7)
        held.append(record(reference=eight, action="changed", permitted=False))
        assert [(one.reference.version, other) for one, other in held.live()] == [(7, None)]
        held.append(record(action="withdrawn"))
        assert held.live() == []
        assert not held.memory(REFERENCE, OTHER).denied
        held.append(record(reference="models:/digits/7@stage:Production"))
        held.append(record(reference="models:/digits/8@stage:Production"))
        assert len(held.live()) == 2
    assert not refused(log.path)


# The checkpoint.


def test_a_checkpoint_elsewhere_notices_what_was_cut_off(tmp_path: Path, desk: Desk) -> None:
    (tmp_path / "elsewhere").mkdir()
    checkpoint = Checkpoint(tmp_path / "elsewhere" / "head", "release gate", desk.keys["officer"])
    log = Log(tmp_path / "log", checkpoint)
    for _ in range(3):
        with log.held() as held:
            held.append(record())
    text = checkpoint.path.read_text()
    assert text.splitlines()[:2] == [ORIGIN + "release_gate", "3"]
    head, who = read_signed(checkpoint.path, [desk.keys["officer"].public_key(), desk.keys["second"].public_key()])
    assert (head.count, len(who)) == (3, 1)
    assert read_signed(checkpoint.path, [desk.keys["second"].public_key()])[1] == ()
    # One line behind is what a crash leaves; a head that never stood there, or a longer log, is not.
    first = Head(1, line_digest(log.path.read_bytes().splitlines()[0]))
    checkpoint.write(first)
    assert log.verify().count == 3
    assert checkpoint.read() == head
    for wrong in (Head(4, head.digest), Head(3, OTHER), Head(2, OTHER), Head(1, head.digest)):
        checkpoint.write(wrong)
        with pytest.raises(GateError):
            log.verify()
    # Log and index rewritten whole, as whoever may write there can.
    checkpoint.write(head)
    for path in (log.path, beside(log.path, ".index")):
        path.unlink()
    with pytest.raises(GateError):
        log.verify()
    checkpoint.path.unlink()
    assert log.verify().count == 0


def test_a_checkpoint_that_is_gone_denies(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", Checkpoint(tmp_path / "head", "gate"))
    with log.held() as held:
        held.append(record())
    log.checkpoint.path.unlink()  # type: ignore[union-attr]
    with pytest.raises(GateError, match="checkpoint is missing"):
        log.verify()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n\n",
        b"a\n1\n\n",
        b"a\n01\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n",
        b"a\n1\nAAAA\n\n",
        b"a\n-1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n",
        b"a\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nmore\n\n",
        b"a\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        b"\xff\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n",
        json.dumps({"count": 1}).encode(),
    ],
)
def test_what_is_no_checkpoint(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(GateError):
        decode(data, "head")
    (tmp_path / "head").write_bytes(data)
    with pytest.raises(GateError):
        Checkpoint(tmp_path / "head", "a").read()


def test_a_checkpoint_of_another_log_is_none(tmp_path: Path) -> None:
    (tmp_path / "head").write_bytes(encode("another", Head(0, START)))
    with pytest.raises(GateError, match="another log"):
        Checkpoint(tmp_path / "head", "gate").read()


def _denials(log: Log, number: int) -> None:
    time = NOW
    with log.held() as held:
        for count in range(number):
            files = f"sha256:{count:064x}"
            held.append(record(permitted=False, files=files, time=f"{time:%Y-%m-%dT%H:%M:%SZ}"))


@pytest.mark.parametrize("number", [300, pytest.param(100_000, marks=pytest.mark.soak)])
def test_many_denials_do_not_change_what_a_decision_looks_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A decision reads no line of the log, however many there are: no file but the last is even opened."""
    log = Log(tmp_path / "log", segment=2**16)
    _denials(log, number)
    read: list[object] = []
    monkeypatch.setattr("verifluxa.gate.log.open_file", read.append)
    with log.held() as held:
        assert held.state.count == number
        assert held.memory(REFERENCE, f"sha256:{number - 1:064x}").denied
        assert not held.memory(REFERENCE, OTHER).denied
        held.append(record(time=f"{NOW + timedelta(minutes=1):%Y-%m-%dT%H:%M:%SZ}"))
    assert read == []
    monkeypatch.undo()
    assert replace(log).verify().count == number + 1
