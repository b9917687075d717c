"""Disguises of a comment: what people do to a text so that it appears and is still understood.

An attack changes the words that carry a rejection; a pad leaves the comment and writes harmless text around it.

Source: Gröndahl et al., "All You Need is 'Love': Evading Hate Speech Detection", 2018 (joining, padding,
misspelling); Le et al., "Perturbations in the Wild", ACL Findings 2022 (what people do).
"""

import random
import re
from collections.abc import Callable, Mapping, Sequence

Span = tuple[int, int]
Attack = Callable[[str, random.Random, Sequence[Span] | None], str]
"""Takes a text, chance and half-open spans of the text to attack, or None for every word; gives the new text."""

_WORD = re.compile(r"[^\W\d_]+")
_LINK = re.compile(r"\S*(?:://|www\.|@\w|\w\.(?:com|org|net|co|io|info|biz|uk|me|tv|ly)\b)\S*", re.I)
_FUNCTION_WORDS = frozenset(
    "the and for are was were but not you your his her him she its our they them their this that these those with "
    "from have has had will would can could should may might who what when where why how all any some there here "
    "than then too very just into about been being did does don isn".split()
)


# --------------------------------------------------------------------------- words to attack


def content_words(text: str, spans: Sequence[Span] | None = None) -> list[Span]:
    """Give the words that an attacker would change, as half-open spans in the order of the text.

    Parameters
    ----------
    spans
        Where to look; None for everywhere. A word partly inside counts whole.

    Returns
    -------
    list
        Words of three letters or more that are no function words; all words where there is none such.
        Words of links are left out: a disguised link leads nowhere.
    """
    links = [link.span() for link in _LINK.finditer(text)]
    words = [
        word.span()
        for word in _WORD.finditer(text)
        if (spans is None or any(start < word.end() and word.start() < end for start, end in spans))
        and not any(start <= word.start() < end for start, end in links)
    ]
    content = [
        (start, end) for start, end in words if end - start > 2 and text[start:end].lower() not in _FUNCTION_WORDS
    ]
    return content or words


def _each_word(change: Callable[[str, random.Random], str]) -> Attack:
    """Make an attack of what is done to one word."""

    def attack(text: str, chance: random.Random, spans: Sequence[Span] | None = None) -> str:
        pieces, taken = [], 0
        for start, end in content_words(text, spans):
            pieces += [text[taken:start], change(text[start:end], chance)]
            taken = end
        return "".join([*pieces, text[taken:]])

    return attack


# --------------------------------------------------------------------------- letters

_LOOK_ALIKES = {
    **{"a": "аɑα", "b": "Ьв", "c": "сϲⅽ", "d": "ԁⅾ", "e": "еҽє", "f": "ƒք", "g": "ɡց", "h": "һհ", "i": "іⅰı"},
    **{"j": "јϳ", "k": "кκ", "l": "ӏⅼI|", "m": "мⅿ", "n": "ոп", "o": "оοօ", "p": "рρ", "q": "ԛ", "r": "гᴦ"},
    **{"s": "ѕꜱ", "t": "тτ", "u": "υս", "v": "νѵⅴ", "w": "ԝѡ", "x": "хⅹ", "y": "уүγ", "z": "ᴢ"},
}
_OTHER_SCRIPTS = {
    **{"a": "аα", "b": "вβ", "c": "с", "e": "еε", "h": "һн", "i": "іι", "k": "кκ", "m": "м", "n": "η", "o": "оο"},
    **{"p": "рρ", "r": "я", "s": "ѕ", "t": "тτ", "u": "υц", "v": "ν", "w": "шω", "x": "хχ", "y": "уγ"},
}
_LEET = {"a": "4@", "b": "8", "e": "3", "g": "9", "i": "1!", "l": "1", "o": "0", "s": "5$", "t": "7"}
_STYLES = {  # The small and the capital a of each run of 26 letters.
    **{"full-width": (0xFF41, 0xFF21), "bold": (0x1D41A, 0x1D400), "fraktur": (0x1D586, 0x1D56C)},
    **{"double-struck": (0x1D552, None), "circled": (0x24D0, 0x24B6), "sans": (0x1D5BA, 0x1D5A0)},
}
_ACCENTS = "\u0300\u0301\u0302\u0303\u0308\u030a\u030c\u0323\u0327\u0336"
INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u180e"
"""Characters that show as nothing."""
_KEPT_MASK = 3


