"""Review files of comments: read, decide, write, in parts that stand alone; nothing lost, nothing twice."""

from moderation.batch.parts import CHUNK_ROWS, review_rows
from moderation.batch.review import errors_file, review_file, review_to_stream
from moderation.batch.reviewed import reviewed
from moderation.batch.summary import Summary

__all__ = ["CHUNK_ROWS", "Summary", "errors_file", "review_file", "review_rows", "review_to_stream", "reviewed"]
