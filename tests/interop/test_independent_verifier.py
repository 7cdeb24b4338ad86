"""Exported questions get the same verdict from other verifiers, in the environments that `make bench` makes.

Skipped where an environment is not there: nothing is installed by a test. The table of the larger comparison is
**peers** in docs/benchmarks.md.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.bench_peers import PEERS, Answered, Peer, _contradict, _ours, _read, _theirs
from benchmarks.peers.environment import PLACE
from tests.soundness.language import HEAD, World, declare, images, net
from verifluxa.cli.export_command import Folder

CLAIM = "property p { forall x in eval, t in bar assert class(digits(t(x))) == label(x) }"
COUNT = 6


def answers(
    peer: Peer, folder: Path, seed: int, encode: str, hidden: int
) -> list[tuple[str, Answered, Answered, bool]]:
    """Question by question: its files, our answer, theirs, and whether they contradict each other."""
    world = World(folder)
    network, inputs = net(seed, 3, hidden), images(seed, 4)
    world.model("digits", network)
    classes = [int(np.argmax([float(value) for value in network(image.astype(object))])) for image in inputs]
    world.data(inputs, classes)
    spec = HEAD + declare("digits", "class(3)").replace("encode = level", f"encode = {encode}") + CLAIM
    problem = next(world.results(spec)).problem
    assert problem is not None
    list(Folder(folder / "out", 1, 1, 60).write(problem, COUNT))
    lines = (folder / "out" / "instances.csv").read_text(encoding="utf-8").splitlines()
    files = [line.split(",")[:2] for line in lines]
    asked = [_read(folder / "out", *pair) for pair in files]
    ours, theirs = [_ours(folder / "out", *pair) for pair in files], _theirs(peer, folder / "out", len(files))
    wrong = [_contradict(*three) for three in zip(ours, theirs, asked, strict=True)]
    return list(zip(map(" ".join, files), ours, theirs, wrong, strict=True))


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name.split()[0])
def test_the_same_verdicts(peer: Peer, tmp_path: Path) -> None:
    """Twelve questions, two networks; both verdicts occur, and neither side contradicts the other."""
    if not (PLACE / peer.environment / ".installed").exists():
        pytest.skip(f"the environment of {peer.name} is not there: make bench ONLY=peers")
    found = []
    for seed, encode, hidden in ((3, "level", 6), (8, "(level - 1) / 3", 8)):
        (tmp_path / str(seed)).mkdir()
        (tmp_path / str(seed) / "out").mkdir()
        found += answers(peer, tmp_path / str(seed), seed, encode, hidden)
    assert len(found) == 2 * COUNT
    for files, ours, theirs, wrong in found:
        assert ours.word in ("sat", "unsat"), files
        assert theirs.word in ("sat", "unsat"), (files, theirs)
        assert not wrong, (files, ours, theirs)
    assert {ours.word for _, ours, _, _ in found} == {"sat", "unsat"}
