"""The linear stage: a sparse model over words, their letters and word pairs.

A comment's logit is a sum over its words and word pairs, divided by the square root of the number of
words, so each distinct word's contribution to all outputs is computed once and kept; the same sums are
the evidence. Each sentence is scored alone as well as the whole comment, and the worst counts: a long
polite text cannot dilute an insult. Of a comment that names a group of people the mean of two readings counts
(`moderation.exchange`).

Source: Wang and Manning, "Baselines and Bigrams: Simple, Good Sentiment and Topic Classification",
ACL 2012 (naive-Bayes weighted features); Weinberger et al., "Feature Hashing", ICML 2009.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from operator import add
from threading import Lock

import mmh3
import numpy as np
import numpy.typing as npt

from moderation.classifier import OUTPUTS, Array, mean_of_readings, probabilities
from moderation.normalise import Folded

SENTENCE_WORDS = 48
"""A longer sentence is cut into pieces of this many words."""

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*|[^\w\s\x00-\x7f]")
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+|\n+")
_ENDING = re.compile(r"[.!?][\"')\]]*\Z")
_KEPT_WORDS = 200_000
_KEPT_LETTERS = 4_000_000
_KEPT_LENGTH = 40
_LEARNT_TOGETHER = 4096
"""New words whose features are held at once, at most."""
_EVIDENCE_SHARE = 0.7
_EVIDENCE_WORDS = 6


def sentences(text: str) -> list[list[str]]:
    """Split a folded text into sentences of words; never empty."""
    found: list[list[str]] = []
    for sentence in _SENTENCE_END.split(text):
        words = _WORD.findall(sentence)
        found.extend(words[start : start + SENTENCE_WORDS] for start in range(0, len(words), SENTENCE_WORDS))
    return found or [[]]


def ends_sentence(token: str) -> bool:
    """Whether a sentence ends with a text without white space."""
    return _ENDING.search(token) is not None


def pairs(words: Sequence[str]) -> list[str]:
    """Give the neighbouring pairs of a sentence's words, its beginning and end included."""
    return [f"{left} {right}" for left, right in zip(("^", *words), (*words, "$"), strict=True)]


def features(unit: str, bits: int) -> tuple[npt.NDArray[np.int64], Array]:
    """Hash the features of one word or of one pair (recognised by its space).

    Parameters
    ----------
    unit
        A word, or a pair as `pairs` gives it.
    bits
        Logarithm to base 2 of the number of features.

    Returns
    -------
    indices, values : ndarray of shape (n_features,)
        A word has itself and its two to five letter pieces, weighted by the square root of their
        number; a pair has itself.
    """
    names = [f"b{unit}"] if " " in unit else _names(unit)
    return np.array(list(map(mmh3.hash, names))) & ((1 << bits) - 1), _values(len(names))


def _names(word: str) -> list[str]:
    """Give the names of a word's features, its own and then those of its letter pieces."""
    framed = f"<{word[:40]}>"
    return [f"w{word}", *(framed[i : i + n] for n in range(2, 6) for i in range(len(framed) - n + 1))]


@lru_cache(maxsize=256)
def _values(size: int) -> Array:
    """Give the values of so many features: 1 for the first, and for the others the square root of their share."""
    values = np.full(size, max(1, size - 1) ** -0.5, dtype=np.float32)
    values[0] = 1
    return values


Judge = Callable[[str, Sequence[int], Array], Array]
"""Takes a text, where its sentences start, and their logits; gives how bad each is, shape (n_sentences,)."""

_Token = tuple[tuple[str, ...], tuple[str, ...], tuple[int, ...], bool]
"""The words of a text without white space, each as a pair begins with it, their rows, and whether a sentence ends."""
_Sentence = tuple[list[str], list[str], list[int]]


def _cut(sentence: _Sentence) -> Iterator[_Sentence]:
    """Cut a sentence that is too long."""
    words, begins, rows = sentence
    if len(words) <= SENTENCE_WORDS:
        yield sentence
        return
    for start in range(0, len(words), SENTENCE_WORDS):
        stop = start + SENTENCE_WORDS
        yield words[start:stop], begins[start:stop], rows[start:stop]


class _Tokens(dict[str, _Token]):
    """What is known of each text without white space; read when first asked for.

    Parameters
    ----------
    row
        Gives the row of what a word adds.
    """

    def __init__(self, row: Callable[[str], int]) -> None:
        super().__init__()
        self._row = row

    def __missing__(self, token: str) -> _Token:
        words = tuple(_WORD.findall(token))
        known = (words, tuple(f"b{word} " for word in words), tuple(map(self._row, words)), ends_sentence(token))
        if len(token) <= _KEPT_LENGTH:
            if len(self) >= _KEPT_WORDS:
                self.clear()
            self[token] = known
        return known


