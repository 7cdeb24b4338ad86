"""The pages that are made from the code when the site is built; no copy of them is kept."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from importlib.resources import files
from itertools import dropwhile, groupby, takewhile
from pathlib import PurePosixPath

from docs.commands import commands, markdown
from verifluxa.cli import reference_commands, support_table

FAMILIES = {
    "VF10": "specs",
    "VF11": "further errors and warnings about specs",
    "VF20": "model files",
    "VF21": "layers",
    "VF22": "models and specs that do not fit",
    "VF30": "data",
    "VF32": "inputs that count",
    "VF34": "VNN-LIB",
    "VF39": "results and replays",
    "VF40": "shelves and arithmetics",
    "VF41": "strategies",
    "VF42": "clusters",
    "VF44": "options and runs",
    "VF45": "export, first specs, options of the gate",
    "VF49": "keys and population bounds",
    "VF50": "certificates and evidence",
    "VF60": "the gate",
    "VF70": "what is missing for a proof",
    "VF80": "scan, review, screen and guard",
}
DEFAULT_FAMILY = "Further errors"
ERRORS = PurePosixPath("docs/reference/errors")


def layers() -> str:
    """What is supported: layers, activations, operations."""
    return "\n".join(_layers()) + "\n"


def _layers() -> Iterator[str]:
    yield "# Layers"
    yield ""
    yield "Made from the tables of the code; `verifluxa supports` prints the same."
    yield ""
    yield "- read: the forms of a model file that the layer is read from: a whole model, a state, a list of weights."
    yield "- run: it is computed as Flux does in test mode, compared with Flux's own outputs."
    yield "- radius: how far its floating-point evaluations may be apart is bounded."
    yield "- bounds: properties of networks with it can be certified."
    yield "- SMT: what bounds leave open can be decided exactly; only what is piecewise linear can."
    yield "- checker: `verifluxa cert check` recomputes its bounds."
    yield ""
    yield "`last step`: at the end of a network. A layer also needs its activation's row."
    tables = (
        ("Layers", support_table.layer_rows()),
        ("Activations", support_table.activation_rows()),
        ("Operations", support_table.operation_rows()),
    )
    for title, rows in tables:
        yield f"\n## {title}\n"
        yield "| " + " | ".join((title.lower().removesuffix("s"), *support_table.COLUMNS)) + " |"
        yield "|" + "---|" * (len(support_table.COLUMNS) + 1)
        yield from ("| " + " | ".join((f"`{row.name}`", *row.cells)) + " |" for row in rows)
    if support_table.reasons():
        yield "\n## Without bounds, and why\n"
        yield from (f"- `{name}`: {reason}" for name, reason in support_table.reasons().items())
    yield "\n## Refused\n"
    yield ", ".join(f"`{name}`" for name in support_table.NOT_LIFTED) + ", layers of one's own, anonymous functions and"
    yield "closures: `verifluxa inspect` names the part, and nothing about such a model is proved."


def error_family(prefix: str) -> str:
    """The page of all errors whose codes begin alike, each as `verifluxa explain` prints it."""
    pages = (reference_commands.page(code) for code in reference_commands.codes() if code.startswith(prefix))
    texts = (re.sub(r"^# (VF\d{4})", r"(\1)=\n## \1", page) for page in pages)
    return f"# {prefix}xx: {FAMILIES.get(prefix, DEFAULT_FAMILY)}\n\n" + "\n".join(texts)


def errors() -> str:
    """The list of all errors with a link to each."""
    lines = [
        "# Errors\n",
        "`verifluxa explain VF1004` prints the entry of a code: what it means, a wrong and a right example.",
    ]
    for prefix, codes in _families():
        lines.append(f"\n## [{prefix}xx: {FAMILIES.get(prefix, DEFAULT_FAMILY)}]({prefix}.md)\n")
        titles = (reference_commands.page(code).splitlines()[0].removeprefix(f"# {code}: ") for code in codes)
        lines += [f"- [{code}]({prefix}.md#{code.lower()}) {title}" for code, title in zip(codes, titles, strict=True)]
    tree = "\n".join(f"{prefix}" for prefix, _ in _families())
    return "\n".join(lines) + f"\n\n```{{toctree}}\n:hidden:\n\n{tree}\n```\n"


def _families() -> list[tuple[str, list[str]]]:
    grouped = groupby(reference_commands.codes(), key=lambda code: code[:4])
    return [(prefix, list(codes)) for prefix, codes in grouped]


API = {
    "Verify, load, check": (
        "autofunction:: verifluxa.verify.verify",
        "autofunction:: verifluxa.run_folder.certify",
        "autofunction:: verifluxa.flux.load.load_model",
        "autofunction:: verifluxa.certificate.check.run.check_certificate",
        "autofunction:: verifluxa.gate.load.load_model",
    ),
    "What a run says": ("automodule:: verifluxa.verdict", "automodule:: verifluxa.result.result"),
    "What the checker says": ("automodule:: verifluxa.certificate.check.report",),
    "A network": ("autoclass:: verifluxa.graph.graph.Graph",),
    "Errors": ("automodule:: verifluxa.errors",),
}
"""What programs may rely on, as Sphinx names it."""


def api() -> str:
    """The Python interface, from its docstrings."""
    lines = [
        "# Python",
        "",
        "`verifluxa.verify`, `verifluxa.certify`, `verifluxa.load_model`, `verifluxa.check_certificate` and ",
    ]
    lines[-1] += "`verifluxa.gate.load_model` are public, with the values that they take and return:"
    for title, entries in API.items():
        lines += ["", f"## {title}", "", "```{eval-rst}"]
        for entry in entries:
            members = "" if entry.startswith("autofunction") else "   :members:\n"
            lines.append(f".. {entry}\n{members}")
        lines.append("```")
    return "\n".join(lines) + "\n"


def grammar() -> str:
    """The grammar of the spec language, as the parser reads it."""
    text = files("verifluxa.spec").joinpath("grammar.lark").read_text(encoding="utf-8")
    words = [line.removeprefix("// ").removeprefix("//") for line in takewhile(_is_note, text.splitlines())]
    rules = "\n".join(list(dropwhile(_is_note, text.splitlines()))).strip()
    return "\n".join(
        [
            "# Grammar of the spec language",
            "",
            "Made from the file that the parser reads, in the notation of Lark (EBNF). What the rules mean stands in",
            "[the spec language](language.md); the checker asks for more than they do: units, shapes, names.",
            "",
            *words,
            "",
            f"```text\n{rules}\n```",
            "",
        ]
    )


def _is_note(line: str) -> bool:
    return line.startswith("//")


def _command_page() -> str:
    return markdown(commands())


def _family_page(prefix: str) -> Callable[[], str]:
    return lambda: error_family(prefix)


MADE: dict[PurePosixPath, Callable[[], str]] = {
    PurePosixPath("docs/reference/commands.md"): _command_page,
    PurePosixPath("docs/reference/grammar.md"): grammar,
    PurePosixPath("docs/reference/layers.md"): layers,
    PurePosixPath("docs/reference/api.md"): api,
    ERRORS / "index.md": errors,
    **{ERRORS / f"{prefix}.md": _family_page(prefix) for prefix, _ in _families()},
}
"""By their place in the repository, if they were kept there."""
