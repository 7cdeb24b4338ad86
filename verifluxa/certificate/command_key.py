"""A signing key that stays where it is: in a PKCS#11 module, a key service, or another machine.

A program signs: it reads the bytes from its standard input and writes the signature to its standard output, as
`openssl dgst -sha256 -sign KEY` does (DER for ECDSA on P-256 with SHA-256, 64 bytes for Ed25519). What it writes counts
only if it holds under the public key.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from verifluxa.errors import CertificateError

if TYPE_CHECKING:
    from verifluxa.certificate.keys import PublicKey

LONGEST_SIGNATURE = 1024


@dataclass(frozen=True)
class CommandKey:
    """A private key behind a program.

    Attributes:
        command: the program and its arguments; no shell reads them.
        public: the public key that belongs to it.
        patience: seconds that it may take.
    """

    command: tuple[str, ...]
    public: PublicKey
    patience: float = 60

    def public_key(self) -> PublicKey:
        """The public key, as private keys give theirs."""
        return self.public

    def sign(self, data: bytes) -> bytes:
        """Has the program sign.

        Raises:
            CertificateError: VF5028 when it does not start, fails, takes too long, or writes no signature.
        """
        program = shutil.which(self.command[0]) if self.command else None
        if program is None:
            raise _failed(self.command, "there is no such program")
        try:
            done = _run([program, *self.command[1:]], data, self.patience)
        except subprocess.TimeoutExpired as error:
            raise _failed(self.command, f"it takes longer than {self.patience:g} s") from error
        except (OSError, ValueError) as error:
            raise _failed(self.command, str(error)) from error
        if done.returncode != 0:
            words = done.stderr.decode("utf-8", errors="replace").strip().splitlines()
            raise _failed(self.command, f"it ended with code {done.returncode}: {words[-1][:200] if words else ''}")
        if not 0 < len(done.stdout) <= LONGEST_SIGNATURE:
            raise _failed(self.command, f"it wrote {len(done.stdout)} bytes")
        return done.stdout


def _run(command: list[str], data: bytes, patience: float) -> subprocess.CompletedProcess[bytes]:
    """Runs a program; one that takes too long is stopped with all that it has started, which else hold its output."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True) as process:
        try:
            out, errors = process.communicate(data, patience)
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
        return subprocess.CompletedProcess(command, process.returncode, out, errors)


def no_signature(key: CommandKey) -> CertificateError:
    """The error for a signature that does not hold (VF5028)."""
    return _failed(key.command, "what it wrote is no signature by the public key that was named")


def _failed(command: tuple[str, ...], why: str) -> CertificateError:
    return CertificateError(
        "VF5028",
        f"the signing program failed: {why}",
        place=command[0] if command else None,
        expected="a program that reads bytes and writes their signature: DER for ECDSA P-256, 64 bytes for Ed25519",
        remedy="run it by hand: printf x | PROGRAM | wc -c",
    )
