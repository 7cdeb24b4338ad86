"""Whether an architecture text says what the layers of a file say: every name, size, count and option."""

from __future__ import annotations

from verifluxa.flux.architecture import Call, Name
from verifluxa.flux.dress import PRINTS_OPTIONS, disagree, is_function, write
from verifluxa.flux.layer import Fact, Facts, Layer
from verifluxa.flux.layers import TABLE, show
from verifluxa.flux.layers_function import write_function
from verifluxa.flux.version import Version

_SILENT = frozenset({"stride", "pad", "dilation", "groups"})
_SHOWN = 120


def check(layer: Layer, text: Call | Name, version: Version | None) -> None:
    """Compares layers with a text, all the way down.

    Args:
        layer: from the file.
        text: the architecture.
        version: of Flux; up to 0.12.4 it prints no stride, padding or dilation.

    Raises:
        ModelError: VF2009 at the first place where they differ.
    """
    if isinstance(text, Name) or is_function(text):
        kind, facts = write_function(text)
        _compare_kind(layer, kind, text)
        _compare_facts(layer, facts, text)
        return
    row, written = write(text)
    # DepthwiseConv is only another way to write a Conv.
    _compare_kind(layer, "Conv" if row.name == "DepthwiseConv" else row.name, text)
    silent = layer.silent | (_SILENT if version is not None and version < PRINTS_OPTIONS else frozenset())
    defaults = {key: value for key, value in row.defaults(written.facts).items() if key not in silent}
    _compare_facts(layer, {**defaults, **written.facts}, text)
    if len(written.children) != len(layer.children):
        message = f"the text says {len(written.children)} layers here, the file holds {len(layer.children)}"
        raise disagree(message, text.span)
    for child, (name, inner) in zip(written.children, layer.children, strict=True):
        if child.name is not None and child.name != name:
            raise disagree(f"the text names a layer {child.name}, the file {name}", child.text.span)
        check(inner, child.text, version)


def _compare_kind(layer: Layer, kind: str, text: Call | Name) -> None:
    if layer.kind != kind:
        raise disagree(f"the text says {text.name}, the file holds {_printed(layer)} at {layer.place}", text.span)


def _compare_facts(layer: Layer, facts: Facts, text: Call | Name) -> None:
    for name, said in facts.items():
        if name in layer.facts and not _same(layer.facts[name], said):
            message = f"the text says {name} = {said}, the file {name} = {layer.facts[name]} at {layer.place}"
            raise disagree(message, text.span, _printed(layer))


def _same(stored: Fact, said: Fact) -> bool:
    if isinstance(stored, float) and isinstance(said, float):
        # A text may say 0.1 where the file holds the Float32 nearest to it.
        return abs(stored - said) <= 1e-6 * max(abs(stored), abs(said))
    return type(stored) is type(said) and stored == said


def _printed(layer: Layer) -> str:
    if layer.kind in TABLE and layer.children:
        return f"a {layer.kind} of {len(layer.children)} layers"
    text = show(layer)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
