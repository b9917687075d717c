"""The files of an input: found, looked at once, and read in parts that stand alone."""

import csv
import glob
import hashlib
import io
import stat
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from moderation.errors import RecordError
from moderation.records import tables
from moderation.records.cutting import MAX_ROW_BYTES, Cutter, Dialect
from moderation.records.formats import FORMATS, file_format, plain_ending
from moderation.records.rows import TEXT_NAMES, Columns, Record, guessed, record_of
from moderation.records.sniffing import (
    DELIMITERS,
    SAMPLE_BYTES,
    dialect_of,
    encoding_of,
    known_encoding,
    like_ascii,
)
from moderation.records.stream import STDIN, Stream, recoded, unreadable
from moderation.records.text import Values, csv_rows, json_rows, not_unicode, wrong_bytes

PART_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Reading:
    """How to read files, as far as it is not to be told from them.

    Parameters
    ----------
    columns
        Which columns hold the comment.
    encoding
        Of text files, as Python names it; None to tell.
    delimiter
        Of CSV files; None to tell.
    """

    columns: Columns = field(default_factory=Columns)
    encoding: str | None = None
    delimiter: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """One file, and all that must be known to read any part of it.

    Parameters
    ----------
    path
        ``-`` for standard input.
    form, compression
        As `formats` tells them.
    columns
        Names of the columns that hold the comment.
    header
        Names of all columns; for JSON Lines those of the first object.
    size
        Bytes of the file; 0 where it has no end that is known.
    encoding
        Of the text as it lies there.
    dialect
        None where it is no CSV.
    start
        Bytes before the first row, once decompressed.
    seekable
        Whether any part can be read alone; else it is read from the start, once.
    digest
        Identity of a Parquet file: SHA-256 of its footer.
    schema
        Types of a Parquet file's columns, as Arrow serialises them.
    """

    path: str
    form: str
    compression: str
    columns: Columns
    header: tuple[str, ...]
    size: int
    encoding: str = ""
    dialect: Dialect | None = None
    start: int = 0
    seekable: bool = True
    digest: str = ""
    schema: bytes = field(default=b"", repr=False)

    @property
    def laid(self) -> str:
        """The encoding of the bytes that parts are made of."""
        return self.encoding if like_ascii(self.encoding) else "utf-8"


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of one source that are read together.

    Parameters
    ----------
    source
        Place of the source in the input.
    start, end
        Half-open place in the source: bytes (once decompressed), of Parquet rows.
    digest
        SHA-256 of the bytes; of Parquet the file's.
    share
        How much of the input is read at its end, 0 to 1; 0 where it cannot be known.
    data
        The bytes, where the source is not seekable.
    problem
        Why all of it is one bad row.
    """

    source: int
    start: int
    end: int
    digest: str
    share: float
    data: bytes | None = field(default=None, repr=False)
    problem: str = ""


def expand(names: Iterable[str | Path], leave_out: Sequence[Path] = ()) -> list[str]:
    """List the files that paths, folders and patterns such as ``2024-*.csv`` name, those of one name sorted.

    Parameters
    ----------
    leave_out
        Files, and folders with all that is in them, that a folder or pattern does not stand for.

    Raises
    ------
    RecordError
        When a folder holds no file of comments or a pattern fits none.
    """
    absent = {path.resolve() for path in leave_out}
    found: list[str] = []
    for name in map(str, names):
        if not name:  # Which would be this folder.
            raise RecordError("''", 0, "is no name; name a file of comments, or . for this folder")
        path = Path(name)
        try:
            folder, there = path.is_dir(), path.exists()
        except OSError as error:  # Such as a name that is too long.
            raise unreadable(name, error) from error
        if folder:
            inside = [str(file) for file in sorted(path.rglob("*")) if _readable(file.relative_to(path), file)]
            problem = "holds no .csv, .tsv, .jsonl, .ndjson or .parquet file; cannot be read as a file of comments"
        elif name != STDIN and not there and glob.has_magic(name):
            inside = sorted(
                file for file in glob.glob(name, recursive=True) if Path(file).is_file() and not _ours(file, name)
            )
            problem = "fits no file; mend the pattern"
        else:
            found.append(name)
            continue
        inside = [file for file in inside if absent.isdisjoint(((own := Path(file).resolve()), *own.parents))]
        if not inside:
            raise RecordError(name, 0, problem)
        found.extend(inside)
    return found


def _readable(inside: Path, file: Path) -> bool:
    hidden = any(part.startswith((".", "_")) for part in inside.parts)
    return not hidden and not _ours(str(inside)) and plain_ending(file) in FORMATS and file.is_file()


def _ours(file: str, pattern: str = "") -> bool:
    """Whether a file is what a review leaves beside its output, unless the pattern asks for such."""
    run = any(part.endswith(".run") for part in Path(file).parts) and ".run" not in pattern
    return run or (file.endswith(".errors.jsonl") and ".errors" not in pattern)


class Input:
    """Files as one input; those that can be read only once are kept open."""

    def __init__(self, names: Iterable[str], reading: Reading, *, interactive: bool = False) -> None:
        self._streams: dict[int, Stream] = {}
        self._interactive = interactive
        sources = []
        for number, name in enumerate(names):
            source, stream = _look(name, reading)
            sources.append(source)
            if stream is not None:
                self._streams[number] = stream
        self.sources = tuple(sources)

    @property
    def size(self) -> int:
        """Bytes of all files together, as they lie there."""
        return sum(source.size for source in self.sources)

    def parts(self, size: int = PART_BYTES) -> Iterator[Part]:
        """Cut the input into parts: the same each time for the same input and size.

        Parameters
        ----------
        size
            Bytes of a part, at most `MAX_ROW_BYTES`.

        Raises
        ------
        RecordError
            When a file cannot be read.
        """
        total, before = self.size, 0
        for number, source in enumerate(self.sources):
            if source.form == "parquet":
                for start, end, rows in tables.ranges(source.path, size):
                    yield Part(number, start, end, source.digest, (before + source.size * end / rows) / total)
            else:
                yield from self._text_parts(number, source, size, before, total)
            before += source.size

    def _text_parts(self, number: int, source: Source, size: int, before: int, total: int) -> Iterator[Part]:
        stream = self._streams.pop(number, None) or Stream(source.path)
        eager = self._interactive and source.path == STDIN
        cutter = Cutter(source.dialect, source.laid)
        blocks = recoded(stream.blocks(eager), source.encoding)
        with stream:
            for piece in cutter.pieces(blocks, source.start, min(size, MAX_ROW_BYTES), eager=eager):
                place = piece.end if source.seekable else stream.place
                share = (before + min(place, source.size)) / total if total else 0.0
                digest = hashlib.sha256(piece.data).hexdigest()
                data = None if source.seekable else piece.data
                yield Part(number, piece.start, piece.end, digest, share, data, piece.problem)


def rows_of(source: Source, part: Part, before: int = 0) -> Iterator[Record | RecordError]:
    """Read the rows of a part.

    Parameters
    ----------
    before
        Rows of the source before the part.

    Yields
    ------
    Record or RecordError
        A row that cannot be read as a comment is yielded as its error, so that nothing stops.

    Raises
    ------
    RecordError
        When the file cannot be read or is not what it was.
    """
    if part.problem:
        yield RecordError(source.path, before + 1, part.problem)
        return
    if source.form == "parquet":
        rows: Iterator[Values | str] = (
            values if isinstance(values, str) else (values, "") for values in tables.rows(source, part)
        )
    else:
        data = part.data if part.data is not None else _bytes_of(source, part)
        if source.dialect is not None:
            rows = csv_rows(data, source.dialect, source.laid, source.header)
        else:
            rows = json_rows(data, source.laid)
    for number, row in enumerate(rows, before + 1):
        if isinstance(row, str):
            yield RecordError(source.path, number, row)
            continue
        try:
            record = record_of(source.path, number, row[0], source.columns, row[1])
        except UnicodeDecodeError:  # Of Parquet, whose texts become Python's only here.
            yield RecordError(source.path, number, wrong_bytes("utf-8"))
        else:
            yield record


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
    yield from read_all((str(path),), Reading(columns))


def read_all(names: Iterable[str], reading: Reading, *, interactive: bool = False) -> Iterator[Record | RecordError]:
    """Read the rows of files one by one, as `read` does; each file's rows are numbered from 1."""
    whole = Input(names, reading, interactive=interactive)
    source = last = 0
    for part in whole.parts():
        if part.source != source:
            source, last = part.source, 0
        for row in rows_of(whole.sources[source], part, last):
            yield row
            last = row.row


