"""How well the pipe decides: by source, on rows that neither trained it nor chose anything."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from moderation import datasets
from moderation.classifier import log_odds
from moderation.comment import Comment
from moderation.datasets import Labelled, span_f1
from moderation.decision import Decision, Verdict
from moderation.encoder import EncoderClassifier, marked
from moderation.moderator import Moderator
from moderation.normalise import fold
from moderation.policy import GUIDELINES, Policy

Floats = npt.NDArray[np.float64]
_BINS = 15
_CHUNK = 2000


@dataclass(frozen=True, slots=True)
class Quality:
    """Figures for one set of labelled comments; None where the set has one class only.

    Parameters
    ----------
    name, rows, rejected
        The set, its size and how many of it should be rejected.
    auc, score_auc
        Area under the ROC curve of the whole pipe (a comment that a rule rejects ranks above all) and
        of the classifier's score alone, 0 to 1.
    average_precision, precision, recall, f1
        Of the class ``reject``; the last three at the policy's thresholds.
    false_rejection
        Share of the comments to approve that were rejected.
    calibration_error
        Expected calibration error of the score in 15 equal bins (Guo et al., ICML 2017).
    """

    name: str
    rows: int
    rejected: int
    auc: float | None
    score_auc: float | None
    average_precision: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    false_rejection: float | None
    calibration_error: float


def quality(name: str, labels: Sequence[int], decisions: Sequence[Decision]) -> Quality:
    """Measure decisions against labels (1 reject, 0 approve)."""
    from sklearn.metrics import average_precision_score, precision_recall_fscore_support, roc_auc_score

    truth = np.array(labels)
    verdict = np.array([decision.verdict is Verdict.REJECT for decision in decisions])
    score = np.array([decision.score for decision in decisions])
    ranked = score + np.array([decision.decided_by == "rule" for decision in decisions])
    both = len(set(labels)) == 2
    precision, recall, f1, _ = precision_recall_fscore_support(truth, verdict, average="binary", zero_division=0.0)
    approve = truth == 0
    return Quality(
        name=name,
        rows=len(truth),
        rejected=int(truth.sum()),
        auc=float(roc_auc_score(truth, ranked)) if both else None,
        score_auc=float(roc_auc_score(truth, score)) if both else None,
        average_precision=float(average_precision_score(truth, ranked)) if both else None,
        precision=float(precision) if truth.any() else None,
        recall=float(recall) if truth.any() else None,
        f1=float(f1) if truth.any() else None,
        false_rejection=float(verdict[approve].mean()) if approve.any() else None,
        calibration_error=calibration_error(truth, score),
    )


def calibration_error(truth: npt.NDArray[np.int64], score: Floats) -> float:
    """Give the expected calibration error, 0 to 1, in 15 bins of equal width."""
    bins = np.minimum((score * _BINS).astype(int), _BINS - 1)
    gaps = [
        abs(float(truth[bins == part].mean()) - float(score[bins == part].mean())) * float((bins == part).mean())
        for part in np.unique(bins)
    ]
    return float(sum(gaps))


def review(moderator: Moderator, rows: Sequence[Labelled], report: Callable[[int], None]) -> list[Decision]:
    """Decide on labelled comments; ``report`` is told how many more are done."""
    decisions: list[Decision] = []
    for start in range(0, len(rows), _CHUNK):
        chunk = rows[start : start + _CHUNK]
        decisions.extend(moderator.review_many(Comment(row.text) for row in chunk))
        report(len(chunk))
    return decisions


def evaluation_sets(folder: Path) -> dict[str, list[Labelled]]:
    """Give the sets by name: sources held out whole, halves of the news sources that choose nothing, test folds.

    Test folds hold no near-duplicate of a training row.
    """
    rows = datasets.public(folder, ("held-out", "news", "train"))
    names = datasets.clusters([row.text for row in rows])
    uses = {name: source.use for name, source in datasets.sources().items()}
    found: dict[str, list[Labelled]] = {}
    for row, name in zip(rows, names, strict=True):
        if row.labels["reject"] is None or row.held_out:
            continue
        use = uses[row.source]
        if use == "held-out":
            found.setdefault(f"{row.source} (held out)", []).append(row)
        elif use == "news":
            if datasets.half_of(name) == "judge":
                found.setdefault(f"{row.source} (held out)", []).append(row)
        elif datasets.fold_of(name) == "test":
            found.setdefault(f"{row.source} (test fold)", []).append(row)
    return dict(sorted(found.items(), key=lambda item: (item[0].endswith("(test fold)"), item[0])))


def threshold_for(decisions: Iterable[Decision], false_rejection: float) -> float:
    """Give the threshold at which the classifier alone rejects at most this share of benign comments.

    Comments that a rule rejects count as rejected at every threshold.
    """
    scores = sorted((2.0 if d.decided_by == "rule" else d.score for d in decisions), reverse=True)
    allowed = int(false_rejection * len(scores))
    return min(1.0, scores[allowed] + 1e-6) if allowed < len(scores) else 0.0


def by_guideline(rows: Sequence[Labelled], decisions: Sequence[Decision]) -> Mapping[str, float | None]:
    """Give the AUC of each guideline's score where the rows are labelled for it."""
    from sklearn.metrics import roc_auc_score

    found: dict[str, float | None] = {}
    for guideline in GUIDELINES:
        said = [
            (row.labels[guideline], decision.scores.get(guideline, 0.0))
            for row, decision in zip(rows, decisions, strict=True)
            if row.labels[guideline] is not None
        ]
        labels = [label for label, _ in said]
        found[guideline] = float(roc_auc_score(labels, [s for _, s in said])) if len(set(labels)) == 2 else None
    return found


