"""What several commands take: each option has one name and one sentence, and wrong values are refused."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from verifluxa.errors import UsageError

_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*(%?)")


class Format(StrEnum):
    """What stands on stdout."""

    TEXT = "text"
    JSON = "json"
    JSONL = "jsonl"
    JUNIT = "junit"
    SARIF = "sarif"


class VerifyFormat(StrEnum):
    """The formats of `verify`: those of every result, and that of a benchmark instance."""

    TEXT = "text"
    JSON = "json"
    JSONL = "jsonl"
    JUNIT = "junit"
    SARIF = "sarif"
    VNNCOMP = "vnncomp"


def pairs(option: str, given: Iterable[str] | None, value: str = "FILE") -> dict[str, str]:
    """Reads repeated `NAME=VALUE` options.

    Args:
        option: as the user typed it, `--model`.
        given: the values.
        value: what stands after the `=`, for the message.

    Raises:
        UsageError: VF4401 when there is no `=`, a side is empty, or a name comes twice.
    """
    result: dict[str, str] = {}
    for text in given or ():
        name, equals, rest = text.partition("=")
        name, rest = name.strip(), rest.strip()
        if not equals or not name or not rest:
            raise UsageError("VF4401", f"{option} {text} names no {value}", expected=f"{option} NAME={value}")
        if name in result:
            raise UsageError("VF4401", f"{option} gives `{name}` twice", expected="each name once")
        result[name] = rest
    return result


def gap(text: str | None) -> str | None:
    """Reads the gap of a measurement, `2%` or `0.02`; gives it as an exact fraction.

    Raises:
        UsageError: VF4413 for anything else, and for 100 % and more.
    """
    if text is None:
        return None
    match = _RATE.fullmatch(text.strip())
    value = Fraction(match[1]) / (100 if match[2] else 1) if match else Fraction(1)
    if value >= 1:
        raise UsageError(
            "VF4413", f"--gap {text} is no distance between two rates", expected="a share below 100 %: 2%, 0.5%, 0.02"
        )
    return str(value)


def check_ending(out: Path | None, what: str, *endings: str) -> None:
    """Refuses the name of a file that nobody would take for what is written into it.

    Args:
        out: as the user gave it.
        what: is written into it, for the message.
        endings: that say so, the usual one first.

    Raises:
        UsageError: VF4414.
    """
    if out is not None and out.suffix.lower() not in endings:
        raise UsageError(
            "VF4414",
            f"{what}, and this name does not end in {endings[0]}",
            place=str(out),
            expected=f"a name that ends in {endings[0]}",
            remedy=f"--out {out.with_suffix(endings[0])}; the words on the screen go into a file by `> FILE`",
        )


SpecName = Annotated[str, Argument(metavar="SPEC", help="A `.vfx` file, or the name of one in the library.")]
SpecNames = Annotated[list[str], Argument(metavar="SPEC...", help="`.vfx` files, or names in the library.")]
ModelFile = Annotated[str, Argument(metavar="MODEL", help="A .jld2, .bson, .safetensors, .npz or .onnx file.")]
RunFolder = Annotated[Path, Argument(metavar="RUN", help="The folder of a run, or the `ledger.sqlite` in it.")]
CertificateFile = Annotated[Path, Argument(metavar="CERT", help="certificate.json or certificate.dsse.json.")]

Models = Annotated[
    list[str] | None, Option("--model", metavar="NAME=FILE", help="The file of a model, in place of the spec's.")
]
Data = Annotated[
    list[str] | None, Option("--data", metavar="NAME=FILE", help="The file of a data set, in place of the spec's.")
]
Params = Annotated[
    list[str] | None, Option("--set", metavar="NAME=VALUE", help="The value of a param, in place of the spec's.")
]
Properties = Annotated[list[str] | None, Option("--property", metavar="NAME", help="Only this property.")]
MovedModels = Annotated[list[str] | None, Option("--model", metavar="NAME=FILE", help="Where a model's file is now.")]
MovedData = Annotated[list[str] | None, Option("--data", metavar="NAME=FILE", help="Where a data set's file is now.")]
MovedSpec = Annotated[str | None, Option("--spec", metavar="FILE", help="Where the spec is now.")]

Companion = Annotated[Path | None, Option("--with", metavar="FILE", help="scaler.json of a table, vocab.txt of texts.")]
Architecture = Annotated[
    Path | None, Option("--architecture", metavar="FILE", help="A text with the layers, as Flux prints them.")
]
FluxVersion = Annotated[
    str | None,
    Option("--flux-version", metavar="VERSION", help="The version of Flux that the model runs under: 0.16.7."),
]

Strategy = Annotated[
    str | None,
    Option("--strategy", metavar="NAME", help="How to prove: a name in the library, or a `.toml` file (balanced)."),
]
Cluster = Annotated[
    str | None,
    Option("--cluster", metavar="NAME", help="Where to prove: a name in the library, or a `.toml` file (laptop)."),
]
Budget = Annotated[str | None, Option("--budget", metavar="TIME", help="Most time for the run: 90s, 5m, 1.5h.")]
JobExit = Annotated[bool, Option("--job-exit", help="Exit with 0 on any final verdict, for job schedulers.")]
TakeOver = Annotated[
    bool,
    Option("--take-over", help="Take the ledger from a run on another machine that has surely ended, without waiting."),
]
Arithmetic = Annotated[
    str | None,
    Option("--arithmetic", metavar="NAME", help="float32, float64 or real (the model's own float type)."),
]
Seed = Annotated[int | None, Option("--seed", min=0, max=2**31 - 1, help="Seed of every random choice.")]
Gap = Annotated[
    str | None, Option("--gap", metavar="RATE", help="End a measurement once found and proved are so near: 2%.")
]
NetworkFile = Annotated[
    Path | None, Option("--onnx", metavar="FILE", help="With --vnnlib, in place of SPEC: a network.")
]
QuestionFile = Annotated[
    Path | None, Option("--vnnlib", metavar="FILE", help="With --onnx: a question about the network.")
]
