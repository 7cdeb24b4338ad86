"""`python -m verifluxa.certificate.check CERT`: the checker where only numpy and lark are installed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from verifluxa.certificate.check.run import check_certificate


def main(arguments: list[str]) -> int:
    """Checks a certificate, prints the report, returns the exit code (0, 1, 3; 2 for wrong options)."""
    parser = argparse.ArgumentParser("python -m verifluxa.certificate.check", description="Recompute a certificate.")
    parser.add_argument("certificate", type=Path, help="certificate.json or certificate.dsse.json")
    parser.add_argument("--spec", help="the spec; else the one that result.json beside the certificate names")
    for name in ("model", "data"):
        parser.add_argument(f"--{name}", action="append", default=[], metavar="NAME=FILE", type=named_file)
    parser.add_argument("--evidence", type=Path, help="the evidence; else evidence.jsonl(.gz) beside the certificate")
    options = parser.parse_args(arguments)
    files = dict(options.model), dict(options.data)
    report = check_certificate(options.certificate, *files, options.spec, options.evidence)
    print(report.text(), end="")
    return report.exit_code


def named_file(text: str) -> tuple[str, str]:
    """A name and a file.

    Raises:
        ArgumentTypeError: for anything else.
    """
    name, _, file = text.partition("=")
    if not (name and file):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=FILE")
    return name, file


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
