"""What the server refuses: one function for each change of the registry that could bring a version into production."""

from __future__ import annotations

import functools
import inspect
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verifluxa.errors import GateError, VerifluxaError
from verifluxa.gate.files import Measured, measure
from verifluxa.gate.log import read_lines
from verifluxa.gate.mlflow_plugin.client import NO_STAGE, SCHEME
from verifluxa.gate.mlflow_plugin.fetch import fetch_files
from verifluxa.gate.mlflow_plugin.places import CERTIFICATE_TAG, TAG_PREFIX, VERDICT_TAG
from verifluxa.gate.mlflow_plugin.refusals import changed, no_rename, no_tag, no_withdrawal, refusal
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
                expected="a version of MLflow that docs/how-to/gate.md names",
                remedy="install a version that the plugin knows; the server does not start without its guard",
            )
        setattr(store, name, _guarded(original, check, guard))


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
    store, reference = asked["self"], _reference(name, asked["version"], alias)
    before = store.get_registered_model(name).aliases.get(alias)

    def undo() -> None:
        if before is None:
            _unguarded(store, "delete_registered_model_alias", name, alias)
        else:
            _unguarded(store, "set_registered_model_alias", name, alias, before)

    return _permit(guard, store, reference, _Step(proceed, undo))


def _delete_alias(guard: Guard, asked: Arguments, proceed: Proceed) -> Any:
    name, alias, policy = str(asked["name"]), str(asked["alias"]), guard.policy()
    if policy is None or (policy.protected.alias(name, alias) and not policy.protected.withdrawal):
        raise no_withdrawal(f"{SCHEME}:/{name}@{alias}")
    return proceed()


def _transition(guard: Guard, asked: Arguments, proceed: Proceed) -> Any:
    name, policy = str(asked["name"]), guard.policy()
    version = asked["self"].get_model_version(name, asked["version"])
    stage = str(asked["stage"]).strip()
    if policy is None or policy.protected.stage(name, stage):
        store, before = asked["self"], (name, version.version, version.current_stage, False)
        reference = _reference(name, version.version, STAGE + stage.capitalize())
        undo = functools.partial(_unguarded, store, "transition_model_version_stage", *before)
        return _permit(guard, store, reference, _Step(proceed, undo))
    if policy.protected.stage(name, version.current_stage) and not policy.protected.withdrawal:
        raise no_withdrawal(f"{SCHEME}:/{name}/{version.version}")
    return proceed()


def _delete_version(guard: Guard, asked: Arguments, proceed: Proceed) -> Any:
    name, policy = str(asked["name"]), guard.policy()
    version = asked["self"].get_model_version(name, asked["version"])
    live = [item for item in _live(asked["self"], name, policy) if item.version == int(version.version)]
    if live and not (policy and policy.protected.withdrawal):
        raise no_withdrawal(str(live[0]))
    return proceed()


def _delete_model(guard: Guard, asked: Arguments, proceed: Proceed) -> Any:
    policy = guard.policy()
    live = _live(asked["self"], str(asked["name"]), policy)
    if policy is None or (live and not policy.protected.withdrawal):
        raise no_withdrawal(f"{SCHEME}:/{asked['name']}")
    return proceed()


def _rename(guard: Guard, asked: Arguments, proceed: Proceed) -> Any:
    """Versions keep their aliases under the new name, so each needs a certificate for that name."""
    name, new, policy, store = str(asked["name"]), str(asked["new_name"]), guard.policy(), asked["self"]
    if policy is None or policy.protected.versions(new) or policy.protected.versions(name):
        raise refusal(f"the gate denies renaming {name} to {new}", (no_rename(),))
    for item in _live(store, name, policy):
        _permit(guard, store, _reference(new, item.version, item.alias), _Step(lambda: None, lambda: None), item)
    return proceed()


