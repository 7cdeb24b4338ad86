"""Verifluxa: prove that a Flux.jl model carries no backdoor of a stated kind, or show the trigger.

What is public stands in `_PUBLIC`. It is loaded when it is first used, so that `import verifluxa` stays light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from verifluxa.certificate.check.report import CheckReport as CheckReport
    from verifluxa.certificate.check.run import check_certificate as check_certificate
    from verifluxa.dispatch.observe import Progress as Progress
    from verifluxa.errors import CertificateError as CertificateError
    from verifluxa.errors import DataError as DataError
    from verifluxa.errors import ModelError as ModelError
    from verifluxa.errors import SpecError as SpecError
    from verifluxa.errors import UsageError as UsageError
    from verifluxa.errors import VerifluxaError as VerifluxaError
    from verifluxa.flux.load import load_model as load_model
    from verifluxa.graph.graph import Graph as Graph
    from verifluxa.result.result import Counterexample as Counterexample
    from verifluxa.result.result import PropertyResult as PropertyResult
    from verifluxa.result.result import Result as Result
    from verifluxa.run_folder import certify as certify
    from verifluxa.verdict import Reason as Reason
    from verifluxa.verdict import Verdict as Verdict
    from verifluxa.verify import verify as verify

__version__ = "0.1.0"

_PUBLIC = {
    "verify": "verifluxa.verify",
    "certify": "verifluxa.run_folder",
    "load_model": "verifluxa.flux.load",
    "check_certificate": "verifluxa.certificate.check.run",
    "Result": "verifluxa.result.result",
    "PropertyResult": "verifluxa.result.result",
    "Counterexample": "verifluxa.result.result",
    "Progress": "verifluxa.dispatch.observe",
    "Verdict": "verifluxa.verdict",
    "Reason": "verifluxa.verdict",
    "Graph": "verifluxa.graph.graph",
    "CheckReport": "verifluxa.certificate.check.report",
    "VerifluxaError": "verifluxa.errors",
    "SpecError": "verifluxa.errors",
    "ModelError": "verifluxa.errors",
    "DataError": "verifluxa.errors",
    "UsageError": "verifluxa.errors",
    "CertificateError": "verifluxa.errors",
}


def __getattr__(name: str) -> object:
    """Loads a public name."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'verifluxa' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    """The public names."""
    return ["__version__", *_PUBLIC]
