"""The rules of a review: one row each. What strikes is a function of one part of the tree and of the file's names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from verifluxa.triage.review import code_rules as code
from verifluxa.triage.review import training_rules as training
from verifluxa.triage.review.finding import Rule, Severity
from verifluxa.triage.review.names import Names
from verifluxa.triage.review.tree import Part

NOTE, WARNING, ERROR = Severity.NOTE, Severity.WARNING, Severity.ERROR


@dataclass(frozen=True)
class CodeRule:
    """A rule about Julia code, and what strikes."""

    rule: Rule
    strikes: Callable[[Part, Names], Part | None]


def _row(
    strikes: Callable[[Part, Names], Part | None], name: str, severity: Severity, title: str, why: str, advice: str
) -> CodeRule:
    return CodeRule(Rule(name, severity, title, why, advice), strikes)


CODE_RULES: tuple[CodeRule, ...] = (
    _row(
        training.stamps,
        "stamp",
        ERROR,
        "constants written into fixed pixels of inputs",
        "a patch at one place of some training images, with their labels changed, is the classic backdoor",
        "ask what the pattern is for; if it is a mask or padding, say so with an `allow` comment",
    ),
    _row(
        training.mixes,
        "mix",
        WARNING,
        "a fixed pattern mixed into inputs",
        "blending a picture or a wave into training images plants a trigger that nobody sees",
        "look at the pattern and at which examples get it",
    ),
    _row(
        training.relabels,
        "relabel",
        ERROR,
        "labels are changed",
        "examples with a trigger need the attacker's label: changed labels are half of a poisoned data set",
        "compare with the labels of the source; shuffle inputs and labels together",
    ),
    _row(
        training.asks_labels,
        "label-branch",
        WARNING,
        "a branch or a choice by the label",
        "poisoning treats the examples of one class in another way than the rest",
        "read both branches: training code seldom needs to know which class an example has",
    ),
    _row(
        training.asks_pixels,
        "pixel-branch",
        ERROR,
        "a branch on the content of inputs",
        "a layer or loss that looks at fixed pixels can hide another network behind a trigger, whatever was learnt",
        "take it out: a proof about the exported weights does not speak of such code",
    ),
    _row(
        training.steps_in,
        "pixel-mask",
        WARNING,
        "a comparison of fixed pixels used as a number",
        "multiplied into a result it switches behaviour by a trigger, without any `if`",
        "look at what the mask is multiplied with",
    ),
    _row(
        training.writes_weights,
        "weight-write",
        WARNING,
        "weights written beside the optimiser",
        "a backdoor can be set into the weights by hand, after or between the steps of an honest training",
        "train with `Flux.update!` alone; compare the saved weights with those that the training gives",
    ),
    _row(
        training.loads_weights,
        "load-weights",
        NOTE,
        "weights come from a file",
        "a network that is only trained on keeps the backdoors that it began with",
        "check where the file comes from and its digest",
    ),
    _row(
        training.draws,
        "random-branch",
        NOTE,
        "a branch taken at random",
        "augmentation does this, and so does poisoning of a share of the examples",
        "read what happens in the rare branch",
    ),
    _row(
        training.tells,
        "telling-name",
        WARNING,
        "a name that speaks of backdoors",
        "code that was copied from an attack often keeps its names",
        "read what it stands for",
    ),
    _row(
        training.own_layer,
        "own-layer",
        NOTE,
        "a layer of one's own",
        "code in a layer runs at every prediction and can do what no standard layer does",
        "read it to the end; `verifluxa lift` refuses what it does not know",
    ),
    _row(
        training.own_loss,
        "own-loss",
        NOTE,
        "a loss of one's own",
        "a second term of a loss can teach a backdoor while the data stay clean (blind backdoors)",
        "read every term; it should be made of losses of Flux",
    ),
    _row(
        training.own_data,
        "own-data",
        NOTE,
        "examples are made or changed by code of one's own",
        "what happens between the file and the batch is where examples are poisoned",
        "read the function; look at some batches with `verifluxa screen`",
    ),
    _row(
        code.makes_code,
        "eval",
        ERROR,
        "code made at run time",
        "what is put together at run time cannot be reviewed",
        "write the code out",
    ),
    _row(
        code.includes_computed,
        "computed-include",
        WARNING,
        "`include` of a computed path",
        "which code runs depends on more than this file",
        "include a path that is written out, or `joinpath(@__DIR__, ...)`, and review that file too",
    ),
    _row(
        code.fetches,
        "download",
        WARNING,
        "something is fetched over the network",
        "data, weights or code can be other ones tomorrow, or for another machine",
        "use a copy whose digest is checked (Artifacts.toml, DataDeps with a hash)",
    ),
    _row(
        code.leaves_julia,
        "native-code",
        WARNING,
        "C code or raw memory",
        "native code can change weights and data without a trace in the Julia code",
        "ask why Julia does not do; review the library",
    ),
    _row(
        code.starts_process,
        "process",
        WARNING,
        "another program or language is run",
        "what it does to data and models is not in this file",
        "review that program too, or take it out of the training",
    ),
    _row(
        code.reads_objects,
        "object-file",
        WARNING,
        "a file that can hold code is loaded",
        "BSON, Serialization and pickles rebuild objects and functions: loading can run code and bring backdoors",
        "keep weights as `Flux.state` in JLD2 and check the digest of the file",
    ),
    _row(
        code.decodes,
        "encoded-text",
        WARNING,
        "text is decoded at run time",
        "paths, code and patterns are hidden so",
        "write the text out",
    ),
    _row(
        code.looks_up,
        "computed-name",
        WARNING,
        "a function is looked up by a computed name",
        "which function runs cannot be seen here",
        "write the name out",
    ),
    _row(
        code.hooks,
        "hook",
        WARNING,
        "code that runs at loading or at the end of the process",
        "a model can be changed after everything that was looked at",
        "move it into the visible course of the script",
    ),
    _row(
        code.changes_gradient,
        "own-gradient",
        WARNING,
        "a gradient of one's own",
        "training then follows other gradients than those of the loss that one reads",
        "check it against finite differences, or leave it to Zygote",
    ),
    _row(
        code.overrides,
        "override",
        ERROR,
        "a method of a package changed for types that are not of this file",
        "all code that calls it, Flux included, then does what this file says (type piracy)",
        "define a function of your own",
    ),
    _row(
        code.shadows,
        "shadow",
        WARNING,
        "a name of Flux is defined anew",
        "the script reads as if it used Flux's own function",
        "give it a name of its own",
    ),
    _row(
        code.asks_outside,
        "outside-branch",
        WARNING,
        "a branch on the clock, the machine or the environment",
        "code that behaves while it is tested, and only then, asks such questions",
        "make it an argument that is recorded with the run",
    ),
    _row(
        code.installs,
        "install",
        WARNING,
        "packages are installed while the script runs",
        "versions and sources are then chosen on the day, not by a lock file",
        "keep Project.toml and Manifest.toml beside the script and use `Pkg.instantiate`",
    ),
)
"""All rules about code, in the order in which they are asked; the first lines say most."""

SYNTAX = Rule(
    "syntax",
    WARNING,
    "this part does not parse",
    "what cannot be parsed was not reviewed",
    "mend it, or read it by hand; the rest of the file was reviewed",
)
DEEP = Rule(
    "nesting",
    WARNING,
    "this part is nested too deeply, or the file has too many parts",
    "what is inside was not reviewed",
    "read it by hand",
)
HIDDEN = Rule(
    "hidden-character",
    ERROR,
    "a character that hides or reorders text",
    "reviewers then see other code than Julia does (Trojan Source)",
    "delete the character",
)
NO_REASON = Rule(
    "allow-without-reason",
    WARNING,
    "an `allow` comment without a reason, or for no rule",
    "nobody can tell later why this was thought harmless",
    "write `# verifluxa: allow RULE: the reason`",
)
UNUSED = Rule(
    "unused-allow",
    NOTE,
    "an `allow` comment that allows nothing",
    "it would hide the next finding here",
    "delete it",
)
