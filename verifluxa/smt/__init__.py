"""Exact decisions by SMT; the only room that may import z3. Lazy."""
