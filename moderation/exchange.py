"""What a comment would read if it named another group of people.

A classifier learns how often each group is named in abuse. So a comment that names one is read twice, as written and
with the name of one and the same other group, and both readings count alike.

Source: Garg et al., "Counterfactual Fairness in Text Classification through Robustness", AIES 2019, which exchanges
the names of groups while learning.
"""

import re
from functools import cache
from typing import NamedTuple

from ahocorasick_rs import AhoCorasick, MatchKind

from moderation.paths import DATA

MANY, ONE, ADJECTIVE = FORMS = ("jews", "jew", "jewish")
"""The other group: many of them, one, adjective. Of five (Arabs, Jews, Kurds, Muslims and Turks) these tell breaches
best from the rest at equal false rejections, on validation lines of our own and the half of the news that chooses."""
_AFTER_NOUN = re.compile(
    r"(?![ -][a-z])|[ -](?:and|are|as|at|but|by|can|could|did|does|had|has|have|if|in|is|like|may|might|must|never|of|"
    r"on|or|should|than|that|to|was|were|when|who|will|with|would)\b"
)
"""What follows a name that may be an adjective, where it is none."""
_ARTICLE = re.compile(r"\b(an? )\Z")


class _Names(NamedTuple):
    """What finds the names in a text, the forms that each may be, and what finds a person behind an adjective."""

    found: AhoCorasick
    forms: tuple[tuple[str, ...], ...]
    person: re.Pattern[str]


@cache
def _names() -> _Names:
    forms: dict[str, tuple[str, ...]] = {}
    *lines, persons = (DATA / "words" / "groups.txt").read_text(encoding="utf-8").splitlines()
    for line in lines:
        if not line.startswith("#"):
            for name, form in zip(line.split(", "), FORMS, strict=True):
                forms[name] = (*forms.get(name, ()), form)
    forms.pop("-")
    person = "|".join(persons.removeprefix("persons: ").split())
    return _Names(
        AhoCorasick(tuple(forms), matchkind=MatchKind.LeftmostLongest),
        tuple(forms.values()),
        re.compile(rf"[\s-]+(?:{person})\b"),
    )


def exchanged(text: str) -> str | None:
    """Give a folded text with the other group's name in place of every group's; None where that changes nothing.

    >>> exchanged("an arab doctor treated the women")
    'a jewish doctor treated the jews'
    >>> exchanged("german cars and the old town") is None
    True
    """
    names = _names()
    parts: list[str] = []
    taken = 0
    for index, start, end in names.found.find_matches_as_indexes(text):
        if text[start - 1 : start].isalnum() or text[end : end + 1].isalnum():
            continue
        forms, before = names.forms[index], text[taken:start]
        article = _ARTICLE.search(before)
        if ADJECTIVE in forms and names.person.match(text, end):
            other = ADJECTIVE
        elif MANY in forms and not (ONE in forms and article):
            other = MANY
        elif ONE in forms and (ADJECTIVE not in forms or _AFTER_NOUN.match(text, end)):
            other = ONE
        else:
            continue
        parts += (before[: article.start(1)] + "a " if article else before, other)
        taken = end
    read = "".join((*parts, text[taken:]))
    return None if read == text else read
