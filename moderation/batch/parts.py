"""Review one part of an input; the same on one core, on many and on a cluster."""

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

from moderation.batch.summary import Summary
from moderation.decision import Decision
from moderation.errors import RecordError, RunError
from moderation.moderator import Moderator
from moderation.records import Layout, Part, Record, Source, Writer, rows_of, tables
from moderation.records.formats import compressor
from moderation.runs import write_whole

CHUNK_ROWS = 1000


@dataclass(frozen=True, slots=True)
class Output:
    """What an output looks like, and where its parts go.

    Parameters
    ----------
    form, tabs, compression
        Format, whether CSV is separated by tabs, and ``gz`` or ``zst``.
    layout
        Its columns.
    folder
        Where parts go; None for back to the caller.
    header
        Whether each part of CSV has a header of its own.
    strict
        Whether a part ends at its first unreadable row.
    """

    form: str
    tabs: bool
    compression: str
    layout: Layout
    folder: str | None
    header: bool = False
    strict: bool = False

    @property
    def ending(self) -> str:
        """The ending of a part's name."""
        plain = ".tsv" if self.tabs else f".{self.form}"
        return f"{plain}.{self.compression}" if self.compression else plain


@dataclass(frozen=True, slots=True)
class Result:
    """One part, reviewed.

    Parameters
    ----------
    counts
        Its summary.
    files
        SHA-256 of each file written, by name.
    data
        The output, where there is no folder for it; of a strict review that ended, up to there.
    problems
        Its unreadable rows, each numbered within the part; where there is no folder.
    stopped
        The unreadable row at which a strict review ended, numbered within the part.
    """

    counts: Mapping[str, Any]
    files: Mapping[str, str] = field(default_factory=dict)
    data: bytes = b""
    problems: tuple[RecordError, ...] = ()
    stopped: RecordError | None = None

    @property
    def rows(self) -> int:
        """All rows of the part."""
        return int(self.counts["approved"] + self.counts["rejected"] + self.counts["unreadable"])


def review_rows(
    moderator: Moderator, rows: Iterator[Record | RecordError]
) -> Iterator[tuple[Record, Decision] | RecordError]:
    """Decide on rows in chunks, keeping their order; an unreadable row passes through as its error."""
    while chunk := list(islice(rows, CHUNK_ROWS)):
        decisions = iter(moderator.review_many([row.comment for row in chunk if isinstance(row, Record)]))
        for row in chunk:
            yield (row, next(decisions)) if isinstance(row, Record) else row


def review_part(
    moderator: Moderator,
    identity: Mapping[str, Any],
    output: Output,
    source: Source,
    number: int,
    part: Part,
    told: Callable[[Summary], None] | None = None,
) -> Result:
    """Review one part.

    Parameters
    ----------
    identity
        Policy and model that the review was begun with.
    number
        The part's place, for its name.
    told
        Told, now and then, what of the part is done.

    Raises
    ------
    RunError
        When the moderator that is loaded here is not the one of the identity.
    """
    if identity_of(moderator) != identity:
        raise RunError("a worker has another policy or model than the review; install the same on all machines")
    summary, problems, stopped = Summary(), list[RecordError](), None
    binary, text = io.BytesIO(), io.StringIO(newline="")
    table = tables.TableWriter(binary, output.layout) if output.form == "parquet" else None
    writer = table or Writer(text, output.form, tabs=output.tabs, layout=output.layout, header=output.header)
    for result in review_rows(moderator, rows_of(source, part)):
        problem = result if isinstance(result, RecordError) else writer.write(*result)
        if problem is not None:
            summary.unreadable += 1
            problems.append(RecordError(source.path, problem.row, problem.problem))
            if output.strict:
                stopped = problems.pop()
                break
        elif not isinstance(result, RecordError):
            summary.add(result[1])
        if told is not None and summary.rows % CHUNK_ROWS == 0:
            told(summary)
    if table is not None:
        table.close()
    data = binary.getvalue() if table is not None else compressor(output.compression)(text.getvalue().encode())
    if output.folder is None:
        return Result(summary.counts(), data=data, problems=tuple(problems), stopped=stopped)
    if stopped is not None:
        return Result(summary.counts(), stopped=stopped)
    files = {part_name(number, output): data}
    if problems:
        entries = ({"row": problem.row, "problem": problem.problem} for problem in problems)
        files[errors_name(number)] = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in entries).encode()
    for name, content in files.items():
        write_whole(Path(output.folder, name), content)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return Result(summary.counts(), digests)


def part_name(number: int, output: Output) -> str:
    """Name a part's output."""
    return f"part-{number:06}{output.ending}"


def errors_name(number: int) -> str:
    """Name the causes of a part's unreadable rows."""
    return f"part-{number:06}.errors"


def identity_of(moderator: Moderator) -> dict[str, Any]:
    """Give what decides a verdict, as JSON can hold it: policy, model, stages, and this package's version."""
    identity: dict[str, Any] = {
        "policy": moderator.policy.identity,
        "model": moderator.classifier.version,
        "classifier": [stage.stage for stage in (moderator.classifier, moderator.encoder) if stage],
        "moderation": version("moderation"),
    }
    if moderator.origin is not None:
        identity["model"] += f"+{moderator.origin.model_digest[:12]}"
    return identity


def beginning(output: Output) -> bytes:
    """Give what stands before the first part of an output that is one file."""
    if output.form != "csv" or output.header:
        return b""
    text = io.StringIO(newline="")
    Writer(text, "csv", tabs=output.tabs, layout=output.layout)
    return compressor(output.compression)(text.getvalue().encode())
