"""Views of a text that undo disguise, and the way back to the original offsets.

Three views are made of each comment, once:

- ``plain``: as written;
- ``folded``: lower case, compatibility forms and HTML entities resolved, without combining marks,
  invisible characters and tags;
- ``skeleton``: folded, and look-alike letters, leetspeak, masks, stretched, spaced and split words
  undone. Lossy; a rule opts in to it.

Source: Unicode Technical Standard #39 (look-alikes, through ``confusable_homoglyphs``), Unicode
Standard Annex #15 (compatibility forms).
"""

import html
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import product


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
        return self.starts[start], self.ends[end - 1]


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
    return Folded(View(text), folded, _skeleton(folded, words))


# --------------------------------------------------------------------------- folded

_MARKUP = re.compile(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,31});|<(/?)([a-z][a-z0-9]*)\b[^<>]{0,500}>", re.I)
_BREAKING_TAGS = frozenset("br p div li ul ol tr td th table h1 h2 h3 h4 h5 h6 hr blockquote pre section".split())
_STRAIGHT = {
    **dict.fromkeys("‘’‚‛′`´ʼʹ", "'"),
    **dict.fromkeys("“”„‟″«»", '"'),
    **dict.fromkeys("‐‑‒–—―−", "-"),
    "…": "...",
    "ı": "ı",
    "İ": "i",
}
# Letters drawn as emoji have no compatibility form in Unicode.
_EMOJI_LETTERS = {
    **{chr(0x1F150 + i): chr(ord("a") + i) for i in range(26)},
    **{chr(0x1F170 + i): chr(ord("a") + i) for i in range(26)},
    **{chr(0x1F1E6 + i): chr(ord("a") + i) for i in range(26)},
    "🆎": "ab",
    "🆑": "cl",
    "🆒": "cool",
    "🆓": "free",
    "🆖": "ng",
    "🆗": "ok",
    "🆘": "sos",
    "🆚": "vs",
}


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
    if text.isascii() and "&" not in text and "<" not in text:
        return View(text.lower())
    characters: list[str] = []
    starts: list[int] = []
    ends: list[int] = []

    def put(reading: str, start: int, end: int) -> None:
        for character in reading:
            characters.append(character)
            starts.append(start)
            ends.append(end)

    position = 0
    for mark in _MARKUP.finditer(text) if ("&" in text or "<" in text) else ():
        for offset in range(position, mark.start()):
            put(_fold_character(text[offset]), offset, offset + 1)
        position = mark.end()
        if mark[2] is None:
            decoded = html.unescape(mark[0])
            put("".join(map(_fold_character, decoded)), mark.start(), mark.end())
        elif mark[2].lower() in _BREAKING_TAGS:
            put(" ", mark.start(), mark.end())
    for offset in range(position, len(text)):
        put(_fold_character(text[offset]), offset, offset + 1)
    return View("".join(characters), tuple(starts), tuple(ends))


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
_SECOND_LEET = {"1": "l", "|": "l", "!": "l", "9": "q", "6": "b", "7": "l", "+": "t", "2": "s"}
# A mask hides any letter; a weak one only between letters, since it also ends sentences and joins words.
_MASKS = frozenset("*#•●■▪°\u2588\ufffd")
_WEAK_MASKS = frozenset("-_%^~@$")
# A token is looked at only if it holds a sign of disguise.
_SUSPECT = re.compile(
    r"""[^\x00-\x7f]|[a-z0-9][*#_%$@!|+.\-'/\\^~=()"?,:;&{}\[\]<>]+[a-z0-9]|[@$!|*(][a-z]|[a-z][@$!|*]"""
    r"""|[0-9][a-z]|[a-z][0-9]|([a-z])\1\1|\b[a-z][*#_-]{2,}|vv"""
    r"""|(?<![a-z0-9])[a-z0-9][ .\-_*/|,~]{1,3}[a-z0-9][ .\-_*/|,~]{1,3}[a-z0-9](?![a-z0-9])"""
)
_TOKEN = re.compile(r"\S+")
_SPACED = re.compile(r"(?<![a-z0-9])(?:[a-z0-9@$!*(|][ .\-_*/|,~]{1,3}){2,}[a-z0-9@$!*|](?![a-z0-9])")
_GAPS = " .-_/|,~"
_GROUP = re.compile(r"[^ ]+(?: [^ ]+)*")
_LINK = re.compile(r"://|^www\.|^[^@\s]+@[^@\s]+\.[a-z]{2,}|^[\w.-]+\.[a-z]{2,}/")
_LETTER = re.compile(r"[^\W\d_]")
_BETWEEN_LETTERS = re.compile(r"(?<=[^\W\d_])[013457@$!|]+(?=[^\W\d_])")


