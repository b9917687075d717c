"""Rows of CSV and of JSON Lines, from bytes that begin and end with rows."""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from moderation.records.cutting import Dialect

_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")

MAX_NESTING = 100
"""A JSON object that is nested deeper is a bad row, wherever it is read; Python's own limit depends on the place."""

Values = tuple[Mapping[str, Any], str]
"""A row's columns and, where it is JSON, as it was written."""


def csv_rows(data: bytes, dialect: Dialect, encoding: str, header: tuple[str, ...]) -> Iterator[Values | str]:
    """Read CSV rows, a blank line being none.

    Yields
    ------
    tuple or str
        The row, or why it cannot be read. A row that is no CSV costs its first line only, so that a quote
        that was never closed does not swallow those after it.
    """
    text, clean = _decoded(data, encoding)
    lines = io.StringIO(text, newline="")
    width = len(header)
    while True:
        reader = csv.reader(lines, **dialect.options())  # type: ignore[arg-type]
        start = lines.tell()
        try:
            for cells in reader:
                if not cells:
                    pass
                elif not clean and not_unicode(cells):
                    yield wrong_bytes(encoding)
                elif len(cells) != width:
                    yield f"has {len(cells)} cells for {width} columns; check its quotes"
                else:
                    yield dict(zip(header, cells, strict=True)), ""
                start = lines.tell()
        except csv.Error as error:
            lines.seek(start)
            first = lines.readline()
            if not clean and not_unicode(first):
                yield wrong_bytes(encoding)
            else:
                yield f"not CSV ({error}); check its quotes"
        else:
            return


def json_rows(data: bytes, encoding: str) -> Iterator[Values | str]:
    """Read JSON objects, one a line, a blank line being none.

    Yields
    ------
    tuple or str
        The object, or why it cannot be read.
    """
    text, clean = _decoded(data, encoding)
    for line in io.StringIO(text, newline=""):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            if not clean and not_unicode(line):
                yield wrong_bytes(encoding)
            else:
                yield f"not JSON ({error}); one object a line"
            continue
        if not isinstance(values, dict):
            yield "not a JSON object; one object a line"
        elif line.count("[") + line.count("{") > MAX_NESTING and _nested_too_deep(values):
            yield f"nested more than {MAX_NESTING} deep; flatten it"
        elif (not clean or _ESCAPED_SURROGATE.search(line)) and not_unicode(values):
            yield wrong_bytes(encoding)
        else:
            yield values, line.strip()


def _nested_too_deep(value: object) -> bool:
    level = [value]
    for _ in range(MAX_NESTING + 1):
        lists = [
            outer.values() if isinstance(outer, dict) else outer for outer in level if isinstance(outer, dict | list)
        ]
        level = list(chain.from_iterable(lists))
    return bool(level)


def _decoded(data: bytes, encoding: str) -> tuple[str, bool]:
    """Decode, and tell whether all of it could be; bytes that cannot become lone surrogates."""
    try:
        return data.decode(encoding), True
    except UnicodeDecodeError:
        return data.decode(encoding, "surrogateescape"), False


def wrong_bytes(encoding: str) -> str:
    """Tell that bytes are no text of an encoding, and the remedy."""
    return f"not {encoding.upper()}; name the file's encoding with --encoding, or convert it"


def not_unicode(value: object) -> bool:
    """Whether a value holds a text with a lone surrogate, which no file of ours can hold."""
    if isinstance(value, str):
        return not value.isascii() and _SURROGATE.search(value) is not None
    if isinstance(value, Mapping):
        return any(not_unicode(part) for pair in value.items() for part in pair)
    return isinstance(value, list) and any(map(not_unicode, value))
