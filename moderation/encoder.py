"""The encoder stage: a small transformer that reads what the linear stage leaves open.

It runs on ONNX Runtime, one window of a comment at a time: 8-bit activations are scaled by window, so that
a comment's score never depends on what is beside it in a batch.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from moderation.classifier import OUTPUTS, Array, log_odds, probabilities
from moderation.errors import ModelError
from moderation.linear import LinearClassifier
from moderation.normalise import Folded

MAX_TOKENS = 128
"""Tokens of a window, both marks at its ends included."""
STRIDE_TOKENS = 100
"""How far one window of a longer comment lies behind the one before."""
MAX_WINDOWS = 40
"""Windows of a very long comment that are read, spread evenly over it."""
KEPT_WINDOWS = 4096
"""Windows whose logits are kept, about 2 KB each."""
EVEN_GATE = np.zeros(len(OUTPUTS) + 1, dtype=np.float32)
"""Doubts every comment alike, by half."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """A window's token ids and, for each, its half-open span in the text read (empty for the end marks)."""

    ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]


_EMOJI = re.compile("[\u2300-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff]")
_SKIN = dict(zip(range(0x1F3FB, 0x1F400), ("light", "medium light", "medium", "medium dark", "dark"), strict=True))


def spelled(text: str) -> tuple[str, list[int] | None]:
    """Give the text with emoji written out as words, and for each of its characters the offset in ``text``.

    The encoder's vocabulary has no emoji; the offsets are None where there is nothing to write out.
    """
    if not _EMOJI.search(text):
        return text, None
    parts: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text):
        if _EMOJI.match(character):
            skin = _SKIN.get(ord(character))
            character = f" {f'{skin} skin' if skin else unicodedata.name(character, '').lower()} "
        parts.append(character)
        places.extend([place] * len(character))
    return "".join(parts), places


class Tokeniser:
    """Cuts a text into windows of word pieces.

    Raises
    ------
    ModelError
        When the file's bytes are no tokeniser.
    """

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        try:
            tokenizer = Tokenizer.from_buffer(self._raw)
        except Exception as error:  # The library raises no narrower one.
            raise ModelError(f"not a tokeniser ({error}); restore the model or train again") from error
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    def windows(self, text: str) -> list[Tokens]:
        """Give the windows of a text, at least one; an emoji is read by its Unicode name."""
        read, places = spelled(text)
        whole = self._tokenizer.encode(read, add_special_tokens=False)
        offsets = whole.offsets if places is None else [(places[a], places[b - 1] + 1) for a, b in whole.offsets]
        first, last = (self._tokenizer.token_to_id(mark) for mark in ("[CLS]", "[SEP]"))
        size = MAX_TOKENS - 2
        starts = [0, *range(STRIDE_TOKENS, len(whole.ids) - size + STRIDE_TOKENS, STRIDE_TOKENS)]
        if len(starts) > MAX_WINDOWS:
            starts = [starts[round(i * (len(starts) - 1) / (MAX_WINDOWS - 1))] for i in range(MAX_WINDOWS)]
        return [
            Tokens(
                (first, *whole.ids[start : start + size], last),
                ((0, 0), *offsets[start : start + size], (0, 0)),
            )
            for start in starts
        ]