class Words:
    """The words that a disguise may hide.

    Parameters
    ----------
    words
        Folded words, each of letters only and three or longer to be found behind a disguise.
    """

    def __init__(self, words: Iterable[str]) -> None:
        words = tuple(words)
        self.all = frozenset(word for word in words if len(word) > 2 and word.isalpha())
        self._by_shape: dict[tuple[str, int], tuple[str, ...]] = {}
        for word in dict.fromkeys(word for word in words if word in self.all):
            key = (word[0], len(word))
            self._by_shape[key] = (*self._by_shape.get(key, ()), word)
        self._longest = max(map(len, self.all), default=0)

    def __contains__(self, word: str) -> bool:
        return word in self.all

    def behind_mask(self, masked: str) -> str | None:
        """Find the word that a masked one such as ``f**k`` stands for.

        Two letters must show, or the first of a word of four; of several words the one given first is
        taken.
        """
        shown = sum(character.isalpha() for character in masked)
        if shown < 2 and not (len(masked) == 4 and masked[1:] == "***"):
            return None
        masks = _MASKS if masked[-1] in _MASKS else _MASKS | _WEAK_MASKS
        for word in self._by_shape.get((masked[0], len(masked)), ()):
            if all(m == w or m in masks for m, w in zip(masked, word, strict=True)):
                return word
        return None

    def within(self, letters: str) -> tuple[int, int] | None:
        """Give the half-open span of the longest word that a run of spaced letters holds."""
        if letters in self.all:
            return 0, len(letters)
        for size in range(min(self._longest, len(letters)), 3, -1):
            for start in range(len(letters) - size + 1):
                if letters[start : start + size] in self.all:
                    return start, start + size
        return None


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
    table |= {"α": "a", "β": "b", "ε": "e", "η": "n", "ι": "i", "κ": "k", "μ": "u", "ν": "v", "τ": "t", "υ": "u"}
    table |= {"χ": "x", "ω": "w", "σ": "o", "ς": "s", "ø": "o", "đ": "d", "ħ": "h", "ł": "l", "ŧ": "t", "ƒ": "f"}
    table |= {"ʀ": "r", "ɴ": "n", "ɪ": "i", "ʏ": "y", "ʟ": "l", "ʜ": "h", "ɢ": "g", "ʙ": "b", "ꜱ": "s", "ꜰ": "f"}
    return table


def _is_latin(character: str) -> bool:
    return character.isascii() or unicodedata.name(character, "").startswith("LATIN")


def _skeleton(view: View, words: Words) -> View:
    text = view.text
    if _SUSPECT.search(text) is None:
        return view
    if text.isascii():
        mostly_latin = True
    else:
        letters = [character for character in text if character.isalpha()]
        mostly_latin = 2 * sum(map(_is_latin, letters)) > len(letters)
    # Each piece replaces text[start:end]: letters with the offset that each was read from.
    pieces: list[tuple[int, int, str, list[int], list[int]]] = []
    taken = 0
    for spaced in _SPACED.finditer(text):
        groups = [
            [i for i in range(spaced.start() + group.start(), spaced.start() + group.end()) if text[i] not in _GAPS]
            for group in _GROUP.finditer(spaced[0])
        ]
        found = [_within_any(words, "".join(text[i] for i in where)) for where in groups]
        if not any(found):
            continue
        # Where one word was spaced out, so were its neighbours.
        for where, word in zip(groups, found, strict=True):
            hidden, start, end = word or ("".join(text[i] for i in where), 0, len(where))
            places = where[start:end]
            pieces.append((places[0], places[-1] + 1, hidden, places, [place + 1 for place in places]))
    spans = [(piece[0], piece[1]) for piece in pieces]
    for token in _TOKEN.finditer(text):
        if any(token.start() < end and start < token.end() for start, end in spans):
            continue
        if _SUSPECT.search(token[0]) is None or _LINK.search(token[0]):
            continue
        reading = _undisguise(token[0], words, mostly_latin)
        if reading is not None:
            read, start_offsets, end_offsets = reading
            base = token.start()
            pieces.append((base, token.end(), read, [base + o for o in start_offsets], [base + o for o in end_offsets]))
    if not pieces:
        return view
    pieces.sort()
    characters: list[str] = []
    starts: list[int] = []
    ends: list[int] = []

    def copy(start: int, end: int) -> None:
        characters.append(text[start:end])
        starts.extend(range(start, end))
        ends.extend(range(start + 1, end + 1))

    for start, end, read, piece_starts, piece_ends in pieces:
        copy(taken, start)
        characters.append(read)
        starts.extend(piece_starts)
        ends.extend(piece_ends)
        taken = end
    copy(taken, len(text))
    if view.starts is not None and view.ends is not None:
        starts = [view.starts[start] for start in starts]
        ends = [view.ends[end - 1] for end in ends]
    return View("".join(characters), tuple(starts), tuple(ends))


def _within_any(words: Words, raw: str) -> tuple[str, int, int] | None:
    for letters in _leet_readings(raw):
        if letters.isalpha():
            span = words.within(letters)
            if span is not None:
                return letters[span[0] : span[1]], span[0], span[1]
    return None


