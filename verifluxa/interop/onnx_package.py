"""The `onnx` package, which only this room may import; it comes with the extra `verifluxa[onnx]`."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from verifluxa.errors import UsageError


def onnx_package() -> Any:
    """The package with its helpers loaded.

    Raises:
        UsageError: VF4411 when it is not installed.
    """
    try:
        import onnx
        import onnx.checker
        import onnx.helper
        import onnx.numpy_helper
    except ImportError:
        raise UsageError(
            "VF4411",
            "ONNX files need the package `onnx`, which is not installed",
            remedy='install it with `pip install "verifluxa[onnx]"`',
        ) from None
    return onnx


def decode_error() -> type[Exception]:
    """What protobuf, which `onnx` brings along, raises for bytes that are no message."""
    error = import_module("google.protobuf.message").DecodeError
    assert issubclass(error, Exception)  # so protobuf documents it
    return error  # type: ignore[no-any-return]
