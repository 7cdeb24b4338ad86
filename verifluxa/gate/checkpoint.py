"""The head of the log, written to a place elsewhere, so that a log that was cut off or rewritten is noticed.

The file is a checkpoint as transparency logs publish it, a signed note: https://c2sp.org/tlog-checkpoint. Its "root
hash" is the digest of the log's last line, which through the chain stands for all lines before it; signatures carry
the first four bytes of the key's id, as those of Rekor do.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from verifluxa.certificate.keys import PublicKey, SigningKey, key_id, sign_bytes, signature_holds
from verifluxa.errors import GateError
from verifluxa.files import read_file
from verifluxa.gate.log_line import broken

if TYPE_CHECKING:
    from verifluxa.gate.log import Log

ORIGIN = "verifluxa.dev/gate-log/"
LARGEST = 16 * 1024
_TEXT = re.compile(r"([^\n]{1,500})\n(0|[1-9][0-9]{0,15})\n([A-Za-z0-9+/]{43}=)\n")
_SIGNATURE = re.compile(r"— ([^\s+]{1,500}) ([A-Za-z0-9+/=]{8,2000})\n")


@dataclass(frozen=True)
class Head:
    """The number of lines of a log and the digest of the last one."""

    count: int
    digest: str


@dataclass(frozen=True)
class Checkpoint:
    """Where the head of a log is kept.

    Attributes:
        path: the file, on another disk or machine than the log.
        name: of the log, in the first line.
        key: signs it, where the gate has a key at hand.
    """

    path: Path
    name: str
    key: SigningKey | None = None

    def write(self, head: Head) -> None:
        """Writes the head, in one step.

        Raises:
            GateError: VF6070 when it cannot be written.
        """
        try:
            with tempfile.NamedTemporaryFile(dir=self.path.parent, prefix=".", delete=False) as file:
                file.write(encode(self.name, head, self.key))
            os.chmod(file.name, 0o644)
            os.replace(file.name, self.path)
        except OSError as error:
            raise broken(str(self.path), f"its checkpoint cannot be written: {error.strerror or error}") from error

    def read(self) -> Head | None:
        """The head that is kept there; None where there is no file.

        Raises:
            GateError: VF6070 when it is no checkpoint of this log.
        """
        try:
            data = read_file(self.path, LARGEST)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unreadable(self.path, error) from error
        name, head = decode(data, str(self.path))
        if name != ORIGIN + _plain(self.name):
            raise broken(str(self.path), f"the checkpoint is of another log: {name}")
        return head


def encode(name: str, head: Head, key: SigningKey | None = None) -> bytes:
    """The bytes of a checkpoint."""
    digest = base64.b64encode(bytes.fromhex(head.digest.removeprefix("sha256:"))).decode()
    text = f"{ORIGIN}{_plain(name)}\n{head.count}\n{digest}\n".encode()
    if key is None:
        return text + b"\n"
    signature = bytes.fromhex(key_id(key.public_key()))[:4] + sign_bytes(key, text)
    return text + f"\n— {ORIGIN}{_plain(name)} {base64.b64encode(signature).decode()}\n".encode()


def decode(data: bytes, place: str) -> tuple[str, Head]:
    """The name and head of a checkpoint; signatures are not looked at.

    Raises:
        GateError: VF6070 when it is none.
    """
    text, gap, _ = data.partition(b"\n\n")
    try:
        match = _TEXT.fullmatch(text.decode("utf-8") + "\n")
    except UnicodeDecodeError:
        match = None
    if match is None or not gap:
        raise broken(place, "this is no checkpoint of a log")
    return match[1], Head(int(match[2]), "sha256:" + base64.b64decode(match[3]).hex())


def signers(data: bytes, keys: Sequence[PublicKey]) -> tuple[str, ...]:
    """Ids of those of the keys that signed a checkpoint."""
    text, _, lines = data.partition(b"\n\n")
    found = []
    for match in _SIGNATURE.finditer(lines.decode("utf-8", errors="replace")):
        try:
            signature = base64.b64decode(match[2], validate=True)
        except binascii.Error:
            continue
        found += [
            key_id(key)
            for key in keys
            if bytes.fromhex(key_id(key))[:4] == signature[:4] and signature_holds(key, signature[4:], text + b"\n")
        ]
    return tuple(dict.fromkeys(found))


def read_signed(path: Path, keys: Sequence[PublicKey]) -> tuple[Head, tuple[str, ...]]:
    """A checkpoint that somebody kept, and which of the keys signed it.

    Raises:
        GateError: VF6070 when the file is none.
    """
    try:
        data = read_file(path, LARGEST)
    except OSError as error:
        raise _unreadable(path, error) from error
    return decode(data, str(path))[1], signers(data, keys)


def check_kept(path: Path, log: Log, keys: Sequence[PublicKey]) -> None:
    """Compares a checkpoint that somebody kept with the log: its head must stand in it.

    Args:
        path: the checkpoint.
        log: the log.
        keys: of the gate; where there are any, one of them must have signed the checkpoint.

    Raises:
        GateError: VF6070 when it is none, is not signed, or its head is not in the log.
    """
    head, who = read_signed(path, keys)
    if keys and not who:
        raise broken(str(path), "no key of the gate signed this checkpoint")
    if head.count and log.verify(head.digest).count < head.count:
        raise broken(str(log.path), "it is shorter than the checkpoint that was kept")


def _plain(name: str) -> str:
    """A name without white space and plus signs, which names in notes must not have."""
    return re.sub(r"[\s+]", "_", name)


def _unreadable(path: Path, error: OSError) -> GateError:
    return broken(str(path), f"the checkpoint cannot be read: {error.strerror or error}")
