"""Comments from files and decisions to files, as streams: CSV and JSON Lines."""

import csv
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from moderation.comment import Comment
from moderation.decision import Decision
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
MAX_TEXT_CHARACTERS = 1_000_000
"""A longer comment is a bad row."""

csv.field_size_limit(min(sys.maxsize, 2**31 - 1))


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
    """

    row: int
    values: Mapping[str, Any]
    comment: Comment


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the columns that hold the comment; None to guess."""

    text: str | None = None
    id: str | None = None
    article: str | None = None
    parent: str | None = None


def file_format(path: Path) -> str:
    """Tell ``csv`` or ``jsonl`` by a file's ending.

    Raises
    ------
    RecordError
        For any other ending.
    """
    formats = {".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
    try:
        return formats[path.suffix.lower()]
    except KeyError:
        raise RecordError(str(path), 0, "name a file that ends in .csv, .tsv, .jsonl or .ndjson") from None


def read(path: Path, columns: Columns) -> Iterator[Record | RecordError]:
    """Read a file's rows one by one.

    Yields
    ------
    Record or RecordError
        A row that cannot be read as a comment is yielded as its error, so that nothing stops.

    Raises
    ------
    RecordError
        When you loop over the generator and the file as a whole cannot be used (row 0).
    """
    rows = _csv_rows(path) if file_format(path) == "csv" else _json_rows(path)
    names: Columns | None = None
    for number, values in rows:
        if isinstance(values, RecordError):
            yield values
            continue
        if names is None:
            names = guessed(columns, list(values), str(path))
        yield _record(str(path), number, values, names)


def guessed(columns: Columns, present: Sequence[str], source: str) -> Columns:
    """Fill in the column names that were not given.

    Raises
    ------
    RecordError
        When a named column is not there, or none looks like the comment's text.
    """
    by_lower = {name.lower(): name for name in present}
    for name in (columns.text, columns.id, columns.article, columns.parent):
        if name is not None and name not in present:
            raise RecordError(source, 0, f"has no column {name!r}; its columns are {', '.join(present)}")
    text = columns.text or next((by_lower[name] for name in TEXT_NAMES if name in by_lower), None)
    if text is None and len(present) == 1:
        text = present[0]
    if text is None:
        raise RecordError(source, 0, f"name the comment's column with --text; its columns are {', '.join(present)}")
    return Columns(
        text,
        columns.id or next((by_lower[name] for name in ID_NAMES if name in by_lower), None),
        columns.article or by_lower.get("article"),
        columns.parent or by_lower.get("parent"),
    )


def _record(source: str, number: int, values: Mapping[str, Any], names: Columns) -> Record | RecordError:
    text = values.get(names.text or "")
    if not isinstance(text, str):
        problem = "is missing" if text is None else f"is a {type(text).__name__}, not a text"
        return RecordError(source, number, f"column {names.text!r} {problem}; every row needs the comment's text")
    if len(text) > MAX_TEXT_CHARACTERS:
        return RecordError(source, number, f"the comment has {len(text)} characters; cut it to {MAX_TEXT_CHARACTERS}")

    def other(name: str | None) -> str:
        value = values.get(name) if name else None
        return "" if value is None else str(value)

    comment = Comment(text, other(names.id) or str(number), other(names.article), other(names.parent))
    return Record(number, values, comment)


_Row = tuple[int, Mapping[str, Any] | RecordError]


def _lines(path: Path) -> Iterator[tuple[int, str | RecordError]]:
    """Yield a file's lines, decoded one by one; a byte order mark is dropped."""
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, 1):
                if number == 1:
                    raw = raw.removeprefix(b"\xef\xbb\xbf")
                try:
                    yield number, raw.decode("utf-8")
                except UnicodeDecodeError as error:
                    yield number, RecordError(str(path), number, f"not UTF-8 at byte {error.start}; convert the file")
    except OSError as error:
        raise RecordError(str(path), 0, f"cannot be read ({error.strerror}); name a file of comments") from error


def _csv_rows(path: Path) -> Iterator[_Row]:
    broken: list[RecordError] = []

    def decoded() -> Iterator[str]:
        for _, line in _lines(path):
            if isinstance(line, RecordError):
                broken.append(line)
                yield "\n"
            else:
                yield line

    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    reader = csv.reader(decoded(), delimiter=delimiter, strict=True)
    try:
        header = next(reader, None)
    except csv.Error as error:
        raise RecordError(str(path), 0, f"not CSV ({error}); check its quotes and separator") from error
    if broken:
        raise RecordError(str(path), 0, "the header is not UTF-8; convert the file")
    if not header:
        raise RecordError(str(path), 0, "is empty; a CSV file begins with a header row")
    number = 0
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            number += 1
            yield number, RecordError(str(path), number, f"not CSV ({error}); check its quotes")
            continue
        if cells is None:
            return
        if broken:
            number += 1
            yield number, RecordError(str(path), number, broken.pop().problem)
            continue
        if not cells:
            continue
        number += 1
        if len(cells) != len(header):
            yield (
                number,
                RecordError(str(path), number, f"has {len(cells)} cells for {len(header)} columns; check its quotes"),
            )
        else:
            yield number, dict(zip(header, cells, strict=True))


def _json_rows(path: Path) -> Iterator[_Row]:
    number = 0
    for _, line in _lines(path):
        if isinstance(line, RecordError):
            number += 1
            yield number, RecordError(str(path), number, line.problem)
            continue
        if not line.strip():
            continue
        number += 1
        try:
            values = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            yield number, RecordError(str(path), number, f"not JSON ({error}); one object a line")
            continue
        if isinstance(values, dict):
            yield number, values
        else:
            yield number, RecordError(str(path), number, "not a JSON object; one object a line")


class Writer:
    """Writes rows with their decisions, the input's columns first and as they were.

    A decision's column that the input already has is named with ``moderation_`` before it.
    """

    def __init__(self, stream: IO[str], form: str, *, tabs: bool = False) -> None:
        self._stream = stream
        self._form = form
        self._tabs = tabs
        self._header: list[str] | None = None
        self._csv: Any = None

    def write(self, record: Record, decision: Decision) -> None:
        """Write one row."""
        given = {key: value for key, value in decision.to_dict().items() if key in DECISION_COLUMNS}
        named = {(f"moderation_{key}" if key in record.values else key): value for key, value in given.items()}
        row = {**record.values, **named}
        if self._form == "jsonl":
            self._stream.write(json.dumps(row, ensure_ascii=False) + "\n")
            return
        if self._header is None:
            self._header = list(row)
            self._csv = csv.writer(
                self._stream, lineterminator="\n", delimiter="\t" if self._tabs else ",", quoting=csv.QUOTE_MINIMAL
            )
            self._csv.writerow(self._header)
        self._csv.writerow([_cell(row.get(name, "")) for name in self._header])


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)
