"""Many models and specs as one queue on one pool: `verifluxa batch jobs.toml`. Every mistake shows before any work."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from verifluxa.errors import UsageError
from verifluxa.files import open_file
from verifluxa.inputs import Choice
from verifluxa.verify import Prepared, Request, prepare

MOST_BYTES = 2**20
MOST_JOBS = 10_000
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
TOP = ("schema", "strategy", "cluster", "budget", "arithmetic", "seed", "job")
JOB = ("name", "spec", "models", "data", "set", "properties", "budget", "warm")


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
    table = _table(path)
    _known(table, TOP, str(path))
    if table.get("schema") != 1 or isinstance(table.get("schema"), bool):
        raise _refuse(str(path), "`schema` is missing or unknown", "schema = 1")
    entries = table.get("job")
    if not isinstance(entries, list) or not entries or len(entries) > MOST_JOBS:
        raise _refuse(str(path), "there is no job", f"one to {MOST_JOBS:,} [[job]] tables")
    strategy = over.strategy or _named(path, _text(table, "strategy", str(path), "balanced"))
    cluster = over.cluster or _named(path, _text(table, "cluster", str(path), "laptop"))
    jobs = tuple(_job(entry, number, table, path, (strategy, cluster, over)) for number, entry in enumerate(entries, 1))
    twice = {job.name for job in jobs if sum(job.name == other.name for other in jobs) > 1}
    if twice:
        raise _refuse(str(path), f"two jobs are called `{sorted(twice)[0]}`", "a name for each job: it is its folder's")
    if over.names:
        from verifluxa.inputs import check_names

        check_names("job", over.names, [job.name for job in jobs])
        jobs = tuple(job for job in jobs if job.name in over.names)
    return Batch(jobs, cluster, strategy)


def ready(batch: Batch) -> Iterator[ReadyJob]:
    """Reads and checks everything that the jobs need.

    Raises:
        VerifluxaError: whatever the user can mend.
    """
    for job in batch.jobs:
        yield ReadyJob(job, prepare(job.request))


def _job(entry: object, number: int, table: Mapping[str, Any], path: Path, given: tuple[str, str, Overrides]) -> Job:
    place = f"{path}, job {number}"
    if not isinstance(entry, dict):
        raise _refuse(place, "a job is no table", "[[job]]")
    _known(entry, JOB, place)
    name = _text(entry, "name", place)
    if NAME.fullmatch(name) is None:
        raise _refuse(place, f"`name` is {name!r}", "letters, digits, `.`, `_`, `-`: it is a folder's name")
    strategy, cluster, over = given
    choice = Choice(
        models={key: _beside(path, value) for key, value in _texts(entry, "models", place).items()},
        data={key: _beside(path, value) for key, value in _texts(entry, "data", place).items()},
        params=_texts(entry, "set", place),
        properties=_names(entry, place),
    )
    budget = over.budget if over.budget is not None else _budget(entry, table, place)
    spec = _text(entry, "spec", place)
    request = Request(
        spec=_beside(path, spec) if "/" in spec or spec.endswith(".vfx") else spec,
        choice=choice,
        strategy=strategy,
        cluster=cluster,
        budget=budget,
        arithmetic=_text(table, "arithmetic", str(path), "") or None,
        seed=_seed(table, str(path)),
    )
    warm = _text(entry, "warm", place, "")
    return Job(name, request, Path(_beside(path, warm)) if warm else None)


def _table(path: Path) -> dict[str, Any]:
    try:
        with open_file(path) as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise _refuse(str(path), f"the file cannot be read: {error.strerror or error}") from error
    if len(data) > MOST_BYTES:
        raise _refuse(str(path), "the file is too large", f"at most {MOST_BYTES:,} bytes")
    try:
        return tomllib.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise _refuse(str(path), f"this is not TOML: {error}") from error


def _beside(path: Path, name: str) -> str:
    """A path in the file is meant from the file's own folder."""
    return str(path.parent / name)


def _named(path: Path, name: str) -> str:
    """A name on the shelf as it is, a file beside the jobs."""
    return _beside(path, name) if name.endswith(".toml") else name


def _known(table: Mapping[str, Any], keys: tuple[str, ...], place: str) -> None:
    for key in table:
        if key not in keys:
            near = difflib.get_close_matches(key, keys, n=1)
            raise _refuse(
                place, f"there is no setting `{key}` here", f"did you mean `{near[0]}`?" if near else ", ".join(keys)
            )


def _text(table: Mapping[str, Any], key: str, place: str, default: str | None = None) -> str:
    value = table.get(key, default)
    if not isinstance(value, str):
        raise _refuse(place, f"`{key}` is {'missing' if value is None else repr(value)}", "text in quotes")
    return value


def _texts(table: Mapping[str, Any], key: str, place: str) -> dict[str, str]:
    value = table.get(key, {})
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise _refuse(place, f"`{key}` is {value!r}", f'a table of texts, such as {key} = {{ name = "value" }}')
    return value


def _names(table: Mapping[str, Any], place: str) -> tuple[str, ...]:
    value = table.get("properties", [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _refuse(place, f"`properties` is {value!r}", "an array of names")
    return tuple(value)


def _budget(entry: Mapping[str, Any], table: Mapping[str, Any], place: str) -> float | None:
    value = entry.get("budget", table.get("budget"))
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < 1e9:
        raise _refuse(place, f"`budget` is {value!r}", "seconds, a number above 0")
    return float(value)


def _seed(table: Mapping[str, Any], place: str) -> int | None:
    value = table.get("seed")
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31):
        raise _refuse(place, f"`seed` is {value!r}", "a whole number from 0")
    return value


def _refuse(place: str, message: str, expected: str | None = None) -> UsageError:
    return UsageError(
        "VF4440",
        message,
        place=place,
        expected=expected,
        remedy="docs/how-to/cluster.md shows a file of jobs and its keys",
    )
