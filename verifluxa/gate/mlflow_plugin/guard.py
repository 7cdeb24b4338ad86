"""What the server refuses: one function for each change of the registry that could bring a version into production.

All of them run one after the other, under the lock of the log. What is permitted is copied to the gate's own place
first, then the version is made to lead there, then the registry is changed: whoever stops the server in between leaves
no name that leads to files that were not decided about.
"""

from __future__ import annotations

import functools
import inspect
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from verifluxa.errors import GateError, VerifluxaError
from verifluxa.gate.case import Decision
from verifluxa.gate.files import files_digest
from verifluxa.gate.log import Held
from verifluxa.gate.mlflow_plugin.client import (
    CERTIFICATE_TAG,
    NO_STAGE,
    SCHEME,
    SERVER,
    SOURCE_TAG,
    TAG_PREFIX,
    VERDICT_TAG,
    is_prompt_key,
    versions_of,
)
from verifluxa.gate.mlflow_plugin.fetch import fetch_files, resolved
from verifluxa.gate.mlflow_plugin.refusals import changed, no_prompt, no_rename, no_tag, no_withdrawal, refusal
from verifluxa.gate.mlflow_plugin.vault import VAULT, check_source, freeze, point
from verifluxa.gate.policy import Policy, load_policy
from verifluxa.gate.promote import documents_of
from verifluxa.gate.reference import STAGE, Reference, parse_reference
from verifluxa.gate.registry import Fetched
from verifluxa.gate.run import Ask, judge, open_log, withdrawn

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
            stamp = (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
            if self._seen is None or self._seen[0] != stamp:
                self._seen = (stamp, load_policy(self.path))
            return self._seen[1]
        except (OSError, VerifluxaError):
            self._seen = None
            return None

    def permit(self, fetched: Fetched, reference: Reference, act: Callable[[Decision, Path, Ask], Any]) -> Any:
        """Decides, and on a permission does what was asked."""
        try:
            parse_reference(str(reference))
        except GateError as error:
            raise refusal(f"the gate denies {reference}", (error,)) from error
        done: list[Any] = []
        ask = Ask(
            reference,
            fetched.folder,
            fetched.certificates,
            fetched.override,
            "server",
            client=_client(),
            source=SERVER,
        )
        decision = judge(self.path, ask, lambda decision, copy: done.append(act(decision, copy, ask)))
        if not decision.permitted:
            raise refusal(f"the gate denies {reference}", decision.reasons)
        return done[0]

    @contextmanager
    def held(self) -> Iterator[tuple[Policy | None, Held | None]]:
        """The policy, and the log held against everybody else; a log that cannot be relied on refuses everything."""
        policy = self.policy()
        if policy is None:
            yield None, None
            return
        log = open_log(policy).held()
        try:
            held = log.__enter__()
        except GateError as error:
            raise refusal("the gate denies every change of the registry", (error,)) from error
        try:
            yield policy, held
        finally:
            log.__exit__(None, None, None)


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
    name, alias, store = str(asked["name"]), str(asked["alias"]), asked["self"]
    with guard.held() as (policy, _held):
        if policy is not None and not policy.protected.alias(name, alias):
            return proceed()
    reference = _reference(name, asked["version"], alias)

    def undo(before: str | None) -> None:
        _unguarded(store, "delete_registered_model_alias", name, alias)
        if before is not None:
            _unguarded(store, "set_registered_model_alias", name, alias, before)

    def look() -> str | None:
        found = store.get_registered_model(name).aliases.get(alias)
        return None if found is None else str(found)

    return _permit(guard, store, reference, proceed, undo, look)


def _delete_alias(guard: Guard, asked: Arguments, proceed: Proceed) -> Any:
    name, alias = str(asked["name"]), str(asked["alias"])
    with guard.held() as (policy, held):
        if policy is not None and not policy.protected.alias(name, alias):
            return proceed()
        if policy is None or not policy.protected.withdrawal:
            raise no_withdrawal(f"{SCHEME}:/{name}@{alias}")
        gone = [item for item in _live(asked["self"], name, policy) if item.alias == alias]
        return _withdraw(policy, held, gone, proceed)


def _transition(guard: Guard, asked: Arguments, proceed: Proceed) -> Any:
    name, store, stage = str(asked["name"]), asked["self"], str(asked["stage"]).strip()
    with guard.held() as (policy, held):
        version = store.get_model_version(name, asked["version"])
        if policy is not None and not policy.protected.stage(name, stage):
            live = policy.protected.stage(name, version.current_stage)
            if not live:
                return proceed()
            if not policy.protected.withdrawal:
                raise no_withdrawal(f"{SCHEME}:/{name}/{version.version}")
            gone = [_reference(name, version.version, STAGE + str(version.current_stage))]
            return _withdraw(policy, held, gone, proceed)
    reference = _reference(name, version.version, STAGE + stage.capitalize())
    archived: list[Reference] = []

    def first() -> Any:
        policy = guard.policy()
        if asked["archive_existing_versions"] and policy is not None:
            archived.extend(
                item for item in _live(store, name, policy) if item.alias == reference.alias and item != reference
            )
        done = proceed()
        if policy is not None:
            with open_log(policy).held() as held:
                for item in archived:
                    held.append(withdrawn(policy, item, datetime.now(UTC), SERVER))
        return done

    def undo(before: str | None) -> None:
        stage = "None" if before == reference.alias else str(before)
        _unguarded(store, "transition_model_version_stage", name, version.version, stage, False)

    return _permit(
        guard, store, reference, first, undo, lambda: str(store.get_model_version(name, version.version).current_stage)
    )


def _delete_version(guard: Guard, asked: Arguments, proceed: Proceed) -> Any:
    name, store = str(asked["name"]), asked["self"]
    with guard.held() as (policy, held):
        version = int(store.get_model_version(name, asked["version"]).version)
        found = [*_live(store, name, policy), *_certified(policy, held, name)]
        live = [item for item in found if item.version == version]
        if live and (policy is None or not policy.protected.withdrawal):
            raise no_withdrawal(str(live[0]))
        return _withdraw(policy, held, live, proceed)


def _delete_model(guard: Guard, asked: Arguments, proceed: Proceed) -> Any:
    name = str(asked["name"])
    with guard.held() as (policy, held):
        live = [*_live(asked["self"], name, policy), *_certified(policy, held, name)]
        if policy is None or (live and not policy.protected.withdrawal):
            raise no_withdrawal(f"{SCHEME}:/{name}")
        return _withdraw(policy, held, live, proceed)


def _rename(guard: Guard, asked: Arguments, proceed: Proceed) -> Any:
    """Versions keep aliases and stages: the new name may be protected where the old one is not, and the other way."""
    name, new, store = str(asked["name"]), str(asked["new_name"]), asked["self"]
    with guard.held() as (policy, held):
        if policy is None or policy.protected.versions(new) or policy.protected.versions(name):
            raise refusal(f"the gate denies renaming {name} to {new}", (no_rename(),))
        leaving = _live(store, name, policy)
        if leaving and not policy.protected.withdrawal:
            raise no_withdrawal(str(leaving[0]))
        steps: Proceed = proceed
        for item in _live(store, name, policy, new):
            steps = functools.partial(_renamed, guard, store, item, _reference(new, item.version, item.alias), steps)
        return _withdraw(policy, held, leaving, steps)


def _renamed(guard: Guard, store: Any, source: Reference, reference: Reference, proceed: Proceed) -> Any:
    """One version that becomes live under the new name: all of them must be permitted before anything is renamed."""
    return _permit(guard, store, reference, proceed, None, None, source)


def _create_model(guard: Guard, asked: Arguments, proceed: Proceed) -> Any:
    """A new model is not live yet; it brings no tags of ours, and where every version is certified no prompt's."""
    name = str(asked["name"])
    with guard.held() as (policy, _held):
        for tag in asked["tags"] or ():
            if _is_ours(tag.key):
                raise refusal(f"the gate denies the tag {tag.key}", (no_tag(),))
            if is_prompt_key(tag.key) and (policy is None or policy.protected.versions(name)):
                raise refusal(f"the gate denies the tag {tag.key}", (no_prompt(),))
        return proceed()


def _create_version(guard: Guard, asked: dict[str, Any], proceed: Proceed) -> Any:
    """A copy is a new version; where every version must be certified it needs a certificate before it exists."""
    name, store = str(asked["name"]), asked["self"]
    # A copy brings its source's tags, which say nothing about the copy.
    asked["tags"] = [tag for tag in asked["tags"] or () if not _is_ours(tag.key)]
    with guard.held() as (policy, _held):
        if policy is not None and not policy.protected.versions(name):
            if any(is_prompt_key(tag.key) for tag in asked["tags"]) and _live(store, name, policy):
                raise refusal(f"the gate denies a prompt among the versions of {name}", (no_prompt(),))
            return proceed()
    asked["tags"] = [tag for tag in asked["tags"] if not is_prompt_key(tag.key)]
    taken = [int(item.version) for item in versions_of(store, name)]
    reference = _reference(name, max(taken, default=0) + 1, None)
    source = resolved(store, str(asked["source"]))
    check_source(source)
    with tempfile.TemporaryDirectory(prefix="verifluxa-gate-") as private:
        inbox = _origin(store, str(asked["source"]), source)
        fetched = fetch_files(store, source, reference, Path(private) / "fetched", inbox)

        def act(decision: Decision, copy: Path, ask: Ask) -> Any:
            asked["source"] = _frozen(decision, copy, ask, Path(private))
            return _as_predicted(store, reference, proceed())

        return guard.permit(fetched, reference, act)


def _set_tag(guard: Guard, asked: Arguments, proceed: Proceed) -> Any:
    """Tags with our prefix must say what the log says, and no live version may be hidden from searches."""
    tag, name, store = asked["tag"], str(asked["name"]), asked["self"]
    if not _is_ours(tag.key) and not is_prompt_key(tag.key):
        return proceed()
    with guard.held() as (policy, held):
        if _is_ours(tag.key):
            allowed = {} if held is None else _true_tags(held, name, _number(asked["version"]))
            if allowed.get(str(tag.key)) != tag.value:
                raise refusal(f"the gate denies the tag {tag.key}", (no_tag(),))
        elif policy is None or policy.protected.versions(name) or _live(store, name, policy):
            raise refusal(f"the gate denies the tag {tag.key}", (no_prompt(),))
        return proceed()


def _set_model_tag(guard: Guard, asked: Arguments, proceed: Proceed) -> Any:
    """The same for tags of a whole model, which has no tags of ours."""
    tag, name, store = asked["tag"], str(asked["name"]), asked["self"]
    if _is_ours(tag.key):
        raise refusal(f"the gate denies the tag {tag.key}", (no_tag(),))
    if not is_prompt_key(tag.key):
        return proceed()
    with guard.held() as (policy, _held):
        if policy is None or policy.protected.versions(name) or _live(store, name, policy):
            raise refusal(f"the gate denies the tag {tag.key}", (no_prompt(),))
        return proceed()


def _delete_tag(guard: Guard, asked: Arguments, proceed: Proceed) -> Any:
    if _is_ours(asked["key"]):
        raise refusal(f"the gate denies taking away the tag {asked['key']}", (no_tag(),))
    return proceed()


GUARDS: dict[str, Check] = {
    "create_registered_model": _create_model,
    "set_registered_model_alias": _set_alias,
    "delete_registered_model_alias": _delete_alias,
    "transition_model_version_stage": _transition,
    "delete_model_version": _delete_version,
    "delete_registered_model": _delete_model,
    "rename_registered_model": _rename,
    "create_model_version": _create_version,
    "set_model_version_tag": _set_tag,
    "delete_model_version_tag": _delete_tag,
    "set_registered_model_tag": _set_model_tag,
}
"""Every method of MLflow's registry store that could change what is in production, or what is said about it."""


def _permit(
    guard: Guard,
    store: Any,
    reference: Reference,
    proceed: Proceed,
    undo: Callable[[str | None], None] | None,
    look: Callable[[], str | None] | None,
    source: Reference | None = None,
) -> Any:
    """Decides about a copy of a version's files, freezes the copy, lets the version lead there, changes the registry.

    Args:
        guard, store: of the server.
        reference: the promotion.
        proceed: the change of the registry.
        undo: takes it back, given what `look` saw before.
        look: what the changed name led to.
        source: the version as it is called now, where that differs.
    """
    files = source or reference
    with tempfile.TemporaryDirectory(prefix="verifluxa-gate-") as private:
        version = str(files.version)
        uri = str(store.get_model_version_download_uri(files.name, version))
        check_source(uri)
        inbox = _origin(store, f"{SCHEME}:/{files.name}/{version}", uri)
        fetched = fetch_files(store, uri, reference, Path(private) / "fetched", inbox)

        def act(decision: Decision, copy: Path, ask: Ask) -> Any:
            if str(store.get_model_version_download_uri(files.name, version)) not in (uri, _vault_of(decision)):
                raise refusal(f"the gate denies {reference}", (changed(reference),))
            frozen = _frozen(decision, copy, ask, Path(private))
            point(store, files, frozen)
            before = None if look is None else look()
            done = proceed()
            now = reference if source is not None else files
            if str(store.get_model_version_download_uri(now.name, version)) != frozen:
                if undo is not None:
                    undo(before)
                raise refusal(f"the gate took {reference} back", (changed(reference),))
            return done

        return guard.permit(fetched, reference, act)


def _origin(store: Any, source: str, uri: str) -> str:
    """Where the files of a source came from before they were frozen: documents of new promotions lie there."""
    if not source.startswith(f"{SCHEME}:/") or "/" not in source.removeprefix(f"{SCHEME}:/"):
        return uri
    name, version = source.removeprefix(f"{SCHEME}:/").rsplit("/", 1)
    return str(store.get_model_version(name, version).tags.get(SOURCE_TAG, uri))


def _frozen(decision: Decision, copy: Path, ask: Ask, private: Path) -> str:
    papers = private / "papers"
    papers.mkdir()
    for name, data in documents_of(decision, ask).items():
        (papers / name).write_bytes(data)
    return freeze(copy, files_digest(decision.files), decision.reference, papers, private / "desk")


def _vault_of(decision: Decision) -> str:
    return f"mlflow-artifacts:/{VAULT}/{files_digest(decision.files).removeprefix('sha256:')}/model"


def _withdraw(policy: Policy | None, held: Held | None, gone: list[Reference], proceed: Proceed) -> Any:
    """Does what was asked; the log says what is no longer live."""
    done = proceed()
    if policy is not None and held is not None:
        for item in gone:
            held.append(withdrawn(policy, item, datetime.now(UTC), SERVER))
    return done


def _unguarded(store: Any, name: str, *arguments: object) -> None:
    """Calls a method of the store as it was before `install`."""
    getattr(type(store), name).__wrapped__(store, *arguments)


def _reference(name: str, version: object, alias: str | None) -> Reference:
    return Reference(SCHEME, name, _number(version), alias)


def _number(version: object) -> int:
    """The number of a version, from what somebody asked for."""
    try:
        return parse_reference(f"{SCHEME}:/name/{version}").version
    except GateError as error:
        raise refusal("the gate denies what names no version", (error,)) from error


def _live(store: Any, name: str, policy: Policy | None, called: str | None = None) -> list[Reference]:
    """Versions of a model with a protected alias or stage; with any, where there is no policy.

    Args:
        store: of the registry.
        name: of the model.
        policy: says what is protected.
        called: another name that the model is to have.
    """
    judged = called or name
    found = [
        _reference(name, version, alias)
        for alias, version in store.get_registered_model(name).aliases.items()
        if policy is None or policy.protected.alias(judged, alias)
    ]
    for item in versions_of(store, name):
        stage = item.current_stage
        if stage not in NO_STAGE and (policy is None or policy.protected.stage(judged, stage)):
            found.append(_reference(name, item.version, STAGE + stage))
    return found


def _certified(policy: Policy | None, held: Held | None, name: str) -> list[Reference]:
    """Versions of a model whose every version must be certified, and which the gate let into it."""
    if policy is None or held is None or not policy.protected.versions(name):
        return []
    return [
        one.reference for one, _ in held.live(name) if (one.reference.scheme, one.reference.alias) == (SCHEME, None)
    ]


def _as_predicted(store: Any, reference: Reference, created: Any) -> Any:
    """Another process may have taken the number for which the certificate is; then the new version goes again."""
    if int(created.version) != reference.version:
        _unguarded(store, "delete_model_version", reference.name, str(created.version))
        raise refusal(f"the gate denies {reference}", (no_rename(),))
    return created


def _true_tags(held: Held, name: str, version: int) -> dict[str, str]:
    for one, _before in held.live(name):
        if one.reference.scheme == SCHEME and one.reference.version == version:
            return {VERDICT_TAG: "overridden" if one.overridden else "certified", CERTIFICATE_TAG: one.certificate}
    return {}


def _is_ours(key: object) -> bool:
    return str(key).strip().casefold().startswith(TAG_PREFIX)


def _client() -> str:
    """Who asks: the address of the request."""
    from flask import has_request_context, request

    return str(request.remote_addr or "unknown") if has_request_context() else "the server itself"
