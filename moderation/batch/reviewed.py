"""Read an output back: each row with its decision."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from moderation.records import TEXT_NAMES, Columns, Reading, Record, decision_names, expand, read_all

JSON_CELLS = ("guidelines", "score", "scores", "threshold", "findings")


def reviewed(target: str | Path, columns: Columns | None = None) -> Iterator[tuple[Record, dict[str, Any]]]:
    """Give the rows of an output with the decisions that stand in them, one by one.

    Parameters
    ----------
    target
        What `review_file` wrote, in any of its formats; a file or a folder of parts.
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
    for row in read_all(expand([target]), Reading(columns or Columns(further=TEXT_NAMES))):
        if not isinstance(row, Record):
            raise row
        if names is None:
            names = decision_names(row.values, str(target))
        decision = {"id": row.comment.id}
        for key, name in names.items():
            value = row.values[name]
            decision[key] = json.loads(value) if key in JSON_CELLS and isinstance(value, str) else value
        yield row, decision
