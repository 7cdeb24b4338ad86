"""A registry that is a folder, friendly to git.

Files lie in `NAME/VERSION/model/`, documents in `NAME/VERSION/documents/ALIAS/`, aliases in `NAME/aliases/`, and what
was promoted in `NAME/certified/DIGEST/`: a copy that is written once, which loading and the audit read.

A version is complete or not there at all (made under another name, then renamed), and its files never change: an alias
names the version and the digest of its files in one line, so that an edit shows in `git diff` and in every check.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from verifluxa.errors import GateError
from verifluxa.files import read_file
from verifluxa.gate.case import Decision
from verifluxa.gate.files import files_digest, measure, take
from verifluxa.gate.policy import Policy
from verifluxa.gate.reference import Reference, parse_reference
from verifluxa.gate.registry import Fetched, no_version, unreachable

SCHEME = "folder"
DOCUMENTS = "documents"
CERTIFIED = "certified"
_ALIAS = re.compile(r"([1-9][0-9]{0,9}) (sha256:[0-9a-f]{64})\n")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


class FolderRegistry:
    """See the module; `root` is the folder."""

    decides = False

    def __init__(self, root: Path) -> None:
        self.root = root
        self.sources = (str(root.resolve()),)

    def add(self, name: str, folder: Path) -> Reference:
        """Registers a folder of files as the next version.

        Args:
            name: of the model.
            folder: its files.

        Raises:
            GateError: VF6013 for anything that is no plain file, VF6080 when it cannot be written.
        """
        self._check_name(name)
        base = self.root / name
        try:
            base.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=base, prefix=".new-") as new:
                files = take(folder, Path(new) / "model")
                if files.problems:
                    raise files.problems[0]
                return self._place(name, Path(new))
        except OSError as error:
            raise unreachable(str(self.root), error.strerror or str(error)) from error

    def fetch(self, reference: Reference, into: Path) -> Fetched:
        """Copies a version."""
        version = self._version(reference)
        try:
            into.mkdir(parents=True)
            copied = take(version / "model", into / "model")
            if copied.problems:
                raise copied.problems[0]
            self._check_certified(reference)
            take(version / DOCUMENTS / reference.slot, into / "papers")
        except OSError as error:
            raise unreachable(str(version), error.strerror or str(error)) from error
        self._check_alias(reference, files_digest(copied.digests))
        return Fetched(into / "model", into / "papers")

    def attach(self, reference: Reference, documents: Mapping[str, bytes]) -> None:
        """Writes documents beside a version."""
        folder = self._own(self._version(reference) / DOCUMENTS / reference.slot)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unreachable(str(folder), error.strerror or str(error)) from error
        for name, data in documents.items():
            self._write(folder / name, data)

    def current(self, reference: Reference) -> int | None:
        """The version that the alias points to."""
        found = self._alias(self.root / reference.name / "aliases" / str(reference.alias))
        return None if found is None else found[0]

    def point(self, reference: Reference, decision: Decision, copy: Path) -> None:
        """Keeps a copy of the files under their digest, then writes the alias, in one step."""
        folder = self._own(self.root / reference.name / "aliases")
        self._freeze(reference.name, copy, files_digest(decision.files))
        folder.mkdir(exist_ok=True)
        self._write(folder / str(reference.alias), f"{reference.version} {files_digest(decision.files)}\n".encode())

    def withdraw(self, reference: Reference, to: int | None) -> None:
        """Takes the alias away; an earlier version comes back by promoting it."""
        with suppress(FileNotFoundError):
            (self._own(self.root / reference.name / "aliases") / str(reference.alias)).unlink()

    def check_guard(self, policy: Policy) -> None:
        """A folder has no gate of its own."""

    def live(self) -> Iterator[Reference]:
        """Every alias of every model."""
        if not self.root.is_dir():
            raise unreachable(str(self.root), "there is no such folder")
        for path in sorted(self.root.glob("*/aliases/*")):
            # A temporary file that a crash left behind is no alias: no reference has a name that begins with a dot.
            found = None if path.name.startswith(".") else self._alias(path)
            if found is not None:
                yield parse_reference(f"{SCHEME}:/{path.parent.parent.name}/{found[0]}@{path.name}")

    def _freeze(self, name: str, copy: Path, digest: str) -> None:
        """Copies under another name and renames; what is there already must be the same."""
        base = self._own(self.root / name / CERTIFIED)
        target = base / digest.removeprefix("sha256:")
        try:
            base.mkdir(exist_ok=True)
            if not target.exists():
                with tempfile.TemporaryDirectory(dir=base, prefix=".new-") as new:
                    take(copy, Path(new) / "files")
                    for path in Path(new).rglob("*"):
                        path.chmod(0o755 if path.is_dir() else 0o444)
                    os.rename(Path(new) / "files", target)
        except OSError as error:
            raise unreachable(str(target), error.strerror or str(error)) from error
        if measure(target).digest != digest:
            raise _not_those(str(target), digest)

    def _check_certified(self, reference: Reference) -> None:
        """The copy that was kept of what an alias points to must be those very files."""
        found = None
        if reference.alias is not None:
            found = self._alias(self.root / reference.name / "aliases" / reference.alias)
        if found is None or found[0] != reference.version:
            return
        kept = self.root / reference.name / CERTIFIED / found[1].removeprefix("sha256:")
        # Aliases of earlier versions of verifluxa have no copy.
        if os.path.lexists(kept) and measure(kept).digest != found[1]:
            raise _not_those(str(reference), found[1])

    def _place(self, name: str, new: Path) -> Reference:
        """Renames to the next free number; another process may take one at the same time."""
        numbers = [int(path.name) for path in (self.root / name).iterdir() if path.name.isdigit()]
        version = max(numbers, default=0) + 1
        new.chmod(0o755)
        while True:
            target = self.root / name / str(version)
            try:
                os.rename(new, target)
            except OSError:
                if not target.exists():
                    raise
                version += 1
                continue
            new.mkdir()
            return Reference(SCHEME, name, version)

    def _version(self, reference: Reference) -> Path:
        self._check_name(reference.name)
        if not self.root.is_dir():
            raise unreachable(str(self.root), "there is no such folder")
        path = self.root / reference.name / str(reference.version)
        if not path.is_dir() or path.is_symlink() or path.parent.is_symlink():
            raise no_version(reference, str(self.root))
        return path

    def _own(self, folder: Path) -> Path:
        """A folder that is written to: it and all that it lies in, up to the root, must be no links of somebody's."""
        for item in (folder, *folder.parents[: len(folder.relative_to(self.root).parts) - 1]):
            if item.is_symlink():
                raise unreachable(str(item), "it is a link")
        return folder

    def _check_name(self, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise no_version(Reference(SCHEME, name, 1), str(self.root))

    def _check_alias(self, reference: Reference, digest: str) -> None:
        """Where the alias points to this version already, its files must be those of the promotion."""
        if reference.alias is None:
            return
        found = self._alias(self.root / reference.name / "aliases" / reference.alias)
        if found is not None and found[0] == reference.version and found[1] != digest:
            raise _not_those(str(reference), found[1])

    def _alias(self, path: Path) -> tuple[int, str] | None:
        try:
            text = read_file(path, 200).decode("ascii")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise unreachable(str(path), str(error)) from error
        match = _ALIAS.fullmatch(text)
        if match is None:
            raise unreachable(str(path), "it is no alias: a version and a digest in one line")
        return int(match[1]), match[2]

    def _write(self, path: Path, data: bytes) -> None:
        """Writes beside the target and renames."""
        try:
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(file.name, 0o644)
            os.replace(file.name, path)
        except OSError as error:
            raise unreachable(str(path), error.strerror or str(error)) from error


def _not_those(place: str, digest: str) -> GateError:
    return GateError(
        "VF6084",
        "the files are not those that the alias was given to",
        place=place,
        expected=digest,
        remedy="restore the version from a copy, or take the alias away",
    )
