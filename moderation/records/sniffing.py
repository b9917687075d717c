"""Tell a text file's encoding and a CSV file's dialect from how it begins."""

import codecs
import csv
import io
from collections.abc import Sequence

from moderation.errors import RecordError
from moderation.records.cutting import Cutter, Dialect

DELIMITERS = ",;\t|"
MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
SAMPLE_BYTES = 256 << 10
FEWEST_LINES = 4
"""With fewer lines that are no UTF-8 these are bad rows, not a sign of another encoding."""
SAMPLE_ROWS = 200


def encoding_of(sample: bytes, source: str) -> str:
    """Tell the encoding: by its mark, else UTF-8 where that fits, else the likeliest.

    A file with few lines that are no UTF-8, or with others that are and have letters beyond ASCII, is
    UTF-8 with bad rows.

    Source: charset-normalizer, https://charset-normalizer.readthedocs.io
    """
    for mark, encoding in MARKS:
        if sample.startswith(mark):
            return encoding
    good = bad = 0
    for line in sample.splitlines():
        if not line.isascii():
            try:
                line.decode()
                good += 1
            except UnicodeDecodeError:
                bad += 1
    if bad < FEWEST_LINES or good > bad // 10:
        return "utf-8"
    from charset_normalizer import from_bytes

    best = from_bytes(sample, explain=False).best()
    if best is None:
        return "utf-8"
    return known_encoding(best.encoding, source)


def known_encoding(name: str, source: str) -> str:
    """Give Python's name for an encoding.

    Raises
    ------
    RecordError
        When Python knows none of that name that is for text.
    """
    try:
        encoding = codecs.lookup(name).name
        "a".encode(encoding)
    except (LookupError, UnicodeError):  # One is named «undefined», and is.
        raise RecordError(source, 0, f"no encoding is named {name!r}; try utf-8 or windows-1252") from None
    return "utf-8" if encoding in ("utf-8-sig", "ascii") else encoding


def like_ascii(encoding: str) -> bool:
    """Whether ASCII's bytes stand for ASCII's characters and for nothing else, so that bytes can be cut."""
    if encoding == "utf-8":
        return True
    try:
        every = bytes(range(256)).decode(encoding, "replace")
    except UnicodeError:
        return False
    return len(every) == 256 and every[:128] == bytes(range(128)).decode("ascii")


def dialect_of(sample: bytes, encoding: str, delimiters: str, *, final: bool) -> Dialect:
    """Tell the dialect in which most rows have as many cells as the header.

    Parameters
    ----------
    delimiters
        Those that may be; the first is taken where none does better.
    final
        Whether the sample is the whole file.
    """
    text = sample.decode(encoding, "surrogateescape")
    head = text.lstrip("\r\n").partition("\n")[0]
    best, most = Dialect(delimiters[0]), 0.0
    for delimiter in delimiters:
        if delimiter not in head:
            continue
        for backslash in (False, True) if '\\"' in text else (False,):
            dialect = Dialect(delimiter, backslash)
            share = _fitting(sample, encoding, dialect, final=final)
            if share > most:
                best, most = dialect, share
    return best


def _fitting(sample: bytes, encoding: str, dialect: Dialect, *, final: bool) -> float:
    """Give the share of rows with as many cells as the header; 0 where that has one."""
    cutter, position = Cutter(dialect, encoding), 0
    rows: list[bytes] = []
    while position < len(sample) and len(rows) < SAMPLE_ROWS:
        end = cutter.row(sample, position, final)
        if end is None:
            break
        rows.append(sample[position:end])
        position = end
    widths = [len(cells_of(row, encoding, dialect)) for row in rows if row.strip()]
    if not widths or widths[0] < 2:
        return 0.0
    return widths.count(widths[0]) / len(widths)


def cells_of(row: bytes, encoding: str, dialect: Dialect) -> Sequence[str]:
    """Give one row's cells; none where it is no CSV."""
    lines = io.StringIO(row.decode(encoding, "surrogateescape"), newline="")
    try:
        return next(csv.reader(lines, **dialect.options()), [])  # type: ignore[arg-type]
    except csv.Error:
        return []
