"""A policy: the published guidelines, the rules that read parts of them, and the thresholds.

One TOML file, with its term files beside it. Everything is checked before anything is judged.
"""

from moderation.policy.lexicon import Lexicon
from moderation.policy.patterns import compile_pattern
from moderation.policy.reading import ADAPTERS, DEFAULT_LOOKS, load_policy
from moderation.policy.rule import GUIDELINES, STRONG, Guideline, Rule
from moderation.policy.terms import read_terms
from moderation.policy.whole import SHORTEST_READING, EncoderLooks, Policy

__all__ = [
    "ADAPTERS",
    "DEFAULT_LOOKS",
    "GUIDELINES",
    "SHORTEST_READING",
    "STRONG",
    "EncoderLooks",
    "Guideline",
    "Lexicon",
    "Policy",
    "Rule",
    "compile_pattern",
    "load_policy",
    "read_terms",
]
