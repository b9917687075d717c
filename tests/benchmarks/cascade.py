"""Measure what rules, linear stage and encoder each add, and what the cascade costs; draw quality against speed.

Quality is measured on the half of the news comments that chooses nothing and on the sources held out whole;
speed on one core, on news comments, from texts in memory to decisions.

Usage: python tests/benchmarks/cascade.py --data DIR [--policy FILE] [--model DIR] [--chart FILE.svg] [--rows N]
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from moderation import ModerationError, Moderator, datasets
from moderation.charts import Point, frontier
from moderation.classifier import OUTPUTS
from moderation.datasets import Labelled, is_benign_news, news_half
from moderation.decision import Decision, Verdict
from moderation.evaluation import evaluation_sets, quality, review
from moderation.normalise import Folded

SPEED_ROWS = 3000


class Silent:
    """A classifier that finds nothing, so that the rules decide alone."""

    version, stage = "none", "linear"

    def score(self, comments: Sequence[Folded]) -> np.ndarray:
        """Give nothing."""
        return np.zeros((len(comments), len(OUTPUTS)), dtype=np.float32)

    def evidence(self, comment: Folded, output: str) -> tuple[tuple[int, int], ...]:
        """Give nothing."""
        return ()


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the labelled data sets")
    parser.add_argument("--policy", type=Path, help="policy file; the one shipped if not given")
    parser.add_argument("--model", type=Path, help="model folder; the one shipped if not given")
    parser.add_argument("--chart", type=Path, help="where to draw quality against speed (SVG)")
    parser.add_argument("--rows", type=int, default=1500, help="comments of each source held out (default 1500)")
    options = parser.parse_args()
    try:
        whole = Moderator.load(options.policy, options.model)
        news = news_half(options.data, "judge")
        sets = {
            name: rows[: options.rows]
            for name, rows in evaluation_sets(options.data).items()
            if name.endswith("(held out)") and not name.startswith(("c3", "unhealthy"))
        }
        suites = datasets.own(datasets.DATA / "suites")
    except ModerationError as error:
        print(error, file=sys.stderr)
        return 3
    if whole.encoder is None:
        print("this model has no encoder, or the policy turns it off", file=sys.stderr)
        return 3
    policy, linear, encoder = whole.policy, whole.classifier, whole.encoder
    bare = replace(policy, rules=())
    variants = {
        "rules": Moderator(policy, Silent()),
        "linear": Moderator(bare, linear),
        "encoder": Moderator(bare, encoder),
        "rules + linear": Moderator(policy, linear),
        "rules + encoder": Moderator(policy, encoder),
        "rules + cascade": whole,
    }
    print(f"policy {policy.identity}, model {linear.version}, {policy.encoder}\n")
    print(
        "| classifier | news AUC | news AP | benign news rejected | toxic news rejected | held out AUC "
        "| suites right | comments a second |"
    )
    print("| --- " * 8 + "|", flush=True)
    precision, speed = {}, {}
    for name, moderator in variants.items():
        texts = [row.text for row in news][: SPEED_ROWS // (6 if name.endswith("encoder") else 1)]
        moderator.review_many(texts[:200])
        begun = time.perf_counter()
        for start in range(0, len(texts), 500):
            moderator.review_many(texts[start : start + 500])
        speed[name] = len(texts) / (time.perf_counter() - begun)
        figures, benign, toxic = on_news(moderator, news)
        precision[name] = figures.average_precision or 0.0
        aucs = [judged(moderator, rows).auc or 0.0 for rows in sets.values()]
        right = sum(
            (decision.verdict is Verdict.REJECT) == bool(row.labels["reject"])
            for row, decision in zip(suites, decided(moderator, suites), strict=True)
        )
        print(
            f"| {name} | {figures.auc:.3f} | {precision[name]:.3f} | {benign:.2%} | {toxic:.1%} | {np.mean(aucs):.3f} "
            f"| {right / len(suites):.1%} | {speed[name]:,.0f} |",
            flush=True,
        )
    gain = precision["rules + encoder"] - precision["rules + linear"]
    kept = precision["rules + cascade"] - precision["rules + linear"]
    share = f"; it keeps {kept / gain:.0%}" if gain > 0 else ""
    print(
        f"\nAverage precision on news: the encoder at every comment adds {gain:+.3f}, the cascade {kept:+.3f}{share}."
    )
    seen = decided(whole, [row for row in news if is_benign_news(row)])
    print(f"The encoder looks at {np.mean([d.decided_by == 'encoder' for d in seen]):.1%} of benign news comments.")
    if options.chart:
        points = [Point(n, speed[n], precision[n], n == "rules + cascade") for n in variants if n != "rules"]
        frontier(points, options.chart, "Average precision on news comments")
    return 0


def decided(moderator: Moderator, rows: Sequence[Labelled]) -> list[Decision]:
    """Decide on labelled comments."""
    return review(moderator, rows, lambda count: None)


def judged(moderator: Moderator, rows: Sequence[Labelled]):
    """Measure on one set."""
    return quality("", [row.labels["reject"] or 0 for row in rows], decided(moderator, rows))


def on_news(moderator: Moderator, news: Sequence[Labelled]):
    """Give the figures on news, and the shares of benign and of toxic comments that are rejected."""
    rows = [row for row in news if is_benign_news(row) or row.labels["reject"] == 1]
    decisions = decided(moderator, rows)
    truth = [row.labels["reject"] or 0 for row in rows]
    verdicts = np.array([decision.verdict is Verdict.REJECT for decision in decisions])
    return (
        quality("news", truth, decisions),
        verdicts[np.array(truth) == 0].mean(),
        verdicts[np.array(truth) == 1].mean(),
    )


if __name__ == "__main__":
    sys.exit(main())
