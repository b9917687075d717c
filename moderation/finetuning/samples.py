"""Draw training comments, and disturb some of them."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from moderation import datasets
from moderation.attacks import ATTACKS, content_words
from moderation.classifier import OUTPUTS, Array
from moderation.datasets import Labelled
from moderation.encoder import PASSAGE_CHARACTERS, Tokeniser, Tokens
from moderation.exchange import exchanged
from moderation.finetuning.network import base_folder
from moderation.finetuning.stages import Stage
from moderation.linear import LinearClassifier
from moderation.normalise import View, fold
from moderation.policy import Policy

BATCH_TOKENS = 3072
"""Tokens in a batch, padding included."""
SAMPLE_TOKENS = 128
"""Tokens of a comment's passage that are learned."""

EXCHANGED_SHARE = 0.5
"""Of the comments that name a group and are of no public source, how many are learned with the other group's name."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One training comment.

    Parameters
    ----------
    ids
        Of its tokens.
    labels
        How far each output applies, 0 to 1; -1 where that is not said.
    weight
        How much it counts.
    marked
        Which share of the annotators marked each token, where they did; None elsewhere.
    public
        Whether it is of a public source.
    """

    ids: tuple[int, ...]
    labels: tuple[float, ...]
    weight: float
    marked: tuple[float, ...] | None
    public: bool


_PUNCTUATION = re.compile(r"[^\w\s']+")
_SPAN_SOURCE = "civil-toxic-spans"
_DISGUISES = ("misspelling", "joining", "leetspeak", "masking", "spacing", "stretching")


class Samples:
    """Draws each stage's comments from the training folds, and disturbs some of them.

    What is disturbed: punctuation lost, some words disguised, a harmless comment before or after, a group exchanged.
    Without it the model would learn from style, which tells the sources apart. Of a long comment the passage is
    learned that would be read.

    Parameters
    ----------
    data
        Where the public data sets lie.
    fit
        The rows of the training folds.
    policy
        Whose terms tell what a disguise may hide.
    linear
        The stage that chooses the passage.
    """

    def __init__(self, data: Path, fit: Sequence[Labelled], policy: Policy, linear: LinearClassifier) -> None:
        self._words = policy.words
        self._linear = linear
        self._tokeniser = Tokeniser((base_folder() / "tokenizer.json").read_bytes())
        self._by_source: dict[str, list[Labelled]] = {}
        for row in fit:
            self._by_source.setdefault(row.source, []).append(row)
        self._own = [rows for source, rows in self._by_source.items() if not is_public(source)]
        self._shares = datasets.marked_shares(data)
        self._harmless = [row.text for rows in self._own for row in rows if row.labels["reject"] == 0]

    def draw(self, stage: Stage, seed: int) -> list[Sample]:
        """Give a stage's samples in the order in which they are learned, batches of like length apart."""
        chance = random.Random(f"{seed} {stage.name}")
        drawn: list[tuple[Labelled, float]] = []
        for source, count in stage.rows.items():
            rows = self._by_source.get(source, [])
            named = datasets.sources()[source].weight
            weight = min(1.0, max(0.3, named))
            drawn.extend((row, weight) for row in chance.sample(rows, min(count, len(rows))))
        for rows in self._own:
            lines: dict[str, list[Labelled]] = {}
            for row in rows:
                lines.setdefault(row.line or row.text, []).append(row)
            times = stage.often.get(rows[0].source, stage.own)
            for fillings in lines.values():
                drawn.extend((row, 1.0) for row in chance.sample(fillings, min(times, len(fillings))))
                drawn.extend((fillings[0], 1.0) for _ in range(times - len(fillings)))
        chance.shuffle(drawn)
        return [self._sample(row, weight, chance) for row, weight in drawn]

    def _sample(self, row: Labelled, weight: float, chance: random.Random) -> Sample:
        labels = tuple(-1.0 if value is None else float(value) for value in (row.labels[n] for n in _LABELS))
        public = is_public(row.source)
        shares = self._shares.get(row.text) if row.source == _SPAN_SOURCE else None
        comment = fold(row.text if shares is not None else self._disturbed(row.text, chance), self._words)
        text = comment.skeleton.text
        if not public and (other := exchanged(text)) is not None and chance.random() < EXCHANGED_SHARE:
            text = other
        start, end = self._linear.passage(text, PASSAGE_CHARACTERS)
        tokens = self._tokeniser.tokens(text[start:end], SAMPLE_TOKENS)
        marked = None if shares is None else marked_tokens(comment.skeleton, start, tokens, shares)
        return Sample(tokens.ids, labels, weight, marked, public)

    def _disturbed(self, text: str, chance: random.Random) -> str:
        if chance.random() < 0.15:
            text = _PUNCTUATION.sub(" ", text)
        if chance.random() < 0.3 and (words := content_words(text)):
            attack = ATTACKS[chance.choice(_DISGUISES)]
            text = attack(text, chance, sorted(chance.sample(words, min(len(words), chance.randint(1, 3)))))
        if chance.random() < 0.3:
            other = chance.choice(self._harmless)
            if len(other) + len(text) < PASSAGE_CHARACTERS:  # Else what breaks the guideline might not be read.
                text = f"{other} {text}" if chance.random() < 0.5 else f"{text} {other}"
        return text


def is_public(source: str) -> bool:
    """Whether it is a public data set: neither written for this project nor what moderators said."""
    return not source.startswith(datasets.OWN) and source != datasets.FEEDBACK


_LABELS = tuple("reject" if output == "any" else output for output in OUTPUTS)


def marked_tokens(view: View, begin: int, tokens: Tokens, shares: Array) -> tuple[float, ...]:
    """Give the mean share of annotators who marked the original characters of each token; 0 for the end marks.

    Parameters
    ----------
    begin
        Where in the view the text begins that the tokens are of.
    """
    found = []
    for start, end in tokens.spans:
        first, last = view.original(begin + start, begin + end) if start < end else (0, 0)
        found.append(float(shares[first:last].mean()) if first < last else 0.0)
    return tuple(found)


def batches(samples: Sequence[Sample], chance: random.Random, most: int = BATCH_TOKENS) -> list[list[Sample]]:
    """Give batches of like length, at most so many tokens with padding, in random order."""
    found: list[list[Sample]] = []
    pool = 4096
    for start in range(0, len(samples), pool):
        batch: list[Sample] = []
        made: list[list[Sample]] = []
        for sample in sorted(samples[start : start + pool], key=lambda s: len(s.ids)):
            if batch and (len(batch) + 1) * len(sample.ids) > most:
                made.append(batch)
                batch = []
            batch.append(sample)
        made.append(batch)
        chance.shuffle(made)
        found.extend(made)
    return found
