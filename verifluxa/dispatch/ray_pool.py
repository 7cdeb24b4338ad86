"""The pool of a Ray cluster: an actor for each worker, slices through the driver's queue. The one room with ray.

What holds here was measured on Ray 2.60 (design notes in docs/how-to/cluster.md): a driver queue with `ray.wait` is
a hundred times faster than nested `ray.get`; `ray.cancel` does not stop native code, so a worker that hangs is killed;
`ActorPool` loses the item of a dead actor, so each slice in flight is remembered here.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from verifluxa import __version__
from verifluxa.dispatch.perform import perform
from verifluxa.dispatch.slices import (
    BEAT_SECONDS,
    NOT_LAST,
    SILENCE_SECONDS,
    AttackSlice,
    Engine,
    Event,
    Lost,
    OutOfMemory,
    PieceSlice,
    Refused,
    Slice,
    described,
)
from verifluxa.errors import UsageError
from verifluxa.question import Problem
from verifluxa.verdict import Verdict

log = logging.getLogger(__name__)


def no_ray() -> UsageError:
    """VF4430."""
    return UsageError(
        "VF4430",
        "this cluster needs Ray, which is not installed here",
        expected="the extra `verifluxa[ray]`",
        remedy="pip install 'verifluxa[ray]', or use `--cluster local`, which needs nothing",
    )


def bad_address(address: str, why: str) -> UsageError:
    """VF4431."""
    return UsageError(
        "VF4431",
        f"no Ray cluster answers at `{address}`: {why}",
        expected="host:port of a running head node, `auto` inside a Ray job, or `local`",
        remedy="start one (`ray start --head`), mend the address in the cluster file, or use `local`",
    )


def refused_by_cluster(address: str, why: str) -> UsageError:
    """VF4432."""
    return UsageError(
        "VF4432",
        f"the Ray cluster at `{address}` refuses this client: {why}",
        expected="a client that the cluster trusts",
        remedy="with token authentication set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN (or RAY_AUTH_TOKEN_PATH) as there",
    )


def other_version(theirs: str, ours: str) -> UsageError:
    """VF4433."""
    return UsageError(
        "VF4433",
        f"a worker runs another version: {theirs}",
        expected=f"the version of the driver, {ours}, on every node",
        remedy="build the workers' image from the same release as the driver's",
    )


def no_room(address: str, what: str, asked: Mapping[str, float], largest: str) -> UsageError:
    """VF4434."""
    return UsageError(
        "VF4434",
        f"the Ray cluster at `{address}` can never have a {what}: each asks for {_amounts(asked)}",
        expected=f"a node with that much; there is {largest}",
        remedy="mend `threads`, `gpu_workers` or `gpus_each` in the cluster file, or start Ray on nodes that have it",
    )


def _amounts(resources: Mapping[str, float]) -> str:
    return ", ".join(f"{resources.get(key, 0.0):g} {key}" for key in ("CPU", "GPU"))


LOCAL = "local"
STORE_BYTES = 200 * 2**20


@dataclass(frozen=True)
class RaySettings:
    """How to use a Ray cluster.

    Attributes:
        address: `local` starts one on this machine, on the loopback interface, and stops it; else host and port, or
            `auto` inside a job.
        workers: actors that use CPUs alone; 0: as many as the cluster has room for.
        threads: numerical threads, and CPUs, of each.
        gpu_workers: actors that compute bounds on a GPU; the others then attack and run the later stages.
        gpus_each: share of a GPU that each of them takes.
        environment: variables that workers get.
        silence: seconds without a sign of life after which a busy worker is replaced.
        beat: seconds between two signs of life.
    """

    address: str = LOCAL
    workers: int = 0
    threads: int = 1
    gpu_workers: int = 0
    gpus_each: float = 1.0
    environment: Mapping[str, str] = field(default_factory=dict)
    silence: float = SILENCE_SECONDS
    beat: float = BEAT_SECONDS


def join(ray: Any, settings: RaySettings) -> None:
    """Joins the cluster of an address, or starts one of our own.

    Raises:
        UsageError: VF4431 nothing answers, VF4432 it refuses us, VF4433 it runs another version.
    """
    with _signals_kept():
        _join(ray, settings)


def _join(ray: Any, settings: RaySettings) -> None:
    common: dict[str, Any] = {
        "log_to_driver": False,
        "configure_logging": True,
        "logging_level": "error",
        "namespace": "verifluxa",
    }
    if settings.address == LOCAL:
        cpus = settings.workers * settings.threads + settings.gpu_workers or None
        ray.init(
            address=LOCAL,  # else Ray joins whatever cluster runs on this machine
            num_cpus=cpus,
            include_dashboard=False,
            object_store_memory=STORE_BYTES,
            _node_ip_address="127.0.0.1",
            **common,
        )
        return
    listens = _answers(settings.address)
    try:
        ray.init(address=settings.address, **common)
    except ConnectionError as error:
        if listens:  # Ray says no more than this to a wrong token
            why = "it does not let us in (a wrong or missing token), or is no Ray head"
            raise refused_by_cluster(settings.address, why) from error
        raise bad_address(settings.address, str(error)) from error
    except Exception as error:
        raise _refusal(settings.address, error) from error


@contextmanager
def _signals_kept() -> Iterator[None]:
    """`ray.init` takes SIGTERM for itself; for us it means: end with a valid result."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _refusal(address: str, error: Exception) -> UsageError:
    """What Ray says when it will not have us: another version, or no valid token."""
    words = str(error)
    if "ersion" in words and ("mismatch" in words.lower() or "Python" in words):
        return other_version(words.splitlines()[0], "this process")
    return refused_by_cluster(address, f"{type(error).__name__}: {words.splitlines()[0] if words else ''}")


