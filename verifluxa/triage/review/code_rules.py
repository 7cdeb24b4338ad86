"""What a script may do beside training: run code that it makes or fetches, change packages, leave the language.

Each function looks at one part of the tree and gives the part to show, or None.
"""

from __future__ import annotations

import re

from verifluxa.triage.review.names import Names
from verifluxa.triage.review.tree import (
    CALLS,
    Part,
    arguments,
    callee,
    condition,
    definition,
    dotted,
    last_name,
    names_in,
    target,
    value,
)

_EVAL = {"eval", "@eval", "include_string", "invokelatest", "@invokelatest", "@generated", "evalfile"}
_PARSE = {"parse", "parseall", "parseatom"}
_NATIVE = {"ccall", "@ccall", "@cfunction", "llvmcall", "dlopen", "dlsym", "@asmcall"}
_UNSAFE = re.compile(r"unsafe_(store!|load|wrap|copyto!|pointer_to_objref|string)|pointer(_from_objref)?")
_PROCESS = {"run", "pipeline", "addprocs", "pyimport", "pyeval", "pyexec", "rcopy", "reval", "spawn", "detach"}
_FOREIGN = {"py", "R", "cxx", "icxx", "java", "js", "sh"}
_FETCH = {"download", "Downloads.download", "Downloads.request", "Base.download", "git_clone", "connect", "getaddrinfo"}
_HTTP = re.compile(
    r"HTTP\.(get|post|put|request|open|download)|LibGit2\.clone|Sockets\.connect|FTP\w*\.\w+|WebSockets\.open"
)
_DECODE = {"base64decode", "hex2bytes", "unescape_string", "transcode", "bytes2hex"}
_READS = {"deserialize", "unpickle", "parse_pickle", "Torch.load", "Pickle.load", "Pickle.npyload", "npyload_pickle"}
_OBJECTS = re.compile(r"\.(bson|jls|pkl|pickle|pt|pth)\"$")
_HOOKS = {"atexit", "atreplinit", "finalizer", "push_preexec_hook"}
_GRADIENT = {
    "@adjoint",
    "@adjoint!",
    "@nograd",
    "@non_differentiable",
    "@scalar_rule",
    "@opt_out",
    "ignore_derivatives",
    "hook",
}
_OWN_RULES = {"rrule", "frule", "_pullback", "pullback", "gradient", "withgradient"}
FLUX_NAMES = frozenset(
    re.findall(
        r"\S+",
        """
    relu leakyrelu elu gelu selu swish sigmoid tanh_fast softmax logsoftmax crossentropy logitcrossentropy
    binarycrossentropy logitbinarycrossentropy mse mae huber_loss kldivergence focal_loss hinge_loss train!
    update! withgradient onehotbatch onehot onecold DataLoader Dense Conv Chain SkipConnection Parallel
    BatchNorm LayerNorm Dropout MaxPool MeanPool GlobalMeanPool Embedding LSTM GRU RNN Adam AdamW Descent
    Momentum RMSProp loadmodel! trainables testmode! trainmode! batch getobs numobs mapobs shuffleobs
    splitobs glorot_uniform kaiming_normal
    """,
    )
)


def makes_code(part: Part, names: Names) -> Part | None:
    """`eval`, `@eval`, `Meta.parse`, `include_string`."""
    name = callee(part)
    own = last_name(name)
    if own in _EVAL and own not in names.functions:
        return part
    return part if name in ("Meta.parse", "Base.Meta.parse") or own in _PARSE - {"parse"} else None


def includes_computed(part: Part, names: Names) -> Part | None:
    """`include` of a path that is not written out."""
    del names
    if last_name(callee(part)) != "include" or not arguments(part):
        return None
    return None if _written_out(arguments(part)[-1]) else part


def _written_out(path: Part) -> bool:
    if path.kind == "string_literal":
        return not any(one.kind == "string_interpolation" for one in path.parts)
    if callee(path) == "joinpath":
        return all(_written_out(one) for one in arguments(path))
    return callee(path) == "@__DIR__" or (callee(path) in ("dirname", "abspath") and "@__FILE__" in path.text)


def fetches(part: Part, names: Names) -> Part | None:
    """Downloads and other connections."""
    name = callee(part)
    return part if (name in _FETCH and name not in names.functions) or _HTTP.fullmatch(name) else None


def leaves_julia(part: Part, names: Names) -> Part | None:
    """C code and raw memory."""
    own = last_name(callee(part))
    if own in names.functions:
        return None
    return part if own in _NATIVE or _UNSAFE.fullmatch(own) else None


