"""What the release gate costs: a decision, hashing, and the plugin on calls that it does not protect."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks.records import Record, interleaved, machine
from tests.gate.desk import NOW, REFERENCE, Desk, make_desk
from tests.gate.mlflow_server import Server, serve
from verifluxa.certificate.statement import Subject
from verifluxa.gate.files import measure, take
from verifluxa.gate.mlflow_plugin.guard import GUARDS, Guard, install
from verifluxa.gate.reference import parse_reference
from verifluxa.gate.run import Ask, judge

NAME = "gate"
SIZE = 100 * 2**20
REPEATS = 7
CALLS = 60


def run(small: bool = False) -> list[Record]:
    """Each against the least that could be done instead."""
    size, repeats = (2**20, 1) if small else (SIZE, REPEATS)
    with tempfile.TemporaryDirectory() as folder:
        desk, ask = _desk(Path(folder), size)
        records = [*_decision(desk, ask, repeats), _hashing(desk, size, repeats), _guard(desk, repeats)]
    return records if small else [*records, _plugin()]


def _desk(folder: Path, size: int) -> tuple[Desk, Ask]:
    """A permitted promotion of a model with one large file."""
    desk = make_desk(folder)
    (desk.model / "clean.jld2").write_bytes(os.urandom(size))
    subjects = tuple(Subject(name, digest) for name, digest in measure(desk.model).digests.items())
    certificate = folder / "certificate.dsse.json"
    certificate.write_bytes(desk.signed(replace(desk.statement, subjects=subjects)))
    return desk, Ask(parse_reference(REFERENCE), desk.model, (certificate,))


def _decision(desk: Desk, ask: Ask, repeats: int) -> list[Record]:
    def decided() -> None:
        if not judge(desk.policy_path, ask, now=NOW).permitted:
            raise RuntimeError("the gate denies what it should permit")

    def copied() -> None:
        with tempfile.TemporaryDirectory() as folder:
            take(desk.model, Path(folder) / "copy")

    whole, copying = interleaved([lambda: _seconds(decided), lambda: _seconds(copied)], repeats)
    peer = "copying and hashing the files alone"
    case = f"{sum(path.stat().st_size for path in desk.model.iterdir()) >> 20} MB model, no recheck"
    beyond = Record(NAME, case, "seconds of a decision beyond copying and hashing", whole - copying)
    return [
        Record(NAME, case, "seconds of a recorded decision", whole, peer, copying, copying / whole, repeats, machine()),
        replace(beyond, repeats=repeats, machine=machine()),
    ]


def _hashing(desk: Desk, size: int, repeats: int) -> Record:
    data = (desk.model / "clean.jld2").read_bytes()
    ours, theirs = interleaved(
        [lambda: _seconds(lambda: measure(desk.model)), lambda: _seconds(lambda: hashlib.sha256(data))], repeats
    )
    what = "MB per second of hashing"
    rates = size / 2**20 / ours, size / 2**20 / theirs
    peer = "SHA-256 of the same bytes in memory"
    return Record(
        NAME, f"{size >> 20} MB model", what, rates[0], peer, rates[1], rates[0] / rates[1], repeats, machine()
    )


def _guard(desk: Desk, repeats: int) -> Record:
    """What the guard itself adds to an unprotected call of the store, without any server."""

    class Plain:
        def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
            pass

    class Guarded(Plain):
        pass

    for name in GUARDS:
        setattr(Guarded, name, getattr(Guarded, name, lambda self: None))
    install(Guarded, Guard(desk.policy_path))

    def calls(store: Plain) -> float:
        return _seconds(lambda: [store.set_registered_model_alias("digits", "staging", "1") for _ in range(CALLS)])

    ours, theirs = interleaved([lambda: calls(Guarded()), lambda: calls(Plain())], repeats)
    what = "milliseconds that the guard adds to an unprotected call"
    return Record(NAME, "the store's method", what, 1e3 * (ours - theirs) / CALLS, repeats=repeats, machine=machine())


def _plugin() -> Record:
    """The same unprotected call on two servers, in turns."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        desks = [make_desk(Path(one)), make_desk(Path(two))]
        with (
            serve(desks[0].root, desks[0].policy_path) as ours,
            serve(desks[1].root, desks[1].policy_path, plugin=False) as theirs,
        ):
            for server in (ours, theirs):
                server.register("digits", {"clean.jld2": b"weights"})
            with_plugin, without = interleaved([lambda: _call(ours), lambda: _call(theirs)], CALLS)
    what, peer = "milliseconds of setting an unprotected alias", "MLflow 3.17.2 without the plugin"
    ratio = without / with_plugin
    return Record(NAME, "one HTTP call", what, 1e3 * with_plugin, peer, 1e3 * without, ratio, CALLS, machine())


def _call(server: Server) -> float:
    body = {"name": "digits", "alias": "staging", "version": "1"}

    def call() -> None:
        if server.registry("POST", "registered-models/alias", body).status != 200:
            raise RuntimeError("the call failed")

    return _seconds(call)


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
