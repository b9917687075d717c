"""The bytes of one file."""

import codecs
import io
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from moderation.errors import RecordError
from moderation.records.cutting import DamagedError
from moderation.records.formats import MAGIC, decompressed, zstandard
from moderation.records.sniffing import like_ascii

STDIN = "-"
BLOCK_BYTES = 256 << 10


def unreadable(path: str, error: OSError) -> RecordError:
    """Tell in one line that a file cannot be read."""
    return RecordError(path, 0, f"cannot be read ({error.strerror or error}); name a file of comments")


class Stream:
    """The bytes of one file, decompressed; those looked at come again.

    Raises
    ------
    RecordError
        When the file cannot be opened or read.
    DamagedError
        Where a compressed file is damaged or cut off.
    """

    def __init__(self, path: str) -> None:
        try:
            raw: IO[bytes] = sys.stdin.buffer if path == STDIN else Path(path).open("rb")
            self._raw = raw if isinstance(raw, io.BufferedReader) else io.BufferedReader(raw)  # type: ignore[type-var]
            magic = self._raw.peek(4)[:4]
        except OSError as error:
            raise unreadable(path, error) from error
        self._path = path
        self.compression = next((name for mark, name in MAGIC.items() if magic.startswith(mark)), "")
        self.parquet = magic == b"PAR1"
        self._damage: DamagedError | None = None
        self._file: Any = decompressed(self._raw, self.compression)
        self._errors: tuple[type[Exception], ...] = (OSError, EOFError, zlib.error)
        if self.compression == "zst":
            self._errors += (zstandard().ZstdError,)
        self._head = b""

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        if self._path != STDIN:
            self._file.close()
            self._raw.close()

    @property
    def place(self) -> int:
        """How many bytes of the file as it lies there are read."""
        return self._raw.tell() if self._raw.seekable() else 0

    def sample(self, size: int, *, whole: bool) -> tuple[bytes, bool]:
        """Give the first bytes, and whether they are all.

        Parameters
        ----------
        whole
            Whether to wait for so many bytes, or for a line and what came with it.
        """
        parts = [self._head]
        length = len(self._head)
        ended = False
        while length < size and not ended:
            try:
                block = self._read(eager=not whole)
            except DamagedError as error:
                if not length:
                    raise RecordError(self._path, 0, str(error)) from error
                ended = True  # Comes again when the rows are read.
                break
            ended = not block
            parts.append(block)
            length += len(block)
            if not whole and b"\n" in block:
                break
        self._head = b"".join(parts)
        return self._head, ended

    def blocks(self, eager: bool) -> Iterator[bytes]:
        """Give all bytes, piece by piece; eagerly, those that are there already."""
        if self._head:
            yield self._head
            self._head = b""
        while block := self._read(eager=eager):
            yield block

    def _read(self, *, eager: bool) -> bytes:
        if self._damage is not None:
            raise self._damage
        try:
            # Of a damaged file everything before the damage is wanted, so one step at a time.
            if eager or self.compression:
                return bytes(self._file.read1(BLOCK_BYTES))
            return bytes(self._file.read(BLOCK_BYTES))
        except self._errors as error:
            if self.compression:
                self._damage = DamagedError(f"the file is damaged or cut off here ({error}); mend it")
                raise self._damage from error
            if isinstance(error, OSError):
                raise unreadable(self._path, error) from error
            raise


def _bad_bytes(error: UnicodeError) -> tuple[str, int]:
    """Stand bytes that are no text down as one that is no UTF-8, so that the row can tell."""
    assert isinstance(error, UnicodeDecodeError)
    return "\udcff", error.end


codecs.register_error("moderation.bad-row", _bad_bytes)


def recoded(blocks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """Turn an encoding in which bytes cannot be cut into UTF-8."""
    if like_ascii(encoding):
        yield from blocks
        return
    decoder = codecs.getincrementaldecoder(encoding)("moderation.bad-row")
    for block in blocks:
        yield decoder.decode(block).encode("utf-8", "surrogatepass")
    yield decoder.decode(b"", True).encode("utf-8", "surrogatepass")
