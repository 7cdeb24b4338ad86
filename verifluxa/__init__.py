"""Verifluxa: prove that a Flux.jl model carries no backdoor of a stated kind, or show the trigger.

Four functions are public: `verify`, `certify`, `load_model`, `check_certificate`. They are loaded when they are first
used, so that `import verifluxa` stays light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from verifluxa.certificate.check.run import check_certificate as check_certificate
    from verifluxa.flux.load import load_model as load_model
    from verifluxa.run_folder import certify as certify
    from verifluxa.verify import verify as verify

__version__ = "0.1.0"

_PUBLIC = {
    "verify": "verifluxa.verify",
    "certify": "verifluxa.run_folder",
    "load_model": "verifluxa.flux.load",
    "check_certificate": "verifluxa.certificate.check.run",
}


def __getattr__(name: str) -> object:
    """Loads a public function."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'verifluxa' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    """The public names."""
    return ["__version__", *_PUBLIC]
