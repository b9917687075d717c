"""The skeleton of a text: each word read as what it hides, letters set apart and split words put together."""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise

from moderation import english
from moderation.disguise import is_odd, reading
from moderation.signs import (
    EDGES_LEFT,
    EDGES_RIGHT,
    apart,
    core_of,
    is_latin,
    leet_readings,
    mixes_scripts,
    restretched,
)
from moderation.view import View
from moderation.vocabulary import FOREIGN
from moderation.words import GAP, GAPS, ITEM, MASKS, REMEMBERED, REMEMBERED_LENGTH, Reading, Words

_TOKEN = re.compile(r"\S+")
_SPACED = re.compile(rf"(?<![a-z0-9])(?<![a-z0-9]'){ITEM}(?:{GAP}{{1,3}}{ITEM}){{2,}}(?![a-z0-9])")
_GROUP = re.compile(r"[^ ]+(?: [^ ]+)*")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_HASHTAG = re.compile(r"#[A-Za-z]+")

_CAPITAL = re.compile(
    r"(?<!\S)(?:[A-Z](?![^\W\d_]*([^\W\d_])\1\1)[^\W\d_A-Z]+(?![\w@$*])|(?P<code>(?=\S*\d)(?=\S*[A-Z])[A-Z\d-]{3,20}\b))"
)
_BEGINNING = re.compile(r"(?:^|[.!?:][\"']?)\s*$")
_THREE_LETTERS_WITHIN = 5000
"""How frequent, by rank, a word of three letters must be that is set apart."""

_A_NAME = 5
"""How many letters set apart evenly are a word, though none that we know."""

_Piece = tuple[int, int, str, list[int], list[int]]


def skeleton(plain: str, view: View, words: Words) -> View:
    """Give the skeleton of a text; the folded view itself where nothing is hidden.

    Parameters
    ----------
    plain
        The text as written, of which capitals tell the words of a hashtag, names and codes.
    view
        Its folded view.
    words
        The words that a disguise may hide.
    """
    text = view.text
    tokens = set(text.split())
    odd = _suspicious(tokens, words)
    if not odd and "#" not in text and not words.spaced(text):
        return view
    signs = words.signs(text)
    if signs:
        odd = tokens
    mostly_latin = True
    if not text.isascii():
        # Who writes in another script does not mix it with a third within a word.
        letters = [letter for token in tokens if not mixes_scripts(token) for letter in token if letter.isalpha()]
        mostly_latin = 2 * sum(map(is_latin, letters)) > len(letters) or not letters
    # Each piece replaces text[start:end]: letters with the offset that each was read from.
    pieces: list[_Piece] = []
    if "spaced" in signs:
        pieces.extend(_spaced(text, words))
    if "split" in signs:
        pieces.extend(_joined(text, words))
    in_english = _in_english(tokens)
    names = _names(plain, view) if in_english else set[str]()
    readings = {token: reading(token, words, mostly_latin, in_english and core_of(token) not in names) for token in odd}
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
        found = readings.get(token[0])
        if found is None or taken[0] < token.end():
            continue
        base = token.start()
        read, starts, ends = found
        pieces.append((base, token.end(), read, [base + o for o in starts], [base + o for o in ends]))
    return _replaced(view, sorted(pieces)) if pieces else view


def _suspicious(tokens: set[str], words: Words) -> set[str]:
    """Give the tokens that may hide something by themselves; what was told of a token is remembered."""
    new = tokens - words.quiet
    if not new:
        return new
    found = new & words.loud
    new -= found
    loud = {token for token in new if _may_hide(token, words)}
    for told, known in ((loud, words.loud), (new - loud, words.quiet)):
        if len(known) >= REMEMBERED:
            known.clear()
        known.update(token for token in told if len(token) <= REMEMBERED_LENGTH)
    return found | loud


def _may_hide(token: str, words: Words) -> bool:
    if words.signed(token) or words.halved(token):
        return True
    if not token.isascii():
        return reading(token, words, True, True) is not None or reading(token, words, False, True) is not None
    return (is_odd(token, words) or words.suspect(token)) and reading(token, words, True, True) is not None


