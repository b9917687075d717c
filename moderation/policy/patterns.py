"""The patterns of the rules, of which only those are run that can occur."""

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cached_property
from typing import Any

import re2

from moderation.literals import Gate
from moderation.policy.rule import VIEWS, Rule

_RE2_MEMORY_BYTES = 1 << 26
TEXTS_BEFORE_GATE = 32
"""Texts that a policy judges before it takes the third of a second that makes the others quicker."""


def compile_pattern(pattern: str) -> Any:
    """Compile a pattern for the linear-time engine; raises ``re2.error``."""
    return re2.compile(pattern, _options())


def _options() -> Any:
    options = re2.Options()
    options.max_mem = _RE2_MEMORY_BYTES
    options.log_errors = False
    return options


class PatternSet:
    """The patterns of the rules: the words of a text tell which can occur, then those alone are run.

    A pattern is compiled when first run. The first texts are tried with all, one automaton a rule: that is ready
    sooner. One automaton for all rules grows with the product of their gaps: it ran at 250 comments a second.

    Source: RE2 (linear time in the text): https://github.com/google/re2
    """

    def __init__(self, rules: Iterable[Rule], asides: Collection[str] = ()) -> None:
        self._asides = "|".join(f"(?:{pattern})" for pattern in asides)
        self._rules = rules = tuple(rules)
        self._owned = tuple((rule, pattern) for rule in rules for pattern in rule.fires_on)
        self._excuses = tuple(dict.fromkeys(pattern for rule in rules for pattern in rule.unless))
        self._read = {view for view in VIEWS if any(rule.reads(view) for rule, _ in self._owned)}
        self._texts_left = TEXTS_BEFORE_GATE
        self._searches: list[Callable[[bytes], object] | None] = [None] * len(self._owned)
        self._compiled: dict[str, Any] = {}

    def candidates(self, text: str, view: str) -> list[tuple[Rule, str]]:
        """Give each rule that reads this view, and each of its patterns that occurs in the text."""
        if view not in self._read:
            return []
        encoded = text.encode()
        if self._texts_left > 0:
            self._texts_left -= 1
            return [
                (rule, rule.fires_on[index])
                for rule, patterns in self._sets
                if rule.reads(view)
                for index in sorted(patterns.Match(encoded) or ())
            ]
        gate, reading = self._gate
        return [
            self._owned[place]
            for place in gate.candidates(text, reading[view])
            if (self._searches[place] or self._search(place))(encoded)
        ]

    def without_asides(self, text: str) -> str:
        """Give the text with spaces for what excuses nothing, so that every offset stays."""
        if not self._asides:
            return text
        blanked: str = self.compiled(self._asides).sub(lambda aside: " " * len(aside.group()), text)
        return blanked

    def excusing(self, text: str, rules: Iterable[str]) -> Collection[str]:
        """Give the patterns of an ``unless`` of these rules that may occur in the text."""
        if self._texts_left > 0:
            return self._excuses
        among = 0
        for rule in rules:
            among |= self._excusing[rule]
        if not among:
            return ()
        first = len(self._owned)
        return {self._excuses[place - first] for place in self._gate[0].candidates(text, among)}

    @cached_property
    def _sets(self) -> list[tuple[Rule, Any]]:
        sets = []
        for rule in self._rules:
            if rule.fires_on:
                patterns = re2.Set.SearchSet(_options())
                for pattern in rule.fires_on:
                    patterns.Add(pattern)
                patterns.Compile()
                sets.append((rule, patterns))
        return sets

    @cached_property
    def _gate(self) -> tuple[Gate, Mapping[str, int]]:
        # One for both kinds, so that a word is looked at once.
        gate = Gate((*(pattern for _, pattern in self._owned), *self._excuses))
        return gate, {
            view: gate.selection(place for place, (rule, _) in enumerate(self._owned) if rule.reads(view))
            for view in VIEWS
        }

    @cached_property
    def _excusing(self) -> Mapping[str, int]:
        places = {pattern: place for place, pattern in enumerate(self._excuses, len(self._owned))}
        gate, _ = self._gate
        return {rule.id: gate.selection(map(places.__getitem__, rule.unless)) for rule in self._rules}

    def _search(self, place: int) -> Callable[[bytes], object]:
        """Compile one pattern to tell only whether it occurs."""
        alone = re2.Set.SearchSet(_options())
        alone.Add(self._owned[place][1])
        alone.Compile()
        search: Callable[[bytes], object] = alone.Match
        self._searches[place] = search
        return search

    def prepare(self) -> None:
        """Make all now that is else made when first needed, for a caller whose comments must not wait for it."""
        self._texts_left = 0
        _ = self._excusing
        for place, (_, pattern) in enumerate(self._owned):
            self._search(place)
            self.compiled(pattern)
        for pattern in filter(None, (*self._excuses, self._asides)):
            self.compiled(pattern)

    def compiled(self, pattern: str) -> Any:
        """Give the compiled form of one pattern; made when first asked for."""
        if pattern not in self._compiled:
            self._compiled[pattern] = compile_pattern(pattern)
        return self._compiled[pattern]
