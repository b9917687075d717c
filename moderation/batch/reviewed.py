"""Read an output back: each row with its decision."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from moderation.records import DECISION_COLUMNS, Columns, Record, read

JSON_CELLS = ("guidelines", "score", "scores", "threshold", "findings")


def reviewed(target: str | Path, columns: Columns | None = None) -> Iterator[tuple[Record, dict[str, Any]]]:
    """Give the rows of an output with the decisions that stand in them, one by one.

    Parameters
    ----------
    target
        What `review_file` wrote, in any of its formats.
    columns
        Which columns hold the comment; guessed where None.

    Yields
    ------
    tuple
        The row with all its columns, and the decision as `Decision.to_dict` gives it.

    Raises
    ------
    RecordError
        When the file cannot be read, or is no output of ours.
    """
    names: dict[str, str] | None = None
    for row in read(Path(target), columns or Columns()):
        if not isinstance(row, Record):
            raise row
        if names is None:
            names = _names(row.values)
        decision = {"id": row.comment.id}
        for key, name in names.items():
            value = row.values[name]
            decision[key] = json.loads(value) if key in JSON_CELLS and isinstance(value, str) else value
        yield row, decision


def _names(values: Mapping[str, Any]) -> dict[str, str]:
    """Tell the columns that were added last: those with the most ``moderation_`` before them."""
    names = {}
    for key in DECISION_COLUMNS:
        name = key
        while f"moderation_{name}" in values:
            name = f"moderation_{name}"
        names[key] = name
    return names
