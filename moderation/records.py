"""Comments from files and decisions to files, as streams: CSV and JSON Lines."""

import csv
import json
import re
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

_SURROGATE = re.compile("[\ud800-\udfff]")

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
    table = file_format(path) == "csv"
    names: Columns | None = None
    for number, values in _csv_rows(path) if table else _json_rows(path):
        if isinstance(values, RecordError):
            yield values
            continue
        if names is None:
            try:
                names = guessed(columns, list(values), str(path), alone=table)
            except RecordError as error:
                if table or columns.text is not None or len(values) > 1:
                    raise
                yield RecordError(str(path), number, error.problem)
                continue
        yield _record(str(path), number, values, names)


def guessed(columns: Columns, present: Sequence[str], source: str, *, alone: bool = True) -> Columns:
    """Fill in the column names that were not given.

    Parameters
    ----------
    alone
        Whether a column that stands alone is the comment, whatever its name.

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
    if text is None and alone and len(present) == 1:
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


def _lines(path: Path) -> Iterator[str]:
    """Yield a file's lines; bytes that are no UTF-8 become lone surrogates, so that a row can tell."""
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            yield from file
    except OSError as error:
        raise RecordError(str(path), 0, f"cannot be read ({error.strerror}); name a file of comments") from error


def _not_unicode(value: object) -> bool:
    """Whether a value holds a text with a lone surrogate, which no file of ours can hold."""
    if isinstance(value, str):
        return not value.isascii() and _SURROGATE.search(value) is not None
    if isinstance(value, Mapping):
        return any(_not_unicode(part) for pair in value.items() for part in pair)
    return isinstance(value, list) and any(map(_not_unicode, value))


def _csv_rows(path: Path) -> Iterator[_Row]:
    reader = csv.reader(_lines(path), delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
    try:
        header = next(reader, None)
    except csv.Error as error:
        raise RecordError(str(path), 0, f"not CSV ({error}); check its quotes and separator") from error
    if not header:
        raise RecordError(str(path), 0, "is empty; a CSV file begins with a header row")
    if _not_unicode(header):
        raise RecordError(str(path), 0, "the header is not UTF-8; convert the file")
    if twice := [name for name in dict.fromkeys(header) if header.count(name) > 1]:
        raise RecordError(str(path), 0, f"has two columns {twice[0]!r}; rename one")
    number = 0
    while True:
        number += 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield number, RecordError(str(path), number, f"not CSV ({error}); check its quotes")
            continue
        if cells is None:
            return
        if not cells:
            number -= 1
        elif _not_unicode(cells):
            yield number, RecordError(str(path), number, "not UTF-8; convert the file")
        elif len(cells) != len(header):
            problem = f"has {len(cells)} cells for {len(header)} columns; check its quotes"
            yield number, RecordError(str(path), number, problem)
        else:
            yield number, dict(zip(header, cells, strict=True))


def _json_rows(path: Path) -> Iterator[_Row]:
    number = 0
    for line in _lines(path):
        if not line.strip():
            continue
        number += 1
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            problem = "not UTF-8; convert the file" if _not_unicode(line) else f"not JSON ({error}); one object a line"
            yield number, RecordError(str(path), number, problem)
            continue
        if not isinstance(values, dict):
            yield number, RecordError(str(path), number, "not a JSON object; one object a line")
        elif _not_unicode(values):
            yield number, RecordError(str(path), number, "not UTF-8; convert the file")
        else:
            yield number, values


class Writer:
    """Writes rows with their decisions, the input's columns first and as they were.

    A decision's column that the first row already has is named with ``moderation_`` before it.
    """

    def __init__(self, stream: IO[str], form: str, *, tabs: bool = False) -> None:
        self._stream = stream
        self._form = form
        self._csv: Any = csv.writer(
            stream, lineterminator="\n", delimiter="\t" if tabs else ",", quoting=csv.QUOTE_MINIMAL
        )
        self._header: tuple[str, ...] = ()
        self._names: dict[str, str] = {}

    def write(self, record: Record, decision: Decision) -> RecordError | None:
        """Write one row.

        Returns
        -------
        RecordError or None
            Why the row was not written: in CSV, a column that the first row does not have; in any
            format, one that has the name of a decision's column.
        """
        if not self._names:
            self._begin(record)
        if clash := [name for name in self._names.values() if name in record.values]:
            return RecordError("", record.row, f"column {clash[0]!r} is new in this row; rename it")
        given = decision.to_dict()
        named = {self._names[key]: given[key] for key in DECISION_COLUMNS}
        if self._form == "jsonl":
            self._stream.write(json.dumps({**record.values, **named}, ensure_ascii=False) + "\n")
            return None
        if new := [name for name in record.values if name not in self._header]:
            return RecordError("", record.row, f"column {new[0]!r} is not in the first row; write to .jsonl instead")
        row = {**record.values, **named}
        self._write_cells([_cell(row.get(name)) for name in self._header])
        return None

    def _begin(self, record: Record) -> None:
        for key in DECISION_COLUMNS:
            name = key
            while name in record.values:
                name = f"moderation_{name}"
            self._names[key] = name
        if self._form == "csv":
            self._header = (*record.values, *self._names.values())
            self._write_cells(self._header)

    def _write_cells(self, cells: Sequence[str]) -> None:
        # Python 3.11 leaves a lone carriage return unquoted and then cannot read it back.
        if any("\r" in cell for cell in cells):
            everything = csv.writer(
                self._stream, lineterminator="\n", delimiter=self._csv.dialect.delimiter, quoting=csv.QUOTE_ALL
            )
            everything.writerow(cells)
        else:
            self._csv.writerow(cells)


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)
