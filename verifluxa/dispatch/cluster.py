"""Cluster files (`cluster/*.toml`): where to prove. A closed table of keys; no code, unknown keys are errors."""

from __future__ import annotations

import os
from dataclasses import dataclass

from verifluxa import documents
from verifluxa.dispatch.processes import InProcessPool, ProcessPool
from verifluxa.dispatch.slices import Engine, Pool
from verifluxa.documents import Form
from verifluxa.errors import UsageError
from verifluxa.library import Library, resolve
from verifluxa.strategy.work import Limits

KINDS = ("in-process", "processes", "ray")
DEVICES = ("cpu", "cuda")
LIMITS = {
    "workers": (0, 1024),
    "threads": (0, 256),
    "attack_slice": (1, 100_000),
    "prove_slice": (1, 100_000),
    "tries": (1, 10),
    "slice_boxes": (0, 1_000_000),
    "pieces": (0, 4096),
    "gpu_workers": (0, 1024),
}
AMOUNTS = {"slice_seconds": (0.0, 3600.0), "gpus_each": (0.01, 8.0)}
RAY_ALONE = ("address", "gpu_workers", "gpus_each")
KEYS = ("schema", "name", "kind", "device", "address", *LIMITS, *AMOUNTS)
ADDRESS = Form("`local`, `auto` or host:port", r"local|auto|[A-Za-z0-9.-]+:[0-9]{1,5}")


class ClusterFile(documents.Table):
    """The table of a cluster file."""

    @classmethod
    def error(cls, place: str, problem: str, expected: str | None) -> UsageError:
        """VF4201."""
        return UsageError(
            "VF4201",
            problem,
            place=place,
            expected=expected,
            remedy="cluster/README.md lists the settings; `laptop` and `local` come with the tool",
        )


@dataclass(frozen=True)
class Cluster:
    """Where to prove.

    Attributes:
        name: of the file, without its ending.
        path: where the file was read.
        kind: `in-process`, `processes` or `ray`.
        workers: how many slices are worked on at the same time; with `ray` 0: as many as there is room for.
        threads: numerical threads of each worker process; in-process, 0 leaves them to torch.
        device: `cpu` or `cuda`; in each process the first one.
        attack_slice, prove_slice: placements in one slice.
        tries: how often the slice of a dead worker is tried in all.
        slice_seconds, slice_boxes: how long one slice may branch on a question before it is cut into pieces; 0:
            until it is decided. With `slice_boxes` alone a run is reproducible.
        pieces: into how many pieces what is open of such a question is cut; 0: twice as many as workers.
        address: of a Ray cluster: `local`, `auto` or host:port.
        gpu_workers: Ray workers that compute bounds on a GPU, beside the others.
        gpus_each: share of a GPU that each of them takes.
        given: the keys that the file states; the others are defaults.
    """

    name: str
    path: str
    kind: str
    workers: int = 1
    threads: int = 0
    device: str = "cpu"
    attack_slice: int = 64
    prove_slice: int = 4
    tries: int = 2
    slice_boxes: int = 0
    pieces: int = 0
    slice_seconds: float = 0.0
    address: str = "local"
    gpu_workers: int = 0
    gpus_each: float = 1.0
    given: tuple[str, ...] = ()

    @property
    def own_device(self) -> str:
        """The device that this very machine must have."""
        return "cuda" if self.gpu_workers and self.address == "local" else self.device

    @property
    def limits(self) -> Limits | None:
        """How long one slice may branch on a question."""
        if not self.slice_boxes and not self.slice_seconds:
            return None
        return Limits(self.slice_boxes or None, self.slice_seconds or None)


def load_cluster(name: str) -> Cluster:
    """Reads a cluster by its name, or by the path of the user's own file.

    Raises:
        UsageError: VF4001 to VF4003 when there is none, VF4201 when it is not understood.
    """
    resource = resolve(Library.CLUSTER, name)
    return parse_cluster(resource.name, resource.text, str(resource.path))


def parse_cluster(name: str, text: str, path: str) -> Cluster:
    """Reads the text of a cluster file.

    Raises:
        UsageError: VF4201 when it is not TOML, has an unknown key or a value outside its range.
    """
    table = ClusterFile.parse(text, path)
    table.integer("schema", 1, 1)
    kind = table.choice("kind", *KINDS)
    numbers = {key: table.integer(key, *LIMITS[key]) for key in LIMITS if table.has(key)}
    amounts = {key: table.number(key, *AMOUNTS[key]) for key in AMOUNTS if table.has(key)}
    for key in RAY_ALONE:
        if table.has(key) and kind != "ray":
            raise table.error(path, f"`{key}` means nothing to a cluster of the kind `{kind}`", 'kind = "ray"')
    if kind == "in-process" and numbers.get("workers", 1) != 1:
        problem = f"`workers` is {numbers['workers']}, but one process is one worker"
        raise table.error(path, problem, 'kind = "processes"')
    if kind == "processes":
        numbers["workers"] = numbers.get("workers") or _cores()
        numbers["threads"] = numbers.get("threads") or max(1, _cores() // numbers["workers"])
    device, address = table.choice("device", *DEVICES, default="cpu"), table.text("address", ADDRESS, default="local")
    table.has("name")
    table.close()
    return Cluster(
        name,
        path,
        kind=kind,
        device=device,
        address=address,
        slice_seconds=amounts.get("slice_seconds", 0.0),
        gpus_each=amounts.get("gpus_each", 1.0),
        given=tuple(table.names()),
        **numbers,
    )


def open_pool(cluster: Cluster, engine: Engine, on_gpu: Engine | None = None) -> Pool:
    """The pool that a cluster describes; close it after use.

    Args:
        cluster: which one.
        engine: what its workers do.
        on_gpu: what its GPU workers do; None: the same.

    Raises:
        UsageError: VF4430 to VF4434 when a Ray cluster cannot be used.
    """
    if cluster.kind == "processes":
        return ProcessPool(engine, cluster.workers, cluster.threads)
    if cluster.kind == "ray":
        from verifluxa.dispatch.ray_pool import RayPool, RaySettings

        settings = RaySettings(
            address=cluster.address,
            workers=cluster.workers,
            threads=max(1, cluster.threads),
            gpu_workers=cluster.gpu_workers,
            gpus_each=cluster.gpus_each,
        )
        return RayPool({False: engine, True: on_gpu or engine}, settings)
    return InProcessPool(engine)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
