"""The release gate: decides one promotion, fail-closed. Lazy: importing this loads nothing else."""
