"""What the checker is known to let pass today. Whoever closes a hole takes its line out; a test sees that it is gone.

When the checker is mended all of it becomes empty: `OPEN = {}`, `OPEN_WORLDS = frozenset()`, `NAMES_FREE_TEXT = True`.
"""

from __future__ import annotations

NO_EVIDENCE = ("both_certified", "falsified, evidence none: shared_rate")
COUNTED = "counted without what violates, everything falls, others in doubt: shared_rate"

OPEN: dict[str, tuple[tuple[str, str], ...]] = {
    "evidence.found": (("both_certified", "line 7 found: other = 5"),),
    "evidence.proved": (("two_properties", "proved lower by 1: single_input"),),
    "evidence.v": (("tied", "falsified by ties: shared_rate"),),
    "evidence.violations[]": (("both_certified", "line 3 violations[0]: other = NPZ"),),
    "evidence.witness.inputs": (("both_certified", "found higher by 1, with a witness: shared_rate"),),
    "evidence.witness.margins": (("two_properties", "line 4 witness.margins: empty"),),
    "evidence.witness.margins[]": (("two_properties", "line 4 witness.margins[0]: other = 1"),),
    "evidence.witness.robust": (("two_properties", "line 8 witness.robust: other = 4"),),
    "predicate.data[]": (("two_properties", "data twice, the second without exclusions"),),
    "predicate.data[].excluded": (("overflowing", "transplant: no condition on the class"),),
    "predicate.data[].excluded[].reason": (
        ("two_properties", "predicate.data[0].excluded[0].reason: other = other"),
        ("unknown_judge", COUNTED),
    ),
    "predicate.models[]": (("both_certified", "a model twice by another name"),),
    "predicate.models[].format": (("both_certified", "predicate.models[0].format: other = m"),),
    "predicate.properties": (("both_certified", "dropped with its section: shared_rate"),),
    "predicate.properties[].bound.found": (
        NO_EVIDENCE,
        ("both_certified", "found higher by 1, no witness: shared_rate"),
        ("both_certified", "found higher by 1, with a witness: shared_rate"),
    ),
    "predicate.properties[].bound.proved": (("overflowing", COUNTED),),
    "predicate.properties[].counterexample.holdsIn": (NO_EVIDENCE,),
    "predicate.properties[].counterexample.inputs": (NO_EVIDENCE, ("tied", "falsified by ties: shared_rate")),
    "predicate.properties[].counterexample.margin": (NO_EVIDENCE,),
    "predicate.properties[].counterexample.rate": (
        ("two_properties", "predicate.properties[1].counterexample.rate: invented = 1/2"),
    ),
    "predicate.properties[].counterexample.replayed": (
        ("two_properties", "predicate.properties[1].counterexample.replayed: turned"),
    ),
    "predicate.properties[].counterexample.trigger": (
        ("two_properties", "counterexample beyond the range, alone: single_input"),
    ),
    "predicate.properties[].coverage.certified": (("unknown_judge", COUNTED), ("overflowing", COUNTED)),
    "predicate.properties[].coverage.falsified": (NO_EVIDENCE, ("tied", "falsified by ties: shared_rate")),
    "predicate.properties[].coverage.inputs": (("overflowing", "transplant: inputs 0 to 4"),),
    "predicate.properties[].coverage.leaves": (("output_range", "predicate.properties[0].evidence: other = none"),),
    "predicate.properties[].population.properties": (("both_certified", "population of one property: single_input"),),
    "predicate.properties[].verdict": (
        NO_EVIDENCE,
        ("unknown_judge", COUNTED),
        ("overflowing", COUNTED),
        ("tied", "falsified by ties: shared_rate"),
    ),
}
"""A field of which false values pass, and mutants that show it, each another hole: its world and its name."""

OPEN_WORLDS = frozenset({"doubtful", "doubtful_and_open"})
"""Worlds with inputs in doubt, about which the tool itself says something false."""

NAMES_FREE_TEXT = False
"""Whether `cert check` names each field of free text as not vouched for."""
