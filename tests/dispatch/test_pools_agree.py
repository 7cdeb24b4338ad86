"""The same run on every pool: with budgets in boxes the evidence is the same, bit for bit, and it is accepted."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from verifluxa.certificate.check.run import check_certificate
from verifluxa.certificate.evidence_file import read_evidence
from verifluxa.certificate.evidence_lines import Record
from verifluxa.dispatch.observe import Progress, Silent
from verifluxa.run_folder import origin_of, out_folder
from verifluxa.verify import Request, RunContext, carry_out, prepare

DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits"
SPEC = """spec 1
input digit : image(28 px, 28 px, 1 ch) of 0..255 level
model digits : digit -> class(10) {
  file         = "clean.jld2"
  architecture = "architecture.txt"
  layout       = whcn
  encode       = level / 255
}
data eval : digit { file = "mnist_eval.npz"  take = 60 }
trigger patch : digit { replace 3 px x 3 px  at (9, 9), (12, 6)  with 0..255 level }
property universal {
  forall t in patch, target in {3, 5}
  let victims = eval where correct(digits, x) and label(x) != target
  assert rate(x in victims : class(digits(t(x))) == target) <= 5 %
}
"""
STRATEGY = """schema = 1
name = "boxes"
bounds = "native"
seed = 0
[[stage]]
kind = "bound"
method = "crown"
[[stage]]
kind = "branch"
boxes = 400
seconds = 3600.0
clip_rounds = 0
strips = 1
joint = false
"""
KINDS = {
    "one process, questions whole": 'kind = "in-process"',
    "one process, in pieces": 'kind = "in-process"\nslice_boxes = 2\npieces = 3\nprove_slice = 1',
    "two processes, in pieces": 'kind = "processes"\nworkers = 2\nslice_boxes = 3\nprove_slice = 1',
}


def prepared(folder: Path) -> Path:
    """The spec, its files and the strategy, in a folder."""
    for name in ("clean.jld2", "architecture.txt", "mnist_eval.npz"):
        (folder / name).symlink_to(DIGITS / name)
    (folder / "spec.vfx").write_text(SPEC)
    (folder / "boxes.toml").write_text(STRATEGY)
    return folder


def decided(folder: Path, name: str, cluster: str, told=None) -> tuple[str, str]:
    """The verdict and the digest of the evidence of a run on a cluster; `told` hears of its progress."""
    (folder / f"{name}.toml").write_text(f"schema = 1\n{cluster}\n")
    request = Request(
        str(folder / "spec.vfx"), strategy=str(folder / "boxes.toml"), cluster=str(folder / f"{name}.toml")
    )
    ready = prepare(request)
    with out_folder(folder / name, ready.inputs.spec, origin_of(request, ready)) as out:
        result = carry_out(ready, RunContext(Told(told) if told else Silent(), out.ledger))
        out.finish(result)
    evidence = (folder / name / "evidence.jsonl.gz").read_bytes()
    return str(result.verdict), hashlib.sha256(evidence).hexdigest()


@dataclass(frozen=True)
class Told:
    hear: Callable[[Progress], None]

    def update(self, progress: Progress) -> None:
        self.hear(progress)


def most_leaves(folder: Path) -> int:
    items = read_evidence(folder / "evidence.jsonl.gz")
    return max(item.leaves for item in items if isinstance(item, Record))


def test_every_pool_gives_the_same_evidence(tmp_path):
    folder = prepared(tmp_path)
    answers = {name: decided(folder, f"run{number}", kind) for number, (name, kind) in enumerate(KINDS.items())}
    assert len(set(answers.values())) == 1, answers
    assert most_leaves(folder / "run1") > 20  # so that there is something to cut
    report = check_certificate(folder / "run1" / "certificate.json", {}, {}, None, None)
    assert (report.accepted, report.unrechecked) == (True, 0)
