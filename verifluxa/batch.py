"""Many models and specs as one queue on one pool: `verifluxa batch jobs.toml`. Every mistake shows before any work.

A job whose files are broken is an error of its own: the others run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from verifluxa import documents
from verifluxa.dispatch.driver import EngineCrash
from verifluxa.documents import Form
from verifluxa.errors import UsageError, VerifluxaError
from verifluxa.files import open_file
from verifluxa.inputs import Choice
from verifluxa.verify import Prepared, Request, prepare

MOST_BYTES = 2**20
MOST_JOBS = 10_000
MOST_SECONDS = 1e9
BAD_INPUT = 4
INTERNAL_ERROR = 5
NAME = Form("letters, digits, `.`, `_`, `-`: it is a folder's name", r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class JobsFile(documents.Table):
    """A table of a file of jobs."""

    most = MOST_JOBS

    @classmethod
    def error(cls, place: str, problem: str, expected: str | None) -> UsageError:
        """VF4440."""
        return UsageError(
            "VF4440",
            problem,
            place=place,
            expected=expected,
            remedy="docs/how-to/cluster.md shows a file of jobs and its keys",
        )


@dataclass(frozen=True)
class Job:
    """One run of the batch.

    Attributes:
        name: of its folder.
        request: what is to be verified.
        warm: the folder of an older result, whose split trees are tried first; or None.
    """

    name: str
    request: Request
    warm: Path | None = None


@dataclass(frozen=True)
class Batch:
    """The jobs, in order, and where they run."""

    jobs: tuple[Job, ...]
    cluster: str
    strategy: str


@dataclass(frozen=True, eq=False)
class ReadyJob:
    """A job whose files were read and whose questions were put."""

    job: Job
    prepared: Prepared


@dataclass(frozen=True, eq=False)
class BrokenJob:
    """A job that cannot be worked on, or whose work failed."""

    job: Job
    error: VerifluxaError | EngineCrash

    @property
    def exit_code(self) -> int:
        """What a command with this job alone would end with; what a verdict means, an error never does."""
        if isinstance(self.error, EngineCrash):
            return INTERNAL_ERROR
        return BAD_INPUT if self.error.exit_code == 1 else self.error.exit_code

    @property
    def word(self) -> str:
        """The error's code, as the summary names it."""
        return "internal error" if isinstance(self.error, EngineCrash) else self.error.code


def worst_code(broken: Iterable[BrokenJob]) -> int:
    """The exit code of a batch with these broken jobs: what trying again cannot mend comes first."""
    codes = {item.exit_code for item in broken}
    return next(code for code in (INTERNAL_ERROR, BAD_INPUT, *sorted(codes)) if code in codes)


@dataclass(frozen=True)
class Overrides:
    """What the command line puts over the file: strategy, cluster, budget in seconds."""

    strategy: str | None = None
    cluster: str | None = None
    budget: float | None = None
    names: tuple[str, ...] = field(default=())


def load_batch(path: Path, over: Overrides | None = None) -> Batch:
    """Reads the jobs.

    Raises:
        UsageError: VF4440 when the file cannot be read or is not understood.
    """
    over = over or Overrides()
    table = JobsFile.parse(_read(path), str(path))
    table.integer("schema", 1, 1)
    strategy = over.strategy or _named(path, table.text("strategy", default="balanced"))
    cluster = over.cluster or _named(path, table.text("cluster", default="laptop"))
    same = Request(
        spec="",
        strategy=strategy,
        cluster=cluster,
        budget=over.budget if over.budget is not None else _budget(table),
        arithmetic=table.text("arithmetic") if table.has("arithmetic") else None,
        seed=table.integer("seed", 0, 2**31 - 1) if table.has("seed") else None,
    )
    jobs = tuple(_job(entry, path, same, over) for entry in table.tables("job"))
    table.close()
    twice = {job.name for job in jobs if sum(job.name == other.name for other in jobs) > 1}
    if twice:
        raise table.error(
            str(path), f"two jobs are called `{sorted(twice)[0]}`", "a name for each job: it is its folder's"
        )
    if over.names:
        from verifluxa.inputs import check_names

        check_names("job", over.names, [job.name for job in jobs])
        jobs = tuple(job for job in jobs if job.name in over.names)
    return Batch(jobs, cluster, strategy)


def ready(batch: Batch) -> Iterator[ReadyJob | BrokenJob]:
    """Reads and checks everything that the jobs need; whatever the user can mend in one stops no other."""
    for job in batch.jobs:
        try:
            yield ReadyJob(job, prepare(job.request))
        except VerifluxaError as error:
            yield BrokenJob(job, error)


def _job(entry: JobsFile, path: Path, same: Request, over: Overrides) -> Job:
    choice = Choice(
        models={key: _beside(path, value) for key, value in entry.named_texts("models", {}).items()},
        data={key: _beside(path, value) for key, value in entry.named_texts("data", {}).items()},
        params=entry.named_texts("set", {}),
        properties=entry.texts("properties", default=()),
    )
    name, spec = entry.text("name", NAME), entry.text("spec")
    own = _budget(entry) if over.budget is None else None
    request = replace(
        same,
        spec=_beside(path, spec) if "/" in spec or spec.endswith(".vfx") else spec,
        choice=choice,
        budget=same.budget if own is None else own,
    )
    warm = Path(_beside(path, entry.text("warm"))) if entry.has("warm") else None
    entry.close()
    return Job(name, request, warm)


def _budget(table: JobsFile) -> float | None:
    return table.number("budget", 0, MOST_SECONDS, above=True) if table.has("budget") else None


def _read(path: Path) -> bytes:
    try:
        with open_file(path) as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise JobsFile.error(str(path), f"the file cannot be read: {error.strerror or error}", None) from error
    if len(data) > MOST_BYTES:
        raise JobsFile.error(str(path), "the file is too large", f"at most {MOST_BYTES:,} bytes")
    return data


def _beside(path: Path, name: str) -> str:
    """A path in the file is meant from the file's own folder."""
    return str(path.parent / name)


def _named(path: Path, name: str) -> str:
    """A name in the library as it is, a file beside the jobs."""
    return _beside(path, name) if name.endswith(".toml") else name
