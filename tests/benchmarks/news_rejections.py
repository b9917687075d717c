"""Print the benign news comments that are rejected all the same, with what rejected them.

Usage: python tests/benchmarks/news_rejections.py --data DIR [--most N]

The comments are those that choose nothing: c3-constructive rated 1.0 by all, unhealthy-conversations marked
healthy. Reading them shows where the labels and the policy disagree; their texts may not be copied into this
project, so that a command prints them.
"""

import argparse
from pathlib import Path

from moderation.datasets import is_benign_news, news_half
from moderation.decision import Verdict
from moderation.evaluation import review
from moderation.moderator import Moderator


def main() -> None:
    """Print them, those that a rule rejected first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--most", type=int, default=100)
    arguments = parser.parse_args()
    rows = [row for row in news_half(arguments.data, "judge") if is_benign_news(row)]
    decisions = review(Moderator.default(), rows, lambda done: None)
    rejected = [(d, row) for d, row in zip(decisions, rows, strict=True) if d.verdict is Verdict.REJECT]
    print(f"{len(rejected)} of {len(rows)} benign news comments rejected")
    for decision, row in sorted(rejected, key=lambda pair: pair[0].decided_by != "rule")[: arguments.most]:
        print(f"\n{row.source}, labelled {row.note}\n{row.text}\n{decision.explain()}")


if __name__ == "__main__":
    main()
