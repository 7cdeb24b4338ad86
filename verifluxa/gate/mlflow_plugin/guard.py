"""What the server refuses: one function for each change of the registry that could bring a version into production."""

from __future__ import annotations

import functools
import inspect
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from verifluxa.errors import GateError, VerifluxaError
from verifluxa.gate.log import read_log
from verifluxa.gate.mlflow_plugin.client import NO_STAGE, SCHEME
from verifluxa.gate.mlflow_plugin.fetch import fetch_files
from verifluxa.gate.mlflow_plugin.places import CERTIFICATE_TAG, TAG_PREFIX, VERDICT_TAG
from verifluxa.gate.policy import Policy, load_policy
from verifluxa.gate.reference import STAGE, Reference, parse_reference
from verifluxa.gate.registry import Fetched
from verifluxa.gate.run import Ask, judge

Arguments = Mapping[str, Any]
Proceed = Callable[[], Any]


class Guard:
    """The policy's file, read again when it changes; unreadable, it protects everything."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[tuple[int, ...], Policy] | None = None

    def policy(self) -> Policy | None:
        """The policy as it is now, or None where it cannot be read."""
        try:
            status = os.stat(self.path)
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if self._seen is None or self._seen[0] != stamp:
                self._seen = (stamp, load_policy(self.path))
            return self._seen[1]
        except (OSError, VerifluxaError):
            self._seen = None
            return None

    def permit(self, fetched: Fetched, reference: Reference, proceed: Proceed) -> Any:
        """Decides, and on a permission does what was asked."""
        try:
            parse_reference(str(reference))
        except GateError as error:
            raise refusal(f"the gate denies {reference}", (error,)) from error
        done: list[Any] = []
        ask = Ask(reference, fetched.folder, fetched.certificates, fetched.override, "server")
        decision = judge(self.path, ask, lambda _decision, _copy: done.append(proceed()))
        if not decision.permitted:
            raise refusal(f"the gate denies {reference}", decision.reasons)
        return done[0]


def install(store: type[Any], guard: Guard) -> None:
    """Puts the guard into a store's methods.

    Raises:
        GateError: VF6086 when the store lacks a method that must be guarded: another version of MLflow.
    """
    for name, check in GUARDS.items():
        original = getattr(store, name, None)
        if original is None:
            raise GateError(
                "VF6086",
                f"this version of MLflow cannot be guarded: its store has no {name}",
                expected="a version of MLflow that docs/gate.md names",
                remedy="install a version that the plugin knows; the server does not start without its guard",
            )
        setattr(store, name, _guarded(original, check, guard))


def refusal(what: str, reasons: tuple[VerifluxaError, ...]) -> Exception:
    """A refusal as MLflow answers it: HTTP 403 with every reason."""
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import PERMISSION_DENIED

    lines = [f"{item.code}: {item.message}" for item in reasons]
    error: Exception = MlflowException("; ".join([what, *lines]), error_code=PERMISSION_DENIED)
    return error


def _guarded(original: Callable[..., Any], check: Check, guard: Guard) -> Callable[..., Any]:
    signature = inspect.signature(original)

    @functools.wraps(original)
    def method(*given: Any, **named: Any) -> Any:
        bound = signature.bind(*given, **named)
        bound.apply_defaults()
        return check(guard, bound.arguments, lambda: original(*bound.args, **bound.kwargs))

    return method


Check = Callable[[Guard, dict[str, Any], Proceed], Any]


def _set_alias(guard: Guard, asked: Arguments, proceed: Proceed) -> Any:
    name, alias, policy = str(asked["name"]), str(asked["alias"]), guard.policy()
    if policy is not None and not policy.protected.alias(name, alias):
        return proceed()
    return _permit(guard, asked["self"], _reference(name, asked["version"], alias), proceed)


def _delete_alias(guard: Guard, asked: Arguments, proceed: Proceed) -> Any:
    name, alias, policy = str(asked["name"]), str(asked["alias"]), guard.policy()
    if policy is None or (policy.protected.alias(name, alias) and not policy.protected.withdrawal):
        raise _no_withdrawal(f"{SCHEME}:/{name}@{alias}")
    return proceed()


def _transition(guard: Guard, asked: Arguments, proceed: Proceed) -> Any:
    name, policy = str(asked["name"]), guard.policy()
    version = asked["self"].get_model_version(name, asked["version"])
    stage = str(asked["stage"]).strip()
    if policy is None or policy.protected.stage(name, stage):
        return _permit(guard, asked["self"], _reference(name, version.version, STAGE + stage.capitalize()), proceed)
    if policy.protected.stage(name, version.current_stage) and not policy.protected.withdrawal:
        raise _no_withdrawal(f"{SCHEME}:/{name}/{version.version}")
    return proceed()


def _delete_version(guard: Guard, asked: Arguments, proceed: Proceed) -> Any:
    name, policy = str(asked["name"]), guard.policy()
    version = asked["self"].get_model_version(name, asked["version"])
    live = [item for item in _live(asked["self"], name, policy) if item.version == int(version.version)]
    if live and not (policy and policy.protected.withdrawal):
        raise _no_withdrawal(str(live[0]))
    return proceed()


def _delete_model(guard: Guard, asked: Arguments, proceed: Proceed) -> Any:
    policy = guard.policy()
    live = _live(asked["self"], str(asked["name"]), policy)
    if policy is None or (live and not policy.protected.withdrawal):
        raise _no_withdrawal(f"{SCHEME}:/{asked['name']}")
    return proceed()


def _rename(guard: Guard, asked: Arguments, proceed: Proceed) -> Any:
    """Versions keep their aliases under the new name, so each needs a certificate for that name."""
    name, new, policy, store = str(asked["name"]), str(asked["new_name"]), guard.policy(), asked["self"]
    if policy is None or policy.protected.versions(new) or policy.protected.versions(name):
        raise refusal(f"the gate denies renaming {name} to {new}", (_no_rename(),))
    for item in _live(store, name, policy):
        _permit(guard, store, _reference(new, item.version, item.alias), lambda: None, item)
    return proceed()


def _create_version(guard: Guard, asked: dict[str, Any], proceed: Proceed) -> Any:
    """A copy is a new version; where every version must be certified it needs a certificate before it exists."""
    name, policy, store = str(asked["name"]), guard.policy(), asked["self"]
    # A copy brings its source's tags, which say nothing about the copy.
    asked["tags"] = [tag for tag in asked["tags"] or () if not str(tag.key).startswith(TAG_PREFIX)]
    if policy is not None and not policy.protected.versions(name):
        return proceed()
    taken = [int(item.version) for item in store.search_model_versions(f"name='{name}'", max_results=10000)]
    reference = _reference(name, max(taken, default=0) + 1, None)
    with tempfile.TemporaryDirectory(prefix="verifluxa-gate-") as private:
        fetched = fetch_files(store, str(asked["source"]), reference, Path(private) / "fetched")
        return guard.permit(fetched, reference, lambda: _as_predicted(store, reference, proceed()))


def _set_tag(guard: Guard, asked: Arguments, proceed: Proceed) -> Any:
    """Tags with our prefix must say what the log says."""
    tag, policy = asked["tag"], guard.policy()
    if str(tag.key).startswith(TAG_PREFIX):
        allowed = {} if policy is None else _true_tags(policy, str(asked["name"]), int(asked["version"]))
        if allowed.get(tag.key) != tag.value:
            raise refusal(f"the gate denies the tag {tag.key}", (_no_tag(),))
    return proceed()


def _delete_tag(guard: Guard, asked: Arguments, proceed: Proceed) -> Any:
    if str(asked["key"]).startswith(TAG_PREFIX):
        raise refusal(f"the gate denies taking away the tag {asked['key']}", (_no_tag(),))
    return proceed()


GUARDS: dict[str, Check] = {
    "set_registered_model_alias": _set_alias,
    "delete_registered_model_alias": _delete_alias,
    "transition_model_version_stage": _transition,
    "delete_model_version": _delete_version,
    "delete_registered_model": _delete_model,
    "rename_registered_model": _rename,
    "create_model_version": _create_version,
    "set_model_version_tag": _set_tag,
    "delete_model_version_tag": _delete_tag,
}
"""Every method of MLflow's registry store that could change what is in production, or what is said about it."""


