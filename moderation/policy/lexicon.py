"""The terms of the rules in one automaton."""

from collections.abc import Iterable, Mapping

from ahocorasick_rs import AhoCorasick

from moderation.policy.rule import STRONG, Rule, Term

_VOWELS = frozenset("aeiouy")
_Entry = tuple[Term | None, tuple[Rule, ...], bool, bool, bool]
"""A term or None, its rules, whether letters may stand before and after it, and whether it is disguised."""


class Lexicon:
    """All terms of a policy in one Aho-Corasick automaton; its speed does not depend on their number.

    Source: ahocorasick_rs, https://github.com/G-Research/ahocorasick_rs
    """

    def __init__(
        self,
        rules: Iterable[Rule],
        term_files: Mapping[str, tuple[tuple[Term, ...], tuple[str, ...]]],
    ) -> None:
        entries: dict[str, list[_Entry]] = {}
        rules = tuple(rules)
        for name, (terms, allowed) in term_files.items():
            users = tuple(rule for rule in rules if rule.terms == name)
            for term in terms:
                wanting = tuple(rule for rule in users if rule.min_strength <= term.strength <= rule.max_strength)
                if not wanting:
                    continue
                entries.setdefault(term.text, []).append((term, wanting, term.glued_before, term.glued_after, False))
                if term.strength >= STRONG:
                    for alias in _disguises(term.text):
                        entries.setdefault(alias, []).append((term, wanting, False, False, True))
            for word in allowed:
                entries.setdefault(word, []).append((None, users, False, False, False))
        self._texts = tuple(entries)
        self._entries = tuple(tuple(found) for found in entries.values())
        self._automaton = AhoCorasick(self._texts) if self._texts else None

    def find(self, text: str) -> list[tuple[int, int, Term | None, tuple[Rule, ...], bool]]:
        """Find every term and allowed word.

        Returns
        -------
        list of (start, end, term, rules, disguised)
            Half-open offsets in ``text``; term None for an allowed word, which excuses what lies
            within it for these rules.
        """
        if self._automaton is None:
            return []
        found = []
        size = len(text)
        for index, start, end in self._automaton.find_matches_as_indexes(text, overlapping=True):
            joined_before = start > 0 and text[start - 1].isalnum() and text[start].isalnum()
            joined_after = end < size and text[end].isalnum() and text[end - 1].isalnum()
            for term, rules, glued_before, glued_after, disguised in self._entries[index]:
                if (joined_before and not glued_before) or (joined_after and not glued_after):
                    continue
                found.append((start, end, term, rules, disguised))
        return found


def _disguises(term: str) -> Iterable[str]:
    """Yield misspellings of a strong word: one letter doubled, or split where a half is no word."""
    if not term.isalpha() or not term.isascii() or len(term) < 4:
        return
    for place, letter in enumerate(term):
        if letter not in term[max(0, place - 1) : place] and letter not in term[place + 1 : place + 2]:
            yield term[: place + 1] + term[place:]
    for place in range(1, len(term)):
        left, right = term[:place], term[place:]
        # Not after a letter that an apostrophe leaves over, as in "it's hit".
        if (
            left not in ("s", "t", "d", "m")
            and len(right) > 1
            and (_VOWELS.isdisjoint(left) or _VOWELS.isdisjoint(right))
        ):
            yield f"{left} {right}"
