"""Views of a text that undo disguise, and the way back to the original offsets.

Three views are made of each comment, once:

- ``plain``: as written;
- ``folded``: lower case, compatibility forms and HTML entities resolved, without combining marks,
  invisible characters and tags;
- ``skeleton``: folded, and look-alike letters, leetspeak, masks, stretched, spaced, split and glued
  words undone. Lossy; a rule opts in to it.

Source: Unicode Technical Standard #39 (look-alikes, through ``confusable_homoglyphs``), Unicode
Standard Annex #15 (compatibility forms).
"""

import html
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import groupby, pairwise, product
from typing import Any

import re2
from ahocorasick_rs import AhoCorasick, MatchKind

from moderation.vocabulary import COMMON, COMPOUNDING, COMPOUNDS, GENUINE, SCORN


@dataclass(frozen=True, slots=True)
class View:
    """One reading of a text.

    Parameters
    ----------
    text
        What is read.
    starts, ends
        For each character of ``text``, where it begins and ends (half-open) in the original, or
        None where both texts have the same offsets.
    """

    text: str
    starts: Sequence[int] | None = None
    ends: Sequence[int] | None = None

    def original(self, start: int, end: int) -> tuple[int, int]:
        """Give the half-open span of the original that ``text[start:end]`` was read from."""
        if self.starts is None or self.ends is None:
            return start, end
        if start < end:
            return self.starts[start], self.ends[end - 1]
        place = self.starts[start] if start < len(self.starts) else (self.ends[-1] if self.ends else 0)
        return place, place


@dataclass(frozen=True, slots=True)
class Folded:
    """A text with its views."""

    plain: View
    folded: View
    skeleton: View

    def views(self) -> Iterable[tuple[str, View]]:
        """Yield each view by name; a skeleton that equals the folded view is left out."""
        yield "plain", self.plain
        yield "folded", self.folded
        if self.skeleton is not self.folded:
            yield "skeleton", self.skeleton


def fold(text: str, words: "Words") -> Folded:
    """Make the views of a text.

    Parameters
    ----------
    text
        Any text; never raises for its content.
    words
        The words that a disguise may hide, usually a policy's terms.
    """
    folded = _folded(text)
    if not text.isascii():
        text = _SURROGATE.sub("\ufffd", text)
    return Folded(View(text), folded, _skeleton(text, folded, words))


# --------------------------------------------------------------------------- folded

_SURROGATE = re.compile("[\ud800-\udfff]")
_MARKUP = re.compile(
    r"&(?:amp;){0,3}(?:#\d{1,7};?|#x[0-9a-f]{1,6};?|[a-z][a-z0-9]{1,31};)|<!--[^<>]{0,500}-->"
    r"|<(/?)([a-z][a-z0-9]*)\b[^<>]{0,500}>|\[/?(?:b|i|u|s|url|color|size|quote|spoiler)(?:=[^\[\]]{0,100})?\]",
    re.I,
)
_BREAKING_TAGS = frozenset("br p div li ul ol tr td th table h1 h2 h3 h4 h5 h6 hr blockquote pre section".split())
_STRAIGHT = {
    **dict.fromkeys("‘’‚‛′`´ʼʹ", "'"),
    **dict.fromkeys("“”„‟″«»", '"'),
    **dict.fromkeys("‐‑‒–—―−", "-"),
    "…": "...",
    "ı": "ı",
    "İ": "i",
    "ϲ": "c",
    "Ϲ": "c",
    # Letters and signs by category, but drawn as nothing.
    **dict.fromkeys("\u115f\u1160\u3164\uffa0\u2800", ""),
}
# Letters drawn as emoji have no compatibility form in Unicode.
_FLAG_LETTERS = {chr(0x1F1E6 + i): chr(ord("a") + i) for i in range(26)}
_EMOJI_LETTERS = {
    **{chr(0x1F150 + i): chr(ord("a") + i) for i in range(26)},
    **{chr(0x1F170 + i): chr(ord("a") + i) for i in range(26)},
    **_FLAG_LETTERS,
    "🆎": "ab",
    "🆑": "cl",
    "🆒": "cool",
    "🆓": "free",
    "🆖": "ng",
    "🆗": "ok",
    "🆘": "sos",
    "🆚": "vs",
}
_FLAG = re.compile("(?<![\U0001f1e6-\U0001f1ff])[\U0001f1e6-\U0001f1ff]{2}(?![\U0001f1e6-\U0001f1ff])")
_RIGHT_TO_LEFT = "\u202e"
_REVERSED = re.compile("\u202e([^\u202a-\u202e\u2066-\u2069\n]{1,200})\u202c?")


