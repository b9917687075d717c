"""The router: tells which comments the encoder should read, in a small part of its time.

A small convolutional network over word pieces, taught by what the encoder said of the training comments. Each sentence
is judged alone as well as the whole, and the worst counts. It stands beside the linear stage, whose scores are those of
the first look; what both make of a comment, and its length, give the probability that the encoder would reject it.

Source: Kim, "Convolutional Neural Networks for Sentence Classification", EMNLP 2014; Hinton, Vinyals and Dean,
"Distilling the Knowledge in a Neural Network", 2015; Viola and Jones, "Rapid object detection using a boosted cascade
of simple features", CVPR 2001 (a cheap stage is fitted to let through what the dear one would find).
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from threading import Lock
from typing import Any

import numpy as np

from moderation.classifier import OUTPUTS, Array, probabilities
from moderation.encoder import Tokeniser
from moderation.linear import LinearClassifier, ends_sentence
from moderation.normalise import Folded

ROUTED_CHARACTERS = 2000
"""How much of a longer comment is read, around what the linear stage finds worst."""
LEAST_DOUBT = 0.1
"""How likely the encoder would reject, as the linear stage alone tells, from which the network is asked. Of the news
comments that choose thresholds half lie below, and one in fifty of those that the encoder would reject."""
LINEAR_SHARE = 0.3
"""How much the linear stage's logit counts beside the network's where the worst sentence is chosen. Of the long news
comments that choose thresholds the encoder ranks the passages so found better: AUC .69 to .72."""
WIDTH = 3
"""Neighbouring positions that a convolution reads."""
_KEPT_TOKENS = 200_000
_KEPT_LENGTH = 40


class Convolutions:
    """The network, in the arrays that `moderation train` writes.

    Parameters
    ----------
    arrays
        By name: ``words`` (n_pieces, n_embedded), whole numbers, and ``scales`` (n_pieces,), which they are multiplied
        by; for each convolution ``weights_N`` (3 * n_in, n_hidden) and ``bias_N`` (n_hidden,), N from 0; for the two
        layers of the head ``head`` (2 * n_hidden, n_hidden) and ``head_bias``, ``out`` (n_hidden, n_outputs) and
        ``out_bias``.

    Raises
    ------
    KeyError, ValueError
        When one is missing or of another shape.
    """

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self._words, self._scales = arrays["words"], arrays["scales"]
        layers = sum(name.startswith("weights_") for name in arrays)
        self._layers = [(arrays[f"weights_{n}"], arrays[f"bias_{n}"]) for n in range(layers)]
        self._head = [(arrays["head"], arrays["head_bias"]), (arrays["out"], arrays["out_bias"])]
        hidden = len(self._head[0][1])
        sizes = [(WIDTH * self._words.shape[1], hidden), *[(WIDTH * hidden, hidden)] * (layers - 1)]
        sizes += [(2 * hidden, hidden), (hidden, len(OUTPUTS))]
        shapes = [(weights.shape, bias.shape) for weights, bias in (*self._layers, *self._head)]
        if not layers or shapes != [(size, size[1:]) for size in sizes] or self._scales.shape != self._words.shape[:1]:
            raise ValueError(f"convolutions of shapes {shapes}")
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise ValueError("weights that are no numbers")

    def logits(self, ids: Sequence[int], starts: Sequence[int]) -> Array:
        """Give the logits of each sentence and, where there are several, of all together as the last row.

        Parameters
        ----------
        ids
            Of the word pieces, at least one.
        starts
            The first word piece of each sentence, the first 0, each greater than the one before.

        Returns
        -------
        ndarray of shape (n_sentences or n_sentences + 1, n_outputs)
        """
        rows = np.array(ids)
        hidden = self._words.take(rows, axis=0) * self._scales.take(rows)[:, None]
        for number, (weights, bias) in enumerate(self._layers):
            framed = np.zeros((len(hidden) + 2, hidden.shape[1]), dtype=np.float32)
            framed[1:-1] = hidden
            read = np.concatenate([framed[:-2], hidden, framed[2:]], axis=1) @ weights
            read += bias
            np.maximum(read, 0, out=read)
            hidden = hidden + read if number else read
        highest = np.maximum.reduceat(hidden, starts, axis=0)
        sums = np.add.reduceat(hidden, starts, axis=0)
        sizes = np.diff([*starts, len(ids)])
        if len(starts) > 1:
            highest = np.concatenate([highest, highest.max(axis=0, keepdims=True)])
            sums = np.concatenate([sums, sums.sum(axis=0, keepdims=True)])
            sizes = np.append(sizes, len(ids))
        pooled = np.concatenate([highest, sums / np.sqrt(sizes, dtype=np.float32)[:, None]], axis=1)
        (head, head_bias), (out, out_bias) = self._head
        logits = np.maximum(pooled @ head + head_bias, 0) @ out + out_bias
        return np.asarray(logits, dtype=np.float32)


class _Pieces(dict[str, tuple[tuple[int, ...], bool]]):
    """The word pieces of each text without white space, and whether it ends a sentence; read when first asked for."""

    def __init__(self, tokeniser: Tokeniser) -> None:
        super().__init__()
        self._tokeniser = tokeniser

    def __missing__(self, token: str) -> tuple[tuple[int, ...], bool]:
        known = self._tokeniser.tokens(token, ROUTED_CHARACTERS).ids[1:-1], ends_sentence(token)
        if len(token) <= _KEPT_LENGTH:
            if len(self) >= _KEPT_TOKENS:
                self.clear()
            self[token] = known
        return known


class Router:
    """The linear stage, and beside it what tells where the encoder should look.

    Parameters
    ----------
    linear
        Scores comments, and gives the evidence of what it rejects.
    convolutions, tokeniser
        The network and what cuts a text for it.
    first
        Shape (n_outputs + 3,): weights of the linear stage's logits, of the highest of its guidelines' and of the
        logarithm of a comment's characters, and an offset, that make the logit of how likely the encoder would reject.
    doubt
        Shape (2 * n_outputs + 4,): the same where the network is asked, its logits and the highest of its guidelines'
        first.
    """

    stage = "linear"

    def __init__(
        self, linear: LinearClassifier, convolutions: Convolutions, tokeniser: Tokeniser, first: Array, doubt: Array
    ) -> None:
        self.version = linear.version
        self._linear = linear
        self._convolutions = convolutions
        self._tokeniser = tokeniser
        self._pieces = _Pieces(tokeniser)
        self._first = first
        self._doubt = doubt

    def score(self, comments: Sequence[Folded]) -> Array:
        """Give the linear stage's calibrated probabilities, shape (n_comments, n_outputs), columns as in `OUTPUTS`."""
        return self._linear.score(comments)

    def evidence(self, comment: Folded, output: str) -> tuple[tuple[int, int], ...]:
        """Give the half-open spans of the original that carried one output's score of the linear stage."""
        return self._linear.evidence(comment, output)

    def score_and_doubt(self, comments: Sequence[Folded]) -> tuple[Array, Array]:
        """Give what `score` gives, and how likely the encoder would reject each comment, shape (n_comments,)."""
        logits = self._linear.logits(comments)
        texts = [comment.skeleton.text for comment in comments]
        seen = _with_length(_with_highest(logits), texts)
        doubts = _likely(seen, self._first)
        rows = np.flatnonzero(doubts >= LEAST_DOUBT).tolist()
        if rows:
            doubts[rows] = _likely(np.hstack([self._asked([texts[row] for row in rows]), seen[rows]]), self._doubt)
        return self._linear.calibrated(logits), doubts

    def seen(self, comments: Sequence[Folded]) -> Array:
        """Give what tells how likely the encoder would reject each comment, shape (n_comments, 2 * n_outputs + 3)."""
        texts = [comment.skeleton.text for comment in comments]
        return np.hstack([self._asked(texts), _with_length(_with_highest(self._linear.logits(comments)), texts)])

    def _asked(self, texts: Sequence[str]) -> Array:
        """Give the network's logits of each text's worst sentence, the highest guideline's last."""
        with _one_thread():
            return _with_highest(np.array(list(map(self._worst, texts))).reshape(-1, len(OUTPUTS)))

    def _worst(self, text: str) -> Array:
        start, end = self._linear.passage(text, ROUTED_CHARACTERS)
        ids: list[int] = []
        starts = [0]
        for line in text[start:end].split("\n"):
            for token in line.split():
                pieces, ends = self._pieces[token]
                ids += pieces
                if ends:
                    starts.append(len(ids))
            starts.append(len(ids))
        highest: Array = self._convolutions.logits(ids or [0], sorted({*starts} - {len(ids)}) or [0]).max(axis=0)
        return highest

    def passage(self, text: str, characters: int) -> tuple[int, int]:
        """Give the half-open span of whole sentences around the worst, which both judge.

        Parameters
        ----------
        text, characters
            As `LinearClassifier.passage` has them.
        """
        start, end = self._linear.passage(text, ROUTED_CHARACTERS)
        first, last = self._linear.passage(text[start:end], characters, self._judged)
        return start + first, start + last

    def _judged(self, text: str, starts: Sequence[int], logits: Array) -> Array:
        """Give how bad each sentence of a text is."""
        tokens = self._tokeniser.tokens(text, ROUTED_CHARACTERS)
        places = [first for first, _ in tokens.spans[1:-1]]
        pieces = [bisect_left(places, start) for start in (*starts, len(text))]
        filled = [left < right for left, right in pairwise(pieces)]
        judged = np.full(len(starts), -np.inf, dtype=np.float32)  # Of what has no word piece.
        if any(filled):
            firsts = [at for at, has in zip(pieces[:-1], filled, strict=True) if has]
            with _one_thread():
                own = self._convolutions.logits(tokens.ids[1:-1], firsts)
            judged[filled] = own[: sum(filled), 0] + LINEAR_SHARE * logits[filled]
        return judged


_POOLS = Lock()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Have products computed by one thread: how many there are changes their last digits."""
    # The setting is the process's: another thread that puts it back would change it for this one.
    with _POOLS, _pools().limit(limits=1, user_api="blas"):
        yield


@cache
def _pools() -> Any:
    import threadpoolctl

    return threadpoolctl.ThreadpoolController()


def _with_highest(logits: Array) -> Array:
    """Add the highest logit of a guideline as the last column."""
    return np.column_stack([logits, logits[:, 1:].max(axis=1, initial=-np.inf)])


def _with_length(seen: Array, texts: Sequence[str]) -> Array:
    """Add the logarithm of the characters as the last column."""
    return np.column_stack([seen, np.log1p(list(map(len, texts)))]).astype(np.float32)


def _likely(seen: Array, weights: Array) -> Array:
    # In double precision: how many rows are multiplied together must not change a digit that is kept.
    return probabilities(seen.astype(np.float64) @ weights[:-1] + weights[-1])
