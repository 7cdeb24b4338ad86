"""Triage of suspect models, training code and running systems. Lazy: importing this loads nothing else."""
