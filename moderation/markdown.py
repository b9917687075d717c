"""Figures drawn as Markdown."""

from collections.abc import Sequence
from typing import Any


def figure(value: Any) -> str:
    """Give a number with three digits behind the point, None as a dash."""
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Give a table."""
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])
