"""The figures of a model and its card, written from measurements alone."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from moderation import datasets
from moderation.decision import Decision, Verdict
from moderation.evaluation import (
    by_guideline,
    evaluation_sets,
    is_benign_news,
    news_half,
    quality,
    review,
    threshold_for,
)
from moderation.moderator import Moderator
from moderation.paths import DATA
from moderation.policy import GUIDELINES

TARGET_FALSE_REJECTION = 0.01
"""Share of benign news comments that the shipped operating point may reject."""

_COLUMNS = (
    ("set", "name"),
    ("rows", "rows"),
    ("reject", "rejected"),
    ("AUC", "auc"),
    ("AUC of score", "score_auc"),
    ("AP", "average_precision"),
    ("precision", "precision"),
    ("recall", "recall"),
    ("F1", "f1"),
    ("false rej.", "false_rejection"),
    ("ECE", "calibration_error"),
)
Progress = Callable[[int, int], None]


def measure(data: Path, moderator: Moderator, progress: Progress) -> dict[str, Any]:
    """Measure the pipe on every evaluation set, on benign news comments and on the suites of our own.

    Returns
    -------
    dict
        ``policy``, ``model``, ``sets`` (list of the fields of `Quality`), ``guidelines`` (AUC of each
        guideline's score on the test folds), ``news`` and ``suites``.

    Raises
    ------
    ModerationError
        When the data sets cannot be read.
    """
    done = rejected = 0

    def decide(rows: Sequence[datasets.Labelled]) -> list[Decision]:
        nonlocal rejected

        def told(count: int) -> None:
            nonlocal done
            done += count
            progress(done, rejected)

        decisions = review(moderator, rows, told)
        rejected += sum(decision.verdict is Verdict.REJECT for decision in decisions)
        return decisions

    sets = evaluation_sets(data)
    qualities = []
    tested: list[tuple[datasets.Labelled, Decision]] = []
    for name, rows in sets.items():
        decisions = decide(rows)
        qualities.append(asdict(quality(name, [row.labels["reject"] or 0 for row in rows], decisions)))
        if name.endswith("(test fold)"):
            tested.extend(zip(rows, decisions, strict=True))
    return {
        "policy": moderator.policy.identity,
        "model": moderator.classifier.version,
        "thresholds": dict(moderator.policy.thresholds),
        "sets": qualities,
        "guidelines": by_guideline([row for row, _ in tested], [decision for _, decision in tested]),
        "news": _news(data, decide),
        "suites": _suites(decide),
    }


def _news(data: Path, decide: Callable[[Sequence[datasets.Labelled]], list[Decision]]) -> dict[str, Any]:
    """Give the rates on news comments, and the threshold that one half of them would choose."""
    judged = news_half(data, "judge")
    decisions = decide(judged)
    benign = [d for row, d in zip(judged, decisions, strict=True) if is_benign_news(row)]
    toxic = [d for row, d in zip(judged, decisions, strict=True) if row.labels["reject"] == 1]
    choosing = decide([row for row in news_half(data, "choose") if is_benign_news(row)])
    return {
        "benign_rows": len(benign),
        "benign_rejected": sum(d.verdict is Verdict.REJECT for d in benign),
        "benign_rejected_by_rule": sum(d.decided_by == "rule" for d in benign),
        "toxic_rows": len(toxic),
        "toxic_rejected": sum(d.verdict is Verdict.REJECT for d in toxic),
        "threshold_chosen": threshold_for(choosing, TARGET_FALSE_REJECTION),
        "choosing_rejected_by_rule": sum(d.decided_by == "rule" for d in choosing),
        "choosing_rows": len(choosing),
    }


def _suites(decide: Callable[[Sequence[datasets.Labelled]], list[Decision]]) -> dict[str, Any]:
    """Give the share of right verdicts for each function of the suites written for this project."""
    folder = DATA / "suites"
    if not folder.is_dir():
        return {}
    rows = datasets.own(folder)
    right: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for row, decision in zip(rows, decide(rows), strict=True):
        name = f"{row.source.partition(':')[2]}/{row.function}"
        total[name] += 1
        right[name] += (decision.verdict is Verdict.REJECT) == bool(row.labels["reject"])
    return {name: {"right": right[name], "cases": total[name]} for name in total}


def _figure(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2%}" if whole else "-"


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def table(figures: Mapping[str, Any]) -> str:
    """Draw the figures as text."""
    rows = [[_figure(entry[key]) for _, key in _COLUMNS] for entry in figures["sets"]]
    news = figures["news"]
    lines = [
        f"policy {figures['policy']}, model {figures['model']}, thresholds {figures['thresholds']}",
        "",
        _markdown([heading for heading, _ in _COLUMNS], rows),
        "",
        "AUC of each guideline's score, test folds: "
        + ", ".join(f"{name} {_figure(value)}" for name, value in figures["guidelines"].items()),
        "",
        f"News comments that choose nothing: {news['benign_rejected']} of {news['benign_rows']} benign ones rejected "
        f"({_share(news['benign_rejected'], news['benign_rows'])}, {news['benign_rejected_by_rule']} of them by rule); "
        f"{news['toxic_rejected']} of {news['toxic_rows']} toxic ones rejected "
        f"({_share(news['toxic_rejected'], news['toxic_rows'])}).",
        f"Threshold at which the other half would lose {TARGET_FALSE_REJECTION:.0%} of its benign comments: "
        f"{news['threshold_chosen']:.3f}.",
    ]
    if suites := figures["suites"]:
        right = sum(entry["right"] for entry in suites.values())
        total = sum(entry["cases"] for entry in suites.values())
        lines += ["", f"Suites of our own: {right} of {total} verdicts right ({right / total:.1%})."]
        lines.append(
            _markdown(
                ["function", "right", "cases"],
                [[name, str(entry["right"]), str(entry["cases"])] for name, entry in suites.items()],
            )
        )
    return "\n".join(lines)


def write_card(folder: Path, version: str, figures: Mapping[str, Any]) -> None:
    """Write ``metrics.json`` and ``CARD.md`` of a model into its folder, from what `measure` gave."""
    (folder / "metrics.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    sources = datasets.sources().values()
    trained = [[s.name, s.licence, s.url, str(s.weight)] for s in sources if s.use == "train"]
    unused = ", ".join(s.name for s in sources if s.use in ("held-out", "news"))
    card = f"""# Model card: {version}

Written by `moderation train`; every figure below is measured by it and repeated by
`moderation evaluate`.

## What it is
A linear model over hashed words, letter pieces and word pairs with naive-Bayes weights: one calibrated
probability for each guideline ({", ".join(GUIDELINES)}) and one that any is broken. Each sentence is scored
alone as well as the whole comment, and the worst counts. English only.

## Intended use and limits
It scores what the rules of a policy leave open; alone it is not a moderator. It judges words and not facts: it
sees neither the article nor the conversation, misses veiled threats and irony, and its labels come from raters who
disagree with each other and with the policy. Figures on tweets and forums say little about a news site; read the
news lines. Where people's livelihood or safety hang on a decision, a person must look.

## Training data
{_markdown(["source", "licence", "from", "weight"], trained)}

and the sentences in `data/training`, written for this project (weight 8). Never trained on: {unused}.
Near-duplicates of held-out and test rows are left out. Sources with unclear or non-commercial licences took no part
in fitting or calibration; half of the news comments chose the thresholds.

## Measured
{table(figures)}
"""
    (folder / "CARD.md").write_text(card, encoding="utf-8")
