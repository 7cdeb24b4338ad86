"""Bounds of violation rows in the trigger's variables: interval, CROWN, radii. Lazy: importing this loads nothing else."""
