"""Search for triggers and proofs: attack, branch and bound, counting. Lazy."""