@lru_cache(maxsize=65536)
def _fold_character(character: str) -> str:
    if character in _STRAIGHT:
        return _STRAIGHT[character]
    if character in _EMOJI_LETTERS:
        return _EMOJI_LETTERS[character]
    decomposed = unicodedata.normalize("NFKD", character).casefold()
    return "".join(
        _STRAIGHT.get(part, part)
        for part in unicodedata.normalize("NFKD", decomposed)
        if unicodedata.category(part) not in ("Mn", "Me", "Cf", "Cs", "Co", "Cn")
        and (unicodedata.category(part) != "Cc" or part in "\t\n\r")
    )


def _folded(text: str) -> View:
    marked = "&" in text or "<" in text or "[" in text
    if not marked and text.isascii() and text.isprintable():
        return View(text.lower())
    odd = {character: _fold_character(character) for character in set(text)}
    flagged = any(character in _FLAG_LETTERS for character in odd)
    marks: list[tuple[int, int, str]] = []
    if marked:
        marks.extend((*mark.span(), _markup(mark)) for mark in _MARKUP.finditer(text))
    if flagged:
        marks.extend((*flag.span(), flag[0]) for flag in _FLAG.finditer(text))
    if _RIGHT_TO_LEFT in odd:
        for run in _REVERSED.finditer(text):
            marks.append((*run.span(), "".join(odd[character] for character in reversed(run[1]))))
    if not marks and all(len(reading) == 1 for reading in odd.values()):
        return View("".join(map(odd.__getitem__, text)))
    characters: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    position = 0
    for start, end, reading in (*sorted(marks), (len(text), len(text), "")):
        if start < position:
            continue
        for offset in range(position, start):
            character = odd[text[offset]]
            characters.append(character)
            if len(character) == 1:
                starts.append(offset)
                ends.append(offset + 1)
            else:
                starts.extend([offset] * len(character))
                ends.extend([offset + 1] * len(character))
        characters.append(reading)
        starts.extend([start] * len(reading))
        ends.extend([end] * len(reading))
        position = end
    return View("".join(characters), tuple(starts), tuple(ends))


def _markup(mark: re.Match[str]) -> str:
    if mark[0].startswith("&"):
        decoded = mark[0]
        while decoded.startswith("&amp;"):
            decoded = "&" + decoded[5:]
        decoded = html.unescape(decoded) if len(decoded) > 1 else decoded
        return "".join(map(_fold_character, decoded))
    return " " if mark[2] and mark[2].lower() in _BREAKING_TAGS else ""