class Network:
    """The exported network, run on one core: files are reviewed by several processes.

    Parameters
    ----------
    raw
        The ONNX file's bytes.
    """

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    @cached_property
    def _session(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            return onnxruntime.InferenceSession(self._raw, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # The library's exceptions have no common parent but this.
            raise ModelError(f"not a network ({error}); restore the model or train again") from error

    def run(self, window: Tokens) -> tuple[Array, Array]:
        """Give the logits of the outputs, shape (n_outputs,), and of the tokens, (n_tokens,).

        The last windows' are kept: a rejected comment's evidence is read from what gave its score.
        """
        return self._kept(np.array(window.ids, dtype=np.int64).tobytes())

    @cached_property
    def _kept(self) -> Callable[[bytes], tuple[Array, Array]]:
        # By the ids' bytes, which take a twentieth of the memory of a window with its spans.
        return lru_cache(KEPT_WINDOWS)(self._run)

    def _run(self, raw: bytes) -> tuple[Array, Array]:
        ids = np.frombuffer(raw, dtype=np.int64)[np.newaxis]
        logits, tokens = self._session.run(None, {"ids": ids, "mask": np.ones_like(ids)})
        return logits[0], tokens[0]


class EncoderClassifier:
    """The encoder stage; it weighs its own logit with the linear stage's, which reads letters and not word pieces.

    Parameters
    ----------
    stacking
        Shape (n_outputs, 2 * n_outputs + 1): for each output the weights of the encoder's logits and of the
        linear stage's, and an offset, that make the logit of a probability.
    shift
        Shape (n_outputs,): what is added to each output's logit before the highest makes that of any
        guideline; so a plain threat counts although its comment is otherwise mild.
    bar
        Logit from which a word counts as evidence.
    gate
        Shape (n_outputs + 1,): weights of the logits of the linear scores, and an offset, that make the logit of
        the probability that the encoder would reject; see `doubt`.
    """

    stage = "encoder"

    def __init__(
        self,
        linear: LinearClassifier,
        network: Network,
        tokeniser: Tokeniser,
        stacking: Array,
        shift: Array,
        bar: float,
        gate: Array = EVEN_GATE,
    ) -> None:
        self.version = linear.version
        self._shift = shift
        self._gate = gate
        self.bar = bar
        self._linear = linear
        self._network = network
        self._tokeniser = tokeniser
        self._stacking = stacking

    def logits(self, comments: Sequence[Folded]) -> Array:
        """Give the encoder's own logits of each comment's worst window, shape (n_comments, n_outputs)."""
        found = np.zeros((len(comments), len(OUTPUTS)), dtype=np.float32)
        for row, comment in enumerate(comments):
            windows = self._tokeniser.windows(comment.skeleton.text)
            found[row] = np.max([self._network.run(window)[0] for window in windows], axis=0)
        return found

    def score(self, comments: Sequence[Folded]) -> Array:
        """Give calibrated probabilities, shape (n_comments, n_outputs), columns as in `OUTPUTS`."""
        return self.stacked(np.concatenate([self.logits(comments), self._linear.logits(comments)], axis=1))

    def stacked(self, both: Array) -> Array:
        """Give the probabilities, shape (n_comments, n_outputs), that the encoder's and the linear logits make.

        Parameters
        ----------
        both
            Shape (n_comments, 2 * n_outputs): the encoder's own logits, then the linear stage's.
        """
        # In double precision: how many rows are multiplied together must not change a digit that is kept.
        logits = both.astype(np.float64) @ self._stacking[:, :-1].T + self._stacking[:, -1]
        logits[:, 0] = (logits + self._shift).max(axis=1)
        return probabilities(logits)

    def doubt(self, scores: Array) -> Array:
        """Give how likely the encoder would reject each comment, 0 to 1, judging from its linear scores alone.

        Parameters
        ----------
        scores
            Of the linear stage, shape (n_comments, n_outputs).
        """
        return probabilities(log_odds(scores).astype(np.float64) @ self._gate[:-1] + self._gate[-1])

    def evidence(self, comment: Folded, output: str) -> tuple[tuple[int, int], ...]:
        """Give the half-open spans of the original whose words speak for rejecting.

        They are those that annotators would mark, whatever the output; if no word reaches the bar, the one
        that comes nearest.
        """
        words = self.word_logits(comment)
        if not words:
            return ()
        return joined(comment, words, self.bar) or joined(comment, words, max(logit for _, logit in words))

    def word_logits(self, comment: Folded) -> list[tuple[tuple[int, int], float]]:
        """Give each word's half-open span in the skeleton and its logit of being marked."""
        text = comment.skeleton.text
        pieces: dict[tuple[int, int], float] = {}
        for window in self._tokeniser.windows(text):
            for span, logit in zip(window.spans, self._network.run(window)[1].tolist(), strict=True):
                if span[0] < span[1]:
                    pieces[span] = max(logit, pieces.get(span, -np.inf))
        return _words(text, pieces)


def joined(comment: Folded, words: Sequence[tuple[tuple[int, int], float]], bar: float) -> tuple[tuple[int, int], ...]:
    """Give the half-open spans of the original of the words whose logit reaches the bar; neighbours are joined."""
    view = comment.skeleton
    spans: list[tuple[int, int]] = []
    for (start, end), logit in words:
        if logit < bar:
            continue
        if spans and not view.text[spans[-1][1] : start].strip():
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return tuple(view.original(start, end) for start, end in spans)


def _words(text: str, pieces: dict[tuple[int, int], float]) -> list[tuple[tuple[int, int], float]]:
    """Join word pieces that touch and are letters or digits; a word counts as much as its highest piece."""
    words: list[tuple[tuple[int, int], float]] = []
    for (start, end), logit in sorted(pieces.items()):
        if words and words[-1][0][1] == start and text[start].isalnum() and text[start - 1].isalnum():
            words[-1] = ((words[-1][0][0], end), max(words[-1][1], logit))
        else:
            words.append(((start, end), logit))
    return words
