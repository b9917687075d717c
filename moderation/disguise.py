"""Disguises of one word undone: look-alike letters, leetspeak, masks, stretched, misspelt and glued words.

Source: Unicode Technical Standard #39 (look-alikes, through ``confusable_homoglyphs``).
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache
from itertools import pairwise, product

from moderation import english
from moderation.vocabulary import COMPOUNDING, COMPOUNDS, FOREIGN, GENUINE
from moderation.words import MASKS, REMEMBERED, REMEMBERED_LENGTH, VOWEL_MASKS, Reading, Words, run_lengths

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
_SIGNED_LETTERS = frozenset("@$!|€£¢+")
_LINK = re.compile(r"://|^www\.|^[^@\s]+@[^@\s]+\.[a-z]{2,}|^[\w.-]+\.[a-z]{2,}/")
_LETTER = re.compile(r"[^\W\d_]")
_RUNS = re.compile(r"[a-z0-9@$!|]+")
_CONTRACTION = re.compile(r"[a-z]+(?:'(?:s|t|re|ve|ll|d|m|em|all))+")
_BETWEEN_LETTERS = re.compile(r"(?<=[^\W\d_])[013457@$](?=[^\W\d_])")
_NUMBER = re.compile(r"[$]?\d+[a-z]{0,3}|[a-z]{1,2}\d+|@\w+")
_STRETCH = re.compile(r"([^\W\d_])\1\1")
_BESIDE, _BESIDE_MORE_OFTEN = 4000, 120
"""How frequent, by rank, words must be that are written together with a hidden one; with one that compounds hold."""
_MORE_USUAL = 3
"""How many times nearer to the top of the list a word must be to be meant rather than a hidden word."""
EDGES_LEFT = "\"'([{<.,;:-_~=/\\*#"
EDGES_RIGHT = "\"')]}>.,;:?!-_~=/\\*"
_HYPHEN = re.compile(r"[-,;:/?\".]+")
_BREAK = re.compile(r"[,;:/?\"]+|\.{2,}|-{2,}|!+(?=[^\W\d_]{3,})")


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
def is_latin(character: str) -> bool:
    """Whether a letter belongs to the Latin script."""
    return character.isascii() or unicodedata.name(character, "").startswith("LATIN")


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


def leet_readings(raw: str) -> Iterable[str]:
    """Yield the letters that signs and digits may stand for, the text itself first."""
    yield raw
    if _LEET.keys().isdisjoint(raw):
        return
    ambiguous = [character for character in dict.fromkeys(raw) if character in _SECOND_LEET][:3]
    for choice in product((_LEET, _SECOND_LEET), repeat=len(ambiguous)):
        table = dict(zip(ambiguous, choice, strict=True))
        yield "".join(table.get(c, _LEET)[c] if c in _LEET else c for c in raw)


def core_of(token: str) -> str:
    """Give a token without the marks around it."""
    return token.lstrip(EDGES_LEFT).rstrip(EDGES_RIGHT)


def is_odd(token: str, words: Words) -> bool:
    """Whether a token is more than a word with marks around it, or is none that is known."""
    core = core_of(token)
    if core.isalpha():
        return words.misspelt(core) is not None or core in FOREIGN or (len(core) > 2 and not english.is_word(core))
    return not (core.isdigit() or not core or _CONTRACTION.fullmatch(core)) and core.isascii()


def reading(token: str, words: Words, mostly_latin: bool, in_english: bool) -> Reading | None:
    """Read one token as what it hides; None where nothing is to be changed. Short ones are remembered."""
    key = (token, mostly_latin, in_english)
    try:
        return words.readings[key]
    except KeyError:
        found = _undisguise(token, words, mostly_latin, in_english)
        if len(token) <= REMEMBERED_LENGTH:
            if len(words.readings) >= REMEMBERED:
                words.readings.clear()
            words.readings[key] = found
        return found


def _undisguise(token: str, words: Words, mostly_latin: bool, in_english: bool) -> Reading | None:
    """Read one token as the word that it hides, in an English text else as the words that it stands for.

    Returns
    -------
    tuple or None
        The reading and, for each of its characters, the half-open offsets in the token; None where
        nothing is to be changed.
    """
    if _LINK.search(token):
        return None
    own: Reading = (token, list(range(len(token))), list(range(1, len(token) + 1)))
    alike = own
    if not token.isascii():
        latin = any(map(is_latin, filter(str.isalpha, token)))
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
        if found is None and in_english and alike is not own:
            found = _usual_alike(token, alike, words)
        if found is not None:
            return found
        # A word wholly of another script is one of another language; letters of several scripts make none.
        if not latin and len({unicodedata.name(c, "").split(" ")[0] for c in token if c.isalpha()}) < 2:
            alike = own
    else:
        found = _hidden(own, words) if _may_hide_another(token, words) else None
        if found is None and in_english:
            found = _usual_words(own, words)
        if found is not None:
            return None if found[0] == token else found
    text, starts, ends = alike
    if not _LETTER.search(text):
        return None
    guess = _BETWEEN_LETTERS.sub(lambda sign: _LEET[sign[0]], text)
    shortened = _shortened(guess, starts, ends)
    return None if shortened[0] == token else shortened


def _may_hide_another(token: str, words: Words) -> bool:
    """Whether a token of ASCII may hide one of the words."""
    core = core_of(token)
    return (
        not core.isalpha()
        or core in words
        or words.misspelt(core) is not None
        or words.signed(token)
        or bool(words.suspects({token}))
    )


def _hidden(reading: Reading, words: Words) -> Reading | None:
    """Find hidden words in a token, whole or else between the signs that part it."""
    whole = _hidden_between_edges(reading, words)
    return whole or _in_parts(reading, _BREAK, lambda part: _hidden_between_edges(part, words))


def _in_parts(reading: Reading, marks: re.Pattern[str], look: Callable[[Reading], Reading | None]) -> Reading | None:
    """Look at each part of a token between marks; None where none is changed."""
    text, starts, ends = reading
    if not marks.search(text):
        return None
    bounds = [0, *(bound for gap in marks.finditer(text) for bound in gap.span()), len(text)]
    parts: list[Reading] = []
    changed = False
    for place, (start, end) in enumerate(pairwise(bounds)):
        part: Reading = (text[start:end], starts[start:end], ends[start:end])
        found = look(part) if place % 2 == 0 and end - start > 2 else None
        changed = changed or found is not None
        parts.append(found or part)
    if not changed:
        return None
    return "".join(p[0] for p in parts), [o for p in parts for o in p[1]], [o for p in parts for o in p[2]]


def _hidden_between_edges(reading: Reading, words: Words) -> Reading | None:
    text, starts, ends = reading
    head = len(text) - len(text.lstrip(EDGES_LEFT))
    tail = max(head, len(text.rstrip(EDGES_RIGHT)))
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


def _hidden_word(core: Reading, words: Words) -> Reading | None:
    text = core[0]
    if len(text) < 3 or not any(map(str.isalpha, text)) or _CONTRACTION.fullmatch(text):
        return None
    drawn = _drawn(core)
    numbered = any(map(str.isdigit, drawn[0]))
    shown = sum(c.isalpha() or c in _SIGNED_LETTERS for c in drawn[0]) if numbered else 0
    masked = _behind_mask(drawn, words)
    if masked is not None and masked[0] not in words:
        return masked
    for letters, starts, ends in _letter_readings(drawn):
        if numbered and (shown < 2 or len(letters) < 4):
            continue
        word = words.misspelt(letters) if letters == text else None
        if word is not None:
            return word, *_respelt(word, (letters, starts, ends))
        word = words.stretched(letters)
        if word is not None:
            return restretched(word, (letters, starts, ends))
        word = words.spelling(letters)
        if word is not None:
            return word, *_respelt(word, (letters, starts, ends))
        if spans := words.glued(letters):
            return apart((letters, starts, ends), _set_apart(letters, words) or spans)
    return masked


def _usual_words(reading: Reading, words: Words) -> Reading | None:
    """Read a token that is no word as those of English that it likeliest stands for, whole or between its marks."""
    return _usual_between_edges(reading, words) or _in_parts(
        reading, _HYPHEN, lambda part: _usual_between_edges(part, words)
    )


def _usual_between_edges(reading: Reading, words: Words) -> Reading | None:
    text, starts, ends = reading
    head = len(text) - len(text.lstrip(EDGES_LEFT))
    tail = max(head, len(text.rstrip(EDGES_RIGHT)))
    found = _usual_word((text[head:tail], starts[head:tail], ends[head:tail]), words)
    if found is None:
        return None
    return (
        text[:head] + found[0] + text[tail:],
        starts[:head] + found[1] + starts[tail:],
        ends[:head] + found[2] + ends[tail:],
    )


def _usual_alike(token: str, alike: Reading, words: Words) -> Reading | None:
    """Read a token of look-alike letters as the English words that it stands for."""
    text, starts, ends = alike
    if english.is_word(core_of(text)):
        return alike
    # A capital i is drawn as a small l; the sign stands for either.
    either = "".join("|" if letter == "i" != drawn else letter for drawn, letter in zip(token, text, strict=True))
    return _usual_words((either, starts, ends), words)


def _usual_word(core: Reading, words: Words) -> Reading | None:
    text = core[0]
    if text in FOREIGN and (word := words.misspelt(text, in_english=True)):
        word = _likelier(word, english.misspelt(text))
        return word, *_respelt(word, core)
    if not stands_for_others(text) or text in GENUINE or text in COMPOUNDS:
        return None
    drawn = _drawn(core)
    masked = not MASKS.isdisjoint(text) or "-" in text
    if masked and (word := english.behind_mask(drawn[0])):
        return word, *_respelt(word, drawn)
    numbered = any(map(str.isdigit, drawn[0]))
    if numbered and sum(c.isalpha() or c in _SIGNED_LETTERS for c in drawn[0]) < 2:
        return None
    if not _LEET.keys().isdisjoint(drawn[0]) and (len(drawn[0]) > 3 or not _SIGNED_LETTERS.isdisjoint(drawn[0][1:])):
        if word := english.fitting([_LEET.get(c, c) + _SECOND_LEET.get(c, "") for c in drawn[0]]):
            return word, *drawn[1:]
    if "@" in text and (word := english.behind_mask(drawn[0])):
        return word, *_respelt(word, drawn)
    for letters, starts, ends in _letter_readings(drawn):
        if len(letters) < 3 + numbered or english.is_derived(letters):
            continue
        if english.is_word(letters):
            return letters, starts, ends
        if word := english.unstretched(letters):
            return restretched(word, (letters, starts, ends))
        if numbered or ("'" in text and not text.endswith("n't")):
            continue
        if word := english.misspelt(letters):
            return word, *_respelt(word, (letters, starts, ends))
        if spans := _set_apart(letters, words):
            return apart((letters, starts, ends), spans)
    return None


def _set_apart(letters: str, words: Words) -> list[tuple[int, int]]:
    """Set apart English words that are written together; hidden ones only beside frequent ones."""
    spans = english.parts(letters) if len(letters) > 4 else []
    pieces = [letters[start:end] for start, end in spans]
    hidden = [piece for piece in pieces if piece in words]
    if hidden:
        telling = all(len(piece) > 3 and piece not in COMPOUNDING for piece in hidden)
        beside = _BESIDE if telling else _BESIDE_MORE_OFTEN
        if any(english.rank(piece) > beside for piece in pieces if piece not in words):
            return []
    return spans


def stands_for_others(core: str) -> bool:
    """Whether a text without white space and edges is not simply words, numbers or a contraction."""
    if len(core) < 3 or not core.isascii() or _CONTRACTION.fullmatch(core) or not any(map(str.isalpha, core)):
        return False
    runs = _RUNS.findall(core)
    unknown = [run for run in runs if not english.is_word(run) and not _NUMBER.fullmatch(run)]
    # One letter may be left over, as the plural in brackets.
    left_over = len(runs) > 1 and len(unknown) == 1 and len(unknown[0]) == 1 and MASKS.isdisjoint(core)
    return bool(unknown) and not left_over


def _likelier(hidden: str, usual: str | None) -> str:
    """Give the hidden word, or the usual one where that is far more frequent."""
    return usual if usual is not None and _MORE_USUAL * english.rank(usual) < english.rank(hidden) else hidden


def _by_chance(masked: str, word: str) -> bool:
    """Whether a masked word may be another than the hidden one that fits."""
    signs = [sign for sign in masked if not sign.isalpha()]
    # Nobody masks one vowel of a harmless word, nor writes asterisks for two of its letters.
    few = len(signs) < 2 or (len(signs) == 2 and MASKS.issuperset(signs) and english.rank(word) <= _BESIDE)
    return not few or len(masked) < 4


def _behind_mask(drawn: Reading, words: Words) -> Reading | None:
    """Read a masked word as the hidden one that fits, or as one that readers write far more often."""
    if drawn[0][0].isalpha() and not VOWEL_MASKS.isdisjoint(drawn[0]):
        numbers_read = "".join(_LEET[c] if c.isdigit() and c in _LEET else c for c in drawn[0])
        for masked in dict.fromkeys((drawn[0], numbers_read)) if sum(map(str.isalpha, drawn[0])) > 2 else (drawn[0],):
            word = words.behind_mask(masked)
            if word is not None:
                usual = english.behind_mask(masked)
                if _by_chance(masked, word):
                    word = _likelier(word, usual)
                return word, *_respelt(word, drawn)
    return None


def _letter_readings(core: Reading) -> Iterable[Reading]:
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


def _drawn(core: Reading) -> Reading:
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


def _respelt(word: str, reading: Reading) -> tuple[list[int], list[int]]:
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


def _shortened(text: str, starts: list[int], ends: list[int]) -> Reading:
    """Shorten each run of three or more equal letters to two; the second stands for all the rest."""
    if _STRETCH.search(text) is None:
        return text, starts, ends
    characters: list[str] = []
    new_starts: list[int] = []
    new_ends: list[int] = []
    place = 0
    for run in run_lengths(text):
        kept = 2 if run > 2 and text[place].isalpha() else run
        characters.append(text[place] * kept)
        new_starts += starts[place : place + kept]
        new_ends += [*ends[place : place + kept - 1], ends[place + run - 1]]
        place += run
    return "".join(characters), new_starts, new_ends
