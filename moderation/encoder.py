"""The encoder stage: a small transformer that reads what the linear stage leaves open.

It runs on ONNX Runtime and reads one passage of a comment, around what the stages before it find worst, so that no
comment takes long; where it names a group of people and may be rejected, one of `moderation.exchange` as well.
Passages are read one at a time: 8-bit activations are scaled by passage, so that a comment's score never depends on
what is beside it in a batch.
"""

import os
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from moderation.classifier import OUTPUTS, Array, mean_of_readings, probabilities
from moderation.errors import ModelError
from moderation.exchange import exchanged
from moderation.linear import LinearClassifier
from moderation.normalise import Folded

PASSAGE_CHARACTERS = 400
"""How much of a longer comment is read. More ranked the half of the news comments that chooses no better, 300 a little
worse."""
MAX_TOKENS = 256
"""Tokens that are read of it, both marks at the ends included; prose of so many characters has about a hundred."""
READ_AGAIN = 0.3
"""The least score, that any guideline is broken, at which a comment is read with another group's name as well. Below it
the mean of both hardly reaches a threshold, and a third of these readings are spared."""
KEPT_PASSAGES = 4096
"""Passages whose logits are kept, about 2 KB each."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """A passage's token ids and, for each, its half-open span in the text read (empty for the end marks)."""

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
    """Cuts a text into word pieces.

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

    def tokens(self, text: str, most: int = MAX_TOKENS) -> Tokens:
        """Give the pieces of a text's beginning, with both marks so many at most; an emoji is read by its name."""
        read, places = spelled(text)
        whole = self._tokenizer.encode(read, add_special_tokens=False)
        offsets = whole.offsets if places is None else [(places[a], places[b - 1] + 1) for a, b in whole.offsets]
        first, last = (self._tokenizer.token_to_id(mark) for mark in ("[CLS]", "[SEP]"))
        size = most - 2
        return Tokens((first, *whole.ids[:size], last), ((0, 0), *offsets[:size], (0, 0)))


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
        # Else it looks up its maker's server and leaves files in the home folder.
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            return onnxruntime.InferenceSession(self._raw, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # The library's exceptions have no common parent but this.
            raise ModelError(f"not a network ({error}); restore the model or train again") from error

    def run(self, tokens: Tokens) -> tuple[Array, Array]:
        """Give the logits of the outputs, shape (n_outputs,), and of the tokens, (n_tokens,).

        The last passages' are kept: a rejected comment's evidence is read from what gave its score.
        """
        return self._kept(np.array(tokens.ids, dtype=np.int64).tobytes())

    @cached_property
    def _kept(self) -> Callable[[bytes], tuple[Array, Array]]:
        # By the ids' bytes, which take a twentieth of the memory of the tokens with their spans.
        return lru_cache(KEPT_PASSAGES)(self._run)

    def _run(self, raw: bytes) -> tuple[Array, Array]:
        logits, tokens = self._session.run(None, {"ids": np.frombuffer(raw, dtype=np.int64)})
        return logits, tokens


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
    bar, gap
        A word counts as evidence whose logit reaches the bar and lies at most the gap below the highest.
    passage
        Gives the half-open span of so many characters of a longer text that is read; without, the linear stage does.
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
        gap: float = np.inf,
        passage: Callable[[str, int], tuple[int, int]] | None = None,
    ) -> None:
        self.version = linear.version
        self._shift = shift
        self.bar = bar
        self.gap = gap
        self._linear = linear
        self._worst = passage or linear.passage
        self._network = network
        self._tokeniser = tokeniser
        self._stacking = stacking

    def logits(self, comments: Sequence[Folded]) -> Array:
        """Give the encoder's own logits of each comment, the mean of its readings, shape (n_comments, n_outputs)."""
        return mean_of_readings(comments, self._logits)

    def _logits(self, texts: Sequence[str]) -> Array:
        found = np.zeros((len(texts), len(OUTPUTS)), dtype=np.float32)
        for row, text in enumerate(texts):
            found[row] = self._network.run(self._tokeniser.tokens(self._passage(text)[1]))[0]
        return found

    def _passage(self, text: str) -> tuple[int, str]:
        """Give where in a skeleton the passage that is read begins, and the passage."""
        start, end = self._worst(text, PASSAGE_CHARACTERS)
        return start, text[start:end]

    def score(self, comments: Sequence[Folded]) -> Array:
        """Give calibrated probabilities, shape (n_comments, n_outputs), columns as in `OUTPUTS`.

        The second reading of a comment that names a group is spared where the first gives less than `READ_AGAIN`.
        """
        texts = [comment.skeleton.text for comment in comments]
        first, linear = self._logits(texts), self._linear.logits(comments)
        scores = self.stacked(np.concatenate([first, linear], axis=1))
        rows = np.flatnonzero(scores[:, 0] >= READ_AGAIN).tolist()
        again = {row: other for row in rows if (other := exchanged(texts[row])) is not None}
        if again:
            rows = list(again)
            mean = (first[rows] + self._logits(list(again.values()))) / 2
            scores[rows] = self.stacked(np.concatenate([mean, linear[rows]], axis=1))
        return scores

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

    def evidence(self, comment: Folded, output: str) -> tuple[tuple[int, int], ...]:
        """Give the half-open spans of the original whose words speak for rejecting.

        They are those that annotators would mark in the comment as written, whatever the output; if no word reaches
        the bar, the one that comes nearest.
        """
        words = self.word_logits(comment)
        return marked(comment, words, self.bar, self.gap) or marked(comment, words, -np.inf, 0.0)

    def word_logits(self, comment: Folded) -> list[tuple[tuple[int, int], float]]:
        """Give, of each word read, its half-open span in the skeleton and its logit of being marked."""
        before, text = self._passage(comment.skeleton.text)
        tokens = self._tokeniser.tokens(text)
        logits = self._network.run(tokens)[1].tolist()
        pieces = {span: logit for span, logit in zip(tokens.spans, logits, strict=True) if span[0] < span[1]}
        return [((before + start, before + end), logit) for (start, end), logit in _words(text, pieces)]


def marked(
    comment: Folded, words: Sequence[tuple[tuple[int, int], float]], bar: float, gap: float
) -> tuple[tuple[int, int], ...]:
    """Give the half-open spans of the original of the words that reach the bar and lie within the gap of the highest.

    Neighbours are joined.
    """
    view = comment.skeleton
    bar = max(bar, max((logit for _, logit in words), default=0.0) - gap)
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
