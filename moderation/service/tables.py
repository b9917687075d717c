"""The audit log's tables, and what keeps them append-only."""

import time
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, Float, Index, Integer, LargeBinary, MetaData, Table, Text

_NUMBER = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up an INTEGER only.
_META = MetaData()
SETTINGS = Table("audit_settings", _META, Column("name", Text, primary_key=True), Column("value", Text, nullable=False))
DECISIONS = Table(
    "decisions",
    _META,
    Column("seq", _NUMBER, primary_key=True, autoincrement=True),
    Column("time", BigInteger, nullable=False),  # milliseconds since 1970, UTC
    Column("id", Text, nullable=False),
    Column("site", Text, nullable=False),
    Column("door", Text, nullable=False),
    Column("caller", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("guidelines", Text, nullable=False),  # " abuse threat ": a space around each
    Column("decided_by", Text, nullable=False),
    Column("score", Float, nullable=False),
    Column("policy", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("text_hash", Text, nullable=False),
    Column("text", LargeBinary),
    Column("decision", Text, nullable=False),
    Index("decisions_by_time", "time"),
    Index("decisions_by_id", "id"),
)
FEEDBACK = Table(
    "feedback",
    _META,
    Column("seq", _NUMBER, primary_key=True, autoincrement=True),
    Column("time", BigInteger, nullable=False),
    Column("id", Text, nullable=False),
    Column("site", Text, nullable=False),
    Column("decision_seq", BigInteger),  # None for a comment that was never decided here
    Column("door", Text, nullable=False),
    Column("caller", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("guidelines", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("text", LargeBinary),
    Index("feedback_by_id", "id"),
    Index("feedback_by_time", "time"),
)
DELETIONS = Table(
    "deletions",
    _META,
    Column("seq", _NUMBER, primary_key=True, autoincrement=True),
    Column("time", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),  # erasure, retention
    Column("id", Text, nullable=False),
    Column("site", Text, nullable=False),
    Column("caller", Text, nullable=False),
    Column("rows", Integer, nullable=False),
)
TEXT_ID = "text-"
"""Begins the id of a comment whose protocol carries none; the first 32 digits of its text's hash follow."""
# An update may blank a row as an erasure does, and nothing else.
_IDENTIFIED = f"NEW.id <> OLD.id AND NOT (NEW.id = '{TEXT_ID}' AND substr(OLD.id, 1, {len(TEXT_ID)}) = '{TEXT_ID}')"
_ROW = ("seq", "time", "site", "door", "caller", "verdict", "guidelines")
_JUDGED = """substr({row}.decision, {place}({row}.decision, ',"verdict":'),
 {place}({row}.decision, ',"findings":') - {place}({row}.decision, ',"verdict":'))"""
_ALTERS = {
    "decisions": "NEW.text IS NOT NULL OR NEW.text_hash <> '' OR "
    + " OR ".join(f"NEW.{name} <> OLD.{name}" for name in (*_ROW, "decided_by", "score", "policy", "model"))
    + f" OR {_IDENTIFIED} OR {_JUDGED.replace('{row}', 'NEW')} <> {_JUDGED.replace('{row}', 'OLD')}",
    "feedback": "NEW.text IS NOT NULL OR NEW.note <> '' OR "
    + " OR ".join(f"NEW.{name} <> OLD.{name}" for name in _ROW)
    + f" OR {_IDENTIFIED} OR coalesce(NEW.decision_seq, 0) <> coalesce(OLD.decision_seq, 0)",
    "deletions": "TRUE",
}
_REFUSE = "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
_TRIGGERS = {
    "sqlite": (
        "DROP TRIGGER IF EXISTS {table}_append_only",  # Of logs that were made before.
        f"CREATE TRIGGER IF NOT EXISTS {{table}}_update BEFORE UPDATE ON {{table}} WHEN {{alters}} {_REFUSE}",
        # INSERT OR REPLACE would take the old row away.
        "CREATE TRIGGER IF NOT EXISTS {table}_insert BEFORE INSERT ON {table} "
        f"WHEN EXISTS (SELECT 1 FROM {{table}} WHERE seq = NEW.seq) {_REFUSE}",
        f"CREATE TRIGGER IF NOT EXISTS deletions_delete BEFORE DELETE ON deletions {_REFUSE}",
    ),
    "postgresql": (
        """
CREATE OR REPLACE FUNCTION {table}_append_only() RETURNS trigger AS $$
BEGIN
  IF {alters} THEN RAISE EXCEPTION 'the audit log is append-only'; END IF;
  RETURN NEW;
END $$ LANGUAGE plpgsql
""",
        """
CREATE OR REPLACE TRIGGER {table}_append_only BEFORE UPDATE{or_delete} ON {table}
FOR EACH ROW EXECUTE FUNCTION {table}_append_only()
""",
    ),
}
HOUR_MS = 3_600_000
WAL_PAGES = 20_000
"""Pages of 4 KiB in SQLite's write-ahead log from which on a writer moves them into the data base itself, which
takes milliseconds; `AuditLog.checkpoint` does so before, while writers go on."""


def make_tables(connection: Connection) -> None:
    """Make what is not there yet; several processes may do so at once."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(4829107)")  # Until the transaction ends.
    _META.create_all(connection)
    place = {"sqlite": "instr", "postgresql": "strpos"}.get(connection.dialect.name, "")
    for table, alters in _ALTERS.items():
        for trigger in _TRIGGERS.get(connection.dialect.name, ()):
            also = " OR DELETE" if table == "deletions" else ""
            connection.exec_driver_sql(trigger.format(table=table, alters=alters.format(place=place), or_delete=also))


def now_ms() -> int:
    """Tell the time in milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


def iso(milliseconds: int) -> str:
    """Give a time as RFC 3339, UTC."""
    stamp = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return stamp.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def clean(text: str) -> str:
    """Give a text that every data base takes: PostgreSQL has no NUL, UTF-8 no lone surrogates."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def sqlite_pragmas(synchronous: str) -> Any:
    """Give what sets up each new connection to SQLite."""

    def set_on(connection: Any, record: Any) -> None:
        for pragma in (
            "journal_mode=WAL",
            f"synchronous={synchronous}",
            "busy_timeout=10000",
            f"wal_autocheckpoint={WAL_PAGES}",
            "secure_delete=ON",  # What is taken away is written over.
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    return set_on
