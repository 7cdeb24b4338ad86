"""The independent checker of certificates: NumPy and the readers only. Lazy."""
