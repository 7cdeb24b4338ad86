"""What auto-LiRPA 0.3 (2022) needs before it runs under today's torch and numpy. Its numbers are left alone.

Its metadata ask for torch < 1.13. Under torch 2.13 and numpy 2.4 its import and its tracing fail at four places.
Each is mended here by giving back what the old versions offered; none changes how a bound is computed. Nothing is
touched before this back end is chosen.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any


def before_import() -> None:
    """To be called before `auto_LiRPA` is imported."""
    import numpy as np
    import torch
    from torch.onnx._internal.torchscript_exporter import _globals

    # `numpy.lib.arraysetops` went private in numpy 2; auto-LiRPA imports `isin` from it.
    sets = types.ModuleType("numpy.lib.arraysetops")
    sets.isin = np.isin  # type: ignore[attr-defined]
    sys.modules.setdefault("numpy.lib.arraysetops", sets)

    # The setter of the ONNX version that the tracer works for was removed.
    def set_version(version: int) -> None:
        _globals.GLOBALS.export_onnx_opset_version = version

    # By its full name: the attribute of `torch.onnx` is another module than the one that an import finds.
    helper = importlib.import_module("torch.onnx.symbolic_helper")
    helper._set_opset_version = set_version  # type: ignore[attr-defined]

    # Attributes of a traced node were read as `node[name]`; torch 2 wants the getter of the attribute's kind.
    def item(node: Any, name: str) -> Any:
        return getattr(node, node.kindOf(name))(name)

    setattr(torch._C.Node, "__getitem__", item)  # noqa: B010 - no stub knows it


def after_import(bounded_module: Any) -> None:
    """To be called with `auto_LiRPA.BoundedModule` once it is imported."""
    # `Module.parameters()` passes a keyword to this method since torch 2.0.
    original = bounded_module._named_members

    def named_members(module: Any, getter: Any, prefix: str = "", recurse: bool = True, **_: Any) -> Any:
        return original(module, getter, prefix, recurse)

    bounded_module._named_members = named_members
