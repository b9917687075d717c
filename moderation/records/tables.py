"""Parquet files: read batch by batch, written with the columns of the input in their own types."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from moderation.decision import Decision
from moderation.errors import RecordError
from moderation.policy import GUIDELINES
from moderation.records.formats import parquet
from moderation.records.rows import Record
from moderation.records.writer import Layout

if TYPE_CHECKING:
    from moderation.records.sources import Part, Source

BATCH_ROWS = 1000
GROUP_ROWS = 32_768
MOST_SLICES = 16
"""A row group is read from its beginning for each of its slices, so there are few."""


class TableRow(Mapping[str, Any]):
    """One row of a batch; a value becomes a Python one only when it is asked for."""

    def __init__(self, batch: Any, index: int) -> None:
        self.batch = batch
        self.index = index

    def __getitem__(self, name: str) -> Any:
        place = self.batch.schema.get_field_index(name)
        if place < 0:
            raise KeyError(name)
        column = self.batch.column(place)
        value = column[self.index]
        # Python's times end at microseconds and with the year 9999; Arrow tells what it can of others.
        try:
            return value.as_py()
        except UnicodeDecodeError:
            raise  # A text is never told in other words.
        except (ValueError, OverflowError):
            pass
        try:
            return value.cast("string").as_py()
        except (ValueError, NotImplementedError):  # One within a list, or of a time zone that is unknown here.
            return " ".join(column.slice(self.index, 1).to_string().split())

    def __iter__(self) -> Iterator[str]:
        return iter(self.batch.schema.names)

    def __len__(self) -> int:
        return len(self.batch.schema.names)


def look(path: str) -> tuple[tuple[str, ...], bytes, str]:
    """Give a Parquet file's column names, its schema as bytes, and the SHA-256 of its footer.

    The footer holds the place, size and statistics of every column of every row group.

    Source: https://parquet.apache.org/docs/file-format/

    Raises
    ------
    RecordError
        When it is none, or has two columns of one name.
    """
    file = _opened(path)
    schema = file.schema_arrow
    names = tuple(schema.names)
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise RecordError(path, 0, f"has two columns {twice[0]!r}; rename one")
    with Path(path).open("rb") as raw:
        raw.seek(-8, 2)
        length = int.from_bytes(raw.read(4), "little")
        raw.seek(-8 - length, 2)
        digest = hashlib.sha256(raw.read(length)).hexdigest()
    return names, schema.serialize().to_pybytes(), digest


def ranges(path: str, size: int) -> Iterator[tuple[int, int, int]]:
    """Cut a file into half-open ranges of rows of about so many bytes, none across two row groups but whole ones.

    Yields
    ------
    tuple
        First row, the row after the last, and the rows of the file.
    """
    metadata = _opened(path).metadata
    start = end = held = 0
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        if held and held + group.total_byte_size > size:
            yield start, end, metadata.num_rows
            start, held = end, 0
        held += group.total_byte_size
        end += group.num_rows
        slices = min(MOST_SLICES, -(-held // size))
        if slices > 1:
            step = -(-(end - start) // slices)
            for first in range(start, end, step):
                yield first, min(first + step, end), metadata.num_rows
            start, held = end, 0
    if end > start:
        yield start, end, metadata.num_rows


def rows(source: "Source", part: "Part") -> Iterator[TableRow | str]:
    """Read the rows of a part; where a batch cannot be read, each row of it and after tells why.

    Raises
    ------
    RecordError
        When the file is not what it was.
    """
    path = source.path
    if look(path)[2] != part.digest:
        raise RecordError(path, 0, "was changed while it was read; review it again")
    file = _opened(path)
    wanted: list[int] = []
    skip = first = 0
    for number in range(file.metadata.num_row_groups):
        count = file.metadata.row_group(number).num_rows
        if first < part.end and first + count > part.start:
            if not wanted:
                skip = part.start - first
            wanted.append(number)
        first += count
    left = part.end - part.start
    try:
        for batch in file.iter_batches(batch_size=BATCH_ROWS, row_groups=wanted):
            for index in range(min(skip, batch.num_rows), min(batch.num_rows, skip + left)):
                yield TableRow(batch, index)
                left -= 1
            skip = max(0, skip - batch.num_rows)
            if not left:
                return
    except (OSError, ValueError, NotImplementedError) as error:  # Arrow's errors are of these.
        for _ in range(left):
            yield f"the file is damaged here ({' '.join(str(error).split())[:200]}); write it again"


def _opened(path: str) -> Any:
    try:
        return parquet().ParquetFile(path, pre_buffer=False, memory_map=False, buffer_size=1 << 20)
    except FileNotFoundError as error:
        raise RecordError(path, 0, f"cannot be read ({error.strerror}); name a file of comments") from error
    except (OSError, ValueError) as error:
        problem = " ".join(str(error).split())[:200]
        raise RecordError(path, 0, f"not Parquet ({problem}); write it again") from error


def text_schema(names: Sequence[str], seen: Sequence[Mapping[str, Any]] = ()) -> bytes:
    """Give types for columns that come from text: numbers and truth values where all that was seen are, else texts.

    Parameters
    ----------
    seen
        Rows of JSON Lines; none for CSV, where everything is a text.
    """
    import pyarrow as pa

    kinds = {frozenset({bool}): pa.bool_(), frozenset({int}): pa.int64(), frozenset({int, float}): pa.float64()}
    kinds[frozenset({float})] = pa.float64()
    fields = []
    for name in names:
        found = frozenset(type(row[name]) for row in seen if row.get(name) is not None)
        fields.append(pa.field(name, kinds.get(found, pa.string())))
    return bytes(pa.schema(fields).serialize().to_pybytes())


def joined_schema(path: str, schemas: Sequence[bytes]) -> bytes:
    """Give types that hold the columns of several files.

    Raises
    ------
    RecordError
        When a column has types in them that no one type holds.
    """
    import pyarrow as pa

    try:
        read = [pa.ipc.read_schema(pa.py_buffer(schema)) for schema in dict.fromkeys(schemas)]
        return bytes(pa.unify_schemas(read, promote_options="permissive").serialize().to_pybytes())
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        problem = " ".join(str(error).split())[:200]
        raise RecordError(path, 0, f"the files' columns do not fit together ({problem}); write to .jsonl") from error


class TableWriter:
    """Writes rows with their decisions as Parquet; the input's columns keep their types."""

    def __init__(self, stream: IO[bytes], layout: Layout) -> None:
        import pyarrow as pa

        self._stream = stream
        self._layout = layout
        self._own = pa.ipc.read_schema(pa.py_buffer(layout.schema))
        self.schema = output_schema(layout)
        self._batches: list[tuple[Any, list[int]]] = []
        self._values: list[Mapping[str, Any]] = []
        self._decisions: list[dict[str, Any]] = []

    def write(self, record: Record, decision: Decision) -> RecordError | None:
        """Take one row, as `Writer.write` does."""
        problem = self._layout.clash(record) or self._layout.unknown(record)
        if problem:
            return problem
        row = record.values
        if isinstance(row, TableRow):
            if not self._batches or self._batches[-1][0] is not row.batch:
                self._batches.append((row.batch, []))
            self._batches[-1][1].append(row.index)
        else:
            typed = {}
            for column in self._own:
                try:
                    typed[column.name] = _typed(row.get(column.name), column.type)
                except TypeError as error:
                    problem_text = f"column {column.name!r} {error}; write to .jsonl instead"
                    return RecordError("", record.row, problem_text)
            self._values.append(typed)
        self._decisions.append(decision.to_dict())
        return None

    def close(self) -> None:
        """Write what was taken."""
        import pyarrow as pa

        decided = pa.Table.from_pylist(
            [{name: row[key] for key, name in self._layout.names.items()} for row in self._decisions],
            schema=pa.schema([self.schema.field(name) for name in self._layout.names.values()]),
        )
        columns = [*self._input_columns(), *decided.columns]
        parquet().write_table(pa.Table.from_arrays(columns, schema=self.schema), self._stream)

    def _input_columns(self) -> list[Any]:
        import pyarrow as pa

        if not self._batches:
            return list(pa.Table.from_pylist(self._values, schema=self._own.remove_metadata()).columns)
        # Slices, since Arrow can take single rows of some types only.
        taken = pa.Table.from_batches(
            [batch.slice(start, end - start) for batch, indices in self._batches for start, end in _stretches(indices)]
        )
        columns = []
        for column in self._own:
            if column.name in taken.column_names:
                columns.append(taken.column(column.name).cast(column.type))
            else:
                columns.append(pa.nulls(len(taken), column.type))
        return columns


