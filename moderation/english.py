"""English as readers write it, and what a run of letters that is no such word stands for."""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, lru_cache, reduce, wraps
from itertools import groupby, product
from operator import or_

import numpy as np
import numpy.typing as npt

from moderation.paths import DATA

_LONGEST = 16
_LONGEST_RUN = 80
_ONE_MORE_WITHIN = {5: 2500, 6: 8000, 7: 16000}
"""How frequent, by rank, a word of so many letters must be for one of them to be missing; the last for longer ones."""
_PART_WITHIN = {1: 50, 2: 120, 3: 1500}
"""How frequent the words of a run that was written together must be; longer ones are as they come."""
_COST, _COST_A_LETTER = 6.0, 1.75
"""What words that were written together may cost, in nats: so much, and so much for each letter."""


@cache
def ranks() -> Mapping[str, int]:
    """Give the words of ``data/words/english.txt``, the most frequent with rank 1."""
    lines = (DATA / "words" / "english.txt").read_text(encoding="utf-8").splitlines()
    words = " ".join(line for line in lines if not line.startswith("#")).split()
    return {word: rank for rank, word in enumerate(words, 1)}


def rank(word: str) -> float:
    """Give the rank of a word, infinite where it is not in the list."""
    return ranks().get(word, math.inf)


def is_word(word: str) -> bool:
    """Whether the list has a word."""
    return word in ranks()


_PREFIXED = re.compile(
    "(?:im|ir|il|over|out|under|up|un|re|non|anti|inter|trans|micro|multi|pre|dis|mis|super|sub|semi|counter|co|de|fore"
    "|auto)([a-z]{3,})"
)
_DOUBLED = re.compile(r"[aeiou]([^aeiou])\1$")
_ENDINGS = frozenset(
    (
        "s es ed d ing ings ly er ers or ors est ness nesses ion ions ation ations ist ists ism isms able ible ity "
        "ities ship ships less ful ment ments ish like hood land ville town house houses proof wise some ic ical al "
        "ally ian ians ize ise ized ised izes ises izing ising ization isation dom y ies ied ier iest ily ite ites "
        "eer eers age ages ance ances ence ences ant ants ent ents ive ives ary ery ry"
    ).split()
)


def remembered(size: int) -> Callable[[Callable[[str], bool]], Callable[[str], bool]]:
    """Remember what a question about a word was answered; of long texts nothing is kept, which would fill memory."""

    def of(question: Callable[[str], bool]) -> Callable[[str], bool]:
        kept = lru_cache(size)(question)

        @wraps(question)
        def answered(word: str) -> bool:
            return kept(word) if len(word) <= _LONGEST_RUN else question(word)

        return answered

    return of


@remembered(1024)  # What is not derived is asked about once more.
def is_derived(word: str) -> bool:
    """Whether a word is made of one of the list by a usual prefix or ending."""
    prefixed = _PREFIXED.fullmatch(word)
    if prefixed and (is_word(prefixed[1]) or _has_stem(prefixed[1])):
        return True
    return _has_stem(word)


def _has_stem(word: str) -> bool:
    for size in range(1, min(9, len(word) - 2)):
        stem, ending = word[:-size], word[-size:]
        # Before a vowel a consonant is doubled that follows one vowel: planning, but not drinkking.
        short = stem[:-1] if ending[0] in "aeiouy" and _DOUBLED.search(stem) else ""
        if ending in _ENDINGS and any(
            len(form) > 3 and is_word(form) for form in (stem, stem + "e", stem + "y", short)
        ):
            return True
    return False


@remembered(65536)
def is_usual(letters: str) -> bool:
    """Whether a run of letters is a word, is derived from one or stands for others."""
    return is_word(letters) or is_derived(letters) or bool(unstretched(letters) or misspelt(letters) or parts(letters))


def usual(candidates: Iterable[str]) -> str | None:
    """Give the most frequent of the words among these; None where none is a word."""
    known = ranks()
    return min((word for word in candidates if word in known), key=known.__getitem__, default=None)


def unstretched(letters: str) -> str | None:
    """Give the word in which runs of three equal letters or more are of one or of two."""
    runs = ["".join(run) for _, run in groupby(letters)]
    stretched = [place for place, run in enumerate(runs) if len(run) > 2]
    if not stretched or len(stretched) > 4:
        return None

    def shortened(sizes: Iterable[int]) -> str:
        size_of = dict(zip(stretched, sizes, strict=True))
        return "".join(run[: size_of.get(place, len(run))] for place, run in enumerate(runs))

    return usual(map(shortened, product((1, 2), repeat=len(stretched))))


