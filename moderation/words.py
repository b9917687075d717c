"""The words that a disguise may hide, and what can be told of a single word."""

import re
from collections.abc import Iterable
from functools import cached_property
from itertools import groupby
from typing import Any

import re2
from ahocorasick_rs import AhoCorasick, MatchKind

from moderation import english
from moderation.vocabulary import COMMON, COMPOUNDING, COMPOUNDS, FOREIGN, GENUINE, SCORN

Reading = tuple[str, list[int], list[int]]
"""What is read, and for each of its characters where it begins and ends in what it was read from."""

# A mask hides any letter; a weak one only between letters, since it also ends sentences and joins words; the
# others no more than a vowel.
MASKS = frozenset("*#•●■▪°\u2588\ufffd")
_WEAK_MASKS = frozenset("-_%^~@$")
VOWEL_MASKS = MASKS | _WEAK_MASKS | frozenset("?.,'\"+=/")
_ANY_MASK = re.compile("[{0}](?:.*[{0}])?".format(re.escape("".join(sorted(VOWEL_MASKS)))), re.S)
_MASK_RUN = re.compile(r"([a-z]+)\*+([a-z]+)")
# Letters that are set apart, and what sets them apart.
ITEM = r"[a-z0-9@$!(]"
GAPS = " .-_*/|,~\n\t"
GAP = r"[ .\-_*/|,~\n\t]"

_VOWELS = frozenset("aeiouy")
# No English word begins so; nor is a half without a vowel one.
_NO_BEGINNING = re.compile(r"([b-df-hj-np-tv-z])\1|ck|tch|[nr]ch|n[dtkg]|r[dtkmn]|l[dtk]|m[bp]|[cfp]t")
# Halves that stand by themselves although without a vowel: left over by an apostrophe, titles, ordinals.
_NO_LEFT = frozenset("s t d m ll re ve st nd rd th mr mrs ms dr vs pm tv x".split())
_NO_RIGHT = frozenset("st nd rd th mr mrs ms dr vs pm tv ft".split())
# Words that are written together with the insult beside them.
_COMPANIONS = (
    "you your youre ur are is am was were be been the this that these those they them their theyre he hes him his "
    "she shes her its it we us our all every each and or but not no dont cant do does did will would should can "
    "could must lets go get gets got going gonna wanna to of in on at for from by with as so such just only very "
    "too much more most what who how why when my me mine im ive one everyone everybody some any big fat old dirty "
    "filthy stupid dumb ugly crazy damn bloody little total complete absolute hate love die dead like look face "
    "off out up again ever never always if than because yeah yes hey really yourself himself themselves an a "
    "already now"
).split()
_PARTICLES = frozenset(
    "a an is am be it us or no do go to of in on at by as so off up out if he we cant mine like ever".split()
)
_ENDINGS = frozenset(
    "ness like able ally ings ists isms istic ation ations ized ised izing ising ization isation dom ship hood land "
    "town ville ford stein berg sson shire esque less fully worth house houses proof ness nesses ities ishly".split()
)


