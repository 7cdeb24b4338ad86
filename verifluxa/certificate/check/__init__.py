"""The independent checker: recomputes every bound of a proof from the model, the spec, the data and the evidence.

It shares with the prover the file readers, the spec parser and the plain data types, and nothing else: its own
lowering, its own forward pass, its own bounds, in NumPy alone. `python -m verifluxa.certificate.check` runs it.

Reading order: `lower` (what is claimed), `rounding`, `functions` and `network` (the network on untouched
inputs), `chain` (the network as a function of the trigger), `region`, `bounds` (bounds on one domain), `judge`,
`joint` and `conflicts` (what follows from them), `tree` (one question), `section` (one property), `compare`
(does the certificate say the same), `run` (files to report).
"""
