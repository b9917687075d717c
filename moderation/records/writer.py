"""Rows with their decisions as CSV and JSON Lines."""

import base64
import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import IO, Any

from moderation.decision import Decision
from moderation.errors import RecordError
from moderation.records.rows import DECISION_COLUMNS, Record
from moderation.records.text import wrong_bytes


@dataclass(frozen=True, slots=True)
class Layout:
    """Columns of an output, settled before the first row.

    Parameters
    ----------
    columns
        The input's.
    names
        Name in the output of each of `DECISION_COLUMNS`: with ``moderation_`` before it as often as the input
        has the name already.
    schema
        Types of the input's columns, as Arrow serialises them; for Parquet only.
    """

    columns: tuple[str, ...]
    names: Mapping[str, str]
    schema: bytes = field(default=b"", repr=False)

    @classmethod
    def of(cls, columns: Iterable[str], schema: bytes = b"") -> "Layout":
        """Settle the names for an input's columns."""
        columns = tuple(dict.fromkeys(columns))
        names = {}
        for key in DECISION_COLUMNS:
            name = key
            while name in columns:
                name = f"moderation_{name}"
            names[key] = name
        return cls(columns, names, schema)

    def clash(self, record: Record) -> RecordError | None:
        """Tell of a column that has the name of a decision's."""
        if record.values.keys().isdisjoint(self.names.values()):
            return None
        clash = next(name for name in self.names.values() if name in record.values)
        return RecordError("", record.row, f"column {clash!r} is new in this row; rename it")

    def unknown(self, record: Record) -> RecordError | None:
        """Tell of a column that a table of these columns has no place for."""
        if new := [name for name in record.values if name not in self.columns]:
            return RecordError("", record.row, f"column {new[0]!r} is not in the first row; write to .jsonl instead")
        return None


def decision_names(columns: Iterable[str], source: str) -> dict[str, str]:
    """Find under which name each of `DECISION_COLUMNS` was written: the last of those that it may have.

    Raises
    ------
    RecordError
        When one is not there.
    """
    columns, names = tuple(columns), {}
    for key in DECISION_COLUMNS:
        for name in columns:
            if name.endswith(key) and not name.removesuffix(key).replace("moderation_", ""):
                names[key] = name
        if key not in names:
            raise RecordError(source, 0, f"has no column {key!r}; name a file that `moderation review` wrote")
    return names


class Writer:
    """Writes rows with their decisions, the input's columns first and as they were.

    Parameters
    ----------
    layout
        Columns; None for those of the first row.
    header
        Whether CSV begins with its header.
    """

    def __init__(
        self, stream: IO[str], form: str, *, tabs: bool = False, layout: Layout | None = None, header: bool = True
    ) -> None:
        self._stream = stream
        self._form = form
        self._layout = layout
        self._header = header
        by = "\t" if tabs else ","
        self._csv = csv.writer(stream, lineterminator="\n", delimiter=by, quoting=csv.QUOTE_MINIMAL)
        # Python 3.11 leaves a lone carriage return unquoted and then cannot read it back.
        self._quoting = csv.writer(stream, lineterminator="\n", delimiter=by, quoting=csv.QUOTE_ALL)
        if layout is not None:
            self._begin(layout)

    def write(self, record: Record, decision: Decision) -> RecordError | None:
        """Write one row.

        Returns
        -------
        RecordError or None
            Why the row was not written: in CSV, a column that the first row does not have; in any
            format, one that has the name of a decision's column, or bytes that are no text.
        """
        if self._layout is None:
            self._layout = Layout.of(record.values)
            self._begin(self._layout)
        layout = self._layout
        if problem := layout.clash(record):
            return problem
        try:
            return self._write(layout, record, decision.to_dict())
        except UnicodeDecodeError:  # Of Parquet, whose texts become Python's only here.
            return RecordError("", record.row, wrong_bytes("utf-8"))

    def _write(self, layout: Layout, record: Record, given: Mapping[str, Any]) -> RecordError | None:
        if self._form == "jsonl":
            named = _json({name: given[key] for key, name in layout.names.items()})
            if record.raw:
                # Numbers, escapes and spaces stay as they were written.
                own = record.raw[:-1].rstrip()
            else:
                own = _json(dict(record.values))[:-1]
            self._stream.write(f"{own}{', ' if len(record.values) else ''}{named[1:]}\n")
            return None
        if problem := layout.unknown(record):
            return problem
        values = record.values
        cells = [_cell(values.get(name)) for name in layout.columns]
        cells.extend(_cell(given[key]) for key in layout.names)
        self._write_cells(cells)
        return None

    def _begin(self, layout: Layout) -> None:
        if self._form == "csv" and self._header:
            self._write_cells((*layout.columns, *layout.names.values()))

    def _write_cells(self, cells: Sequence[str]) -> None:
        writer = self._quoting if "\r" in "".join(cells) else self._csv
        writer.writerow(cells)


def _plain(value: Any) -> str:
    """Give what JSON has no form for, such as times and bytes of a Parquet file, as a text."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


_ENCODE = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_plain).encode


def _json(value: Any) -> str:
    try:
        return _ENCODE(value)
    except ValueError:
        return _ENCODE(_finite(value))


def _finite(value: Any) -> Any:
    """Give None for the numbers that JSON has not, as the JSON of browsers does."""
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, list | tuple) else value


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    # As JSON has them, without its detour, and those that it has not.
    if type(value) is float:
        return repr(value) if isfinite(value) else json.dumps(value)
    if isinstance(value, bool | int | float | list | Mapping):
        return _json(value) if value != [] else "[]"
    return _plain(value)