def starts_process(part: Part, names: Names) -> Part | None:
    """Other programs and languages: `run`, backticks, Python."""
    if part.kind == "prefixed_string_literal":
        return part if part.parts[0].text in _FOREIGN else None
    if part.kind in ("command_literal", "prefixed_command_literal"):
        inside_call = any(last_name(callee(one)) in _PROCESS for one in part.around())
        return None if inside_call else part
    own = last_name(callee(part))
    return part if own in _PROCESS and own not in names.functions and arguments(part) else None


def reads_objects(part: Part, names: Names) -> Part | None:
    """BSON, Serialization and pickles: files that can hold code."""
    name = callee(part)
    own = last_name(name)
    if name in _READS or own in ("deserialize", "unpickle") or name in ("BSON.load", "BSON.@load", "BSON.parse"):
        return part
    if own == "@load" and "BSON" in names.imported.values():
        return part
    named = own in ("load", "open") and any(_OBJECTS.search(one.text) for one in arguments(part))
    return part if named else None


def decodes(part: Part, names: Names) -> Part | None:
    """Text that is made unreadable: base64, hexadecimal, lists of bytes."""
    own = last_name(callee(part))
    if own in _DECODE and own not in names.functions:
        return part
    bytes_to_text = (
        own == "String" and arguments(part) and re.match(r"(UInt8|Char)\[|map\(|\[0x", arguments(part)[0].text)
    )
    return part if bytes_to_text else None


def looks_up(part: Part, names: Names) -> Part | None:
    """A function whose name is computed: `getfield(Flux, Symbol(...))`."""
    del names
    if last_name(callee(part)) not in ("getfield", "getproperty", "getglobal", "setglobal!", "invoke"):
        return None
    given = arguments(part)
    plain = len(given) < 2 or given[1].kind in ("quote_expression", "integer_literal", "identifier")
    return part if not plain and given[0].text[:1].isupper() else None


def hooks(part: Part, names: Names) -> Part | None:
    """Code that runs when nobody looks: at the end of the process, at loading."""
    head = definition(part)
    if head is not None and head.parts[0].text == "__init__":
        return head
    own = last_name(callee(part))
    return part if own in _HOOKS and own not in names.functions else None


def changes_gradient(part: Part, names: Names) -> Part | None:
    """Gradients of one's own."""
    name = callee(part)
    if last_name(name) in _GRADIENT and (last_name(name) != "hook" or name == "Zygote.hook"):
        return part
    head = definition(part)
    own = last_name(dotted(head.parts[0])) if head is not None else ""
    imported = "." in dotted(head.parts[0]) or own in names.imported if head is not None else False
    return head if own in _OWN_RULES and (imported or own in ("rrule", "frule")) else None


def overrides(part: Part, names: Names) -> Part | None:
    """A method of a package for types that are not of this file."""
    head = definition(part)
    if head is None:
        return None
    name = dotted(head.parts[0]) if head.parts[0].kind in ("field_expression", "identifier", "operator") else ""
    foreign = "." in name or name in names.imported
    if not foreign or changes_gradient(part, names) is not None:
        return None
    own = any(one.text in names.types or one.text in names.functions for one in _annotations(head))
    return None if own else head


def _annotations(head: Part) -> list[Part]:
    """The names in the types of a function's arguments."""
    return [
        name
        for given in arguments(head)
        for typed in given.inside()
        if typed.kind == "typed_expression"
        for name in names_in(typed.parts[-1])
    ]


def shadows(part: Part, names: Names) -> Part | None:
    """A function or layer of Flux is defined anew under its own name."""
    if not names.flux:
        return None
    head = definition(part)
    if head is not None:
        name = head.parts[0].text if head.parts[0].kind == "identifier" else ""
        return head if name in FLUX_NAMES - set(names.imported) else None
    if part.kind == "struct_definition":
        return part if any(one.kind == "type_head" and one.parts[0].text in FLUX_NAMES for one in part.parts) else None
    left = target(part)
    changed = part.kind == "assignment" and left.kind == "identifier" and left.text in FLUX_NAMES - {"batch"}
    return part if changed and len(part.parts) > 1 and value(part).text != left.text else None


def asks_outside(part: Part, names: Names) -> Part | None:
    """A branch on the clock, the machine, the environment."""
    del names
    asked = condition(part)
    if asked is None:
        return None
    outside = {"now", "today", "time", "gethostname", "getpid", "uptime", "rand", "ENV", "getipaddr"}
    for one in asked.inside():
        name = last_name(callee(one)) if one.kind in CALLS else one.text if one.text == "ENV" else ""
        if name in outside - {"rand"}:
            return asked
    return None


def installs(part: Part, names: Names) -> Part | None:
    """Packages installed while the script runs, from anywhere or in any version."""
    del names
    name = callee(part)
    if name == "Pkg.develop" or (name == "Pkg.add" and not re.search(r"\bversion\s*=", part.text)):
        return part
    return None