JIGSAW = {
    "toxic": ("any",),
    "severe_toxic": ("any", "profanity"),
    "obscene": ("profanity", "vulgarity"),
    "threat": ("threat",),
    "insult": ("personal_attack",),
    "identity_hate": ("abuse",),
}
"""The labels of the Jigsaw 2018 challenge, and the scores whose mean log-odds stand for each."""


def jigsaw_auc(rows: Sequence[Labelled], decisions: Sequence[Decision]) -> Mapping[str, float]:
    """Give the AUC for each of Jigsaw's six labels on the rows that have all six, and their ``mean``.

    Parameters
    ----------
    rows
        Of jigsaw-subsets; their note is six digits, in the order of `JIGSAW`.
    """
    from sklearn.metrics import roc_auc_score

    six = [(row.note, decision) for row, decision in zip(rows, decisions, strict=True) if len(row.note) == 6]
    found = {}
    for place, (label, outputs) in enumerate(JIGSAW.items()):
        scores = np.array([[d.score if o == "any" else d.scores[o] for o in outputs] for _, d in six])
        found[label] = float(roc_auc_score([int(note[place]) for note, _ in six], log_odds(scores).mean(axis=1)))
    return found | {"mean": float(np.mean(list(found.values())))}


def promotion_sets(folder: Path) -> dict[str, list[Labelled]]:
    """Give the sets that measure promotion: each video's comments never trained on, labelled for promotion."""
    found: dict[str, list[Labelled]] = {}
    for row in datasets.public(folder, ("train",)):
        if row.held_out and row.labels["promotion"] is not None:
            found.setdefault(f"{row.source} {Path(row.note).stem}", []).append(row)
    return found


def promotion_f1(rows: Sequence[Labelled], decisions: Sequence[Decision]) -> float:
    """Give the F1 of rejecting for promotion, 0 to 1."""
    from sklearn.metrics import f1_score

    return float(f1_score([row.labels["promotion"] for row in rows], ["promotion" in d.guidelines for d in decisions]))


def evidence_f1(
    encoder: EncoderClassifier, policy: Policy, rows: Sequence[Labelled], marks: Mapping[str, Sequence[tuple[int, int]]]
) -> tuple[int, float]:
    """Give how well the encoder's evidence agrees with what annotators marked.

    Parameters
    ----------
    rows
        Comments; those that are not labelled ``reject``, or are not in ``marks``, are left out.
    marks
        As `datasets.rationales` gives them.

    Returns
    -------
    tuple
        How many comments, and the mean F1 of characters; as in the toxic-spans task a comment without marks
        counts 1 where nothing is found, else 0.

    Source: Pavlopoulos et al., "SemEval-2021 Task 5: Toxic Spans Detection".
    """
    rows = [row for row in rows if row.labels["reject"] == 1 and row.text in marks]
    agreement = []
    for row in rows:
        comment = fold(row.text, policy.words)
        found = marked(comment, encoder.word_logits(comment), encoder.bar, encoder.gap)
        agreement.append(span_f1(found, marks[row.text]))
    return len(rows), float(np.mean(agreement)) if agreement else 0.0


@dataclass(frozen=True, slots=True)
class RuleQuality:
    """How often a rule fired on labelled comments, and how many of these were to be rejected."""

    rule: str
    fired: int
    right: int

    @property
    def precision(self) -> float | None:
        """Share of the comments it fired on that were to be rejected; None if it never fired."""
        return self.right / self.fired if self.fired else None


def rule_quality(moderator: Moderator, rows: Sequence[Labelled], decisions: Sequence[Decision]) -> list[RuleQuality]:
    """Measure every rule of the policy on labelled comments."""
    fired = dict.fromkeys((rule.id for rule in moderator.policy.rules), 0)
    right = dict(fired)
    for row, decision in zip(rows, decisions, strict=True):
        for rule in {finding.rule for finding in decision.findings} & fired.keys():
            fired[rule] += 1
            right[rule] += row.labels["reject"] or 0
    return [RuleQuality(rule, fired[rule], right[rule]) for rule in fired]
