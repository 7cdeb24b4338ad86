"""The ready CI files: the hook refuses real pushes, and every command in the workflows exists with its options."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer

from tests.gate import kubernetes
from tests.gate.desk import FILES, Desk
from verifluxa.cli.app import build_app
from verifluxa.gate.folder_registry import FolderRegistry
from verifluxa.gate.promote import Papers, promote
from verifluxa.gate.reference import Reference

CI = Path(__file__).resolve().parents[2] / "examples" / "ci"
WORKFLOWS = [
    CI / "github" / "release-gate.yml",
    CI / "gitlab" / "release-gate.gitlab-ci.yml",
    CI / "git" / "pre-receive",
]


def commands(path: Path) -> list[list[str]]:
    """Every `verifluxa ...` in a file, with lines that YAML folds joined."""
    text = re.sub(r">\n((?: {10}.*\n)+)", lambda match: " ".join(match[1].split()) + "\n", path.read_text())
    text = re.sub(r"\$\{\{.*?\}\}", "1", text)
    found = re.findall(r"(?:^|- |run: |\s)(verifluxa (?:verify|cert|gate) [^\n]*)", text)
    return [shlex.split(re.split(r" >|>&2| \|\|", line)[0]) for line in found]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_commands_exist_with_their_options(path: Path) -> None:
    root = typer.main.get_command(build_app())
    assert commands(path)
    for words in commands(path):
        command, rest = root, words[1:]
        while hasattr(command, "commands"):
            command, rest = command.commands[rest[0]], rest[1:]
        known = {name for param in command.params for name in param.opts}
        assert {word for word in rest if word.startswith("--")} <= known, words


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_hook_refuses_a_push_that_deploys_an_uncertified_version(desk: Desk, tmp_path: Path) -> None:
    bare, clone = tmp_path / "bare.git", tmp_path / "clone"
    _git(tmp_path, "init", "-q", "--bare", "-b", "main", str(bare))
    _git(bare, "config", "gate.policy", str(desk.policy_path))
    shutil.copy(CI / "git" / "pre-receive", bare / "hooks" / "pre-receive")
    _git(tmp_path, "init", "-q", "-b", "main", str(clone))
    _git(clone, "remote", "add", "origin", str(bare))
    registry = FolderRegistry(clone / "models")
    first = registry.add("digits", desk.model).at("production")
    assert promote(desk.policy_path, registry, first, _papers(desk, first)).permitted
    assert _push(clone).returncode == 0
    # By hand, past the gate: an alias for a version that has no certificate.
    (desk.model / "clean.jld2").write_bytes(b"backdoored")
    second = registry.add("digits", desk.model)
    alias = clone / "models" / "digits" / "aliases" / "production"
    alias.write_text(alias.read_text().replace("1 ", f"{second.version} ", 1))
    refused = _push(clone)
    assert refused.returncode != 0
    assert "VF6084" in refused.stderr
    # Nor by writing other bytes under the certified version.
    _git(clone, "checkout", "-q", "HEAD~1", "--", "models/digits/aliases/production")
    (clone / "models" / "digits" / "1" / "model" / "clean.jld2").write_bytes(b"backdoored")
    assert _push(clone).returncode != 0
    (clone / "models" / "digits" / "1" / "model" / "clean.jld2").write_bytes(FILES["clean.jld2"])
    assert _push(clone).returncode == 0


def _papers(desk: Desk, reference: Reference) -> Papers:
    from dataclasses import replace

    now = datetime.now(UTC).replace(microsecond=0)
    times = {"time_verified": now - timedelta(minutes=1), "expires": now + timedelta(days=9)}
    certificate = desk.root / "certificate.dsse.json"
    certificate.write_bytes(desk.signed(replace(desk.statement, resource_uri=str(reference), **times)))
    return Papers((certificate,))


def _push(clone: Path) -> subprocess.CompletedProcess[str]:
    _git(clone, "add", "-A")
    _git(clone, "commit", "-q", "--allow-empty", "-m", "Models")
    return _run(clone, "push", "-q", "origin", "main")


def _git(folder: Path, *arguments: str) -> None:
    done = _run(folder, *arguments)
    assert done.returncode == 0, done.stderr


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    who = {f"GIT_{role}_{what}": "a@example.invalid" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, **who, "PATH": tools, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    command = ["git", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_manifest_for_kubernetes_names_what_there_is() -> None:
    """The forms of the API's own schema, names that meet each other, and a command of this program."""
    import yaml

    with (CI / "kubernetes-admission.yaml").open() as file:
        configuration, service, deployment = yaml.safe_load_all(file)
    for thing in (configuration, service, deployment):
        kubernetes.check(thing, kubernetes.OBJECTS[thing["kind"]])
    assert (
        deployment["spec"]["selector"]["matchLabels"].items()
        <= deployment["spec"]["template"]["metadata"]["labels"].items()
    )
    assert service["spec"]["selector"].items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    (hook,) = configuration["webhooks"]
    assert (hook["failurePolicy"], hook["admissionReviewVersions"]) == ("Fail", ["v1"])
    assert hook["clientConfig"]["service"]["name"] == service["metadata"]["name"] == "gate"
    gate, proxy = deployment["spec"]["template"]["spec"]["containers"]
    assert service["spec"]["ports"][0]["targetPort"] == proxy["ports"][0]["containerPort"]
    command = typer.main.get_command(build_app())
    group = command.commands["gate"].commands["webhook"]  # type: ignore[attr-defined]
    options = {name for parameter in group.params for name in parameter.opts}
    assert gate["args"][:2] == ["gate", "webhook"]
    assert {item for item in gate["args"] if item.startswith("--")} <= options