class Words:
    """The words that a disguise may hide.

    Parameters
    ----------
    words
        Folded words, each of letters only and three or longer to be found behind a disguise.
    """

    def __init__(self, words: Iterable[str]) -> None:
        given = tuple(words)
        words = (*given, *SCORN)
        self._known = frozenset(word for word in words if len(word) > 2 and word.isalpha())
        self.all = self._known.intersection(given)
        self._by_shape: dict[tuple[str, int], tuple[str, ...]] = {}
        self._by_squeezed: dict[str, tuple[str, ...]] = {}
        for word in dict.fromkeys(word for word in words if word in self._known):
            shape, squeezed = (word[0], len(word)), _squeeze(word)
            self._by_shape[shape] = (*self._by_shape.get(shape, ()), word)
            self._by_squeezed[squeezed] = (*self._by_squeezed.get(squeezed, ()), word)
        for word in sorted(COMMON - self._known):
            squeezed = _squeeze(word)
            self._by_squeezed[squeezed] = (*self._by_squeezed.get(squeezed, ()), word)
        # A mask hides the usual word rather than another.
        self._by_shape = {shape: tuple(sorted(ws, key=english.rank)) for shape, ws in self._by_shape.items()}
        long = sorted(word for word in self._known if len(word) > 3 and word.isascii())
        self._longest = max(map(len, long), default=0)
        self._spellings = {other: word for word in long for other in _spellings(word) if other not in self._known}
        self._splits = {halves for word in long for halves in _splits(word)}
        # A common word is meant by its misspelling even where that is a word given.
        real = COMMON | GENUINE
        slips = {
            slip: word
            for word in reversed(long)
            for slip in _slips(word)
            if slip not in real and (slip not in self._known or (word in COMMON and len(slip) > 3))
        }
        self._slips_in_english = {slip: slips.pop(slip) for slip in FOREIGN.intersection(slips)}
        self._slips = slips
        # Of the halves of a word, that which is no word by its letters.
        self._lefts = frozenset(left for left, _ in self._splits if _VOWELS.isdisjoint(left))
        self._rights = frozenset(right for left, right in self._splits if not _VOWELS.isdisjoint(left))
        self._misspelt = frozenset(self._slips)
        self._companions = COMMON.union(_COMPANIONS)
        self._telling = frozenset(word for word in long if len(word) > 4) - COMPOUNDING
        self.readings: dict[tuple[str, bool, bool], Reading | None] = {}
        """What `moderation.disguise` read in a token; whether among Latin letters, and in English."""
        self.quiet: set[str] = set()
        self.loud: set[str] = set()
        """The tokens that `moderation.skeleton` knows to hide nothing, and those that may."""
        self._hiding: dict[str, bool] = {}

    def __contains__(self, word: str) -> bool:
        return word in self._known

    def signs(self, text: str) -> frozenset[str]:
        """Tell which signs of a disguise that only the whole text shows it has; linear in the text."""
        found = self._gate.Match(text)
        return frozenset(_SIGNS[index] for index in found) if found else frozenset()

    def spaced(self, text: str) -> bool:
        """Whether three letters or more may stand apart in the text."""
        return self._apart.Match(text) is not None

    def halved(self, token: str) -> bool:
        """Whether a token may be that half of a split word which is no word itself."""
        return (
            token[len(token.rstrip(_WORD_CHARACTERS)) :] in self._lefts
            or token[: len(token) - len(token.lstrip(_WORD_CHARACTERS))] in self._rights
        )

    def suspect(self, token: str) -> bool:
        """Whether a token is a misspelt word, or holds one of five letters or more among others."""
        return token in self._misspelt or (
            len(token) > 6
            and any(
                token[start - 1 : start].isalpha() or token[end : end + 1].isalpha()
                for _, start, end in self._embedded.find_matches_as_indexes(token)
            )
        )

    def hides(self, token: str) -> bool:
        """Whether a token of ASCII letters may hide one of the words; what was told is remembered."""
        known = self._hiding.get(token)
        if known is None:
            known = self.suspect(token) or self.signed(token)
            if len(token) <= REMEMBERED_LENGTH:
                if len(self._hiding) >= REMEMBERED:
                    self._hiding.clear()
                self._hiding[token] = known
        return known

    def signed(self, token: str) -> bool:
        """Whether a text without white space shows one of `signs` but «spaced»."""
        for run in _RUN.findall(token):
            if run in self._spellings:
                return True
            # Only what holds a longer word beside other letters can be several written together.
            if len(run) > 4 and any(
                end - start < len(run) for _, start, end in self._held.find_matches_as_indexes(run, overlapping=True)
            ):
                if self._glued.fullmatch(run) is not None:
                    return True
        return _TRIPLE.search(token) is not None

    @cached_property
    def _long(self) -> tuple[str, ...]:
        return tuple(word for word in sorted(self._known) if len(word) > 3 and word.isascii())

    @cached_property
    def _held(self) -> AhoCorasick:
        return AhoCorasick(self._long)

    @cached_property
    def _embedded(self) -> AhoCorasick:
        return AhoCorasick(sorted(self._telling), matchkind=MatchKind.LeftmostLongest)

    @cached_property
    def _glued_pattern(self) -> str:
        # A pattern that matches nothing stands where there are no words.
        long = "|".join(self._long) or _NOTHING
        piece = rf"(?:{'|'.join(_COMPANIONS)})"
        return (
            rf"(?:{piece}+|[a-z]{{3,15}}(?:isan?|are|fucking))(?:{long})(?:{piece}|{long})*"
            rf"|(?:{long})(?:{piece}|{long})+"
        )

    @cached_property
    def _glued(self) -> Any:
        return re2.compile(self._glued_pattern, _options())

    @cached_property
    def _apart(self) -> Any:
        apart = re2.Set.SearchSet(_options())
        apart.Add(_APART)
        apart.Compile()
        return apart

    @cached_property
    def _gate(self) -> Any:
        splits = "|".join(f"{left}[ \t]{{1,2}}{right}" for left, right in sorted(self._splits)) or _NOTHING
        gate = re2.Set.SearchSet(_options())
        for pattern in (
            "|".join(letter * 3 for letter in "abcdefghijklmnopqrstuvwxyz"),
            _APART,
            rf"\b(?:{self._glued_pattern})\b",
            rf"\b(?:{'|'.join(sorted(self._spellings)) or _NOTHING})\b",
            rf"\b(?:{splits})\b",
        ):
            gate.Add(pattern)
        gate.Compile()
        return gate

    def behind_mask(self, masked: str) -> str | None:
        """Find the word that a masked one such as ``f**k`` stands for.

        Two letters must show, or the first of a word of four; of several words the most frequent is taken. A single
        run of asterisks may be one shorter or longer than what it hides if three show and nothing else fits.
        """
        shown = sum(map(str.isalpha, masked))
        if shown < 2 and not (len(masked) == 4 and masked[1:] == "***"):
            return None
        inner = masked[-1].isalpha() and len(masked) > 3
        masks = MASKS | _WEAK_MASKS if inner else MASKS
        mask = _ANY_MASK.search(masked)
        before, behind = (masked[: mask.start()], masked[mask.end() :]) if mask else (masked, "")
        for word in self._by_shape.get((masked[0], len(masked)), ()):
            if not word.startswith(before) or not word.endswith(behind):
                continue
            if all(m == w or m in masks for m, w in zip(masked, word, strict=True)):
                return word
            if (
                shown > 2
                and inner
                and all(m == w or (m in VOWEL_MASKS and w in _VOWELS) for m, w in zip(masked, word, strict=True))
            ):
                return word
        if shown > 2 and inner and (run := _MASK_RUN.fullmatch(masked)) and not english.behind_mask(masked):
            for size in (len(masked) + 1, len(masked) - 1):
                for word in self._by_shape.get((masked[0], size), ()):
                    if (
                        ((size > len(masked) and shown > 3) or len(masked) > size > shown)
                        and word.startswith(run[1])
                        and word.endswith(run[2])
                    ):
                        return word
        return None

    def stretched(self, letters: str) -> str | None:
        """Find the hidden or common word that a stretched one such as ``foool`` stands for; itself where it is one."""
        if letters in self._known or letters in COMMON:
            return letters
        candidates = self._by_squeezed.get(_squeeze(letters))
        if candidates is None:
            return None
        runs = run_lengths(letters)
        if max(runs) < 3 and min(runs) < 2:
            return None
        for word in sorted(candidates, key=lambda word: (word in self._known, len(word)), reverse=True):
            if all(run >= wanted for run, wanted in zip(runs, run_lengths(word), strict=True)):
                return word
        return None

    def spelling(self, letters: str) -> str | None:
        """Find the word that is spelt so to be heard, not read."""
        return self._spellings.get(letters)

    def misspelt(self, letters: str, *, in_english: bool = False) -> str | None:
        """Find the word that differs by one slip of the pen; None for a word of its own, or where not in English."""
        return self._slips_in_english.get(letters) if in_english else self._slips.get(letters)

    def split(self, left: str, right: str) -> bool:
        """Whether two neighbours are the halves of a word, one of them no word itself."""
        return (left, right) in self._splits

    def glued(self, letters: str) -> list[tuple[int, int]]:
        """Set apart hidden words and others that are written together.

        A word of five letters or more shows beside any word of four; a shorter one beside its usual companions.

        Returns
        -------
        list of (start, end)
            Half-open spans that follow one another; empty where the letters are one word.
        """
        if not 7 <= len(letters) <= _LONGEST_GLUED or letters in GENUINE or letters in FOREIGN or letters in COMPOUNDS:
            return []
        if letters not in self._misspelt and not self._held.find_matches_as_indexes(letters):
            return []
        usual = self._glued.fullmatch(letters) is not None
        if not usual and not self.suspect(letters):
            return []
        pieces = self.parts(letters)
        if len(pieces) < 2:
            return []
        spans: list[tuple[int, int]] = []
        told, ambiguous = True, False
        for hidden, group in groupby(pieces, key=lambda piece: piece[2]):
            run = [(start, end) for start, end, _ in group]
            if not hidden and not all(letters[start:end] in self._companions for start, end in run):
                run = [(run[0][0], run[-1][1])]
                if spans and letters[spans[-1][1] - 1] == "s" and letters[spans[-1][0] : spans[-1][1] - 1] in self:
                    # The plural or the singular and another word: shit storm.
                    ambiguous = ambiguous or spans[-1][1] - spans[-1][0] < 6
                rest = letters[run[0][0] : run[0][1]]
                told = told and len(rest) > 3 and rest not in _ENDINGS
            spans += run
        if (
            told
            and not ambiguous
            and any(hidden and letters[start:end] in self._telling for start, end, hidden in pieces)
        ):
            return spans
        if not usual:
            return []
        # Particles alone make compounds: shootout, offshoot.
        certain = (letters[start:end] not in _PARTICLES for start, end, hidden in pieces if not hidden)
        return spans if sum(hidden for _, _, hidden in pieces) > 1 or any(certain) else []

    def parts(self, letters: str) -> list[tuple[int, int, bool]]:
        """Cut a run of letters into hidden words, companions and the rest.

        Returns
        -------
        list of (start, end, hidden)
            Half-open spans that follow one another; ``hidden`` marks those of the words.
        """
        size = len(letters)
        # From each place on: the letters covered by words, those by companions, minus the parts; and the first cut.
        best: list[tuple[int, int, int, int]] = [(0, 0, 0, 0)] * (size + 1)
        for start in range(size - 1, -1, -1):
            hidden, known, count, _ = best[start + 1]
            choice = (hidden, known, count - 1, 1)
            for length in range(1, min(max(self._longest, _LONGEST_COMPANION), size - start) + 1):
                piece = letters[start : start + length]
                hidden, known, count, _ = best[start + length]
                if length > 3 and piece in self._known:
                    choice = max(choice, (hidden + length, known, count - 1, length))
                elif piece in self._companions:
                    choice = max(choice, (hidden, known + length, count - 1, length))
            best[start] = choice
        found: list[tuple[int, int, bool]] = []
        start = rest = 0
        while start < size:
            length = best[start][3]
            piece = letters[start : start + length]
            if length > 1 or piece in self._companions:
                if rest < start:
                    found.append((rest, start, False))
                found.append((start, start + length, length > 3 and piece in self._known))
                rest = start + length
            start += length
        if rest < size:
            found.append((rest, size, False))
        return found


