"""Project.toml and Manifest.toml: packages without a version, from a folder or an address, with changed hashes."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verifluxa.errors import DataError, Span
from verifluxa.triage.review.finding import Finding, Rule, Severity
from verifluxa.triage.review.tree import read_text

UNPINNED = Rule(
    "unpinned-package",
    Severity.WARNING,
    "a package without a version",
    "another version, with other code, may be installed on the next machine",
    "give its version in [compat] and keep a Manifest.toml beside Project.toml",
)
FOLDER = Rule(
    "folder-package",
    Severity.WARNING,
    "a package from a folder (dev)",
    "its code is whatever lies there, with no hash that could be checked",
    "use a registered version, or review the folder too",
)
ADDRESS = Rule(
    "address-package",
    Severity.WARNING,
    "a package from an address instead of a registry",
    "whoever owns the address decides what the next version does",
    "use a registered version, or review that commit and keep its hash",
)
NO_HASH = Rule(
    "no-hash",
    Severity.ERROR,
    "a package without a hash",
    "nothing says that the code is the one that was reviewed",
    "make the Manifest.toml anew with `Pkg.resolve()`",
)
CHANGED = Rule(
    "changed-hash",
    Severity.ERROR,
    "a package whose hash is another one at the same version",
    "a registered version never changes: its code was replaced",
    "find out why before anything is trained with it",
)
OTHER = Rule(
    "changed-version",
    Severity.WARNING,
    "a package in another version than in the lock",
    "its code was not part of the review of the lock",
    "review the change, then renew the lock",
)
ADDED = Rule(
    "added-package",
    Severity.WARNING,
    "a package that the lock does not have",
    "its code was not part of the review of the lock",
    "review it, then renew the lock",
)
PACKAGE_RULES = (UNPINNED, FOLDER, ADDRESS, NO_HASH, CHANGED, OTHER, ADDED)

# Packages that come with Julia have no hash in a manifest (https://docs.julialang.org/en/v1/stdlib).
STANDARD = frozenset(
    re.findall(
        r"\S+",
        """
    ArgTools Artifacts Base64 CRC32c Dates DelimitedFiles Distributed Downloads FileWatching Future
    InteractiveUtils JuliaSyntaxHighlighting LazyArtifacts LibCURL LibGit2 Libdl LinearAlgebra Logging
    Markdown Mmap NetworkOptions Pkg Printf Profile REPL Random SHA Serialization SharedArrays Sockets
    SparseArrays Statistics StyledStrings SuiteSparse TOML Tar Test UUIDs Unicode
    CompilerSupportLibraries_jll GMP_jll LLD_jll LLVMLibUnwind_jll LibCURL_jll LibGit2_jll LibSSH2_jll
    LibUV_jll LibUnwind_jll MPFR_jll MbedTLS_jll MozillaCACerts_jll OpenBLAS_jll OpenLibm_jll OpenSSL_jll
    PCRE2_jll SuiteSparse_jll Zlib_jll Zstd_jll dSFMT_jll libLLVM_jll libblastrampoline_jll nghttp2_jll
    p7zip_jll
    """,
    )
)
_PROJECT = re.compile(r"(Julia)?Project\.toml")
_MANIFEST = re.compile(r"(Julia)?Manifest(-v[\d.]+)?\.toml")


@dataclass(frozen=True)
class Packages:
    """A TOML file, and the lines in which a name is written."""

    path: str
    table: Mapping[str, Any]
    lines: tuple[str, ...]

    def span(self, name: str) -> Span:
        """Where a package is written: `[[deps.Flux]]`, else `Flux = ...`, else the first line."""
        head = re.compile(rf"\s*\[\[(deps\.)?{re.escape(name)}\]\]|\s*\"?{re.escape(name)}\"?\s*=")
        at = next((number for number, line in enumerate(self.lines) if head.match(line)), 0)
        return Span(self.path, at + 1, 1, at + 1, 1 + max(1, len(self.lines[at]) if self.lines else 1))


def is_packages(path: str) -> bool:
    """Whether a file is a Project.toml or a Manifest.toml, by its name."""
    return bool(_PROJECT.fullmatch(Path(path).name) or _MANIFEST.fullmatch(Path(path).name))


def read_packages(path: str) -> Packages:
    """Reads a TOML file.

    Raises:
        DataError: VF8051 when it is no text, VF8053 when it is no TOML.
    """
    text = read_text(path).decode("utf-8")
    try:
        return Packages(path, tomllib.loads(text), tuple(text.split("\n")))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise DataError(
            "VF8053",
            f"this is no TOML: {str(error)[:200]}",
            place=path,
            expected="a Project.toml or Manifest.toml as Julia's package manager writes it",
        ) from None


def of_packages(packages: Packages, locked: bool, lock: Packages | None) -> Iterator[Finding]:
    """The findings in a Project.toml or Manifest.toml.

    Args:
        packages: the file.
        locked: whether a manifest beside it fixes the versions of a Project.toml.
        lock: a manifest to compare a manifest with, or None.
    """
    if _PROJECT.fullmatch(Path(packages.path).name):
        yield from _project(packages, locked)
        return
    entries = _entries(packages)
    for name, entry in entries.items():
        yield from _entry(packages, name, entry)
    if lock is not None:
        yield from _compared(packages, entries, _entries(lock))


def _project(packages: Packages, locked: bool) -> Iterator[Finding]:
    table = packages.table
    bounds, sources = _table(table.get("compat")), _table(table.get("sources"))
    for name in _table(table.get("deps")):
        if not locked and name not in STANDARD and name not in bounds:
            yield Finding(packages.span(name), UNPINNED, name)
    for name, entry in sources.items():
        if "path" in _table(entry):
            yield Finding(packages.span(name), FOLDER, f"{name}: {_short(entry['path'])}")
        elif "url" in _table(entry):
            yield Finding(packages.span(name), ADDRESS, f"{name}: {_short(entry['url'])}")


def _entries(packages: Packages) -> dict[str, Mapping[str, Any]]:
    """The packages of a manifest, by name; of both formats."""
    table = packages.table
    listed = _table(table.get("deps")) if "manifest_format" in table else table
    return {
        name: entries[0]
        for name, entries in listed.items()
        if isinstance(entries, list) and entries and isinstance(entries[0], dict)
    }


def _entry(packages: Packages, name: str, entry: Mapping[str, Any]) -> Iterator[Finding]:
    span = packages.span(name)
    if "path" in entry:
        yield Finding(span, FOLDER, f"{name}: {_short(entry['path'])}")
    elif "repo-url" in entry:
        yield Finding(span, ADDRESS, f"{name}: {_short(entry['repo-url'])} at {_short(entry.get('repo-rev', '?'))}")
    elif "git-tree-sha1" not in entry and name not in STANDARD:
        yield Finding(span, NO_HASH, name)


def _compared(
    packages: Packages, entries: Mapping[str, Mapping[str, Any]], lock: Mapping[str, Mapping[str, Any]]
) -> Iterator[Finding]:
    for name, entry in entries.items():
        if name not in lock:
            yield Finding(packages.span(name), ADDED, name)
            continue
        (new, old), (here, there) = (
            tuple(str(one.get(key)) for one in (entry, lock[name])) for key in ("version", "git-tree-sha1")
        )
        if new != old:
            yield Finding(packages.span(name), OTHER, f"{name}: {_short(new)}, the lock has {_short(old)}")
        elif here != there:
            yield Finding(
                packages.span(name), CHANGED, f"{name} {_short(new)}: {_short(here)}, the lock has {_short(there)}"
            )


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 80 else text[:79] + "…"
