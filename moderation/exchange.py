"""What a comment would read if it named another group of people.

A classifier learns how often each group is named in abuse. So a comment that names one is read twice, as written and
with the name of one and the same other group, and the mean of both readings' logits counts.

Source: Garg et al., "Counterfactual Fairness in Text Classification through Robustness", AIES 2019, which exchanges
the names of groups while learning.
"""

import re
from enum import IntEnum
from functools import cache
from typing import NamedTuple

from ahocorasick_rs import AhoCorasick, MatchKind

from moderation.paths import DATA


class Form(IntEnum):
    """What of a group a name tells, in the order of the columns of ``groups.txt``."""

    MANY = 0
    ONE = 1
    ADJECTIVE = 2


# What stands before a noun and after it, where a name may be an adjective as well.
_DETERMINER = re.compile(r"\b(?:an?|the|this|that|each|every|any|no|one|another|some|my|your|his|her|our|their) \Z")
_AFTER_NOUN = re.compile(
    r"'|\s*(?:[.,;:!?)\]]|$)|\s+(?:and|are|as|at|but|by|came|can|comes?|could|did|do|does|gets?|goes|got|had|has|have|"
    r"here|if|in|is|knows?|likes?|lives?|living|makes?|may|might|must|never|next|of|on|or|said|says?|should|than|that|"
    r"there|to|took|wants?|was|went|were|when|who|will|with|works?|would)\b"
)
_ARTICLE = re.compile(r"\b(an? )\Z")
_LONGEST_BEFORE = len("another ") + 1


class _Names(NamedTuple):
    """What finds the names in a text, the forms that each may be, the other group's, and what finds a person."""

    found: AhoCorasick
    forms: tuple[frozenset[Form], ...]
    other: list[str]
    person: re.Pattern[str]


@cache
def _names() -> _Names:
    forms: dict[str, frozenset[Form]] = {}
    text = (DATA / "words" / "groups.txt").read_text(encoding="utf-8")
    other, persons, *lines = (line for line in text.splitlines() if not line.startswith("#"))
    for line in lines:
        for form, name in zip(Form, line.split(", "), strict=True):
            forms[name] = forms.get(name, frozenset()) | {form}
    forms.pop("-")
    person = "|".join(persons.removeprefix("persons: ").split())
    return _Names(
        AhoCorasick(tuple(forms), matchkind=MatchKind.LeftmostLongest),
        tuple(forms.values()),
        other.removeprefix("other: ").split(", "),
        re.compile(rf"[\s-]+(?:{person})\b"),
    )


def exchanged(text: str) -> str | None:
    """Give a folded text with the other group's name in place of every group's; None where that changes nothing.

    >>> exchanged("an arab doctor treated the refugees")
    'a jewish doctor treated the jews'
    >>> exchanged("german cars and the old town") is None
    True
    """
    names = _names()
    parts: list[str] = []
    taken = 0
    person_until = 0
    for index, start, end in names.found.find_matches_as_indexes(text):
        if start < person_until or text[start - 1 : start].isalnum() or text[end : end + 1].isalnum():
            continue
        forms, before = names.forms[index], max(taken, start - _LONGEST_BEFORE)
        article = _ARTICLE.search(text, before, start)
        if Form.ADJECTIVE in forms and (person := names.person.match(text, end)):
            form, person_until = Form.ADJECTIVE, person.end()
        elif Form.ADJECTIVE in forms and not _AFTER_NOUN.match(text, end):
            continue
        elif Form.MANY in forms and not (Form.ONE in forms and article):
            form = Form.MANY
        elif Form.ONE in forms and (Form.ADJECTIVE not in forms or _DETERMINER.search(text, before, start)):
            form = Form.ONE
        else:
            continue
        other = names.other[form]
        if form is Form.MANY and text.startswith("'s", end):
            other, end = other + "'", end + 2
        parts += (text[taken : article.start(1)] + "a " if article else text[taken:start], other)
        taken = end
    read = "".join((*parts, text[taken:]))
    return None if read == text else read