def _leet_readings(raw: str) -> Iterable[str]:
    yield raw
    ambiguous = [character for character in dict.fromkeys(raw) if character in _SECOND_LEET][:3]
    for choice in product((_LEET, _SECOND_LEET), repeat=len(ambiguous)):
        table = dict(zip(ambiguous, choice, strict=True))
        yield "".join(table.get(c, _LEET)[c] if c in _LEET else c for c in raw)


_Reading = tuple[str, list[int], list[int]]


def _undisguise(token: str, words: Words, mostly_latin: bool) -> _Reading | None:
    """Read one token as the word that it hides.

    Returns
    -------
    tuple or None
        The reading and, for each of its characters, the half-open offsets in the token; None where
        nothing is to be changed.
    """
    text, starts, ends = token, list(range(len(token))), list(range(1, len(token) + 1))
    if not token.isascii():
        if any(_is_latin(c) for c in token if c.isalpha()) or mostly_latin:
            table = _look_alikes()
            text = "".join(table.get(c, c) for c in token)
    if text.startswith("#") and text[1:].isalpha():
        return None if text == token else (text, starts, ends)
    head = len(text) - len(text.lstrip("\"'([{<.,;:-_~=/\\"))
    tail = len(text.rstrip("\"')]}>.,;:?!-_~=/\\"))
    # A mask or a leet letter may also stand at the edge: look with and without it.
    for first, last in dict.fromkeys(((head, tail), (head, len(text)), (0, tail))):
        hidden = _hidden_word(text[first:last], words)
        if hidden is not None:
            word, inner_starts, inner_ends = hidden
            keep_head, keep_tail = text[:first], text[last:]
            return (
                keep_head + word + keep_tail,
                starts[:first] + [first + o for o in inner_starts] + starts[last:],
                ends[:first] + [first + o for o in inner_ends] + ends[last:],
            )
    if not _LETTER.search(text):
        return None
    guess = _BETWEEN_LETTERS.sub(lambda run: "".join(_LEET[c] for c in run[0]), text)
    collapsed = _collapse(guess, starts, ends, keep=2)
    if collapsed[0] == token:
        return None
    return collapsed


def _hidden_word(core: str, words: Words) -> _Reading | None:
    if len(core) < 3 or not any(c.isalnum() for c in core):
        return None
    offsets = list(range(len(core)))
    after = list(range(1, len(core) + 1))
    if core in words:
        return core, offsets, after
    letters_only = [i for i, c in enumerate(core) if c.isalpha()]
    has_letter = bool(letters_only)
    if not has_letter:
        return None
    candidates: list[tuple[str, list[int], list[int]]] = []
    for reading in dict.fromkeys(_leet_readings(core)):
        candidates.append((reading, offsets, after))
        kept = [i for i, c in enumerate(reading) if c.isalpha()]
        if len(kept) != len(reading) and len(kept) > 3:
            candidates.append(("".join(reading[i] for i in kept), kept, [i + 1 for i in kept]))
    if letters_only != offsets and len(letters_only) > 3:
        letters = "".join(core[i] for i in letters_only)
        candidates.append((letters, letters_only, [i + 1 for i in letters_only]))
    for text, begin, end in candidates:
        if not text.isalpha():
            continue
        for keep in (2, 1):
            collapsed = _collapse(text, begin, end, keep=keep)
            if collapsed[0] in words and (keep == 2 or _stretched(text)):
                return collapsed
        if "vv" in text and text.replace("vv", "w") in words:
            place = text.index("vv")
            return text.replace("vv", "w", 1), begin[: place + 1] + begin[place + 2 :], end[:place] + end[place + 1 :]
    if core[0].isalpha() and any(c in _MASKS or c in _WEAK_MASKS for c in core):
        masked = words.behind_mask(core)
        if masked is not None:
            return masked, offsets, after
    return None


def _stretched(text: str) -> bool:
    return re.search(r"(.)\1\1", text) is not None


def _collapse(text: str, starts: Sequence[int], ends: Sequence[int], *, keep: int) -> _Reading:
    """Shorten each run of three or more equal letters; the last letter kept stands for all the rest.

    With ``keep=1`` every run, of two letters as well, becomes one letter.
    """
    characters: list[str] = []
    new_starts: list[int] = []
    new_ends: list[int] = []
    index = 0
    while index < len(text):
        run = index
        while run < len(text) and text[run] == text[index]:
            run += 1
        length = run - index
        shorten = text[index].isalpha() and (length > 2 or keep == 1)
        kept = min(length, keep) if shorten else length
        for step in range(kept):
            characters.append(text[index])
            new_starts.append(starts[index + step])
            new_ends.append(ends[run - 1] if step == kept - 1 else ends[index + step])
        index = run
    return "".join(characters), new_starts, new_ends
