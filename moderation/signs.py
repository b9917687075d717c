"""What signs, digits and letters of other scripts stand for in a word, and readings of it with the way back.

Source: Unicode Technical Standard #39 (look-alikes, through ``confusable_homoglyphs``).
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache
from itertools import pairwise, product

from moderation.english import remembered
from moderation.words import Reading, run_lengths

LEET = {
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
SECOND_LEET = {"1": "l", "|": "l", "!": "l", "9": "q", "6": "b", "7": "l", "+": "t", "2": "s", "0": "u", "@": "o"}
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
SIGNED_LETTERS = frozenset("@$!|€£¢+")
CONTRACTION = re.compile(r"[a-z]+(?:'(?:s|t|re|ve|ll|d|m|em|all))+")
EDGES_LEFT = "\"'([{<.,;:-_~=/\\*#"
EDGES_RIGHT = "\"')]}>.,;:?!-_~=/\\*"


@cache
def look_alikes() -> dict[str, str]:
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


SECOND_LOOK_ALIKES = {"у": "u", "и": "u", "ч": "y", "я": "a", "в": "v", "υ": "y", "ν": "u"}


@lru_cache(maxsize=65536)
def is_latin(character: str) -> bool:
    """Whether a letter belongs to the Latin script."""
    return character.isascii() or unicodedata.name(character, "").startswith("LATIN")


@remembered(4096)
def mixes_scripts(token: str) -> bool:
    """Whether a text has letters of several scripts, as no word of another alphabet has that hides nothing."""
    return len({unicodedata.name(letter, "").split(" ")[0] for letter in token if letter.isalpha()}) > 1


def leet_readings(raw: str) -> Iterable[str]:
    """Yield the letters that signs and digits may stand for, the text itself first."""
    yield raw
    if LEET.keys().isdisjoint(raw):
        return
    ambiguous = [character for character in dict.fromkeys(raw) if character in SECOND_LEET][:3]
    for choice in product((LEET, SECOND_LEET), repeat=len(ambiguous)):
        table = dict(zip(ambiguous, choice, strict=True))
        yield "".join(table.get(c, LEET)[c] if c in LEET else c for c in raw)


def letter_readings(core: Reading) -> Iterable[Reading]:
    """Read the signs of a token as letters, then leave out what is none."""
    text, starts, ends = core
    for reading in dict.fromkeys(leet_readings(text)):
        if reading.isalpha():
            yield reading, starts, ends
            continue
        kept = [place for place, character in enumerate(reading) if character.isalpha()]
        digits = any(map(str.isdigit, reading))
        if len(kept) > 3 and not digits:
            yield "".join(reading[i] for i in kept), [starts[i] for i in kept], [ends[i] for i in kept]


def drawn_letters(core: Reading) -> Reading:
    """Read letters drawn with several signs; an asterisk stands for what may be more than one."""
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


def respelt(word: str, reading: Reading) -> tuple[list[int], list[int]]:
    """Give offsets to a word longer or shorter than what it was read from: its last letter stands for the rest."""
    _, starts, ends = reading
    places = [min(place, len(starts) - 1) for place in range(len(word))]
    return [starts[place] for place in places], [*(ends[place] for place in places[:-1]), ends[-1]]


def restretched(word: str, reading: Reading) -> Reading:
    """Give offsets to a word that was stretched; the last letter of a run stands for all the rest of it."""
    letters, starts, ends = reading
    if word == letters:
        return reading
    word_starts: list[int] = []
    word_ends: list[int] = []
    place = 0
    for wanted, run in zip(run_lengths(word), run_lengths(letters), strict=True):
        word_starts += starts[place : place + wanted]
        word_ends += [*ends[place : place + wanted - 1], ends[place + run - 1]]
        place += run
    return word, word_starts, word_ends


def shown(letters: str) -> int:
    """Give how many letters, or signs for such, a text has."""
    return sum(letter.isalpha() or letter in SIGNED_LETTERS for letter in letters)


def core_of(token: str) -> str:
    """Give a token without the marks around it."""
    return token.lstrip(EDGES_LEFT).rstrip(EDGES_RIGHT)


def core_span(token: str) -> tuple[int, int]:
    """Give where in a token its core stands, half-open; empty where it is marks only."""
    head = len(token) - len(token.lstrip(EDGES_LEFT))
    return head, max(head, len(token.rstrip(EDGES_RIGHT)))


def read_within(reading: Reading, first: int, last: int, look: Callable[[Reading], Reading | None]) -> Reading | None:
    """Look at ``[first, last)`` of a reading; give the whole with what was found there, None where nothing was."""
    text, starts, ends = reading
    found = look((text[first:last], starts[first:last], ends[first:last]))
    if found is None:
        return None
    return (
        text[:first] + found[0] + text[last:],
        starts[:first] + found[1] + starts[last:],
        ends[:first] + found[2] + ends[last:],
    )


def in_parts(reading: Reading, marks: re.Pattern[str], look: Callable[[Reading], Reading | None]) -> Reading | None:
    """Look at each part of a token between marks; None where none is changed, or the core is the only one."""
    text, starts, ends = reading
    if not marks.search(text):
        return None
    bounds = [0, *(bound for gap in marks.finditer(text) for bound in gap.span()), len(text)]
    spans = list(pairwise(bounds))
    if [(start, end) for start, end in spans[::2] if end - start > 2] == [core_span(text)]:
        return None
    parts: list[Reading] = []
    changed = False
    for place, (start, end) in enumerate(spans):
        part: Reading = (text[start:end], starts[start:end], ends[start:end])
        found = look(part) if place % 2 == 0 and end - start > 2 else None
        changed = changed or found is not None
        parts.append(found or part)
    if not changed:
        return None
    return "".join(p[0] for p in parts), [o for p in parts for o in p[1]], [o for p in parts for o in p[2]]


def apart(reading: Reading, spans: Sequence[tuple[int, int]]) -> Reading:
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