def misspelt(letters: str) -> str | None:
    """Give the frequent word that differs by one slip of the pen: two letters swapped, one left out or doubled.

    Source: Damerau, "A technique for computer detection and correction of spelling errors", 1964; Norvig, "How to
    Write a Spelling Corrector", https://norvig.com/spell-correct.html
    """
    if not 4 <= len(letters) <= _LONGEST:
        return None
    word = usual(_one_less(letters))
    return word if word is not None and len(word) > 3 else _without_a_letter().get(letters)


@cache
def _without_a_letter() -> Mapping[str, str]:
    """Give the most frequent word for each run of letters that lacks an inner one of it.

    Of the many words that a letter more makes, a rare one is seldom meant: the run is a name.
    """
    lacking: dict[str, str] = {}
    for word, place in ranks().items():
        if len(word) > 4 and place <= _ONE_MORE_WITHIN[min(len(word), 7)]:
            for at in range(1, len(word) - 1):
                lacking.setdefault(word[:at] + word[at + 1 :], word)
    return lacking


def _one_less(letters: str) -> Iterable[str]:
    """Give what stands without one slip that adds no letter: two swapped, or one doubled."""
    for place in range(1, len(letters)):
        before, after = letters[:place], letters[place:]
        if before[-1] == after[0]:
            yield before + after[1:]
        elif len(after) > 1:
            yield before + after[1] + after[0] + after[2:]


def parts(letters: str, *, surely: bool = False) -> list[tuple[int, int]]:
    """Set apart frequent words that are written together.

    Parameters
    ----------
    surely
        Whether they are known to be words: then the likeliest are given, however rare.

    Returns
    -------
    list of (start, end)
        Half-open spans that follow one another; empty where the letters are no such words.

    Source: the cheapest cut by Zipf's law, as by Norvig, "Natural Language Corpus Data", in Beautiful Data, 2009.
    """
    size = len(letters)
    if not 4 <= size <= _LONGEST_RUN:
        return []
    known = ranks()
    unit = math.log(math.log(len(known)))
    # The cost of the cheapest cut of the letters up to each place, and where its last word begins.
    best: list[tuple[float, int]] = [(0.0, 0)] + [(math.inf, 0)] * size
    for start in range(size):
        cost, _ = best[start]
        if cost == math.inf:
            continue
        for end in range(start + 1, min(size, start + _LONGEST) + 1):
            place = known.get(letters[start:end])
            if place is not None and place <= _PART_WITHIN.get(end - start, place):
                best[end] = min(best[end], (cost + math.log(place) + unit, start))
    cost, _ = best[size]
    if cost == math.inf or (not surely and cost > _COST + _COST_A_LETTER * size):
        return []
    spans: list[tuple[int, int]] = []
    end = size
    while end:
        start = best[end][1]
        spans.append((start, end))
        end = start
    # What is left at the end is more often of a name: Golda.
    return spans[::-1] if len(spans) > 1 and (surely or spans[0][1] - spans[0][0] > 1) else []


def behind_mask(masked: str) -> str | None:
    """Give the most frequent word that shows the letters of a masked one; each sign hides one letter.

    The first letter shows, and two in all.
    """
    if not _MASKED.fullmatch(masked) or sum(map(str.isalpha, masked)) < 2:
        return None
    return fitting([letter if letter.isalpha() else "" for letter in masked])


def fitting(letters: Sequence[str]) -> str | None:
    """Give the most frequent word whose every letter is one of those given for its place; any where none is given."""
    if len(letters) not in _by_length():
        return None
    words, written = _by_length()[len(letters)]
    fit = np.ones(len(words), dtype=bool)
    for place, some in enumerate(letters):
        if some:
            fit &= reduce(or_, (written[:, place] == ord(letter) for letter in some))
    return words[int(fit.argmax())] if fit.any() else None


_MASKED = re.compile("[a-z][-a-z*#@$%_~•●■▪°\u2588\ufffd]+")


@cache
def _by_length() -> Mapping[int, tuple[tuple[str, ...], npt.NDArray[np.uint8]]]:
    """Give the words of each length, the most frequent first, and their letters, shape (n_words, length)."""
    found: dict[int, list[str]] = {}
    for word in ranks():
        found.setdefault(len(word), []).append(word)
    return {
        size: (tuple(words), np.frombuffer("".join(words).encode("ascii"), dtype=np.uint8).reshape(-1, size))
        for size, words in found.items()
        if 3 <= size <= _LONGEST
    }
