"""Cut a stream of text at row ends, so that each piece can be read alone.

A newline in quotes ends no row. Rows as most programs write them are stepped over by one pattern; where it
stops, Python's ``csv`` reads one row, so that both agree on every file.
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_ROW_BYTES = 16 << 20
"""A longer row is a bad row, and a quote that is not closed within is taken for a slip of its first line."""

_LINE = re.compile(rb"[^\r\n]*+(?:\r\n|\n|\r)")

csv.field_size_limit(2**31 - 1)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a CSV file separates and quotes.

    Parameters
    ----------
    delimiter
        One ASCII character.
    backslash
        Whether a quote within quotes has a backslash before it; else it is doubled.
    """

    delimiter: str = ","
    backslash: bool = False

    def options(self) -> dict[str, object]:
        """Give the arguments of `csv.reader`."""
        quoting = {"escapechar": "\\", "doublequote": False} if self.backslash else {}
        return {"delimiter": self.delimiter, "strict": True, **quoting}

    def pattern(self) -> re.Pattern[bytes]:
        """Give what matches many rows that are written as they should be."""
        by, backslash = re.escape(self.delimiter.encode()), rb"\\" if self.backslash else b""
        quoted = rb'"(?:[^"\\]++|\\.)*+"' if self.backslash else rb'"(?:[^"]++|"")*+"'
        cell = rb"(?:%s|[^\"%s%s\r\n]*+)" % (quoted, by, backslash)
        return re.compile(rb"(?>%s(?:%s%s)*+\r?\n)++" % (cell, by, cell), re.DOTALL)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a stream that begins and ends with rows.

    Parameters
    ----------
    start, end
        Half-open place in the stream, in bytes.
    data
        Its bytes; empty where a problem is told instead.
    problem
        Why it is one bad row.
    """

    start: int
    end: int
    data: bytes
    problem: str = ""


class DamagedError(Exception):
    """A stream cannot be read beyond here."""


class Cutter:
    """Finds row ends in bytes.

    Parameters
    ----------
    dialect
        None for JSON Lines, where every newline ends a row.
    encoding
        An encoding that has ASCII's bytes for ASCII's characters and for no others.
    """

    def __init__(self, dialect: Dialect | None, encoding: str = "utf-8") -> None:
        self._dialect = dialect
        self._encoding = encoding
        self._rows = dialect.pattern() if dialect else None

    def end(self, data: bytes, start: int, goal: int, final: bool) -> int | None:
        """Find the last row end up to a goal, or the first after it.

        Parameters
        ----------
        final
            Whether nothing follows the data.

        Returns
        -------
        int or None
            None when more data must be read to know.
        """
        if self._rows is None:
            end = data.rfind(b"\n", start, goal) + 1 or data.find(b"\n", goal) + 1
            return end or (len(data) if final else None)
        position = start
        while True:
            found = self._rows.match(data, position, goal)
            position = found.end() if found else position
            if position >= goal:
                return position
            row = self.row(data, position, final)
            if row is None or row > goal:
                return position if position > start else row
            position = row

    def row(self, data: bytes, start: int, final: bool) -> int | None:
        """Find the end of the CSV row that begins at a place; None when more data must be read."""
        assert self._dialect is not None
        position = start
        first = 0
        short = False

        def lines() -> Iterator[str]:
            nonlocal position, first, short
            while position < len(data) and position - start <= MAX_ROW_BYTES:
                found = _LINE.match(data, position)
                end = found.end() if found else len(data)
                # A carriage return at the end may be half of a line's end.
                if not final and (found is None or (end == len(data) and data.endswith(b"\r"))):
                    break
                line = data[position:end]
                position = end
                first = first or end
                yield line.decode(self._encoding, "surrogateescape")
            short = not final and position - start <= MAX_ROW_BYTES

        try:
            next(csv.reader(lines(), **self._dialect.options()), None)  # type: ignore[arg-type]
        except csv.Error:
            return None if short else first
        if short:
            return None
        return position if position - start <= MAX_ROW_BYTES else first

    def pieces(self, blocks: Iterator[bytes], start: int, size: int, *, eager: bool = False) -> Iterator[Piece]:
        """Cut a stream into pieces of whole rows.

        Parameters
        ----------
        blocks
            The stream's bytes; may end in `DamagedError`, which is then told as the last row's problem.
        start
            How many of its first bytes are no rows.
        size
            Bytes of a piece, at most `MAX_ROW_BYTES`; more where one row is longer.
        eager
            Give whole rows as soon as they come, however few: for a pipe that someone waits on.
        """
        feed = _Feed(blocks)
        feed.fill(start)
        feed.drop(start)
        place = start
        while feed.fill(1 if eager else size):
            end = self.end(feed.data, 0, min(size, len(feed.data)), feed.final)
            while end is None and not feed.ended and len(feed.data) <= MAX_ROW_BYTES:
                more = 1 if eager else min(len(feed.data), MAX_ROW_BYTES)
                feed.fill(len(feed.data) + more)
                end = self.end(feed.data, 0, min(size, len(feed.data)), feed.final)
            if end is not None and end <= MAX_ROW_BYTES:
                piece = Piece(place, place + end, feed.data[:end])
                feed.drop(end)
            elif end is None and feed.problem:
                piece = Piece(place, place + len(feed.data), b"", feed.problem)
                feed.drop(len(feed.data))
                feed.problem = ""
            else:
                piece = Piece(place, place + feed.drop_line(), b"", f"longer than {MAX_ROW_BYTES >> 20} MiB; cut it")
            place = piece.end
            yield piece
        if feed.problem:
            yield Piece(place, place, b"", feed.problem)


class _Feed:
    """What was read of a stream and not yet used."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self.data = b""
        self.ended = False
        self.problem = ""

    @property
    def final(self) -> bool:
        """Whether nothing follows: what follows damage is not known."""
        return self.ended and not self.problem

    def fill(self, size: int) -> bool:
        """Read until there are so many bytes, if there are; tell whether there are any."""
        parts, length = [self.data], len(self.data)
        while length < size and not self.ended:
            try:
                block = next(self._blocks, None)
            except DamagedError as error:
                self.problem, block = str(error), None
            if block is None:
                self.ended = True
            else:
                parts.append(block)
                length += len(block)
        self.data = b"".join(parts)
        return bool(self.data)

    def drop(self, size: int) -> None:
        """Forget the first bytes."""
        self.data = self.data[size:]

    def drop_line(self) -> int:
        """Forget everything to the next newline, however far; give the number of bytes."""
        length = 0
        while self.fill(1):
            end = self.data.find(b"\n") + 1
            length += end or len(self.data)
            self.drop(end or len(self.data))
            if end:
                break
        return length