def _stretches(indices: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Give rising numbers as half-open stretches without a gap."""
    gaps = [place for place, (one, after) in enumerate(pairwise(indices), 1) if after != one + 1]
    for first, last in pairwise((0, *gaps, len(indices))):
        yield indices[first], indices[last - 1] + 1


def output_schema(layout: Layout) -> Any:
    """Give the Arrow schema of an output: the input's columns, then the decision's."""
    import pyarrow as pa

    text, number = pa.string(), pa.float64()
    finding = pa.struct(
        [
            ("rule", text),
            ("guideline", text),
            ("effect", text),
            ("start", pa.int64()),
            ("end", pa.int64()),
            ("excerpt", text),
        ]
    )
    types = {
        "guidelines": pa.list_(text),
        "score": number,
        "scores": pa.struct([(name, number) for name in GUIDELINES]),
        "threshold": number,
        "findings": pa.list_(finding),
    }
    schema = pa.ipc.read_schema(pa.py_buffer(layout.schema))
    for key, name in layout.names.items():
        schema = schema.append(pa.field(name, types.get(key, text)))
    return schema


def join(parts: Sequence[Path], layout: Layout, stream: IO[bytes]) -> None:
    """Write the rows of Parquet files one after another as one, in row groups of `GROUP_ROWS`."""
    import pyarrow as pa

    with parquet().ParquetWriter(stream, output_schema(layout)) as writer:
        held: list[Any] = []
        for number, part in enumerate(parts):
            held.append(parquet().read_table(part, memory_map=False))
            if sum(map(len, held)) >= GROUP_ROWS or number == len(parts) - 1:
                writer.write_table(pa.concat_tables(held))
                held = []


def _typed(value: Any, kind: Any) -> Any:
    import pyarrow as pa

    if value is None:
        return None
    if pa.types.is_string(kind):
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if pa.types.is_boolean(kind):
        fits = isinstance(value, bool)
    elif pa.types.is_integer(kind):
        fits = isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
    else:
        fits = isinstance(value, int | float) and not isinstance(value, bool)
    if not fits:
        raise TypeError(f"holds {type(value).__name__} where the first rows have {kind}")
    return value
