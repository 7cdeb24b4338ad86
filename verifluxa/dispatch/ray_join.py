"""Joining or starting a Ray cluster, and what is said when that fails. `ray` comes as a value: one room imports it."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from verifluxa.dispatch.cluster_errors import bad_address, other_version, refused_by_cluster
from verifluxa.errors import UsageError

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
    """

    address: str = LOCAL
    workers: int = 0
    threads: int = 1
    gpu_workers: int = 0
    gpus_each: float = 1.0
    environment: Mapping[str, str] = field(default_factory=dict)


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
