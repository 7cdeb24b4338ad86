"""Triage of suspect models, training code and running systems. Lazy."""
