"""Verifluxa: prove that a Flux.jl model carries no backdoor of a stated kind, or show the trigger."""

__version__ = "0.1.0"
