"""Words of plain English read behind what is none: misspelt, masked, stretched, written together."""

import re

from moderation import english
from moderation.signs import (
    CONTRACTION,
    LEET,
    SECOND_LEET,
    SIGNED_LETTERS,
    apart,
    core_of,
    core_span,
    drawn_letters,
    in_parts,
    letter_readings,
    read_within,
    respelt,
    restretched,
    shown,
)
from moderation.vocabulary import COMPOUNDING, COMPOUNDS, FOREIGN, GENUINE
from moderation.words import MASKS, Reading, Words

_RUNS = re.compile(r"[a-z0-9@$!|]+")
_NUMBER = re.compile(r"[$]?\d+[a-z]{0,3}|[a-z]{1,2}\d+|@\w+")
_DIGIT_WITHIN = re.compile(r"[a-z]\d[a-z]")
_HYPHEN = re.compile(r"[-,;:/?\".]+")
BESIDE, _BESIDE_MORE_OFTEN = 4000, 120
"""How frequent, by rank, words must be that are written together with a hidden one; with one that compounds hold."""
_MORE_USUAL = 3
"""How many times nearer to the top of the list a word must be to be meant rather than a hidden word."""


def usual_words(reading: Reading, words: Words) -> Reading | None:
    """Read a token that is no word as those of English that it likeliest stands for, whole or between its marks."""
    core = core_of(reading[0])
    if core not in FOREIGN and not _stands_for_others(core):
        return None
    return _usual_between_edges(reading, words) or in_parts(
        reading, _HYPHEN, lambda part: _usual_between_edges(part, words)
    )


def _usual_between_edges(reading: Reading, words: Words) -> Reading | None:
    return read_within(reading, *core_span(reading[0]), lambda core: _usual_word(core, words))


def usual_alike(token: str, alike: Reading, words: Words) -> Reading | None:
    """Read a token of look-alike letters as the English words that it stands for."""
    text, starts, ends = alike
    if english.is_word(core_of(text)):
        return alike
    # A capital i is drawn as a small l; the sign stands for either.
    either = "".join("|" if letter == "i" != drawn else letter for drawn, letter in zip(token, text, strict=True))
    return usual_words((either, starts, ends), words)


def _usual_word(core: Reading, words: Words) -> Reading | None:
    text = core[0]
    if text in FOREIGN and (word := words.misspelt(text, in_english=True)):
        word = likelier(word, english.misspelt(text))
        return word, *respelt(word, core)
    if not _stands_for_others(text) or text in GENUINE or text in COMPOUNDS:
        return None
    if text.isalpha():
        return None if english.is_derived(text) else _usual_letters(core, words)
    drawn = drawn_letters(core)
    masked = not MASKS.isdisjoint(text) or "-" in text
    if masked and (word := english.behind_mask(drawn[0])):
        return word, *respelt(word, drawn)
    numbered = any(map(str.isdigit, drawn[0]))
    signed = not LEET.keys().isdisjoint(drawn[0])
    if signed and (len(drawn[0]) > 3 or not SIGNED_LETTERS.isdisjoint(drawn[0][1:]) or _DIGIT_WITHIN.fullmatch(text)):
        word = english.fitting([LEET.get(c, c) + SECOND_LEET.get(c, "") for c in drawn[0]])
        # A code with one letter is no word, but for a hidden one.
        if word and (word in words or not numbered or shown(drawn[0]) > 1):
            return word, *drawn[1:]
    if numbered and shown(drawn[0]) < 2:
        return None
    if "@" in text and (word := english.behind_mask(drawn[0])):
        return word, *respelt(word, drawn)
    for found in letter_readings(drawn):
        derived = english.is_derived(found[0])
        if len(found[0]) < 3 + numbered or (derived and not signed):
            continue
        if derived or english.is_word(found[0]):
            return found
        if numbered or ("'" in text and not text.endswith("n't")):
            if word := english.unstretched(found[0]):
                return restretched(word, found)
        elif letters := _usual_letters(found, words):
            return letters
    return None


def _usual_letters(reading: Reading, words: Words) -> Reading | None:
    """Read letters that are no word: stretched, misspelt or written together."""
    if word := english.unstretched(reading[0]):
        return restretched(word, reading)
    if word := english.misspelt(reading[0]):
        return word, *respelt(word, reading)
    spans = set_apart(reading[0], words)
    return apart(reading, spans) if spans else None


def set_apart(letters: str, words: Words) -> list[tuple[int, int]]:
    """Set apart English words that are written together; hidden ones only beside frequent ones."""
    spans = english.parts(letters) if len(letters) > 4 else []
    pieces = [letters[start:end] for start, end in spans]
    hidden = [piece for piece in pieces if piece in words]
    if hidden:
        others = [piece for piece in pieces if piece not in words]
        telling = all(len(piece) > 3 and piece not in COMPOUNDING for piece in hidden)
        # Compounds are of two words.
        sentence = len(pieces) > 2 and max(map(len, others), default=0) > 4
        beside = BESIDE if telling or sentence else _BESIDE_MORE_OFTEN
        if any(english.rank(piece) > beside for piece in others):
            return []
    return spans


@english.remembered(1024)  # A token's core is asked about once more as a word.
def _stands_for_others(core: str) -> bool:
    """Whether a text without white space and edges is not simply words, numbers or a contraction."""
    if len(core) < 3 or not core.isascii() or CONTRACTION.fullmatch(core) or not any(map(str.isalpha, core)):
        return False
    runs = _RUNS.findall(core)
    unknown = [run for run in runs if not english.is_word(run) and not _NUMBER.fullmatch(run)]
    # One letter may be left over, as the plural in brackets.
    left_over = len(runs) > 1 and len(unknown) == 1 and len(unknown[0]) == 1 and MASKS.isdisjoint(core)
    return bool(unknown) and not left_over


def likelier(hidden: str, usual: str | None) -> str:
    """Give the hidden word, or the usual one where that is far more frequent."""
    return usual if usual is not None and _MORE_USUAL * english.rank(usual) < english.rank(hidden) else hidden