def _bytes_of(source: Source, part: Part) -> bytes:
    try:
        with Path(source.path).open("rb") as file:
            file.seek(part.start)
            data = file.read(part.end - part.start)
    except OSError as error:
        raise unreadable(source.path, error) from error
    if hashlib.sha256(data).hexdigest() != part.digest:
        raise RecordError(source.path, 0, "was changed while it was read; review it again")
    return data


def _look(path: str, reading: Reading) -> tuple[Source, Stream | None]:
    """Tell how a file is to be read; a stream where it can be read only once."""
    form = "" if path == STDIN else file_format(Path(path))
    stream = Stream(path)
    kept = False
    try:
        status = None if path == STDIN else Path(path).stat()
        regular = status is not None and stat.S_ISREG(status.st_mode)
        size = status.st_size if status is not None and regular else 0
        if form == "parquet" or stream.parquet:
            if not regular:
                raise RecordError(path, 0, "Parquet cannot be read from a pipe; name a file")
            header, schema, digest = tables.look(path)
            columns = guessed(reading.columns, header, path)
            return Source(path, "parquet", "", columns, header, size, digest=digest, schema=schema), None
        source = _look_at_text(path, form, stream, reading, regular)
        kept = not regular
        return replace(source, size=size), stream if kept else None
    finally:
        if not kept:
            stream.__exit__()


