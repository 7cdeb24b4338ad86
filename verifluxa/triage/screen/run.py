"""A screen from its data to the ranked list."""

from __future__ import annotations

from dataclasses import dataclass

from verifluxa.triage.screen.activations import look_at_activations
from verifluxa.triage.screen.examples import Examples, Floats
from verifluxa.triage.screen.images import look_at_images
from verifluxa.triage.screen.items import look_at_table, look_at_texts
from verifluxa.triage.screen.suspicion import Suspect, Suspicion, ranked

CLEAR = 0.5
"""Score from which an example counts as suspect; the rest of the list is an order of what to look at next."""


@dataclass(frozen=True, eq=False)
class Screened:
    """The examples, all suspicions, and the ranked list."""

    examples: Examples
    suspicions: tuple[Suspicion, ...]
    suspects: tuple[Suspect, ...]

    @property
    def clear(self) -> int:
        """How many of the list are suspect."""
        return sum(one.score >= CLEAR for one in self.suspects)


def screen(examples: Examples, activations: Floats | None = None, most: int = 1000) -> Screened:
    """Looks at training data in every way that their kind allows.

    Args:
        examples: that `read_examples` gave.
        activations: penultimate ones of a model that was trained on them, shape (N, d), or None.
        most: how long the ranked list may be.
    """
    looks = {"images": look_at_images, "texts": look_at_texts, "table": look_at_table}
    found = looks[examples.kind](examples)
    if activations is not None:
        found += look_at_activations(examples, activations)
    return Screened(examples, tuple(found), tuple(ranked(found, len(examples.labels), most)))