# --------------------------------------------------------------------------- words

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
# Real words that read as two of the above.
_GENUINE = frozenset(
    "therapist therapists cockatoo cockatoos tardive retardative shittim meshita shitima kuntima".split()
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
        # A mask hides the usual spelling rather than another.
        self._by_shape = {
            shape: tuple(sorted(ws, key=lambda w: w not in COMMON)) for shape, ws in self._by_shape.items()
        }
        for word in sorted(COMMON - self._known):
            shape = (word[0], len(word))
            self._by_shape[shape] = (*self._by_shape.get(shape, ()), word)
        long = sorted(word for word in self._known if len(word) > 3 and word.isascii())
        self._longest = max(map(len, long), default=0)
        self._spellings = {other: word for word in long for other in _spellings(word) if other not in self._known}
        self._splits = {halves for word in long for halves in _splits(word)}
        # A common word is meant by its misspelling even where that is a word given.
        real = COMMON | GENUINE
        self._slips = {
            slip: word
            for word in reversed(long)
            for slip in _slips(word)
            if slip not in real and (slip not in self._known or (word in COMMON and len(slip) > 3))
        }
        self._misspelt = frozenset(self._slips)
        self._companions = COMMON.union(_COMPANIONS)
        self._telling = frozenset(word for word in long if len(word) > 4) - COMPOUNDING
        self._readings: dict[tuple[str, bool], _Reading | None] = {}
        self._gate: Any = None
        self._glued: Any = None
        self._embedded: Any = None
        self._plain: set[str] = set()

    def __contains__(self, word: str) -> bool:
        return word in self._known

    def signs(self, text: str) -> frozenset[str]:
        """Tell which signs of a disguise that only the whole text shows it has; linear in the text."""
        if self._gate is None:
            self._compile()
        found = self._gate.Match(text)
        return frozenset(_SIGNS[index] for index in found) if found else frozenset()

    def suspects(self, tokens: set[str]) -> set[str]:
        """Give the tokens that are a misspelt word or hold one of five letters or more among others."""
        found = tokens & self._misspelt
        if self._embedded is None:
            self._embedded = AhoCorasick(sorted(self._telling), matchkind=MatchKind.LeftmostLongest)
        if len(self._plain) >= _REMEMBERED:
            self._plain.clear()
        for token in tokens - self._plain:
            if len(token) > 6 and any(
                token[start - 1 : start].isalpha() or token[end : end + 1].isalpha()
                for _, start, end in self._embedded.find_matches_as_indexes(token)
            ):
                found.add(token)
            elif len(token) <= _REMEMBERED_LENGTH:
                self._plain.add(token)
        return found

    def _compile(self) -> None:
        # A pattern that matches nothing stands where there are no words.
        long = "|".join(word for word in sorted(self._known) if len(word) > 3 and word.isascii()) or r"\A\z."
        piece = rf"(?:{'|'.join(_COMPANIONS)})"
        glued = (
            rf"(?:{piece}+|[a-z]{{3,15}}(?:isan?|are|fucking))(?:{long})(?:{piece}|{long})*"
            rf"|(?:{long})(?:{piece}|{long})+"
        )
        options = re2.Options()
        options.max_mem = _RE2_MEMORY_BYTES
        options.never_capture = True
        self._glued = re2.compile(glued, options)
        gate = re2.Set.SearchSet(options)
        for pattern in (
            "|".join(letter * 3 for letter in "abcdefghijklmnopqrstuvwxyz"),
            rf"(?:^|[^a-z0-9]){_ITEM}(?:{_GAP}{{1,3}}{_ITEM}){{2}}(?:[^a-z0-9]|$)",
            rf"\b(?:{glued})\b",
            rf"\b(?:{'|'.join(sorted(self._spellings)) or long})\b",
            rf"\b(?:{'|'.join(rf'{left}[ 	]{{1,2}}{right}' for left, right in sorted(self._splits)) or long})\b",
        ):
            gate.Add(pattern)
        gate.Compile()
        self._gate = gate

    def behind_mask(self, masked: str) -> str | None:
        """Find the word that a masked one such as ``f**k`` stands for.

        Two letters must show, or the first of a word of four; of several words the one given first is
        taken. A single run of asterisks may be one shorter or longer than what it hides if three show.
        """
        shown = sum(character.isalpha() for character in masked)
        if shown < 2 and not (len(masked) == 4 and masked[1:] == "***"):
            return None
        inner = masked[-1].isalpha() and len(masked) > 3
        masks = _MASKS | _WEAK_MASKS if inner else _MASKS
        for word in self._by_shape.get((masked[0], len(masked)), ()):
            if all(m == w or m in masks for m, w in zip(masked, word, strict=True)):
                return word
            if (
                shown > 2
                and inner
                and all(m == w or (m in _VOWEL_MASKS and w in _VOWELS) for m, w in zip(masked, word, strict=True))
            ):
                return word
        if shown > 2 and inner and (run := _MASK_RUN.fullmatch(masked)):
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
        runs = _run_lengths(letters)
        if max(runs) < 3 and min(runs) < 2:
            return None
        for word in sorted(candidates, key=lambda word: (word in self._known, len(word)), reverse=True):
            if all(run >= wanted for run, wanted in zip(runs, _run_lengths(word), strict=True)):
                return word
        return None

    def spelling(self, letters: str) -> str | None:
        """Find the word that is spelt so to be heard, not read."""
        return self._spellings.get(letters)

    def misspelt(self, letters: str) -> str | None:
        """Find the word that differs by one slip of the pen; None for a word of its own."""
        return self._slips.get(letters)

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
        if not 7 <= len(letters) <= _LONGEST_GLUED or letters in _GENUINE or letters in GENUINE or letters in COMPOUNDS:
            return []
        if self._glued is None:
            self._compile()
        usual = self._glued.fullmatch(letters) is not None
        if not usual and not self.suspects({letters}):
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

    def reading(self, token: str, mostly_latin: bool) -> "_Reading | None":
        """Read one token as what it hides; None where nothing is to be changed. Short ones are remembered."""
        key = (token, mostly_latin)
        try:
            return self._readings[key]
        except KeyError:
            reading = _undisguise(token, self, mostly_latin)
            if len(token) <= _REMEMBERED_LENGTH:
                if len(self._readings) >= _REMEMBERED:
                    self._readings.clear()
                self._readings[key] = reading
            return reading


_SIGNS = ("stretched", "spaced", "glued", "spelt", "split")
_RE2_MEMORY_BYTES = 1 << 27
_REMEMBERED = 50_000
_REMEMBERED_LENGTH = 40
_LONGEST_GLUED = 100
_LONGEST_COMPANION = max(map(len, COMMON.union(_COMPANIONS)))


def _squeeze(letters: str) -> str:
    return "".join(letter for place, letter in enumerate(letters) if place == 0 or letters[place - 1] != letter)


def _run_lengths(letters: str) -> list[int]:
    runs: list[int] = []
    for place, letter in enumerate(letters):
        if place and letters[place - 1] == letter:
            runs[-1] += 1
        else:
            runs.append(1)
    return runs


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


# --------------------------------------------------------------------------- skeleton

_LEET = {
    "0": "o",
    "1": "i",
    "2": "z",
    "3": "e",
    "4": "a",
    "5": "s",
    "6": "g",
    "7": "t",
    "8": "b",
    "9": "g",
    "@": "a",
    "$": "s",
    "!": "i",
    "|": "i",
    "+": "t",
    "€": "e",
    "£": "l",
    "¢": "c",
    "(": "c",
    "¡": "i",
    "§": "s",
    "×": "x",
    "¥": "y",
}
_SECOND_LEET = {"1": "l", "|": "l", "!": "l", "9": "q", "6": "b", "7": "l", "+": "t", "2": "s", "0": "u", "@": "o"}
# Letters drawn with several signs; those read as an asterisk may be more than one letter.
_DRAWN = {
    "|<": "k",
    "|{": "k",
    "|)": "d",
    "|-|": "h",
    "}{": "h",
    "]-[": "h",
    "()": "*",
    "[]": "*",
    "{}": "*",
    "|_|": "u",
    "(_)": "u",
    "\\_/": "u",
    "/-\\": "a",
    "/\\": "a",
    "\\/\\/": "w",
    "\\/": "v",
    "|\\|": "n",
    "|\\/|": "m",
}
_DRAWING = re.compile("|".join(re.escape(drawn) for drawn in sorted(_DRAWN, key=len, reverse=True)))
# A mask hides any letter; a weak one only between letters, since it also ends sentences and joins words; the
# others no more than a vowel.
_MASKS = frozenset("*#•●■▪°\u2588\ufffd")
_WEAK_MASKS = frozenset("-_%^~@$")
_VOWEL_MASKS = _MASKS | _WEAK_MASKS | frozenset("?.,'\"+=/")
_MASK_RUN = re.compile(r"([a-z]+)\*+([a-z]+)")
_SIGNED_LETTERS = frozenset("@$!|€£¢+")
_TOKEN = re.compile(r"\S+")
_ITEM = r"[a-z0-9@$!(]"
_GAP = r"[ .\-_*/|,~\n\t]"
_SPACED = re.compile(rf"(?<![a-z0-9]){_ITEM}(?:{_GAP}{{1,3}}{_ITEM}){{2,}}(?![a-z0-9])")
_GAPS = " .-_*/|,~\n\t"
_GROUP = re.compile(r"[^ ]+(?: [^ ]+)*")
_LINK = re.compile(r"://|^www\.|^[^@\s]+@[^@\s]+\.[a-z]{2,}|^[\w.-]+\.[a-z]{2,}/")
_LETTER = re.compile(r"[^\W\d_]")
_CONTRACTION = re.compile(r"[a-z]+(?:'(?:s|t|re|ve|ll|d|m|em|all))+")
_BETWEEN_LETTERS = re.compile(r"(?<=[^\W\d_])[013457@$](?=[^\W\d_])")
_STRETCH = re.compile(r"([^\W\d_])\1\1")
_EDGES_LEFT = "\"'([{<.,;:-_~=/\\*#"
_EDGES_RIGHT = "\"')]}>.,;:?!-_~=/\\*"
_BREAK = re.compile(r"[,;:/?\"]+|\.{2,}|-{2,}|!+(?=[^\W\d_]{3,})")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_HASHTAG = re.compile(r"#[A-Za-z]+")


@cache
def _look_alikes() -> dict[str, str]:
    """Map letters of other scripts to the Latin letter that they resemble.

    Source: Unicode TR39 ``confusables.txt`` as packaged by ``confusable_homoglyphs``.
    """
    from confusable_homoglyphs.utils import load

    table: dict[str, str] = {}
    confusables = load("confusables.json")
    for letter in "abcdefghijklmnopqrstuvwxyz":
        for source in (letter, letter.upper()):
            for entry in confusables.get(source, ()):
                other = entry["c"]
                for form in (other.casefold(), other):
                    if len(form) == 1 and not form.isascii():
                        table.setdefault(form, letter)
    # Fallen out of the table by case folding, or resembling in upper case only.
    table |= {"ı": "i", "в": "b", "н": "h", "м": "m", "к": "k", "т": "t", "ц": "u", "ш": "w", "я": "r", "и": "n"}
    table |= {"п": "n", "є": "e", "ӏ": "l", "г": "r", "ᴦ": "r", "ϳ": "j", "ҽ": "e"}
    table |= {"α": "a", "β": "b", "ε": "e", "η": "n", "ι": "i", "κ": "k", "μ": "u", "ν": "v", "τ": "t", "υ": "u"}
    table |= {"χ": "x", "ω": "w", "σ": "o", "ς": "s", "ø": "o", "đ": "d", "ħ": "h", "ł": "l", "ŧ": "t", "ƒ": "f"}
    table |= dict(zip("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ", "abcdefghijklmnoprstuvwyz", strict=True))
    return table


_SECOND_LOOK_ALIKES = {"у": "u", "и": "u", "ч": "y", "я": "a", "в": "v", "υ": "y", "ν": "u"}


@lru_cache(maxsize=65536)
def _is_latin(character: str) -> bool:
    return character.isascii() or unicodedata.name(character, "").startswith("LATIN")


_Reading = tuple[str, list[int], list[int]]
_Piece = tuple[int, int, str, list[int], list[int]]


def _skeleton(plain: str, view: View, words: Words) -> View:
    text = view.text
    ascii_only = text.isascii()
    signs = words.signs(text)
    if ascii_only and not signs:
        # Most tokens are words with at most a comma, a quotation mark or an apostrophe.
        tokens = set(text.split())
        odd = {token for token in tokens if not token.isalpha() and _is_odd(token, words)}
        odd |= words.suspects(tokens)
        if not odd and "#" not in text:
            return view
        mostly_latin = True
    else:
        tokens = set(text.split())
        odd = {token for token in tokens if signs or not token.isascii() or _is_odd(token, words)}
        odd |= words.suspects(tokens)
        letters = [character for character in text if character.isalpha()]
        mostly_latin = ascii_only or 2 * sum(map(_is_latin, letters)) > len(letters)
    # Each piece replaces text[start:end]: letters with the offset that each was read from.
    pieces: list[_Piece] = []
    if "spaced" in signs:
        pieces.extend(_spaced(text, words))
    if "split" in signs:
        pieces.extend(_joined(text, words))
    readings = {token: words.reading(token, mostly_latin) for token in odd}
    if "#" in text:
        pieces.extend(_hashtags(plain, view))
    if not pieces and not any(readings.values()):
        return view
    pieces.sort()
    spans = iter([*((piece[0], piece[1]) for piece in pieces), (len(text) + 1, len(text) + 1)])
    taken = next(spans)
    for token in _TOKEN.finditer(text):
        while taken[1] <= token.start():
            taken = next(spans)
        reading = readings.get(token[0])
        if reading is None or taken[0] < token.end():
            continue
        base = token.start()
        read, starts, ends = reading
        pieces.append((base, token.end(), read, [base + o for o in starts], [base + o for o in ends]))
    return _replaced(view, sorted(pieces)) if pieces else view


def _is_odd(token: str, words: Words) -> bool:
    core = token.lstrip(_EDGES_LEFT).rstrip(_EDGES_RIGHT)
    return words.misspelt(core) is not None or (
        not (core.isalpha() or core.isdigit() or not core or _CONTRACTION.fullmatch(core)) and core.isascii()
    )


def _replaced(view: View, pieces: Sequence[_Piece]) -> View:
    characters: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    taken = 0
    for start, end, read, piece_starts, piece_ends in (*pieces, (len(view.text), len(view.text), "", [], [])):
        if start < taken:
            continue
        characters.append(view.text[taken:start])
        starts.extend(range(taken, start))
        ends.extend(range(taken + 1, start + 1))
        characters.append(read)
        starts.extend(piece_starts)
        ends.extend(piece_ends)
        taken = end
    if view.starts is not None and view.ends is not None:
        # A space put between two words is of no width: it begins and ends where the second word begins.
        first = [*view.starts, view.ends[-1]]
        ends = [view.ends[e - 1] if e > s else first[e] for s, e in zip(starts, ends, strict=True)]
        starts = [first[s] for s in starts]
    return View("".join(characters), tuple(starts), tuple(ends))


def _spaced(text: str, words: Words) -> Iterable[_Piece]:
    """Read letters set apart; where one word was, so were its neighbours."""
    for run in _SPACED.finditer(text):
        groups = [
            [i for i in range(run.start() + group.start(), run.start() + group.end()) if text[i] not in _GAPS]
            for group in _GROUP.finditer(run[0])
        ]
        if all(len(where) < 2 for where in groups):
            groups = [[place for where in groups for place in where]]
        found = [_spaced_word(text, where, words) for where in groups]
        if not any(hidden for _, hidden in found):
            continue
        for where, ((read, places, ends), _) in zip(groups, found, strict=True):
            if where:
                yield where[0], where[-1] + 1, read, places, ends


def _spaced_word(text: str, where: list[int], words: Words) -> tuple[_Reading, bool]:
    raw = "".join(text[place] for place in where)
    own: _Reading = (raw, where, [place + 1 for place in where])
    if sum(map(str.isalpha, raw)) < 2:
        return own, False
    for letters in dict.fromkeys(_leet_readings(raw)):
        if not letters.isalpha():
            continue
        if len(letters) == 3:
            # Three letters with full stops are an abbreviation.
            if letters in words and "." not in text[where[0] : where[-1]] and letters == raw:
                return own, True
            continue
        word = words.stretched(letters)
        if word is not None:
            return _restretched(word, (letters, own[1], own[2])), True
        parts = words.parts(letters)
        if any(hidden for _, _, hidden in parts):
            return _apart((letters, own[1], own[2]), [(start, end) for start, end, _ in parts]), True
    return own, False


def _joined(text: str, words: Words) -> Iterable[_Piece]:
    """Read words split by a space."""
    taken = 0
    for left, right in pairwise(_TOKEN.finditer(text)):
        first, last = left[0].lstrip(_EDGES_LEFT), right[0].rstrip(_EDGES_RIGHT)
        if left.start() < taken or right.start() - left.end() > 2 or not words.split(first, last):
            continue
        if len(last) == 1 and right[0].endswith("."):
            continue
        start, end = left.end() - len(first), right.start() + len(last)
        places = [*range(start, left.end()), *range(right.start(), end)]
        yield start, end, first + last, places, [place + 1 for place in places]
        taken = right.end()


def _hashtags(plain: str, view: View) -> Iterable[_Piece]:
    """Set the words of a hashtag apart that capitals begin."""
    for tag in _HASHTAG.finditer(plain):
        bounds = [tag.start(), *(tag.start() + cut.start() for cut in _CAMEL.finditer(tag[0])), tag.end()]
        if len(bounds) == 2:
            continue
        shift = 0
        if view.starts is not None:
            shift = bisect_left(view.starts, tag.start()) - tag.start()
        start, end = tag.start() + shift, tag.end() + shift
        if view.text[start:end] != tag[0].lower():
            continue
        own: _Reading = (tag[0].lower(), list(range(start, end)), list(range(start + 1, end + 1)))
        yield (
            start,
            end,
            *_apart(own, [(left - tag.start(), right - tag.start()) for left, right in pairwise(bounds)]),
        )


def _apart(reading: _Reading, spans: Sequence[tuple[int, int]]) -> _Reading:
    """Put a space of no width between the spans of a reading."""
    text, starts, ends = reading
    apart: list[str] = []
    apart_starts: list[int] = []
    apart_ends: list[int] = []
    for start, end in spans:
        if apart:
            apart.append(" ")
            apart_starts.append(starts[start])
            apart_ends.append(starts[start])
        apart.append(text[start:end])
        apart_starts += starts[start:end]
        apart_ends += ends[start:end]
    return "".join(apart), apart_starts, apart_ends


def _leet_readings(raw: str) -> Iterable[str]:
    yield raw
    ambiguous = [character for character in dict.fromkeys(raw) if character in _SECOND_LEET][:3]
    for choice in product((_LEET, _SECOND_LEET), repeat=len(ambiguous)):
        table = dict(zip(ambiguous, choice, strict=True))
        yield "".join(table.get(c, _LEET)[c] if c in _LEET else c for c in raw)


def _undisguise(token: str, words: Words, mostly_latin: bool) -> _Reading | None:
    """Read one token as the word that it hides.

    Returns
    -------
    tuple or None
        The reading and, for each of its characters, the half-open offsets in the token; None where
        nothing is to be changed.
    """
    if _LINK.search(token):
        return None
    own: _Reading = (token, list(range(len(token))), list(range(1, len(token) + 1)))
    alike = own
    if not token.isascii():
        latin = any(map(_is_latin, filter(str.isalpha, token)))
        if latin or mostly_latin:
            table = _look_alikes()
            alike = ("".join(table.get(c, c) for c in token), own[1], own[2])
        found = _hidden(alike, words)
        if found is None and alike is not own and not _SECOND_LOOK_ALIKES.keys().isdisjoint(token):
            again = "".join(_SECOND_LOOK_ALIKES.get(c, letter) for c, letter in zip(token, alike[0], strict=True))
            found = _hidden((again, own[1], own[2]), words)
        if found is None and "i" in alike[0]:
            # A capital i is drawn as a small l.
            found = _hidden((alike[0].replace("i", "l"), own[1], own[2]), words)
        if found is not None:
            return found
        # A word wholly of another script is one of another language; letters of several scripts make none.
        if not latin and len({unicodedata.name(c, "").split(" ")[0] for c in token if c.isalpha()}) < 2:
            alike = own
    else:
        found = _hidden(own, words)
        if found is not None:
            return None if found[0] == token else found
    text, starts, ends = alike
    if not _LETTER.search(text):
        return None
    guess = _BETWEEN_LETTERS.sub(lambda sign: _LEET[sign[0]], text)
    shortened = _shortened(guess, starts, ends)
    return None if shortened[0] == token else shortened


def _hidden(reading: _Reading, words: Words) -> _Reading | None:
    """Find hidden words in a token, whole or else between the signs that part it."""
    whole = _hidden_between_edges(reading, words)
    text, starts, ends = reading
    if whole is not None or not _BREAK.search(text):
        return whole
    bounds = [0, *(bound for gap in _BREAK.finditer(text) for bound in gap.span()), len(text)]
    parts: list[_Reading] = []
    changed = False
    for place, (start, end) in enumerate(pairwise(bounds)):
        part: _Reading = (text[start:end], starts[start:end], ends[start:end])
        found = _hidden_between_edges(part, words) if place % 2 == 0 and end - start > 2 else None
        changed = changed or found is not None
        parts.append(found or part)
    if not changed:
        return None
    return "".join(p[0] for p in parts), [o for p in parts for o in p[1]], [o for p in parts for o in p[2]]


def _hidden_between_edges(reading: _Reading, words: Words) -> _Reading | None:
    text, starts, ends = reading
    head = len(text) - len(text.lstrip(_EDGES_LEFT))
    tail = max(head, len(text.rstrip(_EDGES_RIGHT)))
    if text[head:tail] in words and words.misspelt(text[head:tail]) is None:
        return reading
    # A mask or a leet letter may also stand at the edge: look with and without it.
    for first, last in dict.fromkeys(((head, tail), (head, len(text)), (0, tail))):
        found = _hidden_word((text[first:last], starts[first:last], ends[first:last]), words)
        if found is not None:
            return (
                text[:first] + found[0] + text[last:],
                starts[:first] + found[1] + starts[last:],
                ends[:first] + found[2] + ends[last:],
            )
    return None


def _hidden_word(core: _Reading, words: Words) -> _Reading | None:
    text = core[0]
    if len(text) < 3 or not any(map(str.isalpha, text)) or _CONTRACTION.fullmatch(text):
        return None
    drawn = _drawn(core)
    shown = sum(c.isalpha() or c in _SIGNED_LETTERS for c in drawn[0])
    numbered = any(map(str.isdigit, drawn[0]))
    masked = _behind_mask(drawn, words)
    if masked is not None and masked[0] in COMMON:
        return masked
    for letters, starts, ends in _letter_readings(drawn):
        if numbered and (shown < 2 or len(letters) < 4):
            continue
        word = words.misspelt(letters) if letters == text else None
        if word is not None:
            return word, *_respelt(word, (letters, starts, ends))
        word = words.stretched(letters)
        if word is not None:
            return _restretched(word, (letters, starts, ends))
        word = words.spelling(letters)
        if word is not None:
            return word, *_respelt(word, (letters, starts, ends))
        if spans := words.glued(letters):
            return _apart((letters, starts, ends), spans)
    return masked


def _behind_mask(drawn: _Reading, words: Words) -> _Reading | None:
    if drawn[0][0].isalpha() and not _MASKS.union(_VOWEL_MASKS).isdisjoint(drawn[0]):
        numbers_read = "".join(_LEET[c] if c.isdigit() and c in _LEET else c for c in drawn[0])
        for masked in (drawn[0], numbers_read) if sum(map(str.isalpha, drawn[0])) > 2 else (drawn[0],):
            word = words.behind_mask(masked)
            if word is not None:
                return word, *_respelt(word, drawn)
    return None


def _letter_readings(core: _Reading) -> Iterable[_Reading]:
    """Read the signs of a token as letters, then leave out what is none."""
    text, starts, ends = core
    for reading in dict.fromkeys(_leet_readings(text)):
        if reading.isalpha():
            yield reading, starts, ends
            continue
        kept = [place for place, character in enumerate(reading) if character.isalpha()]
        digits = any(map(str.isdigit, reading))
        if len(kept) > 3 and not digits:
            yield "".join(reading[i] for i in kept), [starts[i] for i in kept], [ends[i] for i in kept]
    if not text.isalpha() and not any(map(str.isdigit, text)):
        kept = [place for place, character in enumerate(text) if character.isalpha()]
        if len(kept) > 3:
            yield "".join(text[i] for i in kept), [starts[i] for i in kept], [ends[i] for i in kept]


def _drawn(core: _Reading) -> _Reading:
    text, starts, ends = core
    if _DRAWING.search(text) is None:
        return core
    read: list[str] = []
    read_starts: list[int] = []
    read_ends: list[int] = []
    taken = 0
    for drawing in _DRAWING.finditer(text):
        first, last = drawing.span()
        read.append(text[taken:first] + _DRAWN[drawing[0]])
        read_starts += [*starts[taken:first], starts[first]]
        read_ends += [*ends[taken:first], ends[last - 1]]
        taken = last
    return "".join([*read, text[taken:]]), read_starts + starts[taken:], read_ends + ends[taken:]


def _respelt(word: str, reading: _Reading) -> tuple[list[int], list[int]]:
    """Give offsets to a word longer or shorter than what it was read from: its last letter stands for the rest."""
    _, starts, ends = reading
    places = [min(place, len(starts) - 1) for place in range(len(word))]
    return [starts[place] for place in places], [*(ends[place] for place in places[:-1]), ends[-1]]


def _restretched(word: str, reading: _Reading) -> _Reading:
    """Give offsets to a word that was stretched; the last letter of a run stands for all the rest of it."""
    letters, starts, ends = reading
    if word == letters:
        return reading
    word_starts: list[int] = []
    word_ends: list[int] = []
    place = 0
    for wanted, run in zip(_run_lengths(word), _run_lengths(letters), strict=True):
        word_starts += starts[place : place + wanted]
        word_ends += [*ends[place : place + wanted - 1], ends[place + run - 1]]
        place += run
    return word, word_starts, word_ends


def _shortened(text: str, starts: list[int], ends: list[int]) -> _Reading:
    """Shorten each run of three or more equal letters to two; the second stands for all the rest."""
    if _STRETCH.search(text) is None:
        return text, starts, ends
    characters: list[str] = []
    new_starts: list[int] = []
    new_ends: list[int] = []
    place = 0
    for run in _run_lengths(text):
        kept = 2 if run > 2 and text[place].isalpha() else run
        characters.append(text[place] * kept)
        new_starts += starts[place : place + kept]
        new_ends += [*ends[place : place + kept - 1], ends[place + run - 1]]
        place += run
    return "".join(characters), new_starts, new_ends
