"""`python -m verifluxa.certificate.check CERT`: the checker where only numpy and lark are installed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from verifluxa.certificate.check.run import check_certificate

USAGE = 2


def main(arguments: list[str]) -> int:
    """Checks a certificate, prints the report, returns the exit code (0, 1, 3; 2 for wrong options)."""
    parser = argparse.ArgumentParser("python -m verifluxa.certificate.check", description="Recompute a certificate.")
    parser.add_argument("certificate", type=Path, help="certificate.json or certificate.dsse.json")
    parser.add_argument("--spec", help="the spec; else the one that result.json beside the certificate names")
    parser.add_argument("--model", action="append", default=[], metavar="NAME=FILE", help="a model file")
    parser.add_argument("--data", action="append", default=[], metavar="NAME=FILE", help="a data file")
    parser.add_argument("--evidence", type=Path, help="the evidence; else evidence.jsonl(.gz) beside the certificate")
    options = parser.parse_args(arguments)
    models, data = _pairs(parser, options.model), _pairs(parser, options.data)
    report = check_certificate(options.certificate, models, data, options.spec, options.evidence)
    print(report.text(), end="")
    return report.exit_code


def _pairs(parser: argparse.ArgumentParser, given: list[str]) -> dict[str, str]:
    for item in given:
        if not item.partition("=")[0] or not item.partition("=")[2]:
            parser.error(f"{item!r} is not NAME=FILE")
    return {item.partition("=")[0]: item.partition("=")[2] for item in given}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
