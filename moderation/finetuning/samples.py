"""Draw training comments, and disturb some of them."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

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

MOST_OTHERS = 4
"""Harmless comments around a padded one."""

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
    plain
        The tokens of the comment as it was written, where it is learned otherwise; empty elsewhere.
    """

    ids: tuple[int, ...]
    labels: tuple[float, ...]
    weight: float
    marked: tuple[float, ...] | None
    public: bool
    plain: tuple[int, ...] = ()


_PUNCTUATION = re.compile(r"[^\w\s']+")
_SPAN_SOURCE = "civil-toxic-spans"
_DISGUISES = ("misspelling", "joining", "leetspeak", "masking", "spacing", "stretching")


class Samples:
    """Draws each stage's comments from the training folds, and disturbs some of them.

    What is disturbed: punctuation lost, some words disguised, harmless comments around it, a group exchanged.
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
            always, sometimes = divmod(stage.often.get(rows[0].source, stage.own), 1)
            for fillings in lines.values():
                times = int(always) + (chance.random() < sometimes)
                drawn.extend((row, 1.0) for row in chance.sample(fillings, min(times, len(fillings))))
                drawn.extend((fillings[0], 1.0) for _ in range(times - len(fillings)))
        chance.shuffle(drawn)
        return [self._sample(row, weight, stage, chance) for row, weight in drawn]

    def _sample(self, row: Labelled, weight: float, stage: Stage, chance: random.Random) -> Sample:
        labels = tuple(-1.0 if value is None else float(value) for value in (row.labels[n] for n in _LABELS))
        public = is_public(row.source)
        shares = self._shares.get(row.text) if row.source == _SPAN_SOURCE else None
        written = row.text if shares is not None else self._disturbed(row.text, stage, chance)
        before, after = self._others(len(written), stage, chance)
        comment = fold(before + written + after, self._words)
        text = comment.skeleton.text
        if not public and (other := exchanged(text)) is not None and chance.random() < EXCHANGED_SHARE:
            text = other
        start, tokens = self._read(text)
        marked = None
        if shares is not None:
            around = [np.zeros(len(part), dtype=np.float32) for part in (before, after)]
            marked = marked_tokens(comment.skeleton, start, tokens, np.concatenate([around[0], shares, around[1]]))
        plain: tuple[int, ...] = ()
        if stage.taught and public and before + written + after != row.text:
            plain = self._read(fold(row.text, self._words).skeleton.text)[1].ids
        return Sample(tokens.ids, labels, weight, marked, public, plain)

    def _read(self, text: str) -> tuple[int, Tokens]:
        """Give where the passage begins that is learned, and its tokens."""
        start, end = self._linear.passage(text, PASSAGE_CHARACTERS)
        return start, self._tokeniser.tokens(text[start:end], SAMPLE_TOKENS)

    def _disturbed(self, text: str, stage: Stage, chance: random.Random) -> str:
        if chance.random() < 0.15:
            text = _PUNCTUATION.sub(" ", text)
        if chance.random() < stage.disguised and (words := content_words(text)):
            attack = ATTACKS[chance.choice(_DISGUISES)]
            text = attack(text, chance, sorted(chance.sample(words, min(len(words), chance.randint(1, 3)))))
        return text

    def _others(self, size: int, stage: Stage, chance: random.Random) -> tuple[str, str]:
        """Give harmless comments to write before and after one of so many characters, often none.

        No more than would be read with it, else what breaks the guideline might not be.
        """
        before, after = "", ""
        if chance.random() < stage.padded:
            for _ in range(chance.randint(1, MOST_OTHERS)):
                other = chance.choice(self._harmless)
                size += len(other) + 1
                if size > PASSAGE_CHARACTERS:
                    break
                if chance.random() < 0.5:
                    before += f"{other} "
                else:
                    after += f" {other}"
        return before, after


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
