"""Comments decided under both sides in one pass."""

from collections.abc import Callable, Iterator
from itertools import islice

from moderation.comparison.counting import SAMPLE, Comparison, Side
from moderation.comparison.sharing import Shared, sharing
from moderation.decision import Decision
from moderation.errors import RecordError
from moderation.labels import guessed_label, label_of
from moderation.moderator import Moderator
from moderation.records import Record, listed

CHUNK_ROWS = 1000


def compare(
    a: Moderator,
    b: Moderator,
    rows: Iterator[Record | RecordError],
    label: str | None = None,
    sample: int = SAMPLE,
    progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Decide on comments under both sides and count what differs, in one pass and in constant memory.

    Each side decides as it would alone. A stage that both share scores each comment once, unless the words of
    the policies read it differently.

    Parameters
    ----------
    rows
        As `records.read` yields them.
    label
        Column that says what should be decided; ``expected`` or ``label`` where None and it holds labels.
    sample
        How many flips of each direction are kept to look at.
    progress
        Told, now and then, the rows done and the flips among them.

    Raises
    ------
    RecordError
        When the rows have no such column (row 0).
    """
    found = Comparison((Side.of(a), Side.of(b)), sample)
    for done, row in enumerate(review_both(a, b, rows), 1):
        if isinstance(row, RecordError):
            found.fail(row)
            continue
        record, one, other = row
        if not found.rows and label is not None and label not in record.values:
            problem = f"have no column {label!r}; their columns are {listed(record.values)}"
            raise RecordError("the comments", 0, problem)
        label = label or guessed_label(record.values)
        found.add(record, one, other, label_of(record.values.get(label)) if label else None)
        if progress is not None and done % CHUNK_ROWS == 0:
            progress(done, found.flips)
    if progress is not None:
        progress(found.rows + found.unreadable, found.flips)
    return found


def review_both(
    a: Moderator, b: Moderator, rows: Iterator[Record | RecordError]
) -> Iterator[tuple[Record, Decision, Decision] | RecordError]:
    """Decide on rows under both sides, keeping their order; an unreadable row passes through as its error.

    Each decision is what its moderator would decide alone.
    """
    known: dict[int, Shared] = {}
    first, second = (sharing(side, known) for side in (a, b))
    while chunk := list(islice(rows, CHUNK_ROWS)):
        comments = [row.comment for row in chunk if isinstance(row, Record)]
        decisions = zip(first.review_many(comments), second.review_many(comments), strict=True)
        for row in chunk:
            yield (row, *next(decisions)) if isinstance(row, Record) else row
        for shared in known.values():
            shared.forget()
