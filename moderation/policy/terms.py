"""Files of terms."""

import re
from itertools import product

from moderation.normalise import folded_view
from moderation.policy.rule import Term


def read_terms(text: str) -> tuple[tuple[Term, ...], tuple[str, ...]]:
    """Read a term file.

    One entry a line, ``word<TAB>strength``; ``#`` begins a comment. ``{,s,er}`` stands for each of the
    endings, a ``*`` before or after the word lets other letters join it, and ``!word`` names an allowed
    word, which excuses any term inside it.

    Returns
    -------
    terms : tuple of Term
    allowed : tuple of str

    Raises
    ------
    ValueError
        When a line cannot be read; the message has its number and the remedy.
    """
    terms: list[Term] = []
    allowed: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.split("#", 1)[0].rstrip() if not line.startswith("#") else ""
        if not line.strip():
            continue
        if line.startswith("!"):
            if "\t" in line:
                raise ValueError(f"line {number}: an allowed word has no strength: {line!r}")
            allowed.extend(_folded_forms(line[1:], number))
            continue
        word, tab, strength = line.partition("\t")
        if not tab or strength.strip() not in ("1", "2", "3", "4"):
            raise ValueError(f"line {number}: write the word, a tab and a strength from 1 to 4: {line!r}")
        before, after = word.startswith("*"), word.endswith("*")
        terms.extend(Term(form, int(strength), before, after) for form in _folded_forms(word.strip("*"), number))
    return tuple(terms), tuple(allowed)


def _folded_forms(word: str, number: int) -> list[str]:
    forms = [folded_view(form).text.strip() for form in _endings(word.strip())]
    if not all(forms):
        raise ValueError(f"line {number}: names no word; write one before the tab")
    return forms


def _endings(word: str) -> list[str]:
    parts = re.split(r"\{([^{}]*)\}", word)
    choices = [[part] if place % 2 == 0 else part.split(",") for place, part in enumerate(parts)]
    return ["".join(choice) for choice in product(*choices)]
