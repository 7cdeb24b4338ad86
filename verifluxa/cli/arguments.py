"""What several commands take: each has one name and one sentence, here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

SpecName = Annotated[str, Argument(metavar="SPEC", help="A `.vfx` file, or the name of one on the shelf.")]
SpecNames = Annotated[list[str], Argument(metavar="SPEC...", help="`.vfx` files, or names on the shelf.")]
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
    Option("--strategy", metavar="NAME", help="How to prove: a name on the shelf, or a `.toml` file (balanced)."),
]
Cluster = Annotated[
    str | None,
    Option("--cluster", metavar="NAME", help="Where to prove: a name on the shelf, or a `.toml` file (laptop)."),
]
Budget = Annotated[str | None, Option("--budget", metavar="TIME", help="Most time for the run: 90s, 5m, 1.5h.")]
JobExit = Annotated[bool, Option("--job-exit", help="Exit with 0 on any final verdict, for job schedulers.")]
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
