"""What is said when a cluster cannot be used."""

from __future__ import annotations

from verifluxa.errors import UsageError


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
