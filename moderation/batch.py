"""Review a file of comments: read, decide, write; nothing lost."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from moderation.decision import Decision, Verdict
from moderation.errors import RecordError
from moderation.moderator import Moderator
from moderation.records import Columns, Record, Writer, file_format, read

CHUNK_ROWS = 1000


@dataclass
class Summary:
    """What a review came to.

    Parameters
    ----------
    approved, rejected, unreadable
        Numbers of rows.
    guidelines
        Rejected comments by guideline; a comment may break several.
    decided_by
        Rejected comments by what decided.
    """

    approved: int = 0
    rejected: int = 0
    unreadable: int = 0
    guidelines: Counter[str] = field(default_factory=Counter)
    decided_by: Counter[str] = field(default_factory=Counter)

    @property
    def rows(self) -> int:
        """All rows read."""
        return self.approved + self.rejected + self.unreadable

    def add(self, decision: Decision) -> None:
        """Count one decision."""
        if decision.verdict is Verdict.APPROVE:
            self.approved += 1
        else:
            self.rejected += 1
            self.guidelines.update(decision.guidelines)
            self.decided_by[decision.decided_by] += 1


def review_rows(
    moderator: Moderator, rows: Iterator[Record | RecordError]
) -> Iterator[tuple[Record, Decision] | RecordError]:
    """Decide on rows in chunks, keeping their order; an unreadable row passes through as its error."""
    while chunk := list(islice(rows, CHUNK_ROWS)):
        decisions = iter(moderator.review_many([row.comment for row in chunk if isinstance(row, Record)]))
        for row in chunk:
            yield (row, next(decisions)) if isinstance(row, Record) else row


def review_file(
    moderator: Moderator,
    source: str | Path,
    target: str | Path,
    columns: Columns | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Summary:
    """Review the comments of a file and write each row with its decision.

    The target appears only when it is complete. Rows that cannot be read are left out of it and go, with
    their number and cause, to ``TARGET.errors.jsonl``.

    Parameters
    ----------
    source, target
        CSV, TSV or JSON Lines by their ending.
    columns
        Which columns hold the comment; guessed where None.
    progress
        Told, now and then, the rows done and the rejected ones among them.

    Raises
    ------
    RecordError
        When the source cannot be read or the target cannot be written.
    """
    source, target = Path(source), Path(target)
    form = file_format(target)
    if target.is_dir():
        raise RecordError(str(target), 0, "is a folder; name a file")
    summary = Summary()
    errors_file = target.with_name(target.name + ".errors.jsonl")
    if not target.parent.is_dir():
        raise RecordError(str(target), 0, f"{target.parent} is no folder; make it or name another target")
    part, errors_part = (path.with_name(path.name + ".part") for path in (target, errors_file))
    try:
        with (
            part.open("w", encoding="utf-8", newline="") as out,
            errors_part.open("w", encoding="utf-8") as errors,
        ):
            writer = Writer(out, form, tabs=target.suffix.lower() == ".tsv")
            for result in review_rows(moderator, read(source, columns or Columns())):
                problem = result if isinstance(result, RecordError) else writer.write(*result)
                if problem is not None:
                    summary.unreadable += 1
                    entry = {"row": problem.row, "problem": problem.problem}
                    errors.write(json.dumps(entry, ensure_ascii=False) + "\n")
                elif not isinstance(result, RecordError):
                    summary.add(result[1])
                if progress is not None and summary.rows % CHUNK_ROWS == 0:
                    progress(summary.rows, summary.rejected)
            for stream in (out, errors):
                stream.flush()
                os.fsync(stream.fileno())
        os.replace(part, target)
        if summary.unreadable:
            os.replace(errors_part, errors_file)
        else:
            errors_file.unlink(missing_ok=True)
    except OSError as error:
        raise RecordError(str(target), 0, f"cannot be written ({error.strerror}); name another target") from error
    finally:
        for path in (part, errors_part):
            path.unlink(missing_ok=True)
    if progress is not None:
        progress(summary.rows, summary.rejected)
    return summary