def _substituted(word: str, chance: random.Random, table: Mapping[str, str], share: float) -> str:
    """Replace about this share, and at least one, of the letters that the table has others for."""
    places = [place for place, letter in enumerate(word) if letter.lower() in table]
    chosen = {place for place in places if chance.random() < share} or {*chance.sample(places, min(1, len(places)))}
    return "".join(
        chance.choice(table[letter.lower()]) if place in chosen else letter for place, letter in enumerate(word)
    )


def _look_alike(word: str, chance: random.Random) -> str:
    return _substituted(word, chance, _LOOK_ALIKES, 1.0)


def _mixed_scripts(word: str, chance: random.Random) -> str:
    return _substituted(word, chance, _OTHER_SCRIPTS, 0.35)


def _leet(word: str, chance: random.Random) -> str:
    return _substituted(word, chance, _LEET, 0.6)


def _styled(word: str, chance: random.Random) -> str:
    small, capital = _STYLES[chance.choice(list(_STYLES))]
    styled = []
    for letter in word:
        if "a" <= letter <= "z" or (capital is None and "A" <= letter <= "Z"):
            letter = chr(small + ord(letter.lower()) - ord("a"))
        elif capital is not None and "A" <= letter <= "Z":
            letter = chr(capital + ord(letter) - ord("A"))
        styled.append(letter)
    return "".join(styled)


def _accented(word: str, chance: random.Random) -> str:
    marked = {place for place in range(len(word)) if chance.random() < 0.5} or {chance.randrange(len(word))}
    return "".join(letter + chance.choice(_ACCENTS) * (place in marked) for place, letter in enumerate(word))


def _invisibly_parted(word: str, chance: random.Random) -> str:
    if len(word) < 2:
        return word + chance.choice(INVISIBLE)
    parted = {place for place in range(1, len(word)) if chance.random() < 0.5} or {chance.randrange(1, len(word))}
    return "".join(chance.choice(INVISIBLE) * (place in parted) + letter for place, letter in enumerate(word))


def _alternating(word: str, chance: random.Random) -> str:
    odd = chance.randrange(2)
    return "".join(letter.upper() if place % 2 == odd else letter.lower() for place, letter in enumerate(word))


# --------------------------------------------------------------------------- words


def _spaced(word: str, chance: random.Random) -> str:
    return " ".join(word)


def _punctuated(word: str, chance: random.Random) -> str:
    return chance.choice("..-_*/~").join(word)


def _stretched(word: str, chance: random.Random) -> str:
    places = [place for place, letter in enumerate(word) if letter.lower() in "aeiou"] or range(len(word))
    place = chance.choice([*places, len(word) - 1])
    return word[:place] + word[place] * chance.randint(3, 7) + word[place + 1 :]


def _masked(word: str, chance: random.Random) -> str:
    """Hide some letters between the first and the last, of a long word no more than three."""
    if len(word) < 3:
        return word
    size = chance.randint(1, min(_KEPT_MASK, len(word) - 2))
    vowels = [place for place in range(1, len(word) - size) if word[place].lower() in "aeiou"]
    start = chance.choice(vowels or range(1, len(word) - size))
    return word[:start] + chance.choice("****#-@") * size + word[start + size :]


def _misspelt(word: str, chance: random.Random) -> str:
    """Swap, drop or double one inner letter, as a hurried writer does."""
    if len(word) < 4:
        return word
    place = chance.randrange(1, len(word) - 1)
    way = chance.choice(("swap", "drop", "double"))
    swapped = [at for at in range(1, len(word) - 2) if word[at] != word[at + 1]]
    if way == "swap" and swapped:
        place = chance.choice(swapped)
        return word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    if way == "drop":
        return word[:place] + word[place + 1 :]
    return word[:place] + word[place] + word[place:]


