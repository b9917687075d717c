"""The same comments under two policies, models or classifiers: which decisions flip, and what tips them."""

from moderation.comparison.counting import SAMPLE, SIDES, Change, Comparison, Side, by_flips
from moderation.comparison.difference import APPROVED, REJECTED, SCORE, THRESHOLD, Difference, causes
from moderation.comparison.html_page import page
from moderation.comparison.replay import CHUNK_ROWS, compare, review_both
from moderation.comparison.sharing import Shared

__all__ = [
    "APPROVED",
    "CHUNK_ROWS",
    "REJECTED",
    "SAMPLE",
    "SCORE",
    "SIDES",
    "THRESHOLD",
    "Change",
    "Comparison",
    "Difference",
    "Shared",
    "Side",
    "by_flips",
    "causes",
    "compare",
    "page",
    "review_both",
]
