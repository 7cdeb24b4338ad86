"""Bounds of violation rows in the trigger's variables: interval, CROWN, radii. Lazy."""
