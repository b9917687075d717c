"""Comments from files and decisions to files, as streams: CSV, JSON Lines and Parquet, compressed or not."""

from moderation.records import tables
from moderation.records.formats import compression_of, file_format
from moderation.records.rows import DECISION_COLUMNS, MAX_TEXT_CHARACTERS, TEXT_NAMES, Columns, Record, guessed, listed
from moderation.records.sources import Input, Part, Reading, Source, expand, read, read_all, rows_of
from moderation.records.writer import Layout, Writer, decision_names

__all__ = [
    "Columns",
    "DECISION_COLUMNS",
    "Input",
    "Layout",
    "MAX_TEXT_CHARACTERS",
    "Part",
    "Reading",
    "Record",
    "Source",
    "TEXT_NAMES",
    "Writer",
    "compression_of",
    "decision_names",
    "expand",
    "file_format",
    "guessed",
    "listed",
    "read",
    "read_all",
    "rows_of",
    "tables",
]