def _answers(address: str) -> bool:
    """Looks whether anything listens, before Ray waits for a minute; False where there is no address to look at."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        return False
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, OverflowError) as error:
        raise bad_address(address, str(error)) from error
    return True


@dataclass(frozen=True, eq=False)
class Work:
    """A slice on its way.

    Attributes:
        problem: number of the problem that it points into.
        slice: the slice; its deadline is on the driver's clock.
        left: seconds until then, or None.
    """

    problem: int
    slice: Slice
    left: float | None


@dataclass(frozen=True, eq=False)
class Told:
    """An event without its slice, which the driver has."""

    event: Event

    def of(self, slice: Slice) -> Event:
        """The event with the driver's slice."""
        changed: Any = replace(self.event, slice=slice)  # type: ignore[arg-type]
        return changed  # type: ignore[no-any-return]


def work_on(engine: Engine, problem: Problem, task: Work) -> list[Told]:
    """Works on a slice and gives its events back."""
    slice = task.slice
    if task.left is not None:
        slice = replace(slice, deadline=time.monotonic() + task.left)
    return [Told(replace(event, slice=None)) for event in perform(engine, problem, slice)]  # type: ignore[arg-type]


POLL_SECONDS = 5.0
"""`ray.wait` never waits longer: a signal, a deadline or a lost node must be noticed."""
START_SECONDS = 120.0
"""A worker that has not said hello by then does not come: the cluster has no room for it."""
MOST_FAILED_STARTS = 5
LOOPBACK = ("127.0.0.1", "localhost")


@dataclass(eq=False)
class _Hand:
    """An actor.

    Attributes:
        actor: the handle.
        gpu: whether it has a GPU.
        started: when it was asked for, until it has said hello.
        slice: what it works on.
        heard: when it was last known to be alive.
        sign: the sign of life that it was asked for, if any.
    """

    actor: Any
    gpu: bool
    started: float | None
    slice: Slice | None = None
    heard: float = 0.0
    sign: Any = None