def _look_at_text(path: str, form: str, stream: Stream, reading: Reading, regular: bool) -> Source:
    wanted, found = SAMPLE_BYTES, None
    while found is None:
        raw, final = stream.sample(wanted, whole=regular)
        encoding = known_encoding(reading.encoding, path) if reading.encoding else encoding_of(raw, path)
        laid = encoding if like_ascii(encoding) else "utf-8"
        try:
            sample = b"".join(recoded(iter((raw,)), encoding))
        except UnicodeError as error:  # Such as UTF-16 without its mark.
            raise RecordError(path, 0, f"is not {encoding.upper()} ({error}); name another --encoding") from error
        mark = len(BOM_UTF8) if laid == "utf-8" and sample.startswith(BOM_UTF8) else 0
        rows = sample[mark:]
        form = form or ("jsonl" if rows.lstrip().startswith(b"{") else "csv")
        # A first row that goes on beyond the sample needs a longer one.
        enough = final or len(raw) > MAX_ROW_BYTES
        dialect = None
        if form == "csv":
            usual = "\t" if path != STDIN and plain_ending(Path(path)) == ".tsv" else ","
            dialect = dialect_of(rows, laid, reading.delimiter or usual + DELIMITERS, final=final)
            found = _header(path, rows, dialect, laid, reading.columns, enough)
        else:
            found = _first_object(path, rows, laid, reading.columns, enough)
        wanted = max(wanted, len(raw)) * 4
    header, columns, length = found
    seekable = regular and not stream.compression and like_ascii(encoding)
    return Source(path, form, stream.compression, columns, header, 0, encoding, dialect, mark + length, seekable)


_Beginning = tuple[tuple[str, ...], Columns, int]
"""All columns, those that hold the comment, and the bytes before the first row."""


def _header(
    path: str, sample: bytes, dialect: Dialect, encoding: str, columns: Columns, final: bool
) -> _Beginning | None:
    """Read the names of a CSV file's columns; None when the sample is too short for them."""
    # Blank lines before the header are no rows either.
    begin = len(sample) - len(sample.lstrip(b"\r\n"))
    end = Cutter(dialect, encoding).row(sample, begin, final)
    if end is None:
        return None
    text = sample[begin:end].decode(encoding, "surrogateescape")
    if not_unicode(text):
        raise RecordError(path, 0, f"the header is not {encoding.upper()}; name its encoding with --encoding")
    try:
        header = next(csv.reader(io.StringIO(text, newline=""), **dialect.options()), [])  # type: ignore[arg-type]
    except csv.Error as error:
        raise RecordError(path, 0, f"not CSV ({error}); check its quotes and separator") from error
    if not header:
        raise RecordError(path, 0, "is empty; a CSV file begins with a header row")
    if twice := [name for name in dict.fromkeys(header) if header.count(name) > 1]:
        raise RecordError(path, 0, f"has two columns {twice[0]!r}; rename one")
    return tuple(header), guessed(columns, header, path), end


def _first_object(path: str, sample: bytes, encoding: str, columns: Columns, final: bool) -> _Beginning | None:
    """Read the keys of the first object that tells which of them holds the comment."""
    end = Cutter(None, encoding).end(sample, 0, len(sample), final) or 0
    for row in json_rows(sample[:end], encoding):
        if isinstance(row, str):
            continue
        try:
            return tuple(row[0]), guessed(columns, list(row[0]), path, alone=False), 0
        except RecordError:
            if columns.text is not None or len(row[0]) > 1:
                raise
    if not final:
        return None
    return (), columns if columns.text else replace(columns, text=TEXT_NAMES[0]), 0
