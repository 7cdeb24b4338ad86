"""`verifluxa export`: questions of a spec as ONNX and VNN-LIB, with a list of instances as VNN-COMP has it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from verifluxa.cli.options import Data, Models, Params, Properties, SpecName, pairs
from verifluxa.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from verifluxa.inputs import Inputs
    from verifluxa.interop.vnnlib_export import Single
    from verifluxa.question import Problem


def export(
    spec: SpecName,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="A new or empty folder.")],
    model: Models = None,
    data: Data = None,
    set_: Params = None,
    property_: Properties = None,
    vnnlib: Annotated[int, typer.Option(min=1, max=2, help="Version of VNN-LIB.")] = 1,
    most: Annotated[int, typer.Option("--max", min=1, max=100_000, help="Most questions of each property.")] = 100,
    timeout: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Seconds for each question, in the list of instances.")
    ] = 60,
) -> int:
    """Writes questions about single inputs for other verifiers: is there a trigger for this input, here?

    Where a property has more questions than --max, that many are written, evenly spread over all.
    """
    from verifluxa.cli.messages import show_warnings
    from verifluxa.cli.output import print_words
    from verifluxa.inputs import Choice, load_inputs

    _empty(out)
    choice = Choice(
        pairs("--model", model), pairs("--data", data), pairs("--set", set_, "VALUE"), tuple(property_ or ())
    )
    inputs = load_inputs(spec, choice)
    show_warnings(inputs.warnings)
    problems = _problems(inputs)
    words = [
        line
        for number, problem in enumerate(problems, 1)
        for line in Folder(out, number, vnnlib, timeout).write(problem, most)
    ]
    print_words([*words, f"{out / 'instances.csv'}: onnx, vnnlib, seconds; {out / 'questions.jsonl'}: what they are"])
    return 0


def _empty(folder: Path) -> None:
    from verifluxa.result.write import check_writable

    check_writable(folder)
    if folder.exists() and any(folder.iterdir()):
        raise UsageError("VF4522", "the folder is not empty", place=str(folder), remedy="name a new folder with --out")


def _problems(inputs: Inputs) -> list[Problem]:
    """The problems of all properties, in real arithmetic, as other verifiers take a network."""
    from verifluxa.asking import build_problem, describe_property
    from verifluxa.interop.vnnlib_export import check_sayable

    problems = []
    for prop in inputs.properties:
        problem = build_problem(inputs, prop, describe_property(inputs, prop).digest, "real")
        check_sayable(problem)
        problems.append(problem)
    return problems


@dataclass(frozen=True)
class Folder:
    """Where the files of one property go; their names hold its number, and its own name for people."""

    path: Path
    number: int
    version: int
    timeout: int

    def write(self, problem: Problem, most: int) -> Iterator[str]:
        """Writes the files of at most so many questions; yields what to say of them."""
        from verifluxa.interop.vnnlib_export import count_singles, singles

        instances, questions = [], []
        for count, single in enumerate(singles(problem, most), 1):
            onnx, vnnlib = self._files(problem, single, count)
            instances.append(f"{onnx},{vnnlib},{self.timeout}\n")
            entry = {"onnx": onnx, "vnnlib": vnnlib, **_said(problem, single, self.version)}
            questions.append(json.dumps(entry) + "\n")
        for name, lines in (("instances.csv", instances), ("questions.jsonl", questions)):
            with (self.path / name).open("a", encoding="utf-8", newline="\n") as file:
                file.writelines(lines)
        yield f"{problem.name}: {len(instances):,} of {count_singles(problem):,} questions about single inputs"

    def _files(self, problem: Problem, single: Single, count: int) -> tuple[str, str]:
        from verifluxa.interop.vnnlib_export import onnx_of, question_text, triggered
        from verifluxa.result.write import write_whole

        safe = f"{self.number}_{re.sub('[^A-Za-z0-9_]', '_', problem.name)[:60]}"
        onnx = f"onnx/{safe}_{single.placement}_{problem.indices[single.input]}.onnx"
        vnnlib = f"vnnlib/{safe}_{count}.vnnlib"
        if not (self.path / onnx).exists():
            write_whole(self.path / onnx, onnx_of(triggered(problem, single)))
        write_whole(self.path / vnnlib, question_text(problem, single, self.version).encode("ascii"))
        return onnx, vnnlib


def _said(problem: Problem, single: Single, version: int) -> dict[str, object]:
    from verifluxa.interop.vnnlib_export import carried, described

    losses = carried(problem, single, version).losses
    return {
        "property": problem.name,
        "question": described(problem, single),
        "sat_is_a_trigger": not losses,
        "because": list(losses),
    }