def _permit(guard: Guard, store: Any, reference: Reference, proceed: Proceed, source: Reference | None = None) -> Any:
    files = source or reference
    with tempfile.TemporaryDirectory(prefix="verifluxa-gate-") as private:
        uri = str(store.get_model_version_download_uri(files.name, str(files.version)))
        fetched = fetch_files(store, uri, reference, Path(private) / "fetched")
        return guard.permit(fetched, reference, proceed)


def _reference(name: str, version: object, alias: str | None) -> Reference:
    return Reference(SCHEME, name, int(str(version)), alias)


def _live(store: Any, name: str, policy: Policy | None) -> list[Reference]:
    """Versions of a model with a protected alias or stage; with any, where there is no policy."""
    found = [
        _reference(name, version, alias)
        for alias, version in store.get_registered_model(name).aliases.items()
        if policy is None or policy.protected.alias(name, alias)
    ]
    for item in store.get_registered_model(name).latest_versions:
        stage = item.current_stage
        if stage not in NO_STAGE and (policy is None or policy.protected.stage(name, stage)):
            found.append(_reference(name, item.version, STAGE + stage))
    return found


def _as_predicted(store: Any, reference: Reference, created: Any) -> Any:
    """Another process may have taken the number for which the certificate is; then the new version goes again."""
    if int(created.version) != reference.version:
        store.delete_model_version(reference.name, str(created.version))
        raise refusal(f"the gate denies {reference}", (_no_rename(),))
    return created


def _true_tags(policy: Policy, name: str, version: int) -> dict[str, str]:
    for entry in reversed(read_log(policy.log).entries):
        if entry.permitted and (entry.reference.name, entry.reference.version) == (name, version):
            verdict = "overridden" if entry.overridden else "certified"
            return {VERDICT_TAG: verdict, CERTIFICATE_TAG: entry.certificate}
    return {}


def _no_withdrawal(what: str) -> Exception:
    reason = GateError(
        "VF6091",
        "a version in production may not be taken away so",
        place=what,
        expected="the promotion of another version",
        remedy="promote another version; or let the policy's owner set `withdrawal = true`",
    )
    return refusal(f"the gate denies taking {what} out of production", (reason,))


def _no_rename() -> GateError:
    return GateError(
        "VF6092",
        "a model whose every version must be certified keeps its name and its numbers",
        expected="copies of certified versions, each with a certificate for its new name and number",
        remedy="sign the certificate for the new name and number, then copy the version",
    )


def _no_tag() -> GateError:
    return GateError(
        "VF6093",
        "tags that begin with verifluxa. say what the gate decided, and nothing else",
        expected="the values that the log of decisions gives",
        remedy="promote the version with `verifluxa gate promote`; it writes the tags",
    )
