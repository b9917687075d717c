"""One row of an input, and which of its columns hold the comment."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from moderation.comment import Comment
from moderation.errors import RecordError

TEXT_NAMES = ("text", "comment", "comment_text", "body", "content", "message", "comment_body", "comment_content")
ID_NAMES = ("id", "comment_id", "commentid", "uuid", "_id")
DECISION_COLUMNS = (
    "verdict",
    "guidelines",
    "reason",
    "score",
    "scores",
    "threshold",
    "decided_by",
    "findings",
    "policy",
    "model",
)
"""What a review adds to the columns of its input."""
MAX_TEXT_CHARACTERS = 1_000_000
"""A longer comment is a bad row."""
SHOWN_NAMES, SHOWN_CHARACTERS = 20, 80
"""How many names a message lists, and how long each."""


@dataclass(frozen=True, slots=True)
class Record:
    """One row of an input.

    Parameters
    ----------
    row
        Its number, from 1, a header not counted.
    values
        All its columns, as they were.
    comment
        The comment in it.
    raw
        The JSON object as it was written, where the input is JSON Lines.
    """

    row: int
    values: Mapping[str, Any]
    comment: Comment
    raw: str = ""


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the columns that hold the comment; None to guess.

    Parameters
    ----------
    further
        Columns in which the comment stands where `text` has none, as in the output of a review of several files.
    """

    text: str | None = None
    id: str | None = None
    article: str | None = None
    parent: str | None = None
    further: tuple[str, ...] = ()


def listed(names: Iterable[str]) -> str:
    """Name columns, or files, in one line that can be read: the first ones, each as far as it is short."""
    names = list(names)
    shown = [name if len(name) <= SHOWN_CHARACTERS else f"{name[:SHOWN_CHARACTERS]}…" for name in names[:SHOWN_NAMES]]
    more = len(names) - len(shown)
    return " ".join(", ".join(shown).splitlines()) + (f" and {more} more" if more else "")


def guessed(columns: Columns, present: Sequence[str], source: str, *, alone: bool = True) -> Columns:
    """Fill in the column names that were not given.

    Parameters
    ----------
    alone
        Whether a column that stands alone is the comment, whatever its name; beside a decision it is always.

    Raises
    ------
    RecordError
        When a named column is not there, or none looks like the comment's text.
    """
    by_lower = {name.lower(): name for name in present}
    for name in (columns.text, columns.id, columns.article, columns.parent):
        if name is not None and name not in present:
            raise RecordError(source, 0, f"has no column {name!r}; its columns are {listed(present)}")
    text = columns.text or next((by_lower[name] for name in TEXT_NAMES if name in by_lower), None)
    decided = set(DECISION_COLUMNS) <= set(present)
    given = [name for name in present if not decided or name not in DECISION_COLUMNS]
    if text is None and (alone or decided) and len(given) == 1:
        text = given[0]
    if text is None:
        raise RecordError(source, 0, f"name the comment's column with --text; its columns are {listed(present)}")
    return Columns(
        text,
        columns.id or next((by_lower[name] for name in ID_NAMES if name in by_lower), None),
        columns.article or by_lower.get("article"),
        columns.parent or by_lower.get("parent"),
        columns.further,
    )


def record_of(
    source: str, number: int, values: Mapping[str, Any], names: Columns, raw: str = ""
) -> Record | RecordError:
    """Read a row as a comment, or tell why it is none."""
    text = values.get(names.text or "")
    if not text:
        text = next((values[name] for name in names.further if values.get(name)), text)
    if not isinstance(text, str):
        problem = "is missing" if text is None else f"is a {type(text).__name__}, not a text"
        return RecordError(source, number, f"column {names.text!r} {problem}; every row needs the comment's text")
    if len(text) > MAX_TEXT_CHARACTERS:
        return RecordError(source, number, f"the comment has {len(text)} characters; cut it to {MAX_TEXT_CHARACTERS}")

    def other(name: str | None) -> str:
        value = values.get(name) if name else None
        return "" if value is None else str(value)

    comment = Comment(text, other(names.id) or str(number), other(names.article), other(names.parent))
    return Record(number, values, comment, raw)
