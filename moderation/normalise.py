"""Views of a text that undo disguise, and the way back to the original offsets.

Three views are made of each comment, once:

- ``plain``: as written;
- ``folded``: lower case, compatibility forms and HTML entities resolved, without combining marks,
  invisible characters and tags;
- ``skeleton``: folded, and look-alike letters, leetspeak, masks, stretched, spaced, split and glued
  words undone (`moderation.skeleton`). Lossy; a rule opts in to it.

Source: Unicode Standard Annex #15 (compatibility forms).
"""

import html
import re
import unicodedata
from functools import lru_cache

from moderation.skeleton import skeleton
from moderation.view import Folded, View
from moderation.words import Words

__all__ = ["Folded", "View", "Words", "fold", "folded_view"]


def fold(text: str, words: Words) -> Folded:
    """Make the views of a text.

    Parameters
    ----------
    text
        Any text; never raises for its content.
    words
        The words that a disguise may hide, usually a policy's terms.
    """
    folded = folded_view(text)
    if not text.isascii():
        text = _SURROGATE.sub("\ufffd", text)
    return Folded(View(text), folded, skeleton(text, folded, words))


# --------------------------------------------------------------------------- folded

_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_MARKUP = re.compile(
    r"&(?:amp;){0,3}(?:#\d{1,7};?|#x[0-9a-f]{1,6};?|[a-z][a-z0-9]{1,31};)|<!--[^<>]{0,500}-->"
    r"|<(/?)([a-z][a-z0-9]*)\b[^<>]{0,500}>|\[/?(?:b|i|u|s|url|color|size|quote|spoiler)(?:=[^\[\]]{0,100})?\]",
    re.I,
)
_BREAKING_TAGS = frozenset("br p div li ul ol tr td th table h1 h2 h3 h4 h5 h6 hr blockquote pre section".split())
_STRAIGHT = {
    **dict.fromkeys("‘’‚‛′`´ʼʹ", "'"),
    **dict.fromkeys("“”„‟″«»", '"'),
    **dict.fromkeys("‐‒–—―−", "-"),
    "ϲ": "c",
    "Ϲ": "c",
    # Letters and signs by category, but drawn as nothing.
    **dict.fromkeys("\u115f\u1160\u2800", ""),
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


def folded_view(text: str) -> View:
    """Give the folded view of a text."""
    marked = "&" in text or "<" in text or "[" in text
    if not marked and text.isascii() and text.isprintable():
        return View(text.lower())
    if text.isascii() and "`" not in text and not _CONTROL.search(text) and not (marked and _MARKUP.search(text)):
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
