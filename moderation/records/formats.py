"""Formats of files, told by the ending of a name."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

from moderation.errors import MissingPackageError, RecordError

FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
COMPRESSIONS = {".gz": "gz", ".gzip": "gz", ".zst": "zst", ".zstd": "zst"}
MAGIC = {b"\x1f\x8b": "gz", b"\x28\xb5\x2f\xfd": "zst"}
ENDINGS = ".csv, .tsv, .jsonl, .ndjson or .parquet (.gz or .zst may follow, but for Parquet)"


def file_format(path: Path) -> str:
    """Tell ``csv``, ``jsonl`` or ``parquet`` by a file's ending, whether or not it is compressed.

    Raises
    ------
    RecordError
        For any other ending.
    """
    form = FORMATS.get(plain_ending(path))
    if form is None or (form == "parquet" and compression_of(path)):
        raise RecordError(str(path), 0, f"name a file that ends in {ENDINGS}")
    return form


def plain_ending(path: Path) -> str:
    """Give the ending in small letters, that of a compression left out."""
    endings = [ending.lower() for ending in path.suffixes]
    if endings and endings[-1] in COMPRESSIONS:
        endings.pop()
    return endings[-1] if endings else ""


def compression_of(path: Path) -> str:
    """Tell ``gz`` or ``zst`` by a file's ending; empty for none."""
    return COMPRESSIONS.get(path.suffix.lower(), "")


def compressor(compression: str) -> Callable[[bytes], bytes]:
    """Give what turns bytes into a compressed piece; pieces one after another are one compressed file.

    The same bytes give the same piece: no time of day is in it.

    Source: RFC 1952, 2.2 (gzip members) and RFC 8878, 3 (zstd frames).
    """
    if compression == "gz":
        return lambda data: gzip.compress(data, 6, mtime=0)
    if compression == "zst":
        return cast(Callable[[bytes], bytes], zstandard().compress)
    return lambda data: data


def decompressed(stream: IO[bytes], compression: str) -> IO[bytes]:
    """Give what reads the bytes as they were before compression."""
    if compression == "gz":
        return cast(IO[bytes], gzip.GzipFile(fileobj=stream, mode="rb"))
    if compression == "zst":
        return cast(IO[bytes], zstandard().ZstdFile(stream))
    return stream


def zstandard() -> Any:
    """Give Python's module for zstd, or for older Pythons its backport.

    Raises
    ------
    MissingPackageError
        When it is not installed.
    """
    try:
        try:
            from compression import zstd  # type: ignore[import-not-found, unused-ignore]
        except ImportError:
            from backports import zstd
    except ImportError as error:
        raise MissingPackageError("backports.zstd", "files") from error
    return zstd


def parquet() -> Any:
    """Give pyarrow's module for Parquet.

    Raises
    ------
    MissingPackageError
        When it is not installed.
    """
    try:
        import pyarrow.parquet as module
    except ImportError as error:
        raise MissingPackageError(error.name, "files") from error
    return module
