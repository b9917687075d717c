"""The parts that a policy is made of: guidelines, terms and rules."""

from dataclasses import dataclass

from moderation.finding import Effect

GUIDELINES = ("profanity", "vulgarity", "threat", "personal_attack", "abuse", "promotion")
"""Ids of the guidelines, in the order of the classifier's outputs."""

VIEWS = ("plain", "folded", "skeleton")
DETECTORS = ("phone", "repeated-link")
STRONG = 3
"""From this strength on, a term is also sought doubled, split and glued."""


@dataclass(frozen=True, slots=True)
class Guideline:
    """A published sentence that people can read."""

    id: str
    title: str
    text: str
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Term:
    """One entry of a term file.

    Parameters
    ----------
    text
        The word or phrase in folded form.
    strength
        1 mild, 2 coarse, 3 strong, 4 slur or the worst.
    glued_before, glued_after
        Whether letters may stand before or after it.
    """

    text: str
    strength: int
    glued_before: bool = False
    glued_after: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """One machine reading of part of a guideline."""

    id: str
    guideline: str
    effect: Effect
    statement: str
    reason: str
    known_problems: str
    view: str
    kind: str = ""
    fires_on: tuple[str, ...] = ()
    terms: str = ""
    min_strength: int = 1
    max_strength: int = 4
    finds: str = ""
    at_least: int = 1
    unless: tuple[str, ...] = ()
    violates: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    retired: str = ""

    def reads(self, view: str) -> bool:
        """Whether it looks at this view; one for the skeleton reads the folded view as well."""
        return self.view == view or (self.view == "skeleton" and view == "folded")
