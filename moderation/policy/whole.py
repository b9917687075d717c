"""A policy as it is in force."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from moderation.errors import PolicyError
from moderation.normalise import Words
from moderation.policy.lexicon import Lexicon
from moderation.policy.patterns import PatternSet
from moderation.policy.rule import Guideline, Rule, Term

SHORTEST_READING = 30
"""Characters of a comment of which a shorter one takes the encoder no less time."""


@dataclass(frozen=True, slots=True)
class EncoderLooks:
    """Which comments the encoder looks at: those that it would reject likely enough for the time that reading takes.

    It looks as well where the linear stage's score, of any guideline, reaches the threshold that applies.

    Parameters
    ----------
    unflagged, referred
        How likely the encoder would reject, 0 to 1, from which (``>=``) it looks at a comment of which it reads a
        hundred characters (code points); for more or fewer it is more or less in proportion. The second is for what
        a rule refers.
    """

    unflagged: float
    referred: float

    def at(self, doubt: float, characters: int, *, referred: bool) -> bool:
        """Say whether the encoder looks at a comment with this doubt and so many characters to read."""
        least = self.referred if referred else self.unflagged
        # To as many places as a doubt has, so that what is just enough on paper is enough.
        return doubt >= round(least * max(characters, SHORTEST_READING) / 100, 6)


@dataclass(frozen=True)
class Policy:
    """A versioned set of guidelines, rules and thresholds; `load_policy` makes one.

    Parameters
    ----------
    name, version
        As the file states them.
    hash
        First twelve hexadecimal digits of the SHA-256 over the policy file and its term files.
    guidelines, rules
        In the order of the file; retired rules are in ``retired`` instead.
    thresholds
        ``unflagged`` and ``referred``, probabilities from 0 to 1; the score must reach (``>=``) the one
        that applies for a comment to be rejected.
    encoder
        Which comments are left to the encoder; None where the policy does without it.
    asides
        Patterns of what excuses no finding.
    term_files
        Terms and allowed words of each term file that a rule names.
    adapters
        Tables under ``[adapters]`` as the file has them, by name of `ADAPTERS`; each adapter of the HTTP door
        checks its own when it is started.
    source
        The file, for messages.
    """

    name: str
    version: str
    hash: str
    guidelines: tuple[Guideline, ...]
    rules: tuple[Rule, ...]
    retired: tuple[Rule, ...]
    thresholds: Mapping[str, float]
    encoder: EncoderLooks | None
    asides: tuple[str, ...]
    term_files: Mapping[str, tuple[tuple[Term, ...], tuple[str, ...]]] = field(repr=False)
    adapters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    source: str = ""

    @cached_property
    def guideline_texts(self) -> Mapping[str, str]:
        """The published sentences by id, in the order of the file."""
        return {guideline.id: guideline.text for guideline in self.guidelines}

    @cached_property
    def identity(self) -> str:
        """Name, version and hash in one word, as decisions carry it."""
        return f"{self.name}-{self.version}+{self.hash}"

    def rule(self, rule_id: str) -> Rule:
        """Find a rule, retired ones as well.

        Raises
        ------
        PolicyError
            When there is none of this id.
        """
        try:
            return self._by_id[rule_id]
        except KeyError:
            raise PolicyError(self.name, f"no rule {rule_id!r}: `moderation rules` lists them") from None

    @cached_property
    def _by_id(self) -> dict[str, Rule]:
        return {rule.id: rule for rule in (*self.rules, *self.retired)}

    @cached_property
    def detecting(self) -> tuple[Rule, ...]:
        """The rules that have a detector of their own."""
        return tuple(rule for rule in self.rules if rule.finds)

    @cached_property
    def words(self) -> Words:
        """The terms that a disguise may hide; of several, that of the first rule is taken."""
        names = dict.fromkeys((*(rule.terms for rule in self.rules if rule.terms), *self.term_files))
        return Words(term.text for name in names for term in self.term_files[name][0] if term.strength > 1)

    @cached_property
    def patterns(self) -> PatternSet:
        """All patterns, compiled."""
        return PatternSet(self.rules, self.asides)

    @cached_property
    def lexicon(self) -> Lexicon:
        """All terms, compiled into one automaton."""
        return Lexicon(self.rules, self.term_files)