class LinearClassifier:
    """The sparse linear stage.

    Parameters
    ----------
    version
        Name and version of the model, as decisions carry it.
    weights
        Shape (2**bits, n_outputs).
    bias
        Shape (n_outputs,).
    calibration
        Shape (n_outputs, 2): slope and offset that turn a logit into that of a probability.
    """

    stage = "linear"

    def __init__(self, version: str, weights: Array, bias: Array, calibration: Array) -> None:
        self.version = version
        self.bits = int(weights.shape[0]).bit_length() - 1
        self._weights = weights
        self._bias = bias
        self._calibration = calibration
        self._row_of: dict[str, int] = {}
        self._tokens = _Tokens(self._row)
        self._letters = 0
        self._lock = Lock()
        self._new: list[str] = []
        self._rows: Array = np.zeros((4096, len(self._bias)), dtype=np.float32)

    def _row(self, word: str) -> int:
        """Give the row of `_rows` that holds what a word adds to each logit, once `_learn` ran."""
        row = self._row_of.get(word)
        if row is None:
            row = self._row_of[word] = len(self._row_of)
            self._letters += len(word)
            self._new.append(word)
            if len(self._new) == _LEARNT_TOGETHER:
                self._learn()
        return row

    def _learn(self) -> None:
        """Compute what the new words add to each logit: as a weighted sum of `features`, for many in one go."""
        words, self._new = self._new, []
        first, last = len(self._row_of) - len(words), len(self._row_of)
        while last > len(self._rows):
            self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
        names = list(map(_names, words))
        hashes = np.fromiter(map(mmh3.hash, chain.from_iterable(names)), dtype=np.int64)
        weights = self._weights.take(hashes & (len(self._weights) - 1), axis=0).astype(np.float32)
        start = 0
        for row, size in zip(range(first, last), map(len, names), strict=True):
            np.matmul(_values(size), weights[start : start + size], out=self._rows[row])
            start += size

    def _logits(self, sums: Array, sizes: Array) -> Array:
        return np.asarray(sums / np.sqrt(np.maximum(sizes, 1))[:, None] + self._bias, dtype=np.float32)

    def logits(self, comments: Sequence[Folded]) -> Array:
        """Give the uncalibrated logits of each comment's worst window, the mean of its readings.

        Returns
        -------
        ndarray of shape (n_comments, n_outputs)
        """
        return mean_of_readings(comments, self._worst)

    def _worst(self, texts: Sequence[str]) -> Array:
        """Give each text's highest logits, shape (n_texts, n_outputs)."""
        if not texts:
            return np.zeros((0, len(self._bias)), dtype=np.float32)
        sizes, text_starts, _, _, sums = self._windows(texts)
        by_sentence = self._logits(sums, sizes)
        if len(sizes) == len(texts):  # Each has one.
            return by_sentence
        by_sentence = np.maximum.reduceat(by_sentence, text_starts, axis=0)
        by_text = self._logits(np.add.reduceat(sums, text_starts, axis=0), np.add.reduceat(sizes, text_starts))
        return np.asarray(np.maximum(by_sentence, by_text), dtype=np.float32)

    def _windows(self, texts: Sequence[str]) -> tuple[Array, list[int], Array, Array, Array]:
        """Give what the sentences of texts add to each logit.

        Returns
        -------
        sizes : ndarray of shape (n_sentences,)
            Words of each sentence.
        text_starts : list of int
            The first sentence of each text.
        of_words : ndarray of shape (sum of sizes, n_outputs)
            What each word adds.
        of_pairs : ndarray of shape (sum of sizes + 1, n_outputs)
            What each pair adds; a sentence has one more than words.
        sums : ndarray of shape (n_sentences, n_outputs)
            What each sentence adds.
        """
        rows: list[int] = []
        hashes: list[int] = []
        sizes: list[int] = []
        starts: list[int] = []
        pair_starts: list[int] = []
        text_starts: list[int] = []
        with self._lock:  # What is remembered of words is one for all threads.
            if len(self._row_of) > _KEPT_WORDS or self._letters > _KEPT_LETTERS:
                self._row_of.clear()
                self._tokens.clear()
                self._letters = 0
            for text in texts:
                text_starts.append(len(sizes))
                for token_words, begins, token_rows in self._sentences(text):
                    starts.append(len(rows))
                    pair_starts.append(len(hashes))
                    sizes.append(len(token_rows))
                    rows += token_rows
                    # Hashing a pair anew takes less time than finding it among all that were seen.
                    hashes.extend(map(mmh3.hash, map(add, ("b^ ", *begins), (*token_words, "$"))))
            if self._new:
                self._learn()
            of_words = self._rows.take(rows, axis=0)
        counts = np.array(sizes, dtype=np.float32)
        of_pairs = self._weights.take(np.array(hashes) & (len(self._weights) - 1), axis=0).astype(np.float32)
        sums = np.add.reduceat(of_pairs, pair_starts, axis=0)
        if 0 not in sizes:
            sums += np.add.reduceat(of_words, starts, axis=0)
        elif rows:  # A text without words has one sentence, and that has none.
            filled = np.flatnonzero(counts)
            sums[filled] += np.add.reduceat(of_words, np.array(starts)[filled], axis=0)
        return counts, text_starts, of_words, of_pairs, sums

    def _sentences(self, text: str) -> Iterator[_Sentence]:
        """Give what `sentences` gives, with each word as a pair begins with it and with its row."""
        tokens = self._tokens
        none = True
        for line in text.split("\n") if "\n" in text else (text,):
            sentence: _Sentence = ([], [], [])
            words, begins, rows = sentence
            for token in line.split():
                token_words, token_begins, token_rows, ends = tokens[token]
                words += token_words
                begins += token_begins
                rows += token_rows
                if ends and words:
                    none = False
                    yield from _cut(sentence)
                    words, begins, rows = sentence = ([], [], [])
            if words:
                none = False
                yield from _cut(sentence)
        if none:
            yield [], [], []

    def score(self, comments: Sequence[Folded]) -> Array:
        """Give calibrated probabilities, shape (n_comments, n_outputs), columns as in `OUTPUTS`."""
        return self.calibrated(self.logits(comments))

    def passage(self, text: str, characters: int, judge: Judge | None = None) -> tuple[int, int]:
        """Give the half-open span of whole sentences around that which likeliest breaks a guideline.

        Parameters
        ----------
        text
            A comment's skeleton.
        characters
            How long the passage may be; a text no longer is given whole, and a longer sentence alone.
        judge
            Tells which sentence is worst; without, the logits that any guideline is broken do.
        """
        if len(text) <= characters:
            return 0, len(text)
        sizes, _, _, _, sums = self._windows([text])
        places = [match.start() for match in _WORD.finditer(text)]
        starts = [0, *(places[int(first)] for first in np.cumsum(sizes)[:-1]), len(text)]
        worst = self._logits(sums, sizes)[:, 0]
        first = int(np.argmax(worst if judge is None else judge(text, starts[:-1], worst)))
        last = first + 1
        while True:
            before = first > 0 and starts[last] - starts[first - 1] <= characters
            after = last < len(sizes) and starts[last + 1] - starts[first - before] <= characters
            if not before and not after:
                return starts[first], starts[last]
            first, last = first - before, last + after

    def calibrated(self, logits: Array) -> Array:
        """Give the probabilities that uncalibrated logits stand for, both of shape (n_comments, n_outputs)."""
        return probabilities(logits * self._calibration[:, 0] + self._calibration[:, 1])

    def evidence(self, comment: Folded, output: str) -> tuple[tuple[int, int], ...]:
        """Give the half-open spans of the original that carried one output's score.

        They are the words that add most in the worst sentence as written, until they make up seven tenths of all
        that raises the logit; neighbours are joined.
        """
        column = OUTPUTS.index(output)
        view = comment.skeleton
        sizes, _, of_words, of_pairs, sums = self._windows([view.text])
        worst = int(np.argmax(self._logits(sums, sizes)[:, column]))
        first, size = int(sizes[:worst].sum()), int(sizes[worst])
        if not size:
            return ()
        alone = of_words[first : first + size, column]
        joint = of_pairs[first + worst : first + worst + size + 1, column]
        places = [match.span() for match in _WORD.finditer(view.text)]
        weight = alone + (joint[:-1] + joint[1:]) / 2
        order = np.argsort(-weight, kind="stable")
        rising = float(weight[weight > 0].sum())
        chosen: list[int] = []
        reached = 0.0
        for place in order[:_EVIDENCE_WORDS]:
            if chosen and (weight[place] <= 0 or reached >= _EVIDENCE_SHARE * rising):
                break
            chosen.append(int(place))
            reached += float(weight[place])
        spans: list[tuple[int, int]] = []
        previous = -2
        for place in sorted(chosen):
            start, end = view.original(*places[first + place])
            if place == previous + 1:
                spans[-1] = (spans[-1][0], end)
            else:
                spans.append((start, end))
            previous = place
        return tuple(spans)
