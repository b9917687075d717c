"""Disguises of one word undone: look-alike letters, leetspeak, masks, stretched, misspelt and glued words."""

import re

from moderation import english
from moderation.signs import (
    CONTRACTION,
    LEET,
    SECOND_LOOK_ALIKES,
    apart,
    core_of,
    core_span,
    drawn_letters,
    in_parts,
    is_latin,
    letter_readings,
    look_alikes,
    mixes_scripts,
    read_within,
    respelt,
    restretched,
    shown,
)
from moderation.usual import BESIDE, likelier, set_apart, usual_alike, usual_words
from moderation.vocabulary import FOREIGN
from moderation.words import MASKS, REMEMBERED, REMEMBERED_LENGTH, VOWEL_MASKS, Reading, Words, run_lengths

_LINK = re.compile(r"://|^www\.|^[^@\s]+@[^@\s]+\.[a-z]{2,}|^[\w.-]+\.[a-z]{2,}/")
_LETTER = re.compile(r"[^\W\d_]")
_BETWEEN_LETTERS = re.compile(r"(?<=[^\W\d_])[013457@$](?=[^\W\d_])")
_STRETCH = re.compile(r"([^\W\d_])\1\1")
_BREAK = re.compile(r"[,;:/?\"]+|\.{2,}|-{2,}|!+(?=[^\W\d_]{3,})")


def is_odd(token: str, words: Words) -> bool:
    """Whether a token is more than a word with marks around it, or is none that is known."""
    core = core_of(token)
    if core.isalpha():
        if words.misspelt(core) is not None or core in FOREIGN:
            return True
        return len(core) > 2 and not english.is_word(core) and not english.is_derived(core)
    return not (core.isdigit() or not core or CONTRACTION.fullmatch(core)) and core.isascii()


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
            table = look_alikes()
            alike = ("".join(table.get(c, c) for c in token), own[1], own[2])
        found = _hidden(alike, words)
        if found is None and alike is not own and not SECOND_LOOK_ALIKES.keys().isdisjoint(token):
            again = "".join(SECOND_LOOK_ALIKES.get(c, letter) for c, letter in zip(token, alike[0], strict=True))
            found = _hidden((again, own[1], own[2]), words)
        if found is None and "i" in alike[0]:
            # A capital i is drawn as a small l.
            found = _hidden((alike[0].replace("i", "l"), own[1], own[2]), words)
        if found is None and in_english and alike is not own:
            found = usual_alike(token, alike, words)
        if found is not None:
            return found
        # A word wholly of another script is one of another language; letters of several scripts make none.
        if not latin and not mixes_scripts(token):
            alike = own
    else:
        core = core_of(token)
        letters_only = core.isalpha() and core not in words and words.misspelt(core) is None
        found = None if letters_only and not words.hides(token) else _hidden(own, words)
        if found is None and in_english:
            found = usual_words(own, words)
        if found is not None:
            return None if found[0] == token else found
    text, starts, ends = alike
    if not _LETTER.search(text):
        return None
    guess = _BETWEEN_LETTERS.sub(lambda sign: LEET[sign[0]], text)
    shortened = _shortened(guess, starts, ends)
    return None if shortened[0] == token else shortened


def _hidden(reading: Reading, words: Words) -> Reading | None:
    """Find hidden words in a token, whole or else between the signs that part it."""
    whole = _hidden_between_edges(reading, words)
    return whole or in_parts(reading, _BREAK, lambda part: _hidden_between_edges(part, words))


def _hidden_between_edges(reading: Reading, words: Words) -> Reading | None:
    text = reading[0]
    head, tail = core_span(text)
    if text[head:tail] in words and words.misspelt(text[head:tail]) is None:
        return reading
    # A mask or a leet letter may also stand at the edge: look with and without it.
    for first, last in dict.fromkeys(((head, tail), (head, len(text)), (0, tail))):
        found = read_within(reading, first, last, lambda core: _hidden_word(core, words))
        if found is not None:
            return found
    return None


def _hidden_word(core: Reading, words: Words) -> Reading | None:
    text = core[0]
    if len(text) < 3 or not any(map(str.isalpha, text)) or CONTRACTION.fullmatch(text):
        return None
    drawn = drawn_letters(core)
    numbered = any(map(str.isdigit, drawn[0]))
    masked = _behind_mask(drawn, words)
    if masked is not None and masked[0] not in words:
        return masked
    for letters, starts, ends in letter_readings(drawn):
        if numbered and (shown(drawn[0]) < 2 or len(letters) < 4):
            continue
        word = words.misspelt(letters) if letters == text else None
        if word is not None:
            return word, *respelt(word, (letters, starts, ends))
        word = words.stretched(letters)
        if word is not None and (masked is None or (word in words and likelier(word, masked[0]) == word)):
            return restretched(word, (letters, starts, ends))
        word = words.spelling(letters) if MASKS.isdisjoint(text) else None
        if word is not None:
            return word, *respelt(word, (letters, starts, ends))
        if spans := words.glued(letters):
            return apart((letters, starts, ends), set_apart(letters, words) or spans)
    return masked


def _by_chance(masked: str, word: str) -> bool:
    """Whether a masked word may be another than the hidden one that fits."""
    signs = [sign for sign in masked if not sign.isalpha()]
    # Nobody masks one vowel of a harmless word, nor writes asterisks for two of its letters.
    few = len(signs) < 2 or (len(signs) == 2 and MASKS.issuperset(signs) and english.rank(word) <= BESIDE)
    return not few or len(masked) < 4


def _behind_mask(drawn: Reading, words: Words) -> Reading | None:
    """Read a masked word as the hidden one that fits, or as one that readers write far more often."""
    if drawn[0][0].isalpha() and not VOWEL_MASKS.isdisjoint(drawn[0]):
        numbers_read = "".join(LEET[c] if c.isdigit() and c in LEET else c for c in drawn[0])
        for masked in dict.fromkeys((drawn[0], numbers_read)) if sum(map(str.isalpha, drawn[0])) > 2 else (drawn[0],):
            word = words.behind_mask(masked)
            if word is not None:
                if _by_chance(masked, word):
                    word = likelier(word, english.behind_mask(masked))
                return word, *respelt(word, drawn)
    return None


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