class RayPool:
    """Hands slices to idle actors; one that dies or falls silent is replaced, and its slice is reported as lost."""

    def __init__(self, engines: Mapping[bool, Engine], settings: RaySettings) -> None:
        """Joins or starts the cluster.

        Args:
            engines: by whether the worker has a GPU.
            settings: of the cluster.

        Raises:
            UsageError: VF4430 ray is not installed, VF4431 nothing answers, VF4432 it refuses us, VF4433 it runs
                another version, VF4434 it can never have a worker of a kind that is asked for.
        """
        self._ray = _import_ray(settings.address)
        self._joined = not self._ray.is_initialized()
        if self._joined:
            join(self._ray, settings)
        self._settings = settings
        self._engines: dict[bool, Any] = {}
        self._numbers = itertools.count()
        self._hands: list[_Hand] = []
        self._flying: dict[Any, _Hand] = {}
        self._queues: dict[bool, deque[Slice]] = {False: deque(), True: deque()}
        self._events: deque[Event] = deque()
        self._problem: Problem | None = None
        self._shipped: tuple[int, Any] | None = None
        self._failed_starts = 0
        self._metrics = _Metrics()
        try:
            self._check_room()
        except BaseException:
            self.close()
            raise
        self._engines = {gpu: self._ray.put(engine) for gpu, engine in engines.items()}

    @property
    def workers(self) -> int:
        """How many slices are worked on at the same time."""
        return self._room(False) + self._room(True)

    @property
    def capacity(self) -> int:
        """Twice the workers, so that none of them waits for the driver."""
        return 2 * self.workers

    def load(self, problem: Problem) -> None:
        """Puts a problem into the object store, once; workers fetch it when they see it first."""
        self.cancel()
        self._problem = problem
        self._metrics.begin()
        self._ship()

    def submit(self, slice: Slice) -> None:
        """Hands in a slice; actors are started while there is work that nobody is free for.

        Raises:
            RuntimeError: when no problem is loaded.
        """
        if self._shipped is None:
            raise RuntimeError("a slice was handed in before its problem")
        self._queues[self._wants_gpu(slice)].append(slice)
        self._feed()

    def next(self, timeout: float) -> Event | None:
        """Waits for the next event, at most `timeout` seconds; None when there was none."""
        self._feed()
        if not self._events:
            self._listen(min(timeout, POLL_SECONDS))
        event = self._events.popleft() if self._events else None
        self._metrics.tell(event, len(self._hands))
        return event

    def answered(self, counts: Mapping[Verdict, int]) -> None:
        """Counts the questions that have their answer, whoever gave it: an attack, a proof, the driver itself."""
        self._metrics.answered(counts)

    def cancel(self) -> None:
        """Drops what is not done; a busy actor is killed, since native code cannot be interrupted."""
        for queue in self._queues.values():
            queue.clear()
        self._events.clear()
        for hand in [hand for hand in self._hands if hand.slice is not None]:
            self._bury(hand)
        self._events.clear()

    def close(self) -> None:
        """Ends the actors, and the cluster where it is ours."""
        self.cancel()
        for hand in list(self._hands):
            self._bury(hand)
        self._shipped = None
        self._engines = {}
        if self._joined:
            self._ray.shutdown()
            self._joined = False

    def _check_room(self) -> None:
        """Says before the work that no worker of some kind can ever be placed: it would be waited for in vain."""
        nodes, open_end = _ever_there(self._ray, self._settings.address)
        for gpu in (False, True):
            asked = self._asks(gpu)
            if not ((gpu and not self._settings.gpu_workers) or open_end or any(_holds(node, asked) for node in nodes)):
                largest = max(nodes, key=lambda node: (node.get("GPU", 0.0), node.get("CPU", 0.0)), default={})
                what = "worker with a GPU" if gpu else "worker"
                raise no_room(self._settings.address, what, asked, f"at most {_amounts(largest)}")

    def _asks(self, gpu: bool) -> dict[str, float]:
        """What an actor of this kind takes."""
        if gpu:
            return {"CPU": 1.0, "GPU": self._settings.gpus_each}
        return {"CPU": float(self._settings.threads)}

    def _ship(self) -> None:
        self._shipped = (next(self._numbers), self._ray.put(self._problem))

    def _wants_gpu(self, slice: Slice) -> bool:
        """Bounds belong on the GPU; attacks and what comes behind branching (SMT, joint programs) on CPUs."""
        later = isinstance(slice, AttackSlice) or (isinstance(slice, PieceSlice) and slice.piece.last)
        return self._settings.gpu_workers > 0 and not later

    def _room(self, gpu: bool) -> int:
        if gpu:
            return self._settings.gpu_workers
        if self._settings.workers:
            return self._settings.workers
        have = float(self._ray.cluster_resources().get("CPU", 1.0)) - self._settings.gpu_workers
        return max(1, int(have // self._settings.threads))

    def _feed(self) -> None:
        for gpu, queue in self._queues.items():
            while queue:
                hand = self._idle(gpu)
                if hand is None:
                    break
                self._give(hand, queue.popleft())

    def _idle(self, gpu: bool) -> _Hand | None:
        own = [hand for hand in self._hands if hand.gpu == gpu]
        for hand in own:
            if hand.started is None and hand.slice is None:
                return hand
        starting = sum(hand.started is not None for hand in own)
        if len(own) < self._room(gpu) and starting < len(self._queues[gpu]):
            self._start(gpu)
        return None

    def _start(self, gpu: bool) -> None:
        settings = self._settings
        asked = self._asks(gpu)
        options: dict[str, Any] = {
            "num_cpus": asked["CPU"],
            "max_restarts": 0,
            "max_task_retries": 0,
            "max_concurrency": 2,  # a slice, and beside it signs of life
            "runtime_env": {"env_vars": {**_threads(settings.threads), **settings.environment}},
        }
        if gpu:
            options["num_gpus"] = asked["GPU"]
        actor = self._ray.remote(_Worker).options(**options).remote()
        hand = _Hand(actor, gpu, time.monotonic())
        self._hands.append(hand)
        self._flying[actor.hello.remote(__version__)] = hand

    def _give(self, hand: _Hand, slice: Slice) -> None:
        assert self._shipped is not None
        number, problem = self._shipped
        left = None if slice.deadline is None else slice.deadline - time.monotonic()
        hand.slice, hand.heard, hand.sign = slice, time.monotonic(), None
        # In a list a reference stays one: the actor fetches what it does not have yet, and keeps it.
        task = Work(number, slice, left)
        self._flying[hand.actor.work.remote(task, [self._engines[hand.gpu]], [problem])] = hand

    def _listen(self, timeout: float) -> None:
        if not self._flying:
            return
        ready, _ = self._ray.wait(list(self._flying), num_returns=1, timeout=timeout)
        for reference in ready:
            self._take(reference, self._flying.pop(reference))
        self._give_up_starting()
        self._bury_silent()

    def _bury_silent(self) -> None:
        """Asks busy actors for signs of life, and ends those that give none: a stopped process does not die."""
        busy = [hand for hand in self._hands if hand.slice is not None]
        asked = {hand.sign: hand for hand in busy if hand.sign is not None}
        given, _ = self._ray.wait(list(asked), num_returns=len(asked), timeout=0) if asked else ((), ())
        now = time.monotonic()
        for sign in given:  # also one that says that the actor has died: then its slice says so too
            asked[sign].heard, asked[sign].sign = now, None
        for hand in busy:
            if hand.sign is None and now - hand.heard > self._settings.beat:
                hand.sign = hand.actor.alive.remote()
            elif now - hand.heard > self._settings.silence:
                assert hand.slice is not None
                log.warning("no sign of life for %.0f s with %s", self._settings.silence, described(hand.slice))
                self._bury(hand)

    def _take(self, reference: Any, hand: _Hand) -> None:
        errors = self._ray.exceptions
        try:
            answer = self._ray.get(reference)
        except errors.OutOfMemoryError as error:
            self._bury(hand, OutOfMemory(hand.slice, str(error)) if hand.slice is not None else None)
        except (
            errors.RayActorError,
            errors.WorkerCrashedError,
            errors.ObjectLostError,
            errors.NodeDiedError,
            errors.RuntimeEnvSetupError,
        ):
            self._bury(hand)
            if hand.started is not None:
                self._count_failed_start(hand)
        else:
            self._answer(hand, answer)

    def _answer(self, hand: _Hand, answer: Any) -> None:
        if hand.started is not None:
            hand.started, self._failed_starts = None, 0
            if answer != __version__ and self._queues[hand.gpu]:
                self._events.append(Refused(self._queues[hand.gpu].popleft(), other_version(answer, __version__)))
            self._feed()
            return
        slice, hand.slice = hand.slice, None
        assert slice is not None
        if answer is None:  # the problem went away with its node: once more
            self._ship()
            self._events.append(Lost(slice))
        else:
            self._events.extend(event.of(slice) for event in answer)
        self._feed()

    def _bury(self, hand: _Hand, event: Event | None = None) -> None:
        """Ends an actor; what it worked on is lost, unless there is more to say."""
        self._hands.remove(hand)
        for reference in [reference for reference, other in self._flying.items() if other is hand]:
            del self._flying[reference]
        with suppress(Exception):  # it is dead already, or the cluster is: either is what we want
            self._ray.kill(hand.actor, no_restart=True)
        if hand.slice is not None:
            self._events.append(event or Lost(hand.slice))
            hand.slice = None

    def _give_up_starting(self) -> None:
        """Actors for which there is no room are not waited for; without any, the work that waits is lost."""
        now = time.monotonic()
        for hand in list(self._hands):
            if hand.started is not None and now - hand.started > START_SECONDS:
                self._bury(hand)
                self._give_up_waiting(hand)

    def _count_failed_start(self, hand: _Hand) -> None:
        """Actors that die before they say hello (a broken installation there) are tried a few times, not for ever."""
        self._failed_starts += 1
        if self._failed_starts >= MOST_FAILED_STARTS:
            self._give_up_waiting(hand)

    def _give_up_waiting(self, hand: _Hand) -> None:
        """Where no actor of a kind works, the work that waits for one is lost."""
        if not any(other.gpu == hand.gpu and other.started is None for other in self._hands):
            queue = self._queues[hand.gpu]
            self._events.extend(Lost(slice) for slice in queue)
            queue.clear()


def _holds(node: Mapping[str, float], asked: Mapping[str, float]) -> bool:
    return all(node.get(key, 0.0) >= amount for key, amount in asked.items())


READ_ONLY_NODE = "node_"
"""How Ray's monitor calls the types of nodes where there is no autoscaler to start more."""


def _ever_there(ray: Any, address: str) -> tuple[list[dict[str, float]], bool]:
    """What the nodes have that are there or that the autoscaler may start, and whether there may be others still.

    Ray's newer autoscaler says what it may start. Of the older one only its report can be read, which names the types
    of the nodes that run; where it is there, or nothing is known, any node may come.
    """
    nodes = [dict(node["Resources"]) for node in ray.nodes() if node["Alive"]]
    if address == LOCAL:
        return nodes, False
    from ray._private.state import state
    from ray.experimental.internal_kv import _internal_kv_get

    config = state.get_cluster_config()
    if config is not None and config.node_group_configs:
        groups = [group for group in config.node_group_configs if group.max_count != 0]
        return [*nodes, *({key: float(value) for key, value in group.resources.items()} for group in groups)], False
    try:
        report = json.loads(_internal_kv_get("__autoscaling_status") or b"{}").get("autoscaler_report") or {}
        kinds = list(report["active_nodes"])
    except (KeyError, TypeError, ValueError):
        return nodes, True
    return nodes, not all(kind.startswith(READ_ONLY_NODE) for kind in kinds)


class _Metrics:
    """What Ray's own endpoint shows to Prometheus: slices by kind and by how they ended, answers, and workers.

    Ray puts `ray_` before the names and `_total` behind those of counters; `cluster/grafana.json` draws them.
    """

    def __init__(self) -> None:
        from ray.util.metrics import Counter, Gauge

        self._slices = Counter("verifluxa_slices", "Slices that ended", tag_keys=("kind", "end"))
        self._answers = Counter("verifluxa_questions", "Questions answered", tag_keys=("verdict",))
        self._workers = Gauge("verifluxa_workers", "Workers that were started and not lost")
        self._counted: dict[Verdict, int] = {}

    def begin(self) -> None:
        """The counts of another problem follow."""
        self._counted = {}

    def answered(self, counts: Mapping[Verdict, int]) -> None:
        for verdict, count in counts.items():
            new = count - self._counted.get(verdict, 0)
            if new > 0:
                self._answers.inc(new, tags={"verdict": str(verdict)})
        self._counted = dict(counts)

    def tell(self, event: Event | None, workers: int) -> None:
        self._workers.set(workers)
        if event is not None and not isinstance(event, NOT_LAST):
            self._slices.inc(tags={"kind": type(event.slice).__name__, "end": type(event).__name__})


class _Worker:
    """The actor: one slice at a time; keeps the engine and the last problem."""

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._problem: tuple[int, Problem] | None = None

    def hello(self, version: str) -> str:
        """Says which version of the tool works here."""
        return __version__

    def alive(self) -> None:
        """Answers while `work` works in another thread."""

    def work(self, task: Work, engine: list[Any], problem: list[Any]) -> Any:
        """The events of a slice; None when the problem cannot be fetched any more."""
        ray = _import_ray()
        try:
            if self._engine is None:
                self._engine = ray.get(engine[0], timeout=60)
            if self._problem is None or self._problem[0] != task.problem:
                self._problem = (task.problem, ray.get(problem[0], timeout=60))
        except (ray.exceptions.ObjectLostError, ray.exceptions.GetTimeoutError, ray.exceptions.OwnerDiedError):
            return None
        assert self._engine is not None
        return work_on(self._engine, self._problem[1], task)


def _import_ray(address: str = "") -> Any:
    """Loads ray: without usage statistics; on the loopback interface alone where the cluster is on this machine."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if address.rpartition(":")[0] in LOOPBACK or address == LOCAL:
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        import ray
    except ImportError as error:
        raise no_ray() from error
    return ray


def _threads(count: int) -> dict[str, str]:
    from verifluxa.dispatch.worker import THREAD_VARIABLES

    return dict.fromkeys(THREAD_VARIABLES, str(count))