_APART = rf"(?:^|[^a-z0-9]){ITEM}(?:{GAP}{{1,3}}{ITEM}){{2}}(?:[^a-z0-9]|$)"
_WORD_CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
_RUN = re.compile(r"[A-Za-z0-9_]{3,}")
_TRIPLE = re.compile(r"([a-z])\1\1")
_NOTHING = r"\A\z."
_SIGNS = ("stretched", "spaced", "glued", "spelt", "split")
_RE2_MEMORY_BYTES = 1 << 27
REMEMBERED = 200_000
REMEMBERED_LENGTH = 40
_LONGEST_GLUED = 100
_LONGEST_COMPANION = max(map(len, COMMON.union(_COMPANIONS)))


def _options() -> Any:
    options = re2.Options()
    options.max_mem = _RE2_MEMORY_BYTES
    options.never_capture = True
    return options


def _squeeze(letters: str) -> str:
    return "".join(letter for letter, _ in groupby(letters))


def run_lengths(letters: str) -> list[int]:
    """Give how often each letter stands in a row."""
    return [sum(1 for _ in run) for _, run in groupby(letters)]


def _spellings(word: str) -> Iterable[str]:
    if word[0] == "f":
        yield "ph" + word[1:]
        if "u" in word:
            yield "ph" + word[1:].replace("u", "v", 1)
    if word[0] not in "uv" and word[-1] != "u" and "u" in word:
        yield word.replace("u", "v", 1)
    if "w" in word:
        yield word.replace("w", "vv", 1)


def _slips(word: str) -> Iterable[str]:
    """Swap, drop or double one inner letter; a word of four loses none.

    Source: Damerau, "A technique for computer detection and correction of spelling errors", 1964.
    """
    for place in range(1, len(word) - 1):
        if place < len(word) - 2:
            yield word[:place] + word[place + 1] + word[place] + word[place + 2 :]
        if len(word) > 4:
            yield word[:place] + word[place + 1 :]
        yield word[:place] + word[place] + word[place:]


def _splits(word: str) -> Iterable[tuple[str, str]]:
    for place in range(1, len(word)):
        left, right = word[:place], word[place:]
        if (
            left not in _NO_LEFT
            and right not in _NO_RIGHT
            and (not _VOWELS & set(left) or not _VOWELS & set(right) or _NO_BEGINNING.match(right))
        ):
            yield left, right