def _create_version(guard: Guard, asked: dict[str, Any], proceed: Proceed) -> Any:
    """A copy is a new version; where every version must be certified it needs a certificate before it exists."""
    name, policy, store = str(asked["name"]), guard.policy(), asked["self"]
    # A copy brings its source's tags, which say nothing about the copy.
    asked["tags"] = [tag for tag in asked["tags"] or () if not str(tag.key).startswith(TAG_PREFIX)]
    if policy is not None and not policy.protected.versions(name):
        return proceed()
    taken = [int(item.version) for item in _versions(store, name)]
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
            raise refusal(f"the gate denies the tag {tag.key}", (no_tag(),))
    return proceed()


def _delete_tag(guard: Guard, asked: Arguments, proceed: Proceed) -> Any:
    if str(asked["key"]).startswith(TAG_PREFIX):
        raise refusal(f"the gate denies taking away the tag {asked['key']}", (no_tag(),))
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


@dataclass(frozen=True)
class _Step:
    """A change, and how to take it back."""

    proceed: Proceed
    undo: Proceed


def _permit(guard: Guard, store: Any, reference: Reference, step: _Step, source: Reference | None = None) -> Any:
    """Decides about a copy of the files; where they changed meanwhile, the change of the registry is taken back."""
    files = source or reference
    with tempfile.TemporaryDirectory(prefix="verifluxa-gate-") as private:
        uri = str(store.get_model_version_download_uri(files.name, str(files.version)))
        fetched = fetch_files(store, uri, reference, Path(private) / "fetched")
        before = measure(fetched.folder)

        def act() -> Any:
            done = step.proceed()
            if not _same(store, uri, reference, before, Path(private) / "again"):
                step.undo()
                raise refusal(f"the gate took {reference} back", (changed(reference),))
            return done

        return guard.permit(fetched, reference, act)


def _same(store: Any, uri: str, reference: Reference, before: Measured, into: Path) -> bool:
    try:
        after = measure(fetch_files(store, uri, reference, into).folder)
    except Exception:  # noqa: BLE001 - fail closed: files that cannot be read any more are not the same
        return False
    return not after.problems and dict(after.digests) == dict(before.digests)


def _unguarded(store: Any, name: str, *arguments: object) -> None:
    """Calls a method of the store as it was before `install`."""
    getattr(type(store), name).__wrapped__(store, *arguments)


def _reference(name: str, version: object, alias: str | None) -> Reference:
    return Reference(SCHEME, name, int(str(version)), alias)


def _live(store: Any, name: str, policy: Policy | None) -> list[Reference]:
    """Versions of a model with a protected alias or stage; with any, where there is no policy."""
    found = [
        _reference(name, version, alias)
        for alias, version in store.get_registered_model(name).aliases.items()
        if policy is None or policy.protected.alias(name, alias)
    ]
    for item in _versions(store, name):
        stage = item.current_stage
        if stage not in NO_STAGE and (policy is None or policy.protected.stage(name, stage)):
            found.append(_reference(name, item.version, STAGE + stage))
    return found


def _versions(store: Any, name: str) -> list[Any]:
    """All versions of a model."""
    quote, found, token = '"' if "'" in name else "'", [], None
    while True:
        page = store.search_model_versions(f"name={quote}{name}{quote}", max_results=1000, page_token=token)
        found += list(page)
        token = page.token
        if not token:
            return found


def _as_predicted(store: Any, reference: Reference, created: Any) -> Any:
    """Another process may have taken the number for which the certificate is; then the new version goes again."""
    if int(created.version) != reference.version:
        store.delete_model_version(reference.name, str(created.version))
        raise refusal(f"the gate denies {reference}", (no_rename(),))
    return created


def _true_tags(policy: Policy, name: str, version: int) -> dict[str, str]:
    for entry in reversed(read_lines(policy.log)):
        if entry.permitted and (entry.reference.name, entry.reference.version) == (name, version):
            verdict = "overridden" if entry.overridden else "certified"
            return {VERDICT_TAG: verdict, CERTIFICATE_TAG: entry.certificate}
    return {}