def join(text: str, chance: random.Random, spans: Sequence[Span] | None = None) -> str:
    """Write each attacked word together with the word before or after it, or with both."""
    cut: set[int] = set()
    for start, end in content_words(text, spans):
        before = {start - 1} if start > 1 and text[start - 1] == " " and text[start - 2].isalpha() else set()
        after = {end} if text[end : end + 1] == " " and text[end + 1 : end + 2].isalpha() else set()
        sides = [side for side in (before, after) if side]
        if sides:
            cut |= chance.choice([*sides, before | after])
    return "".join(character for place, character in enumerate(text) if place not in cut)


def shout(text: str, chance: random.Random, spans: Sequence[Span] | None = None) -> str:
    """Write the whole text in capitals."""
    return text.upper()


# --------------------------------------------------------------------------- padding

PADS = (
    "The regional council met on Tuesday evening to discuss the plan for the new bridge. The engineer showed three "
    "drawings and explained how the traffic would run while the work lasts. Residents asked about noise in the "
    "early morning, about parking near the school, and about the trees along the river. The council will publish "
    "the answers on its site and vote next month. Work could begin in the spring of next year if the money is "
    "granted, and would last about eighteen months.",
    "Thank you for a careful article. I have followed the question of the school buses for several years, and the "
    "figures agree with what I have seen: the number of pupils has grown by a tenth while the timetable has stayed "
    "the same. An earlier bus on the northern line would help most families, and it would cost little, because the "
    "vehicle stands in the depot at that hour anyway. I hope that the next report also looks at the fares, which "
    "are hard to understand for people who travel with more than one company.",
    "According to the statistics office, prices rose by two per cent over the year, less than in the year before. "
    "Rents and electricity rose most, while bread, milk and clothes hardly changed. Economists expect the central "
    "bank to leave the interest rate where it is until the autumn. The minister of finance said that the budget "
    "would be presented in October and that the pension fund was in good order. Trade with the neighbouring "
    "countries grew, above all in machines, fruit and medicine.",
    "We visited the museum on the first weekend after it opened again. The rooms are brighter than before, the "
    "labels are written in three languages, and there is a quiet place to sit between the halls. The collection of "
    "old maps is worth the journey alone. The guide told us that the roof had been repaired with slate from the "
    "same quarry as a hundred and fifty years ago. On Sundays the entrance is free until noon, and the tram stops "
    "in front of the door.",
)
"""Neutral texts written for this project, such as stand under and in the news."""


def pad_before(text: str, chance: random.Random, spans: Sequence[Span] | None = None) -> str:
    """Write a neutral text before the comment."""
    return chance.choice(PADS) + chance.choice((" ", "\n\n")) + text


def pad_after(text: str, chance: random.Random, spans: Sequence[Span] | None = None) -> str:
    """Write a neutral text after the comment."""
    return text + chance.choice((" ", "\n\n")) + chance.choice(PADS)


def pad_around(text: str, chance: random.Random, spans: Sequence[Span] | None = None) -> str:
    """Write neutral texts before and after the comment."""
    return pad_after(pad_before(text, chance), chance)


ATTACKS: Mapping[str, Attack] = {
    "look-alikes": _each_word(_look_alike),
    "mixed scripts": _each_word(_mixed_scripts),
    "leetspeak": _each_word(_leet),
    "styled letters": _each_word(_styled),
    "accents": _each_word(_accented),
    "zero-width": _each_word(_invisibly_parted),
    "spacing": _each_word(_spaced),
    "punctuation inside": _each_word(_punctuated),
    "stretching": _each_word(_stretched),
    "masking": _each_word(_masked),
    "misspelling": _each_word(_misspelt),
    "joining": join,
    "alternating case": _each_word(_alternating),
    "upper case": shout,
    "padding before": pad_before,
    "padding after": pad_after,
    "padding around": pad_around,
}
"""Every attack by name; the same text, chance and spans give the same result."""