def _in_english(tokens: Collection[str]) -> bool:
    """Whether two thirds of the words are English or stand for such."""
    if 3 * sum(map(english.is_word, tokens)) >= 2 * len(tokens):
        return True
    cores = [core for core in map(core_of, tokens) if core.isalpha()]
    return 3 * sum(map(english.is_usual, cores)) >= 2 * len(cores)


def _names(plain: str, view: View) -> set[str]:
    """Give the folded words that are no English: codes, foreign words with a capital, and names.

    A capital within a sentence begins a name, unless most words have one.
    """
    names, others = set[str](), set[str]()
    for found in _CAPITAL.finditer(plain):
        start, end = found.span() if view.starts is None else (bisect_left(view.starts, at) for at in found.span())
        word = view.text[start:end]
        if found["code"] or word in FOREIGN:
            others.add(word)
        elif not _BEGINNING.search(plain, max(0, found.start() - 3), found.start()):
            names.add(word)
    return others | names if 3 * len(names) < 2 * len(plain.split()) else others


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
            [i for i in range(run.start() + group.start(), run.start() + group.end()) if text[i] not in GAPS]
            for group in _GROUP.finditer(run[0])
        ]
        if all(len(where) < 2 for where in groups):
            groups = [[place for where in groups for place in where]]
        groups = [part for where in groups for part in _evenly(text, where)]
        # Two letters with a mask between them are what shows of a word.
        groups = [where for where in groups if len(where) != 2 or not MASKS.issuperset(text[where[0] + 1 : where[1]])]
        found = [_spaced_word(text, where, words) for where in groups]
        if not any(hidden for _, hidden in found):
            continue
        for where, ((read, places, ends), _) in zip(groups, found, strict=True):
            if where:
                yield where[0], where[-1] + 1, read, places, ends


def _evenly(text: str, where: list[int]) -> list[list[int]]:
    """Part letters at the spaces where something else sets most apart, and at punctuation where spaces do."""
    gaps = [text[left + 1 : right] for left, right in pairwise(where)]
    by_spaces = 2 * gaps.count(" ") >= len(gaps)
    ends = [place for place, gap in enumerate(gaps, 1) if (gap != " " and " " in gap if by_spaces else gap == " ")]
    found = [where[start:end] for start, end in pairwise((0, *ends, len(where)))]
    # A comma within a word of few letters parts no words.
    return [where] if by_spaces and min(map(len, found)) < 3 else found


def _spaced_word(text: str, where: list[int], words: Words) -> tuple[Reading, bool]:
    raw = "".join(text[place] for place in where)
    own: Reading = (raw, where, [place + 1 for place in where])
    if sum(map(str.isalpha, raw)) < 2:
        return own, False
    gaps = [text[left + 1 : right] for left, right in pairwise(where)]
    evenly = 5 * max(Counter(gaps).values()) >= 4 * len(gaps)
    for letters in dict.fromkeys(leet_readings(raw)):
        if not letters.isalpha():
            continue
        if len(letters) == 3:
            # Three letters with full stops are an abbreviation.
            known = letters in words or (evenly and english.rank(letters) <= _THREE_LETTERS_WITHIN)
            if known and "." not in text[where[0] : where[-1]] and letters == raw:
                return own, True
            continue
        word = words.stretched(letters)
        if word is not None:
            return restretched(word, (letters, own[1], own[2])), True
        if evenly and english.is_word(letters):
            return (letters, own[1], own[2]), True
        parts = words.parts(letters)
        spans = english.parts(letters, surely=True) if evenly else []
        if not spans and any(hidden for _, _, hidden in parts):
            spans = [(start, end) for start, end, _ in parts]
        if spans:
            return apart((letters, own[1], own[2]), spans), True
    return own, evenly and len(raw) >= _A_NAME and raw.isalpha()


def _joined(text: str, words: Words) -> Iterable[_Piece]:
    """Read words split by a space."""
    taken = 0
    for left, right in pairwise(_TOKEN.finditer(text)):
        first, last = left[0].lstrip(EDGES_LEFT), right[0].rstrip(EDGES_RIGHT)
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
        own: Reading = (tag[0].lower(), list(range(start, end)), list(range(start + 1, end + 1)))
        yield (
            start,
            end,
            *apart(own, [(left - tag.start(), right - tag.start()) for left, right in pairwise(bounds)]),
        )
