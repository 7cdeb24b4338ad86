"""How to prove: reads `solvers/*.toml` and runs one question through its stages. Lazy."""
