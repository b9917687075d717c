"""Which patterns can occur in a text, told by the words in it: most never need to be run.

From each pattern are read the pieces of text without which it cannot match, as in «one of these words, and
one of those». A text is cut at white space; what a word contributes is found by one Aho-Corasick automaton and
remembered.

Source: the prefilter of RE2 (``prefilter.h``), after Cox, "Regular Expression Matching with a Trigram Index",
https://swtch.com/~rsc/regexp/regexp4.html
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from itertools import product
from math import prod
from operator import or_

from ahocorasick_rs import AhoCorasick

from moderation.vocabulary import COMMON

REMEMBERED = 200_000
"""Words whose contribution is kept; then all are forgotten."""
REMEMBERED_LENGTH = 40
CLAUSES = 4
"""The most telling of the conditions of a pattern that are tested."""

Piece = tuple[str, bool, bool]
"""A text without white space, and whether none of a to z and 0 to 9 may stand before it and after it."""
Clause = frozenset[Piece]
"""Pieces of which at least one must occur."""


# --------------------------------------------------------------------------- reading a pattern

_SYNTAX = re.compile(
    r"(?P<literal>[^\\()\[\]{}|?*+.^$]+(?![?*+{])|[^\\()\[\]{}|?*+.^$])|(?P<escape>\\.)"
    r"|(?P<set>\[\^?\]?(?:\\.|[^\]\\\[])*\])|(?P<open>\((?:\?:)?(?!\?))|(?P<close>\))|(?P<bar>\|)"
    r"|(?P<times>(?:[?*+]|\{\d+(?:,\d*)?\})\??)|(?P<any>\.)|(?P<edge>[\^$])",
    re.S,
)
_ALPHANUMERIC = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_FEW = 24
_WHITE = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v"}


@dataclass(frozen=True, slots=True)
class _Item:
    """A part of a pattern: one of some texts, one of some sequences, or what says nothing."""

    texts: tuple[str, ...] = ()
    choices: "tuple[tuple[_Item, ...], ...]" = ()
    edge: bool = False
    """Of what says nothing: whether it can be none of a to z and 0 to 9."""
    optional: bool = False


class _UnreadableError(Exception):
    """The pattern holds what this reader does not know."""


def _alternatives(pattern: str) -> Sequence[Sequence[_Item]]:
    """Read a pattern into the sequences of which one must match."""
    stack: list[list[list[_Item]]] = [[[]]]
    position = 0
    for token in _SYNTAX.finditer(pattern):
        if token.start() != position:
            raise _UnreadableError(pattern)
        position = token.end()
        kind, text, items = token.lastgroup, token[0], stack[-1][-1]
        if kind == "literal":
            items.append(_Item((text,)))
        elif kind == "bar":
            stack[-1].append([])
        elif kind == "open":
            stack.append([[]])
        elif kind == "close" and len(stack) > 1:
            group = _group(stack.pop())
            stack[-1][-1].append(group)
        elif kind == "times" and items:
            items.extend(_times(items.pop(), text))
        elif kind == "escape":
            items.append(_escape(text[1]))
        elif kind == "set":
            items.append(_set(text[1:-1]))
        elif kind in ("any", "edge"):
            items.append(_Item(edge=kind == "edge"))
        else:
            raise _UnreadableError(pattern)
    if position != len(pattern) or len(stack) > 1:
        raise _UnreadableError(pattern)
    found: Sequence[Sequence[_Item]] = [_joined(alternative) for alternative in stack[0]]
    while len(found) == 1 and len(found[0]) == 1 and found[0][0].choices and not found[0][0].optional:
        found = found[0][0].choices
    return found


def _group(alternatives: Iterable[Sequence[_Item]]) -> _Item:
    choices = tuple(
        _joined(alternative) if len(alternative) > 1 else tuple(alternative) for alternative in alternatives
    )
    if len(choices) <= _FEW and all(len(choice) == 1 and choice[0].texts for choice in choices):
        texts = tuple(dict.fromkeys(text for choice in choices for text in choice[0].texts))
        if len(texts) <= _FEW:
            return _Item(texts)
    return _Item(choices=choices)


def _joined(items: Iterable[_Item]) -> tuple[_Item, ...]:
    """Write neighbouring texts together while they are few."""
    joined: list[_Item] = []
    for item in items:
        last = joined[-1] if joined else None
        if last is not None and item.texts and last.texts and len(last.texts) * len(item.texts) <= _FEW:
            joined[-1] = _Item(tuple(before + after for before in last.texts for after in item.texts))
        else:
            joined.append(item)
    return tuple(joined)


@lru_cache(maxsize=256)
def _escape(character: str) -> _Item:
    if character in _WHITE:
        return _Item((_WHITE[character],))
    if not character.isalnum():
        return _Item((character,))
    if character in "bAzsW":
        return _Item(edge=True)
    if character in "wdDS":
        return _Item()
    raise _UnreadableError(character)


def _times(item: _Item, times: str) -> list[_Item]:
    """Repeat an item; what may follow its needed repetitions says nothing."""
    counts = [int(count) for count in re.findall(r"\d+", times)]
    least = counts[0] if counts else int(times[0] == "+")
    once = times in ("?", "{1}") or (len(counts) == 2 and counts[1] == 1)
    more = _Item(choices=((item,),), optional=True)
    if least == 0:
        return [_Item(("", *item.texts))] if item.texts and once and len(item.texts) < _FEW else [more]
    if once:
        return [item]
    if len(item.texts) == 1:
        return [_Item((item.texts[0] * min(least, 4),)), more]
    return [item, more]


@lru_cache(maxsize=1024)
def _set(inside: str) -> _Item:
    """Read what stands between brackets."""
    if inside.startswith("^"):
        return _Item(edge=("a-z" in inside and "0-9" in inside) or r"\w" in inside)
    characters = re.findall(r"\\.|.", inside, re.S)
    if any(len(c) == 2 and c[1].isalnum() and c[1] not in _WHITE for c in characters) or "-" in characters[1:-1]:
        return _Item()
    plain = tuple((_WHITE.get(c[1], c[1]) if len(c) == 2 else c) for c in characters)
    return _Item(plain) if len(plain) <= _FEW else _Item(edge=_ALPHANUMERIC.isdisjoint(plain))


# --------------------------------------------------------------------------- what a pattern needs


def conditions(pattern: str) -> list[list[Clause]]:
    """Give what must hold of a text in which a pattern occurs.

    Returns
    -------
    list of list of Clause
        One of the lists must hold, and holds where all its clauses do; the most telling of them come first.
        A list without clauses always holds, as where the pattern is not understood.
    """
    try:
        alternatives = _alternatives(pattern)
    except _UnreadableError:
        return [[]]
    return [_most_telling(_needed(alternative, False, False)) for alternative in alternatives]


def _most_telling(found: Iterable[Clause]) -> list[Clause]:
    chosen: list[Clause] = []
    for clause in sorted(set(found), key=_cost):
        if not any(clause >= other for other in chosen):
            chosen.append(clause)
            if len(chosen) == CLAUSES:
                break
    return chosen


def _needed(items: Sequence[_Item], left: bool, right: bool) -> list[Clause]:
    """Give the clauses of a sequence between edges of words or not."""
    rights = [right]
    for item in reversed(items):
        rights.append(_edge(item, rights[-1], first=True))
    found: list[Clause] = []
    for place, item in enumerate(items):
        right = rights[-2 - place]
        if not item.optional:
            if item.texts:
                found.extend(_either([_pieces(text, left, right) for text in item.texts]))
            elif item.choices:
                found.extend(_either([_needed(choice, left, right) for choice in item.choices]))
        left = _edge(item, left, first=False)
    return found


def _either(needed: Sequence[Sequence[Clause]]) -> Sequence[Clause]:
    """Give the clauses of a choice: the best of each alternative, and the second best; none where one has none."""
    if len(needed) == 1:
        return needed[0]
    if not all(needed):
        return []
    best, second = set[Piece](), set[Piece]()
    for found in needed:
        if len(found) > 1:
            found = sorted(found, key=_cost)
        best |= found[0]
        second |= found[min(1, len(found) - 1)]
    return [frozenset(best), frozenset(second)] if second != best else [frozenset(best)]


@lru_cache(maxsize=20_000)
def _pieces(text: str, left: bool, right: bool) -> Sequence[Clause]:
    words = text.split()
    if not words:
        return []
    last = len(words) - 1
    left, right = left or text[0].isspace(), right or text[-1].isspace()
    return [
        frozenset(
            (
                (
                    word,
                    (place > 0 or left) and word[0] in _ALPHANUMERIC,
                    (place < last or right) and word[-1] in _ALPHANUMERIC,
                ),
            )
        )
        for place, word in enumerate(words)
    ]


def _edge(item: _Item, beside: bool, *, first: bool) -> bool:
    """Whether what an item begins (first) or ends with is none of a to z and 0 to 9; ``beside``: what is beyond it."""
    if item.texts:
        return all(text[0 if first else -1] not in _ALPHANUMERIC if text else beside for text in item.texts)
    if item.choices:
        edge = all(_side(choice, beside, first=first) for choice in item.choices)
    else:
        edge = item.edge
    return edge and (beside or not item.optional)


def _side(items: Sequence[_Item], beside: bool, *, first: bool) -> bool:
    for item in reversed(items) if first else items:
        beside = _edge(item, beside, first=first)
    return beside


# The share of news comments that hold a word; of signs, and of words that begin or end with so many letters, guesses.
_USUAL = {
    word: share
    for share, words in (
        (0.5, "a and is of the to"),
        (0.28, "are be for have i in it not on s t that this with you"),
        (
            0.14,
            "about all an as at but by can do from has he his if just like no one or out people so their there they "
            "was we what who will would your",
        ),
        (
            0.07,
            "any because been being don don't even get good government how into it's know make many me more most much "
            "my now only other our over re right see should some stupid than them then these think those time up us "
            "way well were when why years",
        ),
        (
            0.035,
            "actually after again against also am another anyone anything article back bad before believe better can't "
            "change could country did does doesn doesn't down election enough ever every fact first go going great had "
            "her here him i'm idiot idiots its keep last left let little long look m man money need never new nothing "
            "off own party political problem public put real really said same say she something still such support "
            "take that's thing things too vote want where which while white work world you're",
        ),
        (0.95, "."),
        (0.6, ", '"),
        (0.2, "? ! -"),
    )
    for word in words.split()
}


@lru_cache(maxsize=20_000)
def _cost(clause: Clause) -> float:
    """Guess in what share of comments a clause holds."""
    return 1 - prod(1 - _share(piece) for piece in clause)


_BEGINNING = (1.0, 0.9, 0.7, 0.3, 0.08, 0.03)
_IN_COMMON, _UNCOMMON = 0.015, 0.002


@lru_cache(maxsize=20_000)
def _share(piece: Piece) -> float:
    text, left, right = piece
    if (left and right) or not text.isalnum():
        return _USUAL.get(text) or (_IN_COMMON if text in COMMON else _UNCOMMON)
    share = _BEGINNING[len(text)] if len(text) < len(_BEGINNING) else 0.01
    return share / 2 if left or right else share


# --------------------------------------------------------------------------- the gate


class _Masks(dict[str, int]):
    """What each word contributes: a bit for each clause that it fulfils."""

    def __init__(self, pieces: dict[Piece, int]) -> None:
        super().__init__()
        # Four for each text: by whether one of a to z and 0 to 9 stands before it, and after it.
        by_text: dict[str, list[int]] = {}
        for (text, left, right), mask in pieces.items():
            masks = by_text.setdefault(text, [0, 0, 0, 0])
            for before, after in product((False, True), repeat=2):
                if not (left and before) and not (right and after):
                    masks[2 * before + after] |= mask
        self._by_text = tuple(map(tuple, by_text.values()))
        self._automaton = AhoCorasick(tuple(by_text)) if by_text else None
        self._same: dict[int, int] = {}

    def __missing__(self, word: str) -> int:
        mask = 0
        if self._automaton is not None:
            framed = f" {word} "
            for index, start, end in self._automaton.find_matches_as_indexes(word, overlapping=True):
                before, after = framed[start] in _ALPHANUMERIC, framed[end + 1] in _ALPHANUMERIC
                mask |= self._by_text[index][2 * before + after]
        if len(word) <= REMEMBERED_LENGTH:
            if len(self) >= REMEMBERED:
                self.clear()
                self._same.clear()
            mask = self._same.setdefault(mask, mask)
            self[word] = mask
        return mask


class Gate:
    """Tells which of many patterns can occur in a text.

    Parameters
    ----------
    patterns
        In RE2's syntax; one that this module cannot read is always a candidate.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        needed = [(index, found) for index, pattern in enumerate(patterns) for found in conditions(pattern)]
        self._owners = tuple(index for index, _ in needed)
        self._size = len(needed)
        pieces: dict[Piece, int] = {}
        self._always = 0
        for place, (_, found) in enumerate(needed):
            for slot in range(CLAUSES):
                bit = 1 << (slot * self._size + place)
                if slot >= len(found):
                    self._always |= bit
                else:
                    for piece in found[slot]:
                        pieces[piece] = pieces.get(piece, 0) | bit
        self._masks = _Masks(pieces)

    def selection(self, patterns: Iterable[int]) -> int:
        """Give what `candidates` is to be told in order to ask for these patterns only."""
        wanted = set(patterns)
        return sum(1 << place for place, owner in enumerate(self._owners) if owner in wanted)

    def candidates(self, text: str, among: int) -> list[int]:
        """Give the indices, ascending, of the patterns that can occur in a text; ``among`` as by `selection`."""
        fulfilled = reduce(or_, filter(None, map(self._masks.__getitem__, set(text.split()))), self._always)
        for _ in range(CLAUSES):
            among &= fulfilled
            fulfilled >>= self._size
        if not among:
            return []
        found = dict[int, None]()
        places = bin(among)[:1:-1]
        place = places.find("1")
        while place >= 0:
            found[self._owners[place]] = None
            place = places.find("1", place + 1)
        return list(found)
